"""The report of a fit to simulated tests: tables, curves, maps, fields, virtual fields, priors."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import meshio
import numpy as np
import pytest
import torch
from simulations_box import (
    GRID,
    STEPPING,
    SY,
    TIMES,
    TRUTH,
    D,
    R,
    camera,
    cell,
    law,
    observed,
    parameters,
    plate,
)
from test_parameter_fields import CENTRES, PLATE
from test_parameter_fields import plate as plate_of_fields
from test_virtual_fields import small_problem

from neml2fe.calibration.fit import FitResult, fit
from neml2fe.calibration.fullfield import Exponential, FullField, Series, StrainGauge
from neml2fe.calibration.parameters import FitParameter
from neml2fe.calibration.simulations import (
    FieldMeasurement,
    GaugeMeasurement,
    LoadMeasurement,
    Measurement,
    SimulationProblem,
    Tikhonov,
    maps,
    outcome,
    with_covariance,
)
from neml2fe.calibration.simulations.report import write_report
from neml2fe.calibration.simulations.tests_fit import Weighing, fit_tests
from neml2fe.calibration.simulations.timed import Renamed, TimedProblem
from neml2fe.fem import Dirichlet, ElementField, Problem, TimeStepping
from neml2fe.fem.mesh.generate import box, rectangle
from neml2fe.fem.observations import DisplacementsAt, Reaction, SurfaceDisplacementsAt
from neml2fe.material import Material
from neml2fe.models import LinearIsotropicElasticity

ENDS = [[0.2, 0.5], [0.8, 0.5]]
ALL = np.array(TIMES)


def timed(problem: SimulationProblem, fitted: Sequence[FitParameter]) -> TimedProblem:
    return TimedProblem({"plate": Renamed(problem, fitted)})


@pytest.fixture(autouse=True)
def one_image_a_map(monkeypatch: pytest.MonkeyPatch) -> None:
    """For speed."""
    monkeypatch.setattr(maps, "IMAGES", 1)


def written(folder: Path, problem: TimedProblem, result: FitResult) -> str:
    tests = {name: found.compared for name, found in outcome.tested(problem).items()}
    page = write_report(folder, "A fit", result, problem, tests)
    text = (folder / "report.md").read_text()
    pictures = re.findall(r"\]\((.+\.png)\)", text)
    assert pictures and all((folder / name).stat().st_size > 5000 for name in pictures)
    assert page.read_text().count("data:image/png;base64,") == len(pictures)
    return text


def row(report: str, *first: str) -> list[str]:
    """The other cells of the first row of a table that begins with these."""
    line = next(x for x in report.splitlines() if x.startswith(f"| {' | '.join(first)} |"))
    return [c.strip() for c in line.strip("| ").split(" | ")][len(first) :]


# --- measurements of every kind ---------------------------------------------------------
@pytest.fixture(scope="module")
def every_kind(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The plate with a load cell, a gauge, a camera with correlated noise that moved, and one that
    is compared by strains."""
    problem = plate()
    rng = np.random.default_rng(3)
    ends = observed(problem, DisplacementsAt(ENDS), TIMES)
    gauge = GaugeMeasurement(Series(ALL, 0.0 * ALL), ENDS)
    elongation = gauge.elongation(torch.from_numpy(ends)).numpy() + 1e-4 * rng.normal(size=4)
    u = camera(problem, (0.6, 1.0), error=1.0)
    hole = u.displacements.copy()
    hole[1, 5] = np.nan
    strained = replace(camera(problem, (0.6, 1.0), error=1.0), displacements=hole)
    measured = {
        "cell": LoadMeasurement(cell(problem, TIMES), "pull"),
        "clip": GaugeMeasurement(Series(ALL, elongation, 1e-4), ENDS),
        "camera": FieldMeasurement(
            replace(u, correlation=Exponential(0.3)), without_rigid_motion=True, masks="a box"
        ),
        "strain": FieldMeasurement(strained, strain=StrainGauge(window=3, measure="small")),
    }
    fitted = parameters(SY, R, D)
    whole = timed(SimulationProblem(problem, STEPPING, measured, fitted), fitted)
    folder = tmp_path_factory.mktemp("every_kind")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(maps, "IMAGES", 1)
        return folder, written(folder, whole, fit(whole))


def test_the_table_says_what_was_measured(every_kind: tuple[Path, str]) -> None:
    _, report = every_kind
    kind, data, times, noise, _, _ = row(report, "cell")[:6]
    assert (kind, data, times) == ("load: reaction of pull", "4", "4")
    assert noise == "0.1 (given), not correlated"
    kind, data, _, noise, *_ = row(report, "camera")
    assert (kind, data) == ("full field of displacements", "64")
    assert noise == "0.0001 (given), correlated (exponential, length 0.3)"
    kind, _, _, noise, *_ = row(report, "strain")
    assert kind == "full field of strains" and noise.endswith("overlap are correlated")
    assert row(report, "missing") == ["0 %", "3.1 %"]
    assert row(report, "masks") == ["a box", "-"]
    kept, removed = row(report, "rigid motion")[::-1]
    assert kept == "kept" and removed.startswith("removed from each image, fitted to all points")
    none, windows = row(report, "strain windows")
    assert none == "no strains" and "3 points a side, order 1, uniform weights, small" in windows
    assert "prescribed as they were measured" not in report


