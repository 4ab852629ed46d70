"""Fits of specimens that differ from each other: against closed forms, and coverage."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from analytic import Bound, CurveFit, StudentFit, double
from scipy import stats
from torch import Tensor

from neml2fe.calibration.fit import fit
from neml2fe.calibration.noise import GaussianNoise
from neml2fe.calibration.parameters import FitParameter
from neml2fe.calibration.problem import CalibrationProblem
from neml2fe.calibration.scatter import (
    Absolute,
    Scatter,
    ScatteredProblem,
    estimate_scatter,
    fit_with_scatter,
)
from neml2fe.calibration.specimens import Specimens
from neml2fe.errors import InputError
from neml2fe.models import LinearIsotropicElasticity

SIGMA = 0.05
BOX: list[Bound] = [(0.1, 10.0, "log"), (0.01, 5.0)]
TRUTH = double([2.0, 0.7])
SHARES = {"b1": 0.1, "b2": 0.1}


class ManySpecimens(CurveFit):
    """Curves of one parameter vector through the points of several specimens."""

    specimens: Tensor

    def specimen_of_residuals(self) -> Tensor:
        return self.specimens


def decay_tests(
    seed: int, shares: Sequence[float] = (0.1, 0.1), sigma: float | None = SIGMA
) -> ManySpecimens:
    """12 specimens of 20 points, each with its own amplitude and rate, in mixed order."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    own = TRUTH * (1.0 + double(shares) * normal(12, 2))
    order = torch.randperm(240, generator=generator)
    of = torch.arange(12).repeat_interleave(20)[order]
    t = torch.linspace(0.0, 4.0, 20, dtype=torch.float64).repeat(12)[order]
    y = own[of, 0] * torch.exp(-own[of, 1] * t) + SIGMA * normal(240)
    found = ManySpecimens(lambda b: b[0] * torch.exp(-b[1] * t), y, [1.8, 0.8], BOX, sigma=sigma)
    found.specimens = of
    return found


def lines(known: bool = True) -> tuple[ManySpecimens, Tensor]:
    """Straight lines through specimens of 2, 5, 9 and 14 points; the problem and its X."""
    generator = torch.Generator().manual_seed(3)
    of = torch.tensor([0] * 2 + [1] * 5 + [2] * 9 + [3] * 14)
    of = of[torch.randperm(len(of), generator=generator)]
    t = torch.rand(len(of), generator=generator, dtype=torch.float64)
    x = torch.stack([torch.ones_like(t), t], -1)
    own = double([3.0, 2.0]) + double([0.5, 0.3]) * torch.randn(
        4, 2, generator=generator, dtype=torch.float64
    )
    y = (x * own[of]).sum(-1) + SIGMA * torch.randn(
        len(of), generator=generator, dtype=torch.float64
    )
    sigma = SIGMA if known else None
    found = ManySpecimens(lambda b: x @ b, y, [4.0, 1.0], [(0.0, 10.0), (-5.0, 10.0)], sigma=sigma)
    found.specimens = of
    return found, x


@pytest.mark.parametrize("known", [True, False])
def test_a_linear_model_is_solved_in_closed_form(known: bool) -> None:
    """Each specimen has an estimate of its own, of covariance Sigma + sigma^2 (X^T X)^-1; the best
    one of the mean weighs them by the inverse."""
    problem, x = lines(known)
    of, y = problem.specimens, problem.y
    whitened = ScatteredProblem(
        problem,
        {"b1": Absolute(0.5), "b2": Absolute(0.3)},
        problem.parameters.x0,
        noise=1.0 if known else SIGMA,
    )
    found = fit(whitened)
    precision, weighted = torch.zeros(2, 2).double(), torch.zeros(2).double()
    for s in range(4):
        own, data = x[of == s], y[of == s]
        normal = own.T @ own
        weight = torch.linalg.inv(
            torch.diag(double([0.25, 0.09])) + SIGMA**2 * torch.linalg.inv(normal)
        )
        precision += weight
        weighted += weight @ torch.linalg.solve(normal, own.T @ data)
    best = torch.linalg.solve(precision, weighted)
    errors = torch.linalg.inv(precision).diagonal().sqrt()
    assert found.uncertainty is not None
    torch.testing.assert_close(found.uncertainty.values, best, rtol=1e-9, atol=0)
    torch.testing.assert_close(found.uncertainty.standard_errors, errors, rtol=1e-9, atol=0)
    covariance = (x * double([0.25, 0.09])) @ x.T * (of[:, None] == of)
    covariance += torch.diag(torch.full_like(y, SIGMA**2))
    misfit = y - x @ best
    assert found.loss == pytest.approx(
        0.5 * float(misfit @ torch.linalg.solve(covariance, misfit)), rel=1e-9
    )


def test_without_scatter_nothing_changes() -> None:
    problem = decay_tests(0)
    ordinary = fit(problem)
    found = fit_with_scatter(problem, {"b1": 0.0}, relinearise=1)
    assert ordinary.uncertainty is not None and found.uncertainty is not None
    torch.testing.assert_close(found.x, ordinary.x, rtol=1e-7, atol=0)
    torch.testing.assert_close(
        found.uncertainty.intervals, ordinary.uncertainty.intervals, rtol=1e-6, atol=0
    )
    assert found.ordinary is not None and found.ordinary.loss == ordinary.loss


