"""`type = VirtualFields` in decks: what the Python API finds, the truth, and refusals."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from deck_box import GRIPS, Cli, write_test

from neml2fe.calibration.fit import fit
from neml2fe.calibration.fullfield import FieldColumns, read_csv, read_series
from neml2fe.calibration.parameters import FitParameter
from neml2fe.calibration.simulations import (
    NodalMotion,
    SimulationProblem,
    VirtualFieldsMeasurement,
    virtual_fields,
    with_covariance,
)
from neml2fe.fem import Problem, TimeStepping
from neml2fe.fem.mesh.generate import rectangle
from neml2fe.input import load_input
from neml2fe.input.materials import material_of

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
    divisions = '3 2'
    lengths = '20 10'
    cell_type = 'quad'
  []
[]
[Drivers]
  [plate]
    type = FiniteElementDriver
    formulation = 'plane_strain'
    end_time = 4
    dt = 1
  []
[]
"""
STROKE = """
[Functions]
  [stroke]
    type = PiecewiseLinear
    times = '0 1 4'
    values = '0 0.02 0.25'
  []
[]
"""
FIT = """
[Measurements]
  [camera]
    type = FullField
    file = 'camera.csv'
    columns = 'x y u v'
    time_column = 't'
    noise = 2e-4
  []
  [work]
    type = VirtualFields
    camera = 'camera'
    file = 'load.csv'
    time_column = 't'
    value_column = 'F'
    noise = 2
    held = 'left'
    loaded = 'right'
    component = 'x'
    factor = 2                                # thickness
    fields = 'linear shear contraction'
    displacement_noise = true
  []
[]
[Tests]
  [plate]
    type = SimulationTest
    driver = 'plate'
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
  []
[]
"""
WIND = """
[BoundaryConditions]
  [wind]
    type = Traction
    boundary = 'top'
    value = '0 1'
  []
[]
"""
TRUTH = {"elasticity.E": 70e3, "yield_surface.sy": 120.0, "isotropic_hardening.K": 900.0}
TIMES = [1.0, 2.0, 4.0]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("work")
    points = np.random.default_rng(0).uniform([0.02, 0.02], [19.98, 9.98], (200, 2))
    write_test(folder, MODEL + STROKE + GRIPS, points, TIMES, {"u": 2e-4, "F": 1.0})
    rows = np.loadtxt(folder / "load.csv", delimiter=",", skiprows=1)
    rows[:, 1] *= 2.0  # the thickness
    np.savetxt(folder / "load.csv", rows, "%.10g", ",", header="t,F", comments="")
    return folder


@pytest.fixture
def cli(data: Path, capsys: pytest.CaptureFixture[str]) -> Cli:
    (data / "fit.i").write_text(MODEL + FIT)
    return Cli(data, capsys)