def test_misfits_are_of_degrees_of_freedom(every_kind: tuple[Path, str]) -> None:
    """What measurements fix are all parameters together; noise alone is left."""
    _, report = every_kind
    cells = [row(report, name) for name in ("cell", "clip", "camera", "strain")]
    assert sum(float(c[5]) for c in cells) == pytest.approx(3.0, abs=0.021)
    assert float(cells[0][5]) > 2.9  # the load is far more exact than the camera
    for c in cells[2:]:
        assert 0.6 <= float(c[4]) <= 1.5


def test_what_is_identified_in_words(every_kind: tuple[Path, str]) -> None:
    _, report = every_kind
    section = report.split("## Identifiability")[1].split("## Test")[0]
    assert "These data fix every combination of the parameters." in section
    assert re.search(r"1\. isotropic_hardening\.d = \S+ is known to", section)
    assert "are known better together than each" in section
    assert len(row(section, "3")) == 4


def test_loads_over_elongation_and_maps_of_strain(every_kind: tuple[Path, str]) -> None:
    folder, report = every_kind
    for name in ("curves", "load", "camera_1", "camera_2", "strain_1", "strain_2", "strain_3"):
        assert f"(plate_{name}.png)" in report
    share = row(report, "strain, strain 11")[1]
    assert float(share.rstrip(" %")) < 3.0
    with (folder / "series.csv").open(newline="") as file:
        names = {r["measurement"] for r in csv.DictReader(file)}
    assert names == {"cell", "clip"}


def test_what_one_load_cannot_tell(tmp_path: Path) -> None:
    """Of an elastic stretch: nothing of hardening. The stroke is the elongation."""
    problem = plate()
    fitted = parameters(R, D)
    load = LoadMeasurement(replace(cell(problem, (0.3, 0.6)), noise=None), "pull")
    fitted_problem = SimulationProblem(problem, STEPPING, {"cell": load}, fitted)
    whole = timed(fitted_problem, fitted)
    report = written(tmp_path / "0", whole, fit(whole))
    assert "It cannot be told: 2 data cannot tell 2 parameters and the noise" in report
    noisy = LoadMeasurement(replace(cell(problem, (0.3, 0.6)), noise=30.0), "pull")
    whole = timed(SimulationProblem(problem, STEPPING, {"cell": noisy}, fitted), fitted)
    report = written(tmp_path / "1", whole, fit(whole))
    assert "isotropic_hardening.d and isotropic_hardening.R cannot be told apart" in report
    assert "leave one combination of the parameters open" in report
    assert "(plate_load.png)" in report


def test_a_surface_in_space(tmp_path: Path) -> None:
    """Two cameras: three components of displacement, and strains along the surface."""
    problem = Problem(
        box(2, 2, 1, "hexahedron", (1.0, 1.0, 0.3)),
        law(),
        [*(Dirichlet("left", c) for c in "xyz"), Dirichlet("right", "x", lambda t: 0.02 * t)],
    )
    points = np.concatenate([GRID, np.full((len(GRID), 1), 0.3)], axis=1)
    stepping = TimeStepping(end=1.0, dt=0.5)
    with torch.no_grad():
        seen = {"u": SurfaceDisplacementsAt("front", points)}
        u = problem.solve(stepping, seen, times=[0.5, 1.0])["u"].numpy()
    u += 1e-5 * np.random.default_rng(0).normal(size=u.shape)
    field = FullField(points, [0.5, 1.0], u, 1e-5)
    measured: dict[str, Measurement] = {
        "stereo": FieldMeasurement(field, boundary="front", without_rigid_motion=True),
        "strain": FieldMeasurement(field, boundary="front", strain=StrainGauge(radius=0.4)),
    }
    fitted = parameters(SY, D)
    whole = timed(SimulationProblem(problem, stepping, measured, fitted), fitted)
    report = written(tmp_path, whole, fit(whole))
    assert row(report, "stereo")[:2] == ["full field of displacements on front", "96"]
    assert row(report, "components") == ["3", "3"]
    for k, c in enumerate("xyz", start=1):
        assert f"![stereo: displacement {c}.](plate_stereo_{k}.png)" in report
        assert f"(plate_strain_{k}.png)" in report
        assert float(row(report, f"stereo, displacement {c}")[0]) < 2e-5
    assert 0.7 <= float(row(report, "strain")[4]) <= 1.4


