"""The files of a run: fields, table, report, checkpoints of several bodies, and full disks."""

from __future__ import annotations

import errno
import resource
import signal
import subprocess
import sys
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path
from typing import Any

import meshio
import numpy as np
import pytest
import torch
from results_box import halves, material

from neml2fe.errors import InputError, OutputError
from neml2fe.fem import Body, Dirichlet, Problem, Recorder, Run, TimeStepping, Traction, simulate
from neml2fe.fem.conditions.functions import PiecewiseLinear, SpaceFunction
from neml2fe.fem.results.probes import Probe
from neml2fe.io import read_table

CONDITIONS = [
    Dirichlet("left", "x"),
    Dirichlet("left", "y"),
    Dirichlet("right", "x", lambda t: 0.01 * t),
    Traction("top", [0.0, lambda t: -3.0 * t]),
]


def bodies() -> list[Body]:
    return [Body(material("j2"), ["low"]), Body(material("elastic"), ["high"])]


def make(**options: Any) -> Problem:
    return Problem(halves(), bodies(), CONDITIONS, backend="scipy", **options)


def march(
    folder: Path, end: float = 1.0, resume: bool = False, dt: float = 0.5, **options: Any
) -> Run:
    recorder = Recorder(make(), folder, "strip", **options)
    path = folder / "strip.checkpoint" if resume else None
    return simulate(
        recorder.problem, TimeStepping(end=end, dt=dt), recorder, resume=path, quiet=True
    )


def steps(path: Path) -> dict[float, Path]:
    items = ET.parse(path).getroot().findall("Collection/DataSet")
    return {float(i.attrib["timestep"]): path.parent / i.attrib["file"] for i in items}


# --- what is written ---------------------------------------------------------------------
PROBES = [
    Probe("corner", "displacement_y", (1.0, 1.0)),
    Probe("peak", "equivalent_plastic_strain", on="low", statistic="max"),
]
ALL: dict[str, Any] = {"output": "cells nodes bodies points", "probes": PROBES}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Recorder:
    """An uninterrupted run that writes all there is; one attempt at a step was rejected."""
    folder = tmp_path_factory.mktemp("whole")
    recorder = Recorder(make(), folder, "strip", report=True, **ALL)
    recorder.reject(0.7, "too <long>")
    simulate(recorder.problem, TimeStepping(end=1.0, dt=0.5), recorder, quiet=True)
    return recorder


def test_fields_at_nodes_cells_and_points(whole: Recorder) -> None:
    last = meshio.read(steps(whole.directory / "strip.pvd")[1.0])
    at_nodes, in_cells = last.point_data, {n: a[0] for n, a in last.cell_data.items()}
    assert at_nodes["displacement"][:, 0].max() == pytest.approx(0.01)
    right = last.points[:, 0] == 1.0
    table = read_table(whole.directory / "strip.csv")
    force = at_nodes["reaction"][right, 0].sum()
    assert force == pytest.approx(table["right_x_reaction"][-1], rel=1e-10)
    free = ~right & (last.points[:, 0] > 0.0)
    assert np.abs(at_nodes["reaction"][free]).max() < 1e-8 * abs(force)
    assert {"stress", "stress_low", "stress_high", "stress_mises"} <= set(at_nodes)
    assert {"stress_mises_low", "stress_mises_high"} <= set(at_nodes)
    assert "equivalent_plastic_strain_low" in at_nodes
    assert not [n for n, values in at_nodes.items() if np.isnan(values).all()]
    assert {"strain", "stress", "stress_mises", "equivalent_plastic_strain"} <= set(in_cells)
    assert sorted(in_cells["body"]) == [0] * 4 + [1] * 4
    assert np.array_equal(np.isnan(in_cells["equivalent_plastic_strain"]), in_cells["body"] == 1)

    cloud = meshio.read(steps(whole.directory / "strip_points.pvd")[1.0])
    assert cloud.cells[0].type == "vertex" and len(cloud.points) == 32
    by_cell = cloud.point_data["stress"].reshape(8, 4, 6).mean(axis=1)
    order = np.argsort(in_cells["body"], kind="stable")  # points are listed body by body
    assert by_cell == pytest.approx(in_cells["stress"][order], rel=1e-12)
    assert cloud.point_data["displacement"].shape == (32, 3)


def test_probes_and_energies_are_columns(whole: Recorder) -> None:
    table = read_table(whole.directory / "strip.csv")
    assert list(table)[-2:] == ["corner", "peak"]
    assert np.all(np.diff(table["corner"]) < 0) and table["peak"][-1] > 1e-4
    assert np.abs(table["energy_balance"]).max() < 1e-10
    assert np.all(np.diff(table["external_work"]) > 0)


def test_output_only_where_asked(tmp_path: Path) -> None:
    march(tmp_path, output="cells", output_times=[0.3, 0.5])
    files = steps(tmp_path / "strip.pvd")
    assert list(files) == [0.0, 0.3, 0.5, 1.0]
    assert set(meshio.read(files[0.3]).point_data) == {"displacement", "reaction"}
    assert not (tmp_path / "strip_points.pvd").exists()


