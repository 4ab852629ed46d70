"""Steps as small as the local error asks for."""

from __future__ import annotations

from pathlib import Path

import pytest

import neml2fe
from neml2fe.errors import InputError
from neml2fe.fem import Dirichlet, PiecewiseLinear, Problem, TimeStepping, Traction, simulate
from neml2fe.fem.mesh.generate import rectangle
from neml2fe.material import Material


def creep(**stepping: float) -> tuple[float, int]:
    """Elongation of a bar of Perzyna material after a load is put on and held, and the steps."""
    load = PiecewiseLinear([0.0, 1.0, 5.0], [0.0, 450.0, 450.0])
    conditions = [Dirichlet("left", "x"), Dirichlet("bottom", "y"), Traction("right", [load, 0.0])]
    model = neml2fe.load_model(Path(__file__).parent / "perzyna.i", "model")
    problem = Problem(
        rectangle(1, 1, "quad"), Material(model, backend="kernel"), conditions, backend="scipy"
    )
    run = simulate(problem, TimeStepping(end=5.0, **stepping), quiet=True)
    return float(problem.u.max()), len(run.steps)


def test_steps_follow_the_local_error() -> None:
    """Creep under a load that is put on and held: a smaller tolerance takes more steps, in the
    beginning of creep above all, and comes closer to 100 equal steps."""
    exact, _ = creep(dt=0.05, dt_max=0.05)
    (coarse, few), (fine, more) = (
        creep(dt=0.5, dt_max=1.0, dt_min=1e-5, error_tolerance=tolerance)
        for tolerance in (1e-2, 1e-3)
    )
    assert few < more < 60
    assert abs(fine / exact - 1.0) < abs(coarse / exact - 1.0) <= 0.02


def test_an_error_tolerance_must_be_a_fraction() -> None:
    with pytest.raises(InputError, match="error_tolerance"):
        TimeStepping(end=1.0, dt=0.1, error_tolerance=2.0)