def test_a_deck_without_boundary_conditions_finds_the_truth(cli: Cli) -> None:
    """In two fits: by the noise of the load, and by that of the displacements too."""
    ended = cli(report=True)
    assert ended.code == 0, ended
    assert "'camera' prescribes all nodes" in ended.out
    assert "virtual fields weigh by the noise of the displacements, too" in ended.out
    found = cli.table()
    errors = {}
    for name, true in TRUTH.items():
        value, error = (float(found[name][k]) for k in ("fitted", "standard_error"))
        errors[name] = error
        assert abs(value - true) <= 3.0 * error and error <= 0.1 * true, (name, value, error)
    # What Python finds from the same files.
    mesh = rectangle(3, 2, "quad", (20.0, 10.0))
    columns = FieldColumns(x="x", y="y", u="u", v="v", time="t")
    field = read_csv(cli.folder / "camera.csv", columns, noise=2e-4)
    load = read_series(cli.folder / "load.csv", "t", "F", noise=2.0).at(TIMES)
    motion = NodalMotion.fitted(mesh, field)
    every = virtual_fields(mesh, "left", "right", "x")
    fields = {name: every[name] for name in ("linear", "shear", "contraction")}
    metal = material_of(load_input(cli.folder / "truth.i"), "metal")
    start = {"elasticity.E": 55e3, "yield_surface.sy": 160.0, "isotropic_hardening.K": 1500.0}
    bounds = {"elasticity.E": (40e3, 100e3, "linear"), "yield_surface.sy": (50.0, 300.0, "log"),
              "isotropic_hardening.K": (100.0, 5000.0, "log")}  # fmt: skip

    def test(work: VirtualFieldsMeasurement) -> SimulationProblem:
        problem = Problem(motion.mesh, metal, motion.conditions(), formulation="plane_strain")
        parameters = [FitParameter(n, *bounds[n], initial=v) for n, v in start.items()]
        return SimulationProblem(problem, TimeStepping(4.0, 1.0), {"work": work}, parameters)

    one = test(VirtualFieldsMeasurement(load, fields, factor=2.0))
    first = fit(one, level=None)
    again = fit(test(with_covariance(one, "work", motion, first.x)))
    assert again.uncertainty is not None
    for k, name in enumerate(TRUTH):
        value = float(again.uncertainty.values[k])
        assert float(found[name]["fitted"]) == pytest.approx(value, rel=1e-5)
        assert errors[name] == pytest.approx(float(again.uncertainty.standard_errors[k]), rel=1e-3)
        assert first.values[one.parameters.names[k]] != pytest.approx(value, rel=1e-5)


def test_boundary_conditions_of_the_driver_give_way(cli: Cli) -> None:
    """The grips of a deck that solves for equilibrium in another test."""
    one = ("Parameters/modulus/initial=60e3", "Calibrations/fit/parameters=modulus",
           "Measurements/work/displacement_noise=false")  # fmt: skip
    (cli.folder / "fit.i").write_text(MODEL + STROKE + GRIPS + FIT)
    ended = cli(*one, "Tests/plate/measurements=work")
    assert ended.code == 0, ended
    with_grips = cli.values()
    (cli.folder / "fit.i").write_text(MODEL + FIT)
    assert cli(*one).code == 0
    assert cli.values() == with_grips
    assert "virtual fields weigh" not in ended.out


WORK = "[Measurements/work]"


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("held = 'left'", "held = 'lft'", (f"{WORK} held", "no boundary", "'left'")),
        ("loaded = 'right'", "loaded = 'top'", (WORK, "not straight")),
        ("'x'\n    factor", "'z'\n    factor", (f"{WORK} component", "'z'")),
        ("'linear shear contraction'", "'linear sheer'", (f"{WORK} fields", "'shear'")),
        ("camera = 'camera'", "camera = 'work'", ("circle",)),
        ("camera = 'camera'", "camera = 'camra'", (f"{WORK} camera", "'camera'")),
        ("factor = 2", "smoothing = -1", (f"{WORK} smoothing", "at least 0")),
        ("factor = 2", "times = '1 5'", (WORK, "5")),
        ("noise = 2e-4", "noise = 2e-4\n    box = '1 1; 9 9'", (WORK, "does not determine")),
        ("noise = 2e-4", "", (f"{WORK} displacement_noise", "noise of [Measurements/camera]")),
        ("noise = 2\n", "", (f"{WORK} displacement_noise", "the noise")),
        ("driver = 'plate'", "driver = 'plate'\n    measurements = 'work camera'",
         ("[Tests/plate] measurements", "nothing else")),
        ("[Tests]", WIND + "[Tests]", ("[Tests/plate] driver", "'wind' of the driver is a Trac")),
    ],
)  # fmt: skip
def test_refusals(cli: Cli, old: str, new: str, words: tuple[str, ...]) -> None:
    text = MODEL + FIT
    assert old in text
    (cli.folder / "fit.i").write_text(text.replace(old, new))
    cli().refused(*words)