def test_xdmf(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py", reason="h5py is not installed")
    run = march(tmp_path, format="xdmf", output="cells points")
    assert [p.name for p, _ in run.files[:2]] == ["strip.xdmf", "strip_points.xdmf"]
    grids = ET.parse(tmp_path / "strip.xdmf").getroot().findall("Domain/Grid/Grid")
    assert [g.find("Time").attrib["Value"] for g in grids] == ["0.0", "0.5", "1.0"]
    with h5py.File(tmp_path / "strip_0002.h5") as data:
        assert data["point_data/displacement"][:, 0].max() == pytest.approx(0.01)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"format": "vtk"}, "no format 'vtk'; did you mean 'vtu'"),
        ({"output": "cells node"}, "'node' is no place of fields; did you mean 'nodes'"),
        ({"output_times": [float("nan")]}, "must be finite"),
        ({"every": 0}, "at least 1"),
        ({"probes": [Probe("time", "stress_xx")]}, "occurs twice"),
        ({"probes": [Probe("right_x_reaction", "stress_xx")]}, "column of that name"),
    ],
)
def test_options_that_cannot_be(options: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        march(tmp_path, **options)


def test_a_new_run_removes_what_an_earlier_one_left(tmp_path: Path) -> None:
    march(tmp_path, output="cells points", report=True, checkpoint_every=1)
    left = ["strip.xdmf", "strip_0000.h5", "strip_0007_1.h5", "strip_points.xdmf"]
    left += ["strip_0009.pvtu", ".strip_0003.77.tmp.vtu", ".strip_points_0003_1.7.tmp.vtu"]
    others = [
        "strips.pvd",
        "strips_0000.vtu",
        "strip_of_mine.png",
        ".strips.77.tmp.pvd",
        ".strip_b.7.tmp.pvd",
    ]
    for name in (*left, *others):
        (tmp_path / name).write_text("")
    run = march(tmp_path, dt=1.0, output="cells")
    assert any("energies balance to" in what for _, what in run.files)
    written = {path.name for path, _ in run.files} | {"strip_0000.vtu", "strip_0001.vtu"}
    assert {path.name for path in tmp_path.iterdir()} == written | set(others)


def test_figure_of_mises(tmp_path: Path) -> None:
    recorder = Recorder(make(), tmp_path, "strip")
    stepping = TimeStepping(end=1.0, dt=1.0)
    run = simulate(recorder.problem, stepping, recorder, figure="mises", quiet=True)
    assert "figure of the stress mises" in [what for _, what in run.files]
    with pytest.raises(InputError, match="did you mean 'stress_mises'"):
        recorder.start(False, figure="stress_mise")


# --- the report --------------------------------------------------------------------------
def test_report_says_what_was_done(whole: Recorder) -> None:
    names = [path.name for path, _ in whole.files]
    assert names[-3:] == ["strip_convergence.png", "strip_report.html", "strip_report.md"]
    page, text = ((whole.directory / f"strip_report.{s}").read_text() for s in ("html", "md"))
    assert page.count("data:image/png;base64,") == 3 and "too &lt;long&gt;" in page
    for words in (
        *("| quad | 8 |", "| low | low |", "| high | high |", "plane strain"),
        *("| right_x | Dirichlet | boundary = right, component = x, value = a function of time |",),
        *("| 1 | 0.5 | 0.5 |", "| 2 | 1 | 0.5 |", "external work", "differ by", "| material |"),
        *("in 2 steps", "1 attempts were rejected", "strip.checkpoint", "| torch |"),
    ):
        assert words in text, words


def test_report_of_functions_and_solver_events(tmp_path: Path) -> None:
    def grow(t: float) -> float:
        return -t

    conditions = [
        *CONDITIONS[:2],
        Dirichlet("right", "x", PiecewiseLinear([0, 1], [0, 0.01])),
        Dirichlet("top", "y", SpaceFunction(lambda t, x: 0.001 * t * x[:, 0])),
        Traction("bottom", [0.0, grow]),
    ]
    problem = Problem(halves(), bodies(), conditions, backend="scipy")
    events = [("KSPSolve", 3, 0.123456789012345, 1234567.0)]
    problem.algebra.log_summary = lambda: events  # type: ignore[method-assign]
    recorder = Recorder(problem, tmp_path, "strip", report=True)
    simulate(problem, TimeStepping(end=1.0, dt=1.0), recorder, quiet=True)
    text = (tmp_path / "strip_report.md").read_text()
    for words in (
        *("piecewise linear in time (0, 0) (1, 0.01)", "a function of time and place"),
        *("(0, a function 'grow' of time)", "| event | count |"),
        "| KSPSolve | 3 | 0.1235 | 1.23e+06 |",
    ):
        assert words in text, words


def test_report_without_matplotlib(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib.util

    found = importlib.util.find_spec
    hide = lambda name, *a: None if name == "matplotlib" else found(name, *a)  # noqa: E731
    monkeypatch.setattr(importlib.util, "find_spec", hide)
    run = march(tmp_path, dt=1.0, report=True)
    assert any("neml2fe[figures]" in what for _, what in run.files)
    assert "data:image" not in (tmp_path / "strip_report.html").read_text()


# --- checkpoints ---------------------------------------------------------------------------
def contents(folder: Path) -> dict[str, bytes]:
    found = [*folder.glob("*.csv"), *folder.glob("*.pvd"), *folder.glob("*.vtu")]
    return {path.name: path.read_bytes() for path in found}


def test_resumed_run_of_several_bodies_is_the_same_to_the_last_bit(
    whole: Recorder, tmp_path: Path
) -> None:
    march(tmp_path, end=0.5, **ALL)
    march(tmp_path, resume=True, **ALL)
    assert contents(tmp_path) == contents(whole.directory)


def test_restored_problem_is_whole(whole: Recorder) -> None:
    other = Recorder(make(), whole.directory, "strip", **ALL)
    assert other.restore(whole.checkpoint_path) == (2, 0.5)
    a, b = whole.problem, other.problem
    assert np.array_equal(a.u, b.u) and np.array_equal(a.unbalanced, b.unbalanced)
    assert a.load_row() == b.load_row() and whole.energies.row() == other.energies.row()
    for one, two in zip(a.solids, b.solids, strict=True):
        assert torch.equal(one.stress, two.stress) and one.state.keys() == two.state.keys()
        assert all(torch.equal(one.state[n], two.state[n]) for n in one.state)


def test_checkpoint_of_other_bodies_is_refused(whole: Recorder) -> None:
    problem = Problem(halves(), bodies()[::-1], CONDITIONS, backend="scipy")
    with pytest.raises(OutputError, match=r"of another run: its (states|bodies) differ"):
        Recorder(problem, whole.directory, "strip").restore(whole.checkpoint_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"formulation": "plane_stress"},
            "kinematics differ .*: 'formulation' is 'plane_strain' there",
        ),
        ({"locking": True}, "'bodies with volumetric correction' is '' there, 'low' here"),
        ({"modulus": 71e3}, r"parameters differ .*: 'low/\S+' is 7000\d*\.0 there, 71000\.0 here"),
    ],
)
def test_checkpoint_of_another_problem_is_refused(
    change: dict[str, Any], message: str, whole: Recorder
) -> None:
    """That its arrays would fit says nothing."""
    changed = bodies()
    if "locking" in change:
        changed[0] = replace(changed[0], volumetric_locking_correction=True)
    if "modulus" in change:
        low: Any = changed[0].material
        for value in low.model.parameters():
            with torch.no_grad():
                value[value == 70e3] = change["modulus"]
    formulation = change.get("formulation", "auto")
    problem = Problem(halves(), changed, CONDITIONS, backend="scipy", formulation=formulation)
    with pytest.raises(OutputError, match=message):
        Recorder(problem, whole.directory, "strip").restore(whole.checkpoint_path)


