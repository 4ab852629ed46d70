"""[Measurements], [Tests] and SimulationCalibration of a deck: what they mean, and refusals."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from neml2fe.calibration.fullfield import Spherical
from neml2fe.calibration.parameters import FitParameter
from neml2fe.calibration.simulations import FieldMeasurement, GaugeMeasurement, LoadMeasurement
from neml2fe.errors import InputError
from neml2fe.fem.adjoint.checkpoints import Checkpoints
from neml2fe.input import Input
from neml2fe.input.reader import parse_deck
from neml2fe.input.simulationtests import resolved

RUN = """
[Models]
  [law]
    type = LinearIsotropicElasticity
    coefficients = '100 0.3'
    coefficient_types = 'YOUNGS_MODULUS POISSONS_RATIO'
  []
[]
[Materials]
  [law]
    model = 'law'
    strain = 'strain'
  []
[]
[Meshes]
  [square]
    type = Rectangle
    divisions = '1 1'
    lengths = '1 1'
    cell_type = 'quad'
  []
[]
[BoundaryConditions]
  [pull]
    type = Dirichlet
    boundary = 'right'
    component = 'x'
    value = 0.1
  []
  [left]
    type = Dirichlet
    boundary = 'left'
    component = 'x'
  []
  [bottom]
    type = Dirichlet
    boundary = 'bottom'
    component = 'y'
  []
[]
[Drivers]
  [run]
    type = FiniteElementDriver
    formulation = 'plane_strain'
    end_time = 2
    dt = 1
  []
  [point]
    type = TransientDriver
    model = 'law'
    prescribed_time = 'times'
    prescribed_SR2_names = 'strain'
    prescribed_SR2_values = 'strains'
  []
[]
[Parameters]
  [modulus]
    parameter = 'law.E'
    lower = 10
    upper = 1000
  []
[]
"""
LOAD = "type = Load\nfile = load.csv\ntime_column = t\nvalue_column = 'F (kN)'\nreaction = pull\n"
CAMERA = "type = FullField\nfile = 'image_*.csv'\n"
NUMBERED = "times = '0 1 2 3 4 5 6 7 8 9 10 11'\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Twelve images of a grid of 3 x 2 points with u = 1e-3 k x, and a load cell."""
    for k in range(12):
        rows = [f"{x},{y},{1e-3 * k * x},0" for y in (0, 1) for x in (0, 1, 2)]
        (tmp_path / f"image_{k}.csv").write_text("\n".join(["x,y,u,v", *rows]) + "\n")
    (tmp_path / "load.csv").write_text("t,F (kN)\n0,0\n1,2\n2,3\n")
    (tmp_path / "times.csv").write_text("time\n" + "".join(f"{0.1 * k}\n" for k in range(12)))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def block(section: str, name: str, text: str) -> str:
    return f"[{section}]\n[{name}]\n{text}\n[]\n[]\n"


def measurement(fields: str) -> Any:
    """Of the block [Measurements/data] in deck.i; `fields` begin in line 3."""
    text = block("Measurements", "data", fields)
    return Input(parse_deck(text, "deck.i")).get("Measurements", "data")


def calibration(test: str, fit: str = "", more: str = "") -> Any:
    text = RUN + block("Measurements", "load", LOAD) + more
    text += block("Tests", "square", test)
    text += block("Calibrations", "fit", f"type = SimulationCalibration\n{fit}")
    return Input(parse_deck(text, "deck.i")).get("Calibrations", "fit")


# --- [Measurements] --------------------------------------------------------------------
def test_load(folder: Path) -> None:
    found = measurement(f"{LOAD}value_factor = 1000\nfactor = 2\nnoise = 5\ntimes = '0.5 1 1.5'\n")
    assert isinstance(found, LoadMeasurement) and found.factor == 2 and found.reaction == "pull"
    assert found.data.values.tolist() == [1000, 2000, 2500]
    np.testing.assert_allclose(found.data.noise, np.array([0.5**0.5, 1, 0.5**0.5]) * 5)


def test_gauge_at_the_times_of_the_camera(folder: Path) -> None:
    gauge = LOAD.replace("Load", "Gauge").replace("reaction = pull", "points = '0 0; 1 0'")
    text = block("Measurements", "gauge", f"{gauge}times_of = camera")
    text += block("Measurements", "camera", f"{CAMERA}times_file = times.csv\nimages = '2 5'")
    found = Input(parse_deck(text, "deck.i")).get("Measurements", "gauge")
    assert isinstance(found, GaugeMeasurement) and found.points == [[0, 0], [1, 0]]
    np.testing.assert_allclose(found.data.times, [0.2, 0.5])
    np.testing.assert_allclose(found.data.values, [0.4, 1.0])