def test_the_first_fit_goes_on_from_its_record(tmp_path: Path) -> None:
    path = tmp_path / "fit.jsonl"
    begun = fit(decay_tests(0), record=path, max_iterations=2)
    found = fit_with_scatter(decay_tests(0), SHARES, 1, record=path, resume=True)
    assert found.resumed_from == 2
    assert found.history[:2] == begun.history[:2]
    assert found.reason.endswith("; resumed from iteration 2")


def test_the_gradient_of_the_loss() -> None:
    problem = decay_tests(1)
    whitened = ScatteredProblem(problem, SHARES, problem.parameters.x0)
    x = whitened.parameters.x0 + 0.01
    at = x.clone().requires_grad_()
    loss = whitened.loss(at)
    (slope,) = torch.autograd.grad(loss, at)
    h = 1e-6 * torch.eye(2, dtype=torch.float64)
    differences = [(whitened.loss(x + e) - whitened.loss(x - e)) / 2e-6 for e in h]
    assert loss.item() == pytest.approx(whitened.loss(x).item(), rel=1e-12)
    torch.testing.assert_close(slope, torch.stack(differences), rtol=1e-6, atol=0)


@pytest.mark.parametrize("known", [True, False])
def test_intervals_cover_the_mean(known: bool) -> None:
    """Of 24 data sets 95 % intervals hold the mean of the population as often as a binomial
    allows, of 0.90 in place of 0.95 where 12 specimens have to tell scatter and noise as well;
    those of least squares hold it too seldom for 0.95."""
    n, inside, ordinary = 24, torch.zeros(2), torch.zeros(2)
    scatter: Scatter = SHARES if known else dict.fromkeys(SHARES)
    for seed in range(n):
        problem = decay_tests(seed, sigma=SIGMA if known else None)
        found = fit_with_scatter(problem, scatter, 1, gradient_tolerance=1e-4)
        assert found.ordinary is not None
        for counts, result in ((inside, found), (ordinary, found.ordinary)):
            assert result.uncertainty is not None
            low, high = result.uncertainty.intervals.unbind(-1)
            counts += (low <= TRUTH) & (high >= TRUTH)
    fewest = stats.binom.ppf(1e-3, n, 0.95 if known else 0.90)
    assert (inside >= fewest).all(), inside
    assert (ordinary < stats.binom.ppf(1e-3, n, 0.95)).all(), ordinary


def level_tests(seed: int, between: float, known: bool) -> ManySpecimens:
    """A constant, measured 8 times on each of 10 specimens."""
    generator = np.random.default_rng(seed)
    y = 5.0 + between * generator.normal(size=(10, 1)) + SIGMA * generator.normal(size=(10, 8))
    sigma = SIGMA if known else None
    data = torch.from_numpy(y.reshape(-1))
    found = ManySpecimens(lambda b: b.expand(80), data, [4.0], [(0.0, 10.0)], sigma=sigma)
    found.specimens = torch.arange(10).repeat_interleave(8)
    return found


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("known", [True, False])
def test_estimates_are_those_of_the_analysis_of_variance(seed: int, known: bool) -> None:
    """Of balanced data the restricted likelihood has its maximum where mean squares between and
    within specimens have their expected values (Searle, Casella and McCulloch 1992)."""
    problem = level_tests(seed, 0.3, known)
    found = fit_with_scatter(problem, {"b1": None}, 1)
    table = problem.y.reshape(10, 8)
    between = 8.0 * float(table.mean(1).var())
    within = SIGMA**2 if known else float(table.var(1).mean())
    mean = float(table.mean())
    assert found.values["b1"] == pytest.approx(mean, rel=1e-9)
    assert found.estimate is not None
    share = math.sqrt((between - within) / 8.0) / mean
    assert found.estimate.scatter["b1"] == pytest.approx(share, rel=1e-4)
    assert found.estimate.noise == pytest.approx(1.0 if known else math.sqrt(within), rel=1e-4)
    # Of a variance from n degrees of freedom the relative standard error is sqrt(2 / n).
    assert found.estimate.errors["b1"] == pytest.approx(math.sqrt(2.0 / 9.0) / 2.0, rel=0.05)
    assert found.uncertainty is not None
    assert float(found.uncertainty.standard_errors) == pytest.approx(
        math.sqrt(between / 80.0), rel=1e-4
    )


def test_no_sign_of_scatter() -> None:
    """Where means differ by less than the noise explains, the estimate is zero and says so."""
    seeds = [s for s in range(20) if _between(s) < SIGMA**2]
    assert len(seeds) > 3
    for seed in seeds:
        problem = level_tests(seed, 0.0, True)
        found = estimate_scatter(problem, {"b1": None}, fit(problem).x)
        assert found.scatter == {"b1": 0.0}
        assert math.isinf(found.errors["b1"])


def _between(seed: int) -> float:
    return 8.0 * float(level_tests(seed, 0.0, True).y.reshape(10, 8).mean(1).var())


