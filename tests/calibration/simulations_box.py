"""What tests of the calibration of simulations share: a law, two small tests of it, their data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from neml2fe.calibration import FitParameter
from neml2fe.calibration.fullfield import FullField, Series
from neml2fe.calibration.simulations import FieldMeasurement, LoadMeasurement, SimulationProblem
from neml2fe.fem import Condition, Dirichlet, Mesh, Problem, TimeStepping, Traction
from neml2fe.fem.mesh.generate import rectangle
from neml2fe.fem.observations import DisplacementsAt, Observation, Reaction
from neml2fe.input import Input
from neml2fe.input.reader import parse_deck
from neml2fe.material import Material
from neml2fe.models import Model

LAW = """
    type = J2RadialReturn
    elasticity = 'isotropic(E = 2e5, nu = 0.3)'
    yield_stress = 200
    isotropic_hardening = 'voce(R = 120, d = 40)'
    abs_tol = 1e-11
    rel_tol = 1e-12
"""
E, SY, R, D = "trial_stress.E", "yield_surface.sy", "isotropic_hardening.R", "isotropic_hardening.d"
TRUTH = {E: 2e5, SY: 200.0, R: 120.0, D: 40.0}
OFF = {E: 1.2, SY: 1.25, R: 0.75, D: 0.8}
GRID = np.stack(np.meshgrid(*[np.linspace(0.1, 0.9, 4)] * 2, indexing="ij"), -1).reshape(-1, 2)
PATH = {0.0: 0.0, 0.3: 0.006, 0.8: 0.06, 1.0: 0.055}  # of the pulled side, with a reversal
STEPPING = TimeStepping(end=1.0, dt=0.3, dt_min=0.3)
TIMES = (0.3, 0.6, 0.8, 1.0)  # of all measurements together, so that data come from the same steps


def model_of(body: str) -> Model:
    """The model of a block of a deck."""
    return Input(parse_deck(f"[Models]\n[law]\n{body}\n[]\n[]\n")).get_model("law")


@cache
def law() -> Material:
    """Compiled once for all tests, which share its parameters."""
    return Material(model_of(LAW), backend="kernel")


def parameters(*names: str) -> list[FitParameter]:
    """Parameters between a third and three times their value, that start off it."""
    return [
        FitParameter(n, TRUTH[n] / 3.0, 3.0 * TRUTH[n], "log", OFF[n] * TRUTH[n])
        for n in names or TRUTH
    ]


def assert_found(values: Mapping[str, float], tolerance: float = 1e-6) -> None:
    errors = {name: value / TRUTH[name] - 1.0 for name, value in values.items()}
    assert max(map(abs, errors.values())) <= tolerance, errors


def stretched(t: float) -> float:
    return float(np.interp(t, list(PATH), list(PATH.values())))


def mesh_of(n: int, comm: Any) -> Mesh | None:
    return rectangle(n, n, "quad", distortion=0.2) if comm is None or comm.rank == 0 else None


def plate(comm: Any = None) -> Problem:
    """Pulled, sheared and half unloaded."""
    sides: list[Condition] = [Dirichlet("left", c) for c in "xy"]
    sides += [
        Dirichlet("right", "x", stretched, label="pull"),
        Dirichlet("right", "y", lambda t: 0.5 * stretched(t), label="shear"),
    ]
    return Problem(mesh_of(3, comm), law(), sides, comm=comm)


def loaded(comm: Any = None) -> Problem:
    """Uniform tension, which it can carry (in plane strain) where sy + R is above 303."""
    sides: list[Condition] = [
        Dirichlet("left", "x"),
        Dirichlet("bottom", "y"),
        Traction("right", [lambda t: 350.0 * t, 0.0]),
    ]
    return Problem(mesh_of(2, comm), law(), sides, comm=comm)


def observed(problem: Problem, observation: Observation, times: Sequence[float]) -> NDArray:
    """At the true parameters."""
    with torch.no_grad():
        run = problem.solve(STEPPING, {"it": observation}, times=TIMES)
    return run["it"].numpy()[[TIMES.index(t) for t in times]]


def cell(problem: Problem, times: Sequence[float] = (0.3, 0.6, 0.8)) -> Series:
    return Series(np.array(times), observed(problem, Reaction("pull"), times), 0.1)


def camera(problem: Problem, times: Sequence[float] = (0.6, 1.0), error: float = 0.0) -> FullField:
    """With errors of `error` standard deviations."""
    u = observed(problem, DisplacementsAt(GRID), times)
    errors = np.random.default_rng(0).normal(size=u.shape)
    return FullField(GRID, np.array(times), u + 1e-4 * error * errors, 1e-4)


def pulled(*names: str, comm: Any = None, error: float = 0.0) -> SimulationProblem:
    """The plate with a load cell and a camera, at times of their own."""
    problem = plate(comm)
    measurements = {
        "cell": LoadMeasurement(cell(problem), "pull"),
        "camera": FieldMeasurement(camera(problem, error=error)),
    }
    return SimulationProblem(problem, STEPPING, measurements, parameters(*names))


def lifted(*names: str, comm: Any = None, error: float = 0.0) -> SimulationProblem:
    """The loaded plate with a camera."""
    problem = loaded(comm)
    seen = FieldMeasurement(camera(problem, (0.8, 1.0), error))
    return SimulationProblem(problem, STEPPING, {"camera": seen}, parameters(*names))