def test_images_in_order_and_in_the_frame_of_the_mesh(folder: Path) -> None:
    frame = "origin = '1 0'\naxes = '1 0; 0 -1'\nscale = 0.5\nnoise = 0.02\n"
    found = measurement(f"{CAMERA}{NUMBERED}{frame}images = '2 11'\ncorrelation_length = 3\n")
    assert isinstance(found, FieldMeasurement)
    data = found.data
    assert data.times.tolist() == [2, 11]  # 2 before 11
    np.testing.assert_allclose(np.unique(data.points, axis=0)[[0, -1]], [[-0.5, -0.5], [0.5, 0]])
    last = np.argmax(data.points[:, 0])
    np.testing.assert_allclose(data.displacements[:, last, 0], [0.002, 0.011])
    assert np.unique(data.noise) == pytest.approx(0.01)
    assert data.correlation == Spherical(1.5)


def test_points_that_are_chosen(folder: Path) -> None:
    assert len(measurement(f"{CAMERA}{NUMBERED}box = '0.5 -1; 3 2'").data.points) == 4
    assert (
        len(measurement(f"{CAMERA}{NUMBERED}box = '0.5 -1; 3 2'\noutside = true").data.points) == 2
    )
    assert (
        len(measurement(f"{CAMERA}{NUMBERED}polygon = '-1 -1; 3 -1; 3 0.5; -1 0.5'").data.points)
        == 3
    )
    assert len(measurement(f"{CAMERA}{NUMBERED}point_count = 2").data.points) == 2
    assert len(measurement(f"{CAMERA}{NUMBERED}point_step = 3").data.points) == 2


def test_a_file_with_a_preamble_in_another_encoding(folder: Path) -> None:
    (folder / "load.csv").write_text("Prüfung 12\nt;F (kN)\n0;0\n1;2\n2;3\n", "latin-1")
    with pytest.raises(InputError, match=r"load.csv: not a CSV file in the encoding utf-8"):
        measurement(LOAD)
    found = measurement(f"{LOAD}encoding = latin-1\nskip_before = 1\ndelimiter = semicolon\n")
    assert found.data.values.tolist() == [0, 2, 3]


def test_strain_and_rigid_motion(folder: Path) -> None:
    found = measurement(
        f"{CAMERA}{NUMBERED}strain_radius = 1.5\nstrain_least = 3\nstrain_measure = small\n"
    )
    assert found.strain.radius == 1.5 and found.strain.measure == "small"
    assert measurement(f"{CAMERA}{NUMBERED}without_rigid_motion = true\n").without_rigid_motion
    assert measurement(f"{CAMERA}{NUMBERED}boundary = front\n").boundary == "front"


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        (f"{LOAD}value_colum = F\n", ("deck.i:8", "value_colum", "value_column")),
        (LOAD.replace("F (kN)", "F"), ("deck.i:2: [Measurements/data]: load.csv:1", "'F'")),
        (LOAD.replace("load.csv", "lod.csv"), ("deck.i:2", "lod.csv")),
        (f"{LOAD}times = '1 3'\n", ("deck.i:2", "3")),
        (f"{LOAD}times = '1 2'\ntimes_of = data\n", ("times_of", "not both")),
        (f"{LOAD}times_of = data\n", ("circle",)),
        (f"{CAMERA}noise = small\n", ("deck.i:5: [Measurements/data] noise", "small")),
        (f"{CAMERA}format = vic2d\n", ("deck.i:5", "vic2d", "vic_2d")),
        (f"{CAMERA}columns = 'x y u'\n", ("deck.i:2", "got 3: x, y, u")),
        (f"{CAMERA}noise = 1\n", ("deck.i:2", "give times, times_file or time_column")),
        (f"{CAMERA}{NUMBERED}delimiter = dot\n", ("deck.i:6", "comma, semicolon, tab")),
        (f"{CAMERA}format = vtu\nencoding = latin-1\n", ("deck.i:2", "encoding: of CSV files")),
        (
            f"{CAMERA}{NUMBERED}columns = 'x y u w'\n",
            ("deck.i:2: [Measurements/data]: image_0.csv:1", "w"),
        ),
        (f"{CAMERA}times = '1 2'\n", ("deck.i:2", "12 images")),
        (f"{CAMERA}times = '1 2'\ntimes_file = times.csv\n", ("not both",)),
        (f"{CAMERA}{NUMBERED}images = '1 12'\n", ("from 0 to 11",)),
        (f"{CAMERA}{NUMBERED}axes = '1 0; 1 1'\n", ("deck.i:2", "orthonormal")),
        (f"{CAMERA}{NUMBERED}box = '5 5; 6 6'\n", ("deck.i:2", "no point")),
        (f"{CAMERA}{NUMBERED}box = '5 5'\n", ("lower and an upper corner",)),
        (f"{CAMERA}{NUMBERED}strain_window = 4\n", ("deck.i:2", "odd")),
        ("type = FullField\nfile = 'nothing_*.csv'\ntimes = 1\n", ("deck.i:2", "nothing_*.csv")),
    ],
)
def test_wrong_measurements(folder: Path, fields: str, words: tuple[str, ...]) -> None:
    with pytest.raises(InputError) as error:
        measurement(fields)
    for word in words:
        assert word in str(error.value)


