"""Five cubes under different tractions: a viscoplastic law from the displacements of their tops.

Perzyna's law with Voce's hardening; the elastic constants and the exponent are known.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from neml2fe.calibration import FitParameter, fit
from neml2fe.calibration.fullfield import FullField
from neml2fe.calibration.simulations import FieldMeasurement, SimulationProblem
from neml2fe.fem import CellBlock, Dirichlet, Mesh, PiecewiseLinear, Problem, TimeStepping, Traction
from neml2fe.fem.mesh.generate import box
from neml2fe.fem.observations import DisplacementsAt
from neml2fe.input import Input
from neml2fe.input.reader import parse_deck
from neml2fe.material import Material

TRACTIONS = (40.0, 80.0, 120.0, 160.0, 200.0)
LAW = """
[Models]
  [law]
    type = J2Viscoplasticity
    elasticity = 'isotropic(E = 2e4, nu = 0.3)'
    yield_stress = 30
    isotropic_hardening = 'voce(R = 100, d = 50)'
    flow = 'perzyna(eta = 300, n = 2)'
    abs_tol = 1e-12
    rel_tol = 1e-13
  []
[]
"""
TRUTH = {
    "yield_surface.sy": 30.0,
    "isotropic_hardening.R": 100.0,
    "isotropic_hardening.d": 50.0,
    "flow_rate.eta": 300.0,
}
OFF = (1.25, 0.75, 1.3, 0.8)
TOPS = np.array([[2.0 * i + 0.5, 1.0, 0.5] for i in range(len(TRACTIONS))])


@cache
def law() -> Material:
    return Material(Input(parse_deck(LAW)).get_model("law"), backend="kernel")


def cubes() -> Mesh:
    """Unit cubes beside each other; their tops have names of their own."""
    one = box(1, 1, 1, "hexahedron")
    n, (block,) = len(one.points), one.cells
    points = [one.points + np.array([2.0 * i, 0.0, 0.0]) for i in range(len(TRACTIONS))]

    def several(block: CellBlock, cubes: range) -> tuple[CellBlock, ...]:
        rows = [block.connectivity + n * i for i in cubes]
        return (CellBlock(block.cell_type, np.concatenate(rows)),)

    every = range(len(TRACTIONS))
    boundaries = {
        side: several(one.boundaries[side][0], every) for side in ("left", "bottom", "back")
    }
    top = one.boundaries["top"][0]
    boundaries |= {f"top{i}": several(top, range(i, i + 1)) for i in every}
    return Mesh(np.concatenate(points), several(block, every), boundaries)


@pytest.mark.parametrize("steps", [1, 10])
def test_four_parameters_from_the_tops(steps: int) -> None:
    held = [Dirichlet("left", "x"), Dirichlet("bottom", "y"), Dirichlet("back", "z")]
    pulled = [
        Traction(f"top{i}", [0.0, PiecewiseLinear([0.0, 1.0], [0.0, traction]), 0.0])
        for i, traction in enumerate(TRACTIONS)
    ]
    problem = Problem(cubes(), law(), [*held, *pulled])
    times = np.linspace(0.0, 1.0, steps + 1)[1:]
    stepping = TimeStepping(end=1.0, dt=1.0 / steps)
    with torch.no_grad():
        run = problem.solve(stepping, {"tops": DisplacementsAt(TOPS)}, times=list(times))
    assert len(run.steps) == steps
    u: NDArray = run["tops"].numpy().copy()
    u[..., [0, 2]] = np.nan  # only their rise is measured
    data = FieldMeasurement(FullField(TOPS, times, u, noise=1e-4))
    parameters = [
        FitParameter(name, value / 4.0, 4.0 * value, "log", off * value)
        for (name, value), off in zip(TRUTH.items(), OFF, strict=True)
    ]
    fitted = SimulationProblem(problem, stepping, {"tops": data}, parameters)
    result = fit(fitted)
    assert result.converged, result.reason
    assert result.values == pytest.approx(TRUTH, rel=1e-6)
    assert result.uncertainty is not None
    assert not result.uncertainty.not_identifiable
