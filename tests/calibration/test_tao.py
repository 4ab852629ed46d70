"""TAO as an optimiser: the minimum, bounds, failing trial points, and its absence."""

from __future__ import annotations

from importlib.util import find_spec

import pytest
import torch
from analytic import CurveFit, double
from torch import Tensor

from neml2fe.calibration import tao
from neml2fe.calibration.fit import fit
from neml2fe.errors import ConvergenceError, InputError

NEEDS_PETSC = pytest.mark.skipif(find_spec("petsc4py") is None, reason="no petsc4py")
T = torch.linspace(0.0, 4.0, 40, dtype=torch.float64)
Y = 2.0 * torch.exp(-0.7 * T) + 0.02 * torch.sin(37.0 * T)
BOX = [(0.1, 10.0), (0.01, 5.0)]


def decay(b: Tensor) -> Tensor:
    return b[0] * torch.exp(-b[1] * T)


def curve(**options: object) -> CurveFit:
    return CurveFit(decay, Y, [0.5, 3.0], BOX, sigma=0.02, **options)


@NEEDS_PETSC
def test_the_minimum_is_that_of_least_squares() -> None:
    exact, result = fit(curve()), fit(curve(), "tao")
    assert result.converged, result.reason
    assert list(result.values.values()) == pytest.approx(list(exact.values.values()), rel=1e-6)
    assert result.history[-1].number < 30


@NEEDS_PETSC
def test_a_solution_at_a_bound() -> None:
    line = CurveFit(lambda b: b[0] + b[1] * T, 3.0 - 2.0 * T, [0.0, 0.0], [(-5, 5), (-1, 1)])
    result = fit(line, "tao")
    assert result.converged, result.reason
    assert result.values["b2"] == -1.0
    assert result.values["b1"] == pytest.approx(float((3.0 - T).mean()), rel=1e-6)


@NEEDS_PETSC
def test_a_failing_trial_point_is_a_rejected_step() -> None:
    failures = 0

    def fails(b: Tensor) -> bool:
        nonlocal failures
        failures += bool(b[1] < 0.6)
        return bool(b[1] < 0.6)

    result = fit(curve(fails=fails), "tao")
    assert failures > 0
    assert result.converged, result.reason
    assert result.loss == pytest.approx(fit(curve()).loss, rel=1e-6)


@NEEDS_PETSC
def test_a_search_among_failing_points_ends_with_an_error() -> None:
    start = double([0.5, 3.0])
    with pytest.raises(ConvergenceError, match="10 trial points in a row cannot be simulated"):
        fit(curve(fails=lambda b: not torch.allclose(b, start, rtol=1e-12)), "tao")


@NEEDS_PETSC
def test_a_search_that_finds_nothing_better_ends() -> None:
    """Only next to the start can anything be simulated."""
    evaluations = 0

    def fails(b: Tensor) -> bool:
        nonlocal evaluations
        evaluations += 1
        return not torch.allclose(b, double([0.5, 3.0]), rtol=1e-5)

    result = fit(curve(fails=fails), "tao", level=None)
    assert not result.converged and "finds no lower loss" in result.reason
    assert evaluations < 100


@NEEDS_PETSC
def test_it_stops_at_the_limit_of_iterations() -> None:
    result = fit(curve(), "tao", max_iterations=2, level=None)
    assert not result.converged and "limit of 2 iterations" in result.reason


def test_without_petsc4py_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tao, "find_spec", lambda name: None)
    with pytest.raises(InputError, match="the optimiser tao needs petsc4py"):
        fit(curve(), "tao")
    with pytest.raises(InputError, match="the optimiser tao has no option lr"):
        fit(curve(), "tao", lr=0.1)
