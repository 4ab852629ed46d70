"""`type = FieldParameter` in decks: fields of elements and nodes, their penalties, refusals."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from deck_box import Cli, write_test

from neml2fe.calibration.fullfield import FieldColumns, read_csv
from neml2fe.calibration.parameters import FitParameter
from neml2fe.calibration.simulations import (
    FieldMeasurement,
    SimulationProblem,
    Tikhonov,
    TotalVariation,
    by_discrepancy,
    regularised_fit,
)
from neml2fe.calibration.simulations.penalties import Gradients
from neml2fe.fem import ElementField, Mesh, Problem, TimeStepping
from neml2fe.fem.mesh.generate import box, rectangle
from neml2fe.input import load_input
from neml2fe.input.materials import material_of

N = 6
MODEL = f"""
[Models]
  [law]
    type = LinearIsotropicElasticity
    coefficients = 'E 0.3'
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
  [plate]
    type = Rectangle
    divisions = '{N} {N}'
    lengths = '1 1'
    cell_type = 'quad'
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
  [side]
    type = Traction
    boundary = 'right'
    value = '50 0'
  []
  [top]
    type = Traction
    boundary = 'top'
    value = '0 30'
  []
[]
[Drivers]
  [plate]
    type = FiniteElementDriver
    formulation = 'plane_strain'
    end_time = 1
    dt = 1
    field_names = 'E'
    field_values = 'young'
    backend = 'scipy'
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
    noise = 3e-4
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
    type = FieldParameter
    parameter = 'fields.E'
    of = 'elements'
    lower = 300
    upper = 10000
    scale = 'log'
    penalty = 'tikhonov'
    weight = 300
  []
[]
[Calibrations]
  [fit]
    type = SimulationCalibration
    rel_improvement = 1e-3
    patience = 4
  []
