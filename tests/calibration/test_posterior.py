"""Laplace posteriors: dense, of low rank, in words; products with the Gauss-Newton Hessian."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch
from analytic import CurveFit, double
from torch import Tensor

from neml2fe.calibration.fullfield import FullField, Series
from neml2fe.calibration.parameters import FitParameter
from neml2fe.calibration.simulations import (
    FieldMeasurement,
    GaussianPrior,
    JointProblem,
    LoadMeasurement,
    RegularisedProblem,
    SimulationProblem,
    Tikhonov,
    gauss_newton_product,
    laplace,
    low_rank_laplace,
)
from neml2fe.errors import InputError
from neml2fe.fem import Dirichlet, ElementField, Problem, TimeStepping
from neml2fe.fem.mesh.generate import rectangle
from neml2fe.input import Input
from neml2fe.input.reader import parse_deck
from neml2fe.material import Material

T = torch.linspace(0.0, 1.0, 30, dtype=torch.float64)


def line(**options: object) -> CurveFit:
    """b1 + b2 t between other bounds, known to 0.1 at 30 times."""
    y = 1.0 + 2.0 * T + 0.1 * torch.sin(37.0 * T)
    return CurveFit(lambda b: b[0] + b[1] * T, y, [1.0, 2.0], [(-4.0, 6.0), (0.0, 20.0)], **options)  # type: ignore[arg-type]


def design() -> Tensor:
    return torch.stack([torch.ones_like(T), T], dim=1)


# --- dense ------------------------------------------------------------------------------
def test_posterior_of_a_line_is_exact() -> None:
    problem = line(sigma=0.1)
    found = laplace(problem, problem.parameters.x0)
    expected = torch.linalg.inv(design().T @ design()) * 0.01
    assert torch.allclose(found.covariance(), expected, rtol=1e-10)
    assert torch.allclose(found.deviations(), expected.diagonal().sqrt(), rtol=1e-10)
    samples = found.samples(4000, seed=1)
    assert torch.allclose(samples.T.cov(), expected, rtol=0.1)
    assert torch.allclose(samples.mean(0), double([1.0, 2.0]), atol=5e-3)
    assert torch.equal(samples, found.samples(4000, seed=1))


def test_noise_that_is_not_known_is_that_of_the_residuals() -> None:
    problem = line()
    x = problem.parameters.x0
    r = problem.residuals(x).detach()
    expected = torch.linalg.inv(design().T @ design()) * (r @ r / 28.0)
    assert torch.allclose(laplace(problem, x).covariance(), expected, rtol=1e-10)
    few = CurveFit(lambda b: b, double([1.0]), [0.5], [(0.0, 2.0)])
    with pytest.raises(InputError, match="1 data cannot tell 1 parameters and the noise"):
        laplace(few, few.parameters.x0)


def test_a_prior_adds_its_precision() -> None:
    problem = line(sigma=0.1)
    prior = GaussianPrior.of(problem.parameters, {"b2": (2.5, 0.05)})
    assert problem.parameters.natural(prior.mean).tolist() == pytest.approx([1.0, 2.5])
    expected = torch.linalg.inv(
        design().T @ design() / 0.01 + torch.diag(double([0.0, 1.0 / 0.05**2]))
    )
    found = laplace(problem, problem.parameters.x0, prior)
    assert torch.allclose(found.covariance(), expected, rtol=1e-10)
    whole = GaussianPrior(prior.mean, torch.diag(prior.precision))
    found = laplace(problem, problem.parameters.x0, whole)
    assert torch.allclose(found.covariance(), expected, rtol=1e-10)
    with pytest.raises(InputError, match="no parameter 'b3' to know"):
        GaussianPrior.of(problem.parameters, {"b3": (1.0, 1.0)})
    with pytest.raises(InputError, match="does not fit its bounds 0 to 20"):
        GaussianPrior.of(problem.parameters, {"b2": (21.0, 1.0)})


def curve(seen: Tensor) -> CurveFit:
    """K (1 - exp(-d t)): at small d t the product K d alone matters."""
    y = 1.0 - torch.exp(-0.1 * seen)
    bounds = [(0.1, 10.0, "log"), (0.01, 1.0, "log"), (0.0, 1.0)]
    return CurveFit(
        lambda b: b[0] * (1.0 - torch.exp(-b[1] * seen)), y, [1.0, 0.1, 0.5], bounds, sigma=0.02
    )  # fmt: skip


def test_words_say_what_cannot_be_told_apart() -> None:
    problem = curve(T)
    found = laplace(problem, problem.parameters.x0)
    idle, open_, known = found.combinations
    assert idle.words == "b3 has no influence on this test" and np.isinf(idle.deviation)
    assert "b1 and b2 cannot be told apart by this test" in open_.words or (
        "b2 and b1 cannot be told apart by this test" in open_.words
    )
    assert open_.shares["b1"] * open_.shares["b2"] < 0.0
    assert known.deviation < 0.1 < 0.5 < open_.deviation
    assert str(found).count("\n") == 2
    with pytest.raises(InputError, match="without a prior: b3 has no influence"):
        found.covariance()
    prior = GaussianPrior.of(problem.parameters, {"b3": (0.5, 0.1), "b1": (1.0, 0.02)})
    with_prior = laplace(problem, problem.parameters.x0, prior)
    assert float(with_prior.deviations()[2]) == pytest.approx(0.1)
    assert all(c.deviation < 0.5 for c in with_prior.combinations)
    longer = curve(100.0 * T)
    told = laplace(longer, longer.parameters.x0).combinations
    assert not any("cannot be told apart" in c.words for c in told)


# --- simulations --------------------------------------------------------------------------
MESH = rectangle(3, 4, "quad", (3.0, 4.0), distortion=0.2)
NAMES = ["trial_stress.E", "return_map.rates.isotropic_hardening.K", "fields.sy"]


@cache
def pulled() -> SimulationProblem:
    """J2 plasticity with a yield stress of every element, seen by a camera and a load cell; data
    off the simulation, so that residuals are not small."""
    body = """
        type = J2RadialReturn
        elasticity = 'isotropic(E = 2e5, nu = 0.3)'
        yield_stress = 'sy'
        isotropic_hardening = 'linear(K = 3000)'
        abs_tol = 1e-11
        rel_tol = 1e-12
    """
    known = "[Bodies]\n[all]\nmaterial = 'law'\nfield_names = 'sy'\n[]\n[]"
    law = Input(parse_deck(f"[Models]\n[law]\n{body}\n[]\n[]\n{known}")).get_model("law")
    for name, parameter in law.named_parameters():
        parameter.requires_grad_(name in NAMES)
    start = torch.linspace(180.0, 220.0, 12, dtype=torch.float64).requires_grad_()
    conditions = [
        *(Dirichlet("bottom", c) for c in "xy"),
        Dirichlet("top", "y", lambda t: 0.03 * t, label="pull"),
        Dirichlet("top", "x", lambda t: 0.02 * t * (1.5 - t)),
    ]
    problem = Problem(
        MESH, Material(law, backend="kernel"), conditions, formulation="plane_strain",
        fields={"sy": ElementField(start)}, backend="scipy",
    )  # fmt: skip
    times = [0.5, 1.0]
    random = np.random.default_rng(0)
    points = random.uniform([0.1, 0.1], [2.9, 3.9], (20, 2))
    field = FullField(points, times, 0.01 * random.standard_normal((2, 20, 2)), 2e-4)
    load = Series(times, [600.0, 800.0], 5.0)
    return SimulationProblem(
        problem, TimeStepping(1.0, 0.5),
        {"field": FieldMeasurement(field), "load": LoadMeasurement(load, "pull")},
        [FitParameter(NAMES[0], 1e5, 4e5, "log"), FitParameter(NAMES[1], 0.0, 1e4),
         FitParameter(NAMES[2], 50.0, 500.0, "log")],
    )  # fmt: skip


def test_products_are_those_of_the_jacobian() -> None:
    problem = pulled()
    x = problem.parameters.x0
    _, jacobian = problem.linearised(x)
    product = gauss_newton_product(problem, x)
    way = torch.randn(14, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    expected = jacobian.T @ (jacobian @ way)
    with torch.no_grad():
        problem.residuals(0.9 * x)  # other runs in between change nothing
        for k in range(2):
            difference = product(way[:, k]) - expected[:, k]
            assert float(difference.norm()) <= 1e-10 * float(expected[:, k].norm())
    again = gauss_newton_product(JointProblem({"one": problem, "two": problem}), x)
    assert torch.allclose(again(way[:, 0]), 2.0 * expected[:, 0], rtol=1e-9, atol=0.0)
    whole = RegularisedProblem(problem, [Tikhonov(MESH, "fields.sy", 1e4)])
    _, rows = whole.linearised(x)
    expected = rows.T @ (rows @ way[:, 0])
    difference = gauss_newton_product(whole, x)(way[:, 0]) - expected
    assert float(difference.norm()) <= 1e-10 * float(expected.norm())


@pytest.mark.parametrize("full", [False, True])
def test_posterior_without_a_jacobian_is_the_dense_one(full: bool) -> None:
    problem = pulled()
    x = problem.parameters.x0
    precision = torch.linspace(1.0, 40.0, 14, dtype=torch.float64)
    if full:
        rows = torch.diff(torch.eye(14, dtype=torch.float64), dim=0)
        precision = torch.diag(precision) + 5.0 * rows.T @ rows
    prior = GaussianPrior(x, precision)
    dense, low = laplace(problem, x, prior), low_rank_laplace(problem, x, prior)
    assert torch.allclose(low.covariance(), dense.covariance(), rtol=1e-6, atol=1e-12)
    samples = low.samples(4, seed=2)
    assert samples.shape == (4, 14) and bool((samples <= problem.parameters.upper).all())


def test_the_rank_grows_until_the_data_tell_no_more() -> None:
    """80 values seen through a blur, of which about 24 combinations show."""
    place = torch.arange(80, dtype=torch.float64)
    blur = 2.0 * torch.exp(-0.5 * ((place[:, None] - place) / 3.0).square())
    problem = CurveFit(
        lambda b: blur @ b, blur @ torch.full((80,), 0.5).double(), [0.5] * 80,
        [(0.0, 1.0)] * 80, sigma=1.0,
    )  # fmt: skip
    x = problem.parameters.x0
    prior = GaussianPrior(x, torch.ones_like(x))
    dense, found = laplace(problem, x, prior), low_rank_laplace(problem, x, prior)
    assert len(found.eigenvalues) == 40 and float(found.eigenvalues[-1]) < 0.1
    ratio = found.deviations() / dense.deviations()
    assert bool((ratio >= 1.0 - 1e-9).all()) and bool((ratio <= 1.05).all())
    few = low_rank_laplace(problem, x, prior, rank=6)
    assert torch.allclose(few.eigenvalues, found.eigenvalues[:6], rtol=1e-6)
    assert bool((few.deviations() >= found.deviations() * (1.0 - 1e-9)).all())
    assert float((few.deviations() / dense.deviations()).max()) >= 1.2


def test_low_rank_needs_a_prior_of_all_and_known_noise() -> None:
    problem = pulled()
    x = problem.parameters.x0
    with pytest.raises(InputError, match="leaves parameters open"):
        low_rank_laplace(problem, x, GaussianPrior(x, torch.zeros_like(x)))
    with pytest.raises(InputError, match="rank must be from 1 to 14, got 15"):
        low_rank_laplace(problem, x, GaussianPrior(x, torch.ones_like(x)), rank=15)
    unknown = line()
    start = unknown.parameters.x0
    with pytest.raises(InputError, match="noise must be known"):
        low_rank_laplace(unknown, start, GaussianPrior(start, torch.ones_like(start)))
