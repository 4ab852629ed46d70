"""A small plate that is pulled, seen by a camera, and a tension test of the same metal: a deck and
its data, made with the deck's own model at `TRUTH`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from neml2fe.calibration import CalibrationProblem, Specimens
from neml2fe.calibration.parameters import FitParameter
from neml2fe.fem.observations import DisplacementsAt, Reaction
from neml2fe.input import load_input

TRUTH = {"elasticity.E": 70e3, "yield_surface.sy": 120.0, "isotropic_hardening.K": 900.0}
TIMES = [1.0, 2.0, 3.0]
MODEL = """
[Models]
  [metal]
    type = J2Plasticity
    elasticity = 'isotropic(E = 70e3, nu = 0.3)'
    yield_stress = 120
    isotropic_hardening = 'linear(K = 900)'
  []
[]
[Materials]
  [metal]
    model = 'metal'
  []
[]
[Meshes]
  [plate]
    type = Rectangle
    divisions = '4 3'
    lengths = '20 10'
    cell_type = 'quad'
  []
[]
[Functions]
  [stroke]
    type = PiecewiseLinear
    times = '0 1 3'
    values = '0 0.02 0.2'
  []
[]
[BoundaryConditions]
  [hold_x]
    type = Dirichlet
    boundary = 'left'
    component = 'x'
  []
  [hold_y]
    type = Dirichlet
    boundary = 'left'
    component = 'y'
  []
  [pull]
    type = Dirichlet
    boundary = 'right'
    component = 'x'
    value = 'stroke'
  []
[]
[Drivers]
  [plate]
    type = FiniteElementDriver
    formulation = 'plane_stress'
    end_time = 3
    dt = 1
  []
[]
"""
MEASURED = """
[Measurements]
  [load]
    type = Load
    file = 'load.csv'
    time_column = 't'
    value_column = 'F (kN)'
    value_factor = 1000
    reaction = 'pull'
    noise = 0.5
  []
  [camera]
    type = FullField
    file = 'camera_*.csv'
    columns = 'x; y; u; v'
    times = '1 2 3'
    noise = 0.01                              # pixel
    origin = '100 300'
    axes = '1 0; 0 -1'                        # y goes down in images
    scale = 0.05                              # mm per pixel
  []
[]
[Tests]
  [plate]
    type = SimulationTest
    driver = 'plate'
    measurements = 'load camera'
  []
[]
[Parameters]
  [modulus]
    parameter = 'elasticity.E'
    lower = 40e3
    upper = 100e3
    initial = 55e3
  []
  [yield_stress]
    parameter = 'yield_surface.sy'
    lower = 50
    upper = 300
    scale = 'log'
    initial = 160
  []
  [hardening]
    parameter = 'isotropic_hardening.K'
    lower = 100
    upper = 5000
    scale = 'log'
    initial = 1500
  []
[]
[Calibrations]
  [fit]
    type = SimulationCalibration
    tests = 'plate'
  []
[]
"""
JOINT = """
[Specimens]
  [bar]
    type = CSVSpecimen
    file = 'bar.csv'
    variables = 'time strain_11 stress_11'
  []
[]
[Tests]
  [tension]
    type = SpecimenTest
    model = 'metal'
    sigma = 1
  []
[]
[Calibrations]
  [both]
    type = SimulationCalibration
    tests = 'plate tension'
  []
[]
"""


@pytest.fixture(scope="session")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The decks `fit.i` and `joint.i` with their data, in the units of the instruments."""
    folder = tmp_path_factory.mktemp("plate")
    deck = folder / "fit.i"
    deck.write_text(MODEL + MEASURED)
    (folder / "joint.i").write_text(MODEL + MEASURED + JOINT)
    _write_plate(folder)
    _write_bar(folder)
    return folder


def _write_plate(folder: Path) -> None:
    (folder / "truth.i").write_text(MODEL)
    driver = load_input(folder / "truth.i").get_driver("plate")
    problem = driver.make_problem()
    x = np.stack(np.meshgrid(np.linspace(1, 19, 8), np.linspace(1, 9, 5)), -1).reshape(-1, 2)
    seen = {"u": DisplacementsAt(x), "F": Reaction("pull")}
    found = problem.solve(driver.stepping, seen, TIMES)
    rng = np.random.default_rng(1)
    pixels = x / 0.05 * [1, -1] + [100, 300]
    for k, u in enumerate(found["u"].detach().numpy(), start=1):
        moved = u / 0.05 * [1, -1] + rng.normal(0, 0.01, u.shape)
        rows = np.hstack([pixels, moved])
        np.savetxt(folder / f"camera_{k}.csv", rows, "%.8g", ",", header="x,y,u,v", comments="")
    load = found["F"].detach().numpy() + rng.normal(0, 0.5, 3)
    rows = np.stack([TIMES, load / 1000], 1)
    np.savetxt(folder / "load.csv", rows, "%.9g", ",", header="t,F (kN)", comments="")
    problem.close()


def _write_bar(folder: Path) -> None:
    strain = torch.linspace(0, 0.01, 11, dtype=torch.float64)[:, None]
    times = 100 * strain
    tests = Specimens.uniaxial(times, strain, stress=strain)
    model = load_input(folder / "truth.i").get_model("metal")
    problem = CalibrationProblem(model, tests, [FitParameter("elasticity.E", 1e3, 1e6)])
    stress = problem.predict(problem.parameters.x0)["stress"][..., 0]
    noise = torch.from_numpy(np.random.default_rng(2).normal(0, 1, (11, 1)))
    noise[0] = 0
    rows = torch.cat([times, strain, stress + noise], 1).numpy()
    header = "time,strain_11,stress_11"
    np.savetxt(folder / "bar.csv", rows, "%.9g", ",", header=header, comments="")
