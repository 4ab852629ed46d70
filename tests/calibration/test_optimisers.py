"""Optimisers against certified solutions, bounds, failing simulations and early stops."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from analytic import NIST, CurveFit, StudentFit, double, nist
from torch import Tensor

from neml2fe.calibration.fit import Iteration, fit
from neml2fe.errors import ConvergenceError, InputError

T = torch.linspace(0.0, 4.0, 40, dtype=torch.float64)


def decay(b: Tensor) -> Tensor:
    return b[0] * torch.exp(-b[1] * T)


def noise(n: int = 40, seed: int = 1) -> Tensor:
    return torch.randn(n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def decay_fit(**options: object) -> CurveFit:
    """True values 2 and 0.7, noise 0.02, start far off."""
    y = decay(double([2.0, 0.7])) + 0.02 * noise()
    return CurveFit(decay, y, [0.5, 3.0], [(0.1, 10.0), (0.01, 5.0)], sigma=0.02, **options)


def line_fit(intercept: float, slope: float) -> CurveFit:
    y = 3.0 - 2.0 * T + 0.1 * noise()
    return CurveFit(lambda b: b[0] + b[1] * T, y, [intercept, slope], [(-5, 5), (-5, 5)])


@pytest.mark.parametrize("start", [0, 1])
@pytest.mark.parametrize("name", NIST)
def test_certified_values_and_standard_errors(name: str, start: int) -> None:
    result = fit(nist(name, start))
    certified = NIST[name]
    assert result.converged, result.reason
    assert list(result.values.values()) == pytest.approx(certified["values"], rel=1e-6)
    assert 2 * result.loss == pytest.approx(certified["rss"], rel=1e-9)
    assert result.uncertainty is not None
    errors = result.uncertainty.standard_errors.tolist()
    assert errors == pytest.approx(certified["errors"], rel=1e-6)


@pytest.mark.parametrize(("start", "steps"), [((2.0, 0.0), 1), ((0.0, 0.0), 2), ((-4.0, 4.0), 4)])
def test_a_linear_model_takes_few_steps(start: tuple[float, float], steps: int) -> None:
    """One from within a quarter of the box, where the trust region does not hold it back."""
    problem = line_fit(*start)
    result = fit(problem)
    design = torch.stack([torch.ones_like(T), T], -1)
    exact = torch.linalg.lstsq(design, problem.y).solution
    assert list(result.values.values()) == pytest.approx(exact.tolist(), rel=1e-12)
    assert result.converged
    assert result.history[-1].number <= steps


def test_rosenbrock_without_residual() -> None:
    valley = CurveFit(
        lambda b: torch.stack([10 * (b[1] - b[0] ** 2), 1 - b[0]]),
        torch.zeros(2, dtype=torch.float64),
        [-1.2, 1.0],
        [(-3, 3), (-3, 3)],
        sigma=1.0,
    )
    result = fit(valley)
    assert result.converged
    assert list(result.values.values()) == pytest.approx([1.0, 1.0], abs=1e-9)
    assert result.history[-1].number < 40


@pytest.mark.parametrize("slope", [0.0, 1e-12])
def test_a_plateau_is_no_minimum(slope: float) -> None:
    """As of a test that stays elastic where the fit of its plasticity starts."""

    def ramp(b: Tensor) -> Tensor:
        return torch.clamp(b[0] - 2.0, min=0.0) * T + slope * b[0]

    problem = CurveFit(ramp, ramp(double([4.0])), [1.0], [(0.1, 10.0)], sigma=0.02)
    result = fit(problem)
    assert not result.converged and "start from other values" in result.reason


@pytest.mark.parametrize("optimiser", ["least_squares", "lbfgs", "adam"])
def test_a_solution_at_a_bound(optimiser: str) -> None:
    y = 3.0 - 2.0 * T + 0.1 * noise()
    problem = CurveFit(lambda b: b[0] + b[1] * T, y, [0.0, 0.0], [(-5, 5), (-1, 1)])
    options = {"lr": 0.01, "patience": 200, "max_iterations": 1000} if optimiser == "adam" else {}
    result = fit(problem, optimiser, **options)
    intercept = float((y + T).mean())  # of least squares with slope -1
    assert result.values["b2"] == -1.0
    assert result.values["b1"] == pytest.approx(intercept, rel=1e-4)
    assert result.uncertainty is not None
    assert "b2 stands at its lower bound -1" in result.uncertainty.remarks[0]
    # Alone, b1 is a mean.
    expected = float((y + T).std() / math.sqrt(len(T)))
    assert float(result.uncertainty.standard_errors[0]) == pytest.approx(expected, rel=1e-4)
    assert math.isinf(result.uncertainty.standard_errors[1])
    assert result.uncertainty.intervals[1].tolist() == [-1, 1]


@pytest.mark.parametrize(
    ("optimiser", "options", "tolerance"),
    [
        ("lbfgs", {}, 1e-6),
        ("adam", {"lr": 0.03, "max_iterations": 2000, "patience": 100}, 1e-4),
        ("RMSprop", {"lr": 1e-3, "max_iterations": 2000, "patience": 200}, 1e-2),
    ],
)
def test_gradient_methods_find_the_same_minimum(
    optimiser: str, options: dict[str, float], tolerance: float
) -> None:
    exact = fit(decay_fit())
    assert exact.converged
    result = fit(decay_fit(), optimiser, **options)
    assert result.loss == pytest.approx(exact.loss, rel=tolerance)
    assert list(result.values.values()) == pytest.approx(
        list(exact.values.values()), rel=10 * tolerance
    )


def test_lbfgs_converges_by_its_gradient() -> None:
    result = fit(decay_fit(), "lbfgs", gradient_tolerance=1e-6)
    assert result.converged
    assert result.history[-1].gradient_norm <= 1e-6 * max(i.gradient_norm for i in result.history)


@pytest.mark.parametrize(
    ("optimiser", "lowest", "options"),
    [
        ("least_squares", 0.5, {}),
        ("lbfgs", 0.6, {}),
        ("adam", 0.4, {"lr": 0.2, "max_iterations": 1000, "patience": 200}),
    ],
)
def test_a_failing_trial_point_is_a_rejected_step(
    optimiser: str, lowest: float, options: dict[str, float]
) -> None:
    """The simulation fails in a region that full steps enter."""
    failures = 0

    def fails(b: Tensor) -> bool:
        nonlocal failures
        beyond = bool(b[0] > 3.0) or bool(b[1] < lowest)
        failures += beyond
        return beyond

    y = decay(double([2.0, 0.7])) + 0.02 * noise()
    box = [(0.1, 10.0), (0.01, 5.0)]
    result = fit(CurveFit(decay, y, [0.5, 3.0], box, sigma=0.1, fails=fails), optimiser, **options)
    assert failures > 0
    free = fit(CurveFit(decay, y, [0.5, 3.0], box, sigma=0.1))
    assert result.loss == pytest.approx(free.loss, rel=1e-3)
    assert all(i.values["b1"] <= 3.0 and i.values["b2"] >= lowest for i in result.history)


@pytest.mark.parametrize("optimiser", ["least_squares", "lbfgs", "adam"])
def test_a_wall_of_failures_ends_with_the_values(optimiser: str) -> None:
    problem = decay_fit()
    start = problem.parameters.natural(problem.parameters.x0)
    problem.fails = lambda b: bool((b != start).any())
    with pytest.raises(ConvergenceError, match=r"in a row cannot .* b1 = .*, b2 = .*: specimen 3"):
        fit(problem, optimiser)


def test_a_loss_that_only_tiny_steps_contradict_is_no_minimum() -> None:
    """A loss with a jump at the start, so that every step is rejected, far from a minimum."""
    problem = decay_fit()
    start = problem.parameters.natural(problem.parameters.x0)
    problem.curve = lambda b: decay(b) + 10.0 * float((b.detach() - start).abs().max() > 0)
    result = fit(problem)
    assert not result.converged
    assert "no step along the gradient lowers the loss" in result.reason


@pytest.mark.parametrize("optimiser", ["least_squares", "lbfgs", "adam"])
def test_a_bad_start_names_the_values(optimiser: str) -> None:
    with pytest.raises(ConvergenceError, match=r"cannot start.* b1 = 0.5, b2 = 3: specimen 3"):
        fit(decay_fit(fails=lambda b: bool(b[0] < 1.0)), optimiser)


@pytest.mark.parametrize("optimiser", ["least_squares", "lbfgs", "adam"])
def test_a_loss_that_is_not_finite_is_no_start(optimiser: str) -> None:
    problem = decay_fit()
    problem.y[3] = math.nan
    with pytest.raises(ConvergenceError, match="not finite"):
        fit(problem, optimiser)


def test_robust_noise_is_reweighted() -> None:
    y = decay(double([2.0, 0.7])) + 0.02 * noise()
    y[5] += 3.0
    box = [(0.1, 10.0), (0.01, 5.0)]
    robust = fit(StudentFit(decay, y, [0.5, 3.0], box, sigma=0.02))
    assert robust.converged
    assert list(robust.values.values()) == pytest.approx([2.0, 0.7], rel=0.03)
    plain = fit(CurveFit(decay, y, [0.5, 3.0], box, sigma=0.02))
    assert abs(plain.values["b1"] / 2.0 - 1) > 0.1
    x = robust.x.clone().requires_grad_()
    problem = StudentFit(decay, y, [0.5, 3.0], box, sigma=0.02)
    (gradient,) = torch.autograd.grad(problem.loss(x), x)
    assert float(gradient.abs().max()) < 1e-5 * robust.history[0].gradient_norm


def test_early_stop_and_iteration_limit() -> None:
    stopped = fit(decay_fit(), "adam", lr=1e-6, patience=5, rel_improvement=1e-3, level=None)
    assert stopped.history[-1].number == 5
    assert not stopped.converged
    assert "stopped early: 5 iterations" in stopped.reason
    for optimiser in ("least_squares", "lbfgs", "adam"):
        limited = fit(decay_fit(), optimiser, max_iterations=2)
        assert limited.history[-1].number == 2
        assert not limited.converged
        assert "limit of 2 iterations" in limited.reason
        assert limited.loss == min(i.loss for i in limited.history)


def test_iterations_are_reported_as_they_happen() -> None:
    seen: list[Iteration] = []
    result = fit(decay_fit(), on_iteration=seen.append)
    assert seen == result.history
    assert [i.number for i in seen] == list(range(len(seen)))
    assert seen[0].values == pytest.approx({"b1": 0.5, "b2": 3.0})
    assert all(a.loss > b.loss for a, b in pairwise(seen))
    assert seen[-1].gradient_norm < 1e-6 * seen[0].gradient_norm
    assert seen[-1].seconds >= seen[0].seconds >= 0.0


def waves(fails: bool = False) -> CurveFit:
    """sin(b T) with b = 5: many local minima."""
    return CurveFit(
        lambda b: torch.sin(b[0] * T),
        torch.sin(5.0 * T) + 0.05 * noise(),
        [1.0],
        [(0.5, 9.0)],
        fails=lambda b: fails and bool(b[0] > 6.0),
    )


def test_more_starts_find_the_global_minimum() -> None:
    trapped = fit(waves())
    assert abs(trapped.values["b1"] - 5.0) > 0.5
    result = fit(waves(), starts=9, seed=3)
    assert result.values["b1"] == pytest.approx(5.0, abs=0.05)
    assert len(result.starts) == 9
    assert result.starts[0].values == trapped.values
    assert result.loss == min(start.loss for start in result.starts)
    near = sum(abs(start.values["b1"] - result.values["b1"]) < 1e-3 for start in result.starts)
    assert f"; {near} of 9 starts reached this loss" in result.reason
    assert 1 <= near < 9
    again = fit(waves(), starts=9, seed=3)
    assert [s.loss for s in again.starts] == [s.loss for s in result.starts]


def test_a_start_that_fails_is_recorded_and_others_go_on() -> None:
    result = fit(waves(fails=True), starts=9, seed=3)
    assert result.values["b1"] == pytest.approx(5.0, abs=0.05)
    failed = [start for start in result.starts if math.isinf(start.loss)]
    assert failed
    assert all("specimen 3 does not converge" in start.reason for start in failed)
    assert f"{len(failed)} failed" in result.reason


def test_all_starts_fail() -> None:
    problem = waves()
    problem.fails = lambda b: True
    with pytest.raises(ConvergenceError, match=r"(?s)all 3 starts failed:.*start 2: .*specimen 3"):
        fit(problem, starts=3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"optimiser": "adm"}, "did you mean 'adam'"),
        ({"optimiser": "adam", "rate": 1.0}, "adam cannot be set up"),
        ({"optimiser": "lbfgs", "lr": 1.0}, "no option lr"),
        ({"starts": 0}, "at least one start"),
        ({"seed": -1, "starts": 3}, "seed must be at least 0, got -1"),
        ({"level": 95.0}, "between 0 and 1"),
        ({"patience": 0}, "patience"),
        ({"max_iterations": -1}, "max_iterations"),
        ({"resume": True}, "resume needs the record"),
    ],
)
def test_wrong_arguments(options: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        fit(decay_fit(), **options)