# --- full disks ----------------------------------------------------------------------------
def test_full_disk_stops_the_run_and_keeps_what_was_written(
    whole: Recorder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = meshio.vtu.write

    def half_written(path: str, *rest: Any, **options: Any) -> None:
        write(path, *rest, **options)
        if "strip_0002" in path:
            Path(path).write_bytes(Path(path).read_bytes()[:100])
            raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(meshio.vtu, "write", half_written)
        with pytest.raises(OutputError, match=r"strip_0002\.vtu: No space left on device"):
            march(tmp_path, checkpoint_every=1, **ALL)
    files = steps(tmp_path / "strip.pvd")
    assert list(files) == [0.0, 0.5]
    assert all("stress" in meshio.read(path).point_data for path in files.values())
    assert read_table(tmp_path / "strip.csv")["time"][-1] == 1.0
    march(tmp_path, resume=True, **ALL)
    assert contents(tmp_path) == contents(whole.directory)


def limited(folder: Path) -> None:
    """A run in a process that may write no file larger than 40 kB, as a quota would have it."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, 40_000))
    try:
        march(folder, dt=1.0, report=True)
    except OutputError as error:
        print(error)


def test_limit_of_the_operating_system(tmp_path: Path) -> None:
    """The figure is the first file that is too large: all others are there and whole."""
    code = "import sys, pathlib, test_results_files as t; t.limited(pathlib.Path(sys.argv[1]))"
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"cannot write {tmp_path}/strip.png: File too large\n"
    assert len(steps(tmp_path / "strip.pvd")) == 2
    assert read_table(tmp_path / "strip.csv")["time"][-1] == 1.0
    assert not list(tmp_path.glob(".*")) and not (tmp_path / "strip.png").exists()