def test_a_measured_edge_needs_a_camera(folder: Path) -> None:
    text = block("Measurements", "load", LOAD)
    text += block(
        "Functions", "edge", "type = MeasuredDisplacement\nmeasurement = load\ncomponent = x"
    )
    with pytest.raises(InputError, match=r"deck.i:14: \[Functions/edge\] measurement: 'load' is"):
        Input(parse_deck(text, "deck.i")).get("Functions", "edge")


# --- [Tests] and [Calibrations] --------------------------------------------------------
def test_a_test(folder: Path) -> None:
    revolve = "checkpoints = revolve\ncheckpoint_count = 3\n"
    found = calibration(f"type = SimulationTest\ndriver = run\n{revolve}", "starts = 2\n")
    assert found.starts == 2 and found.optimiser == "least_squares"
    test = found.tests["square"]
    assert test.checkpoints == Checkpoints("revolve", snapshots=3)
    assert list(test.measurements) == ["load"]
    problem = found.problem()
    assert problem.parameters.names == ["law.E"]
    residuals = problem.residuals(problem.parameters.x0)
    # Plane strain that is free to thin: F = E / (1 - nu^2) 0.1 from the first step on.
    np.testing.assert_allclose(residuals[1:] + residuals.new_tensor([2, 3]), 10 / 0.91, rtol=1e-9)
    assert residuals[0] == 0
    problem.close()


def test_names_of_parameters() -> None:
    def names(name: str, *known: str) -> dict[str, str]:
        return resolved([FitParameter(name, 0, 1)], known)

    long = "return_map.rates.flow.yield_surface.sy"
    assert names("yield_surface.sy", long, "elasticity.E") == {"yield_surface.sy": long}
    assert names("a.flow.sy", "a.return.flow.sy", "b.return.flow.sy")["a.flow.sy"][0] == "a"
    assert names("flow.sy", "flow.sy", "a.flow.sy") == {"flow.sy": "flow.sy"}
    with pytest.raises(InputError, match=r"may be a\.flow\.sy or b\.flow\.sy"):
        names("flow.sy", "a.flow.sy", "b.flow.sy")
    with pytest.raises(InputError, match=r"none of the.*did you mean 'yield_surface\.sy'"):
        names("yeld_surface.sy", long)


OTHER = block("Parameters", "other", "parameter = law.mu\nlower = 0\nupper = 1\n")
POINT = block("Tensors", "times", "type = Python\nexpr = 'Scalar(torch.zeros(2))'")
POINT += block("Tensors", "strains", "type = Python\nexpr = 'SR2(torch.zeros(2, 6))'")
TEST = "type = SimulationTest\ndriver = run\n"


@pytest.mark.parametrize(
    ("test", "fit", "more", "words"),
    [
        ("type = SimulationTest\n", "", "", ("[Tests/square]", "driver", "missing")),
        (TEST.replace("run", "rum"), "", "", ("driver: no block [Drivers/rum]", "run")),
        (TEST.replace("run", "point"), "", POINT, ("is no FiniteElementDriver",)),
        (f"{TEST}measurements = lod\n", "", "", ("measurements: no block", "'load'")),
        (f"{TEST}checkpoint_every = 3\n", "", "", ("[Tests/square]", "schedule 'every'")),
        (TEST, "tests = sqare\n", "", ("no block [Tests/sqare]", "square")),
        (TEST, "optimiser = newton\n", "", ("[Calibrations/fit] optimiser", "newton")),
        (TEST, "starts = 0\n", "", ("starts", "at least 1")),
        (TEST, "groups = 2\n", "", ("groups", "1 to 1")),
        (TEST, "sigma = 1\n", "", ("unknown field 'sigma'",)),
        (TEST, "", OTHER, ("[Parameters/other] parameter", "no test has", "law.mu", "law.nu")),
    ],
)
def test_wrong_tests(folder: Path, test: str, fit: str, more: str, words: tuple[str, ...]) -> None:
    with pytest.raises(InputError) as error:
        calibration(test, fit, more).problem()
    for word in ("deck.i:", *words):
        assert word in str(error.value)


def test_what_the_simulation_does_not_have(folder: Path) -> None:
    (folder / "load.csv").write_text("t,F (kN)\n0,0\n1,2\n3,3\n")
    with pytest.raises(InputError, match=r"\[Tests/square\]: measured at time 3"):
        calibration(TEST).problem()
    (folder / "load.csv").write_text("t,F (kN)\n0,0\n1,2\n")
    other = block("Measurements", "other", LOAD.replace("pull", "pul"))
    with pytest.raises(InputError, match=r"deck.i:\d+.*pul"):
        calibration(f"{TEST}measurements = other\n", "", other).problem()