def test_estimates_of_two_parameters_are_near_the_truth() -> None:
    """Variances, which the restricted likelihood leaves nearly unbiased, on the mean of 24."""
    squares = []
    for seed in range(24):
        problem = decay_tests(seed, sigma=None)
        found = estimate_scatter(
            problem, {"b1": None, "b2": None}, fit(problem, level=None, gradient_tolerance=1e-4).x
        )
        assert all(isinstance(size, float) for size in found.scatter.values())
        squares.append([*(float(s) ** 2 for s in found.scatter.values()), found.noise**2])  # type: ignore[arg-type]
    mean = np.mean(squares, axis=0)
    error = np.std(squares, axis=0) / math.sqrt(len(squares))
    assert (np.abs(mean - [0.1**2, 0.1**2, SIGMA**2]) < 3.5 * error).all(), (mean, error)


def test_a_given_scatter_stays_while_another_is_estimated() -> None:
    problem = decay_tests(4)
    x = fit(problem, level=None).x
    found = estimate_scatter(problem, {"b1": 0.1, "b2": None}, x)
    assert found.scatter["b1"] == 0.1
    assert set(found.errors) == {"b2"}
    same = Absolute(0.1 * float(problem.parameters.natural(x)[0]))
    again = estimate_scatter(problem, {"b1": same, "b2": None}, x)
    assert again.scatter["b2"] == pytest.approx(found.scatter["b2"], rel=1e-6)
    assert again.scatter["b1"] is same


def test_a_parameter_without_influence_does_no_harm() -> None:
    problem = decay_tests(2)
    curve = problem.curve
    more = ManySpecimens(
        lambda b: curve(b) + 0.0 * b[2], problem.y, [1.8, 0.8, 1.0], [*BOX, (0.0, 2.0)]
    )
    more.specimens = problem.specimens
    found = fit_with_scatter(more, {"b1": None, "b2": None, "b3": None})
    plain = fit_with_scatter(decay_tests(2, sigma=None), {"b1": None, "b2": None})
    assert found.uncertainty is not None and plain.uncertainty is not None
    assert list(found.uncertainty.not_identifiable) == ["b3"]
    assert found.estimate is not None and found.estimate.scatter["b3"] == 0.0
    torch.testing.assert_close(
        found.uncertainty.intervals[:2], plain.uncertainty.intervals, rtol=1e-4, atol=0
    )


def test_mistakes() -> None:
    problem = decay_tests(0)
    x = problem.parameters.x0
    with pytest.raises(InputError, match="'b3', whose scatter is given, is not fitted"):
        fit_with_scatter(problem, {"b3": 0.1})
    with pytest.raises(InputError, match=r"'b1' must be at least 0, got -0\.1"):
        fit_with_scatter(problem, {"b1": -0.1})
    with pytest.raises(InputError, match="give the scatter of b2, or estimate it first"):
        ScatteredProblem(problem, {"b1": 0.1, "b2": None}, x)
    with pytest.raises(InputError, match="noise must be a positive number"):
        ScatteredProblem(problem, SHARES, x, noise=0.0)
    with pytest.raises(InputError, match="at least one linearisation"):
        fit_with_scatter(problem, SHARES, relinearise=0)
    assert problem.evaluations == 0  # all were found before any simulation
    robust = StudentFit(problem.curve, problem.y, [1.8, 0.8], BOX, sigma=SIGMA)
    robust.specimen_of_residuals = problem.specimen_of_residuals  # type: ignore[attr-defined]
    with pytest.raises(InputError, match="needs Gaussian noise"):
        fit_with_scatter(robust, SHARES)  # type: ignore[arg-type]


# --- specimens of a simulation ----------------------------------------------------------------
def elastic(stresses: Sequence[float]) -> CalibrationProblem:
    """Bars of 3, 5 and 4 rows whose stress and lateral strain are measured."""
    model = LinearIsotropicElasticity(
        label="bar",
        coefficients=[200.0, 0.3],
        coefficient_types=["YOUNGS_MODULUS", "POISSONS_RATIO"],
    )
    parts = []
    for s, (rows, stress) in enumerate(zip((3, 5, 4), stresses, strict=True)):
        t = torch.arange(rows, dtype=torch.float64)[:, None]
        part = Specimens.uniaxial(t, 0.01 * t, stress=stress * t, names=[f"bar {s}"])
        parts.append(part)
    fitted = [FitParameter("bar.E", 100.0, 400.0)]
    return CalibrationProblem(model, Specimens.stack(parts), fitted, GaussianNoise(1.0))


def test_each_residual_knows_its_specimen() -> None:
    before = elastic([2.0, 2.0, 2.0])
    of = before.specimen_of_residuals()
    assert of.bincount().tolist() == [2, 4, 3]
    for s in range(3):
        stresses = [2.0, 2.0, 2.0]
        stresses[s] = 2.5
        after = elastic(stresses)
        x = before.parameters.x0
        changed = (after.residuals(x) - before.residuals(x)).abs() > 1e-6
        assert torch.equal(changed, of == s)