[]
"""
MESH = rectangle(N, N, "quad")
CENTRES = MESH.points[MESH.cells[0].connectivity].mean(axis=1)
INSIDE = np.hypot(*(CENTRES - 0.5).T) < 0.3
TRUE = np.where(INSIDE, 3000.0, 1000.0)
SMOOTH = 1000.0 * np.exp(MESH.points[:, 0])
NOISE = 3e-4
UNIFORM = MODEL.replace("field_values = 'young'", "field_values = 1500")


def truth(values: np.ndarray, kind: str) -> str:
    numbers = ", ".join(f"{v:.17g}" for v in values)
    tensor = (
        f"[Tensors]\n[young]\ntype = Python\nexpr = 'torch.tensor([{numbers}]).double()'\n[]\n[]\n"
    )
    return f"{MODEL}{tensor}[Fields]\n[young]\ntype = {kind}\nvalues = 'young'\n[]\n[]\n"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """An inclusion, and a modulus that grows along x, seen at 400 points."""
    grid = (np.arange(20) + 0.5) / 20
    points = np.stack(np.meshgrid(grid, grid), -1).reshape(-1, 2)
    folders = {}
    for kind, values in (("ElementField", TRUE), ("NodalField", SMOOTH)):
        folders[kind] = tmp_path_factory.mktemp(kind)
        write_test(
            folders[kind], truth(values, kind), points, [1.0], {"u": NOISE, "F": 0.0}, "hold_x"
        )
    return folders


@pytest.fixture
def cli(data: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> Cli:
    (data["ElementField"] / "fit.i").write_text(UNIFORM + FIT)
    return Cli(data["ElementField"], capsys)


def fitted(cli: Cli) -> np.ndarray:
    return np.array(list(cli.values().values()))


@cache
def in_python(folder: Path) -> SimulationProblem:
    law = material_of(load_input(folder / "truth.i"), "law")
    young = torch.full((N * N,), 1500.0, dtype=torch.float64, requires_grad=True)
    source = load_input(folder / "truth.i")
    conditions = source.get_driver("plate").conditions
    problem = Problem(MESH, law, conditions, fields={"E": ElementField(young)},
                      formulation="plane_strain", backend="scipy")  # fmt: skip
    columns = FieldColumns(x="x", y="y", u="u", v="v", time="t")
    seen = FieldMeasurement(read_csv(folder / "camera.csv", columns, noise=NOISE))
    bounds = FitParameter("fields.E", 300.0, 10000.0, "log")
    return SimulationProblem(problem, TimeStepping(1.0, 1.0), {"u": seen}, [bounds])


OPTIONS = {"rel_improvement": 1e-3, "patience": 4}


def test_a_smooth_field_with_a_given_weight(cli: Cli) -> None:
    ended = cli(report=True)
    assert ended.code == 0, ended
    assert "fields.E: tikhonov of the elements, weight given; no uncertainty" in ended.out
    assert "fields.E: Tikhonov of elements, weight 300 (as given)" in ended.out
    assert "and 32 more" not in ended.out
    found = fitted(cli)
    expected = regularised_fit(in_python(cli.folder), Tikhonov(MESH, "fields.E", 300.0), **OPTIONS)
    np.testing.assert_allclose(found, list(expected.result.values.values()), rtol=1e-6)
    assert np.linalg.norm(found - TRUE) <= 0.3 * np.linalg.norm(TRUE)
    assert all(row["standard_error"] == "" for row in cli.table().values())
    assert "no uncertainty is found where fields are penalised (fields.E)" in cli.report


def test_an_inclusion_by_the_noise(cli: Cli) -> None:
    """Total variation, its weight found."""
    text = (cli.folder / "fit.i").read_text()
    by = "'total_variation'\n    smoothing = 0.1\n    weight_by = 'discrepancy'"
    (cli.folder / "fit.i").write_text(text.replace("'tikhonov'", by))
    ended = cli()
    assert ended.code == 0, ended
    assert "(by the noise), data missed by" in ended.out
    penalty = TotalVariation(MESH, "fields.E", 300.0, 0.1)
    expected = by_discrepancy(in_python(cli.folder), penalty, **OPTIONS)
    np.testing.assert_allclose(fitted(cli), list(expected.result.values.values()), rtol=1e-6)
    assert np.linalg.norm(fitted(cli) - TRUE) <= 0.15 * np.linalg.norm(TRUE)


def test_a_field_of_nodes_by_the_l_curve(
    data: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = data["NodalField"]
    text = UNIFORM + FIT.replace("of = 'elements'", "of = 'nodes'")
    by = "weight = '1 30 1000 30000'\n    weight_by = 'l_curve'"
    (folder / "fit.i").write_text(text.replace("weight = 300", by))
    cli = Cli(folder, capsys)
    ended = cli(report=True)
    assert ended.code == 0, ended
    assert "fields.E: Tikhonov of nodes" in ended.out and "(by the L-curve)" in ended.out
    found = np.array([float(row["fitted"]) for row in cli.table().values()])
    assert len(found) == (N + 1) ** 2
    assert np.linalg.norm(found - SMOOTH) <= 0.06 * np.linalg.norm(SMOOTH)


def test_without_a_penalty_and_without_uncertainty(cli: Cli) -> None:
    """One parameter of all elements, by any optimiser; intervals may be left out."""
    text = (cli.folder / "fit.i").read_text()
    start, end = text.index("    type = FieldParameter"), text.index("    lower = 300")
    one = (
        text[:start] + "    parameter = 'law.nu'\n    lower = 0.1\n" + text[end:].split("\n", 1)[1]
    )
    one = one.replace("upper = 10000", "upper = 0.45").replace("    scale = 'log'\n", "")
    one = one.replace("rel_improvement = 1e-3", "").replace("patience = 4", "")
    one = one.replace("    penalty = 'tikhonov'\n    weight = 300\n", "")
    (cli.folder / "fit.i").write_text(one)
    ended = cli()
    assert ended.code == 0 and "95 % interval" in ended.out
    with_intervals = cli.values()
    ended = cli("Calibrations/fit/uncertainty=none")
    assert ended.code == 0 and "95 % interval" not in ended.out
    assert "no uncertainty was asked for" in ended.out and cli.values() == with_intervals


BLOCK = "[Parameters/modulus]"


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("weight = 300", "weight = -3", (f"{BLOCK} weight", "positive")),
        ("weight = 300", "", (BLOCK, "'weight' is missing")),
        ("weight = 300", "weight = '1 2'", (f"{BLOCK} weight", "one weight")),
        ("weight = 300", "weight = '1 2'\nweight_by = l_curve", ("weight", "at least three")),
        ("weight = 300", "weight = 3\nweight_by = noise", (f"{BLOCK} weight_by", "noise")),
        ("'tikhonov'", "'tikonov'", (f"{BLOCK} penalty", "'tikhonov'")),
        ("'tikhonov'", "'total_variation'", (BLOCK, "'smoothing' is missing")),
        ("'tikhonov'", "'tikhonov'\nsmoothing = 1", (f"{BLOCK} smoothing", "only total_variation")),
        ("penalty = 'tikhonov'", "", (f"{BLOCK} weight", "for a penalty")),
        ("of = 'elements'", "of = 'points'", (f"{BLOCK} of", "points")),
        ("'fields.E'", "'law.nu'", (f"{BLOCK} parameter", "'law.nu' is no field")),
        ("'fields.E'", "'fields.T'", ("fields.T",)),
        ("type = FieldParameter", "type = FitParameter", (BLOCK, "unknown field 'of'")),
        ("rel_improvement = 1e-3", "uncertainty = intervals", ("uncertainty", "penalised fields")),
        ("rel_improvement = 1e-3", "uncertainty = some", ("uncertainty", "'some'")),
        ("weight = 300", "weight = 300\ninitial = '1 2'", (BLOCK, "2 start values for 36")),
        ("    noise = 3e-4\n", "", ("[Calibrations/fit]", "standard deviation of the noise")),
    ],
)
def test_refusals(cli: Cli, old: str, new: str, words: tuple[str, ...]) -> None:
    text = (cli.folder / "fit.i").read_text()
    assert old in text
    text = text.replace(old, new)
    if "noise" in old:
        text = text.replace("weight = 300", "weight = 300\nweight_by = discrepancy")
    (cli.folder / "fit.i").write_text(text)
    cli().refused(*words)


@pytest.mark.parametrize("mesh", [rectangle(3, 2, "quad9", distortion=0.1), box(2, 1, 2, "tetra")])
def test_roughness_of_nodes_is_the_integral_of_the_squared_gradient(mesh: Mesh) -> None:
    slope = torch.tensor([0.7, -0.2, 0.4][: mesh.dim], dtype=torch.float64)
    values = (torch.from_numpy(mesh.points) @ slope)[:, None]
    volume = float(Gradients(mesh).volume.sum())
    assert volume == pytest.approx(float(np.ptp(mesh.points, axis=0).prod()), rel=1e-12)
    rows = Tikhonov(mesh, "f", 3.0, of="nodes").rows(values)
    assert float(rows @ rows) == pytest.approx(3.0 * volume * float(slope @ slope), rel=1e-12)
    rows = TotalVariation(mesh, "f", 3.0, 1e-9, of="nodes").rows(values)
    assert 0.5 * float(rows @ rows) == pytest.approx(3.0 * volume * float(slope.norm()), rel=1e-6)