# --- others -----------------------------------------------------------------------------
def test_work_of_virtual_fields(tmp_path: Path) -> None:
    motion, problem = small_problem(missing=False, correlated=False)
    measurement = with_covariance(problem, "vf", motion)
    fitted = list(parameters())
    problem = SimulationProblem(
        problem.simulation, problem.stepping, {"vf": measurement}, fitted[:1]
    )
    whole = timed(problem, fitted[:1])
    report = written(tmp_path, whole, fit(whole, max_iterations=3))
    kind, data, *_, noise, _, _ = row(report, "vf")
    assert (kind, data) == ("virtual work of linear, contraction", "4")
    assert noise == "given by load and displacements, correlated (covariance of the works)"
    assert row(report, "vf, work of contraction")[1] == "-"  # no work of the load
    assert float(row(report, "vf, work of linear")[0]) > 0.0
    with (tmp_path / "series.csv").open(newline="") as file:
        rows = [r for r in csv.DictReader(file) if r["measurement"] == "vf, work of linear"]
    assert [float(r["measured"]) for r in rows] == [100.0, 150.0]


def test_parameter_fields_are_files(tmp_path: Path) -> None:
    inner = plate_of_fields()
    bounds = [FitParameter("fields.E", 300.0, 10000.0, "log")]
    whole = timed(inner, bounds)
    penalty = Tikhonov(PLATE, "fields.E", 400.0)
    result = fit_tests(
        whole,
        penalties=[Weighing(penalty, "l_curve", (4000.0, 400.0, 40.0))],
        optimiser="lbfgs",
        max_iterations=8,
    )
    report = written(tmp_path, whole, result)
    assert "fields.E.vtu, fields.E.csv" in report and "(fields.E.png)" in report
    assert "fields.E[7]" not in report
    assert row(report, "fields.E", "100 elements")[0] == "1500"
    assert "No uncertainty is found where fields are penalised (fields.E)." in report
    assert row(report, "fields.E", "Tikhonov", "elements")[1] == "L-curve"
    assert "(fields.E_l_curve.png)" in report
    values = np.array(list(result.values.values()))
    (blocks,) = meshio.read(tmp_path / "fields.E.vtu").cell_data_dict["value"].values()
    np.testing.assert_allclose(blocks, values)
    with (tmp_path / "fields.E.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    np.testing.assert_allclose([float(r["value"]) for r in rows], values)
    np.testing.assert_allclose([[float(r[c]) for c in "xy"] for r in rows], CENTRES)
    assert {float(r["start"]) for r in rows} == {1500.0}


def test_a_field_with_standard_errors(tmp_path: Path) -> None:
    """Twelve values of elements from a Jacobian, with a load cell."""
    young = torch.linspace(1000.0, 2000.0, 12, dtype=torch.float64).requires_grad_()
    rows = LinearIsotropicElasticity(
        label="law", coefficients=("E", 0.3), strain="strain",
        coefficient_types=("YOUNGS_MODULUS", "POISSONS_RATIO"),
    )  # fmt: skip
    sides = [
        Dirichlet("left", "x"), Dirichlet("bottom", "y"),
        Dirichlet("right", "x", 0.1, label="pull"),
    ]  # fmt: skip
    problem = Problem(
        rectangle(4, 3, "quad"), Material(rows), sides, fields={"E": ElementField(young)},
        formulation="plane_strain",
    )  # fmt: skip
    points = np.random.default_rng(0).uniform(0.05, 0.95, (60, 2))
    with torch.no_grad():
        seen = {"u": DisplacementsAt(points), "F": Reaction("pull")}
        run = problem.solve([1.0], seen)
        young.fill_(1500.0)
    measured: dict[str, Measurement] = {
        "load": LoadMeasurement(Series([1.0], run["F"].numpy(), 1.0), "pull"),
        "camera": FieldMeasurement(FullField(points, [1.0], run["u"].numpy(), 1e-4)),
    }
    fitted = [FitParameter("fields.E", 300.0, 10000.0, "log")]
    whole = timed(SimulationProblem(problem, TimeStepping(1.0, 1.0), measured, fitted), fitted)
    report = written(tmp_path, whole, fit(whole))
    assert "(fields.E_error.png)" in report
    assert re.search(r"1\. A combination of 1\d parameters, most of all .* is known to", report)
    assert float(row(report, "load")[5]) == pytest.approx(1.0, abs=0.01)
    columns = np.loadtxt(tmp_path / "fields.E.csv", delimiter=",", skiprows=1).T
    np.testing.assert_allclose(columns[3], np.linspace(1000.0, 2000.0, 12), rtol=1e-4)
    assert (columns[5] > 1.0).all() and (columns[5] < 200.0).all()


def test_priors_and_their_posterior(tmp_path: Path) -> None:
    problem = plate()
    fitted = parameters(SY, R)
    load = LoadMeasurement(replace(cell(problem, (0.3, 0.6)), noise=30.0), "pull")
    whole = timed(SimulationProblem(problem, STEPPING, {"cell": load}, fitted), fitted)
    result = fit_tests(whole, prior={SY: (TRUTH[SY], 1.0)}, with_posterior=True)
    report = written(tmp_path, whole, result)
    section = report.split("## Priors and posterior")[1].split("## Identifiability")[0]
    mean, deviation, _, after, share = row(section, SY)
    assert (mean, deviation) == ("200", "1") and 0.0 < float(after) <= 1.0
    assert float(share) == pytest.approx(float(after), rel=0.01)
    assert "posterior.csv" in section and "(posterior.png)" in section
    assert row(section, R)[:2] == ["-", "-"]
