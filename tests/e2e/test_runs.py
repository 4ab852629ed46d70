"""Serial runs of decks, from the command to the files: material points and finite elements."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import meshio
import numpy as np
import pytest
import torch
from e2e_runs import PLATE, POINT, Ended, process, settings
from matplotlib import image

from neml2fe.io import checkpoint, read_table
from neml2fe.io.vtu import VtuSeries

Cli = Callable[..., Ended]
SHORT = settings("Drivers/plate/end_time=0.3")


def listed(out: str) -> dict[str, Path]:
    """The files that a run names at its end, by suffix."""
    names = out[out.index("Files written:") :].splitlines()[1:]
    paths = [Path(line.split("  ")[1]) for line in names if line.strip()]
    for path in paths:
        assert path.is_file() and path.stat().st_size > 0, path
    return {path.name: path for path in paths}


def is_drawn(path: Path) -> bool:
    """Whether a picture shows more than a blank page."""
    pixels = image.imread(path)
    return pixels.shape[0] > 200 and float(pixels.std()) > 0.02


def series(folder: Path) -> dict[float, meshio.Mesh]:
    """Every step that the .pvd lists, read by meshio."""
    listing = (folder / "plate.pvd").read_text()
    steps = re.findall(r'timestep="([^"]+)" part="0" file="([^"]+)"', listing)
    return {float(time): meshio.read(folder / name) for time, name in steps}


def difference(one: Path, other: Path) -> float:
    """Largest relative difference of displacements and states at the end of two runs."""
    (a, _), (b, _) = (checkpoint.load(path / "plate.checkpoint") for path in (one, other))
    assert set(a) == set(b) and "displacement" in a and "equivalent_plastic_strain/0" in a
    return max(float(np.linalg.norm(a[n] - b[n]) / np.linalg.norm(a[n])) for n in a)


# --- material points -------------------------------------------------------------------
def test_material_history(neml2fe: Cli, tmp_path: Path) -> None:
    saved = tmp_path / "deep" / "result.pt"
    save = settings(f"Drivers/strained/save_as={saved}")
    ended = neml2fe("run", POINT, "-o", tmp_path, *save, "strained")
    assert ended.code == 0 and not ended.err and "8 of 8 steps" in ended.out
    files = listed(ended.out)
    assert set(files) == {"strained.csv", "strained.png", "result.pt"}
    assert is_drawn(files["strained.png"])

    table = read_table(files["strained.csv"])
    assert list(table)[:3] == ["step", "specimen", "time"] and len(table["time"]) == 16
    result = torch.load(saved, weights_only=True)
    assert {type(value) for value in result.values()} == {torch.Tensor}
    assert {f"input.{k}.strain" for k in range(9)} <= set(result)
    assert {f"output.{k}.stress" for k in range(1, 9)} <= set(result)
    for k in (1, 8):
        stress = result[f"output.{k}.stress"]
        assert stress.shape == (2, 6) and stress.dtype == torch.float64
        assert table["stress_11"][table["step"] == k].tolist() == stress[:, 0].tolist()
    assert table["equivalent_plastic_strain"][-1] > 0.005


def test_mixed_control(neml2fe: Cli, tmp_path: Path) -> None:
    ended = neml2fe("run", POINT, "uniaxial", "--output", tmp_path)
    assert ended.code == 0
    assert set(listed(ended.out)) == {"uniaxial.csv", "uniaxial.png"}
    table = read_table(tmp_path / "uniaxial.csv")
    assert np.abs(table["stress_11"]).max() > 150.0
    assert np.abs(table["stress_22"]).max() < 1e-6
    assert np.allclose(table["strain_11"][-2:], [0.01, 0.02])


def test_material_failure_keeps_what_was_computed(neml2fe: Cli, tmp_path: Path) -> None:
    more = settings(
        "Drivers/strained/prescribed_SR2_values=jump",
        f"Drivers/strained/save_as={tmp_path}/result.pt",
    )
    ended = neml2fe("run", POINT, "strained", "-o", tmp_path, *more)
    ended.refused("step 5 of 8", "did not converge", code=1)
    assert set(listed(ended.out)) == {"strained.csv", "strained.png", "result.pt"}
    assert read_table(tmp_path / "strained.csv")["step"].tolist() == [1, 1, 2, 2, 3, 3, 4, 4]
    result = torch.load(tmp_path / "result.pt", weights_only=True)
    assert "output.4.stress" in result and "output.5.stress" not in result


@pytest.mark.parametrize(
    ("tensor", "words"),
    [("column", ["(6,)", "(9, 2, 5)"]), ("short", ["'strain'", "(4, 2)", "9"])],
)
def test_wrong_tensor_shape(tensor: str, words: list[str], neml2fe: Cli, tmp_path: Path) -> None:
    wrong = settings(f"Drivers/strained/prescribed_SR2_values={tensor}")
    ended = neml2fe("run", POINT, "strained", "-o", tmp_path, *wrong)
    ended.refused("point.i:", *words)


def test_a_material_run_cannot_be_resumed(neml2fe: Cli, tmp_path: Path) -> None:
    neml2fe("run", POINT, "strained", "-o", tmp_path, "--resume").refused("resume")


# --- finite elements -------------------------------------------------------------------
@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Ended]:
    """A copy of the deck, run in a process of its own with SciPy; results go beside it."""
    folder = tmp_path_factory.mktemp("plate")
    for deck in PLATE.parent.glob("*.i"):
        (folder / deck.name).write_text(deck.read_text())
    deck = folder / "plate.i"
    return folder / "results", process(
        "run", deck, *settings("Drivers/plate/backend=scipy"), *SHORT
    )


def test_files_of_a_run(results: tuple[Path, Ended]) -> None:
    folder, ended = results
    assert ended.code == 0 and not ended.err
    files = listed(ended.out)
    suffixes = (".pvd", ".csv", ".checkpoint", ".png", "_load.png")
    assert list(files) == [f"plate{suffix}" for suffix in suffixes]
    assert {path.parent for path in files.values()} == {folder}
    assert is_drawn(files["plate.png"]) and is_drawn(files["plate_load.png"])
    assert not list(folder.glob(".*")), "temporary files are left"


def test_progress_in_a_log_is_plain(results: tuple[Path, Ended]) -> None:
    _, ended = results
    assert all(c.isprintable() or c == "\n" for c in ended.out)
    head, *steps = [line for line in ended.out.splitlines() if re.match(r" *(step |\d+ +0)", line)]
    for word in ("step", "time", "dt", "newton", "residual", "failed", "reaction", "left"):
        assert word in head
    assert [line.split()[0] for line in steps] == ["1", "2", "3"]


def test_fields_and_loads_agree(results: tuple[Path, Ended]) -> None:
    folder, _ = results
    table = read_table(folder / "plate.csv")
    steps = series(folder)
    assert list(steps) == table["time"].tolist() and len(steps) == 4
    last = steps[table["time"][-1]]
    right = last.points[:, 0] == 2.0
    pulled = last.point_data["displacement"][right, 0]
    assert np.allclose(pulled, table["pull_displacement"][-1], rtol=1e-14, atol=0)
    assert pulled[0] == pytest.approx(0.012 * 0.3 / 0.45)
    names = {"strain", "stress", "stress_mises", "equivalent_plastic_strain"}
    assert names <= set(last.cell_data)
    assert last.cell_data["stress"][0].shape == (20, 6)
    assert last.cell_data["equivalent_plastic_strain"][0].max() > 1e-3
    balance = table["hold_x_reaction"] + table["pull_reaction"] + table["shear_x_force"]
    assert np.abs(balance[1:]).max() < 1e-8 * np.abs(table["pull_reaction"]).max()


def test_petsc_agrees_with_scipy(results: tuple[Path, Ended], neml2fe: Cli, tmp_path: Path) -> None:
    pytest.importorskip("petsc4py", reason="petsc4py is not installed")
    ended = neml2fe("run", PLATE, "-o", tmp_path, *SHORT)
    assert ended.code == 0 and "PETSc" in ended.out
    assert "SciPy" in results[1].out and "PETSc" not in results[1].out
    assert difference(tmp_path, results[0]) < 1e-9


@pytest.mark.parametrize("ranks", [pytest.param("1", marks=pytest.mark.slow), "auto"])
def test_without_petsc_one_line_says_so(
    ranks: str, results: tuple[Path, Ended], tmp_path: Path
) -> None:
    """A process in which petsc4py and mpi4py cannot be imported, whether installed or not."""
    shim = tmp_path / "shim"
    shim.mkdir()
    blocked = "import sys\nsys.modules['petsc4py'] = sys.modules['mpi4py'] = None\n"
    (shim / "sitecustomize.py").write_text(blocked)
    ended = process("run", PLATE, "-o", tmp_path, "--ranks", ranks, *SHORT, PYTHONPATH=str(shim))
    assert ended.code == 0
    assert ended.err == (
        "neml2fe: warning: petsc4py is not installed: solving serially with SciPy\n"
    )
    assert difference(tmp_path, results[0]) < 1e-9
    if ranks == "auto":
        several = process("run", PLATE, "--ranks", "2", PYTHONPATH=str(shim))
        several.refused("mpi4py", "petsc4py")
        alone = process("run", PLATE, PYTHONPATH=str(shim), OMPI_COMM_WORLD_SIZE="2")
        alone.refused("2 ranks", "mpi4py is missing")


def test_quiet(neml2fe: Cli, tmp_path: Path) -> None:
    ended = neml2fe("run", PLATE, "-q", "-o", tmp_path, *settings("Drivers/plate/end_time=0.1"))
    assert (ended.code, ended.out, ended.err) == (0, "", "")


# --- time steps ------------------------------------------------------------------------
def test_cutback_and_growth(neml2fe: Cli, tmp_path: Path) -> None:
    """A first step that the material cannot take, then steps that grow to the largest."""
    large = settings("Drivers/plate/dt=0.45", "Drivers/plate/dt_max=0.45")
    few = settings("Solvers/newton/max_its=4")
    ended = neml2fe("run", PLATE, "-o", tmp_path, *large, *few)
    assert ended.code == 0
    cuts = re.findall(r"cutback: dt (\S+) -> (\S+): (\d+) of 80 points", ended.out)
    assert cuts and float(cuts[0][1]) == pytest.approx(0.5 * float(cuts[0][0]))
    steps = read_table(tmp_path / "plate.csv")["dt"][1:]
    assert steps[0] < 0.3 and steps.sum() == pytest.approx(1.0)
    assert (np.diff(steps) > 0.01).any()


def test_steps_end_at_breakpoints_and_stops(neml2fe: Cli, tmp_path: Path) -> None:
    more = settings("Drivers/plate/stops=0.07 0.71", "Drivers/plate/output_every=4")
    more += settings("Drivers/plate/dt=0.15", "Drivers/plate/dt_max=0.3")
    ended = neml2fe("run", PLATE, "-q", "-o", tmp_path, *more)
    assert ended.code == 0
    table = read_table(tmp_path / "plate.csv")
    times = table["time"].tolist()
    assert {0.0, 0.07, 0.45, 0.71, 1.0} <= set(times) and times == sorted(times)
    assert table["pull_displacement"][times.index(0.45)] == 0.012
    assert table["dt"].max() <= 0.3
    every = times[::4]
    assert list(series(tmp_path)) == every + ([] if times[-1] in every else times[-1:])


def test_a_run_that_cannot_converge(neml2fe: Cli, tmp_path: Path) -> None:
    """The last good step is written in full, and the run can go on with smaller steps."""
    hopeless = settings(
        "Solvers/newton/max_its=2", "Drivers/plate/dt_min=0.05", "Drivers/plate/output_every=7"
    )
    ended = neml2fe("run", PLATE, "-o", tmp_path, *hopeless)
    ended.refused("smallest step", "dt_min = 0.05", "of 80 points did not converge", code=1)
    assert {"plate.pvd", "plate.csv", "plate.checkpoint"} <= set(listed(ended.out))
    times = read_table(tmp_path / "plate.csv")["time"].tolist()
    assert 2 <= len(times) < 7 and f"at time {times[-1]:g} " in ended.err
    assert list(series(tmp_path)) == [0.0, times[-1]]
    assert checkpoint.load(tmp_path / "plate.checkpoint")[1]["time"] == times[-1]
    go_on = settings("Drivers/plate/end_time=0.2")
    assert neml2fe("run", PLATE, "-q", "-o", tmp_path, *go_on, "--resume").code == 0
    assert read_table(tmp_path / "plate.csv")["time"].tolist()[: len(times)] == times
    assert list(series(tmp_path))[-1] == 0.2


def test_a_load_that_is_not_a_number(neml2fe: Cli, tmp_path: Path) -> None:
    broken = settings("BoundaryConditions/pull/value=breaks", "Drivers/plate/output_every=4")
    ended = neml2fe("run", PLATE, "-o", tmp_path, *broken)
    ended.refused("'pull' is nan at time 0.6")
    assert read_table(tmp_path / "plate.csv")["time"][-1] == pytest.approx(0.5)
    steps = series(tmp_path)
    assert list(steps) == pytest.approx([0.0, 0.4, 0.5])
    assert np.isfinite(steps[0.5].point_data["displacement"]).all()


def test_a_new_run_leaves_nothing_of_the_old_one(neml2fe: Cli, tmp_path: Path) -> None:
    """Else a later --resume would go on from another run."""
    command = ["run", PLATE, "-q", "-o", tmp_path]
    assert neml2fe(*command, *settings("Drivers/plate/end_time=0.2")).code == 0
    assert (tmp_path / "plate.checkpoint").exists()
    wrong = settings(
        "BoundaryConditions/shear/value=breaks 0", "Functions/breaks/expr=torch.sqrt(0.05 - t)"
    )
    assert neml2fe(*command, *wrong).code == 2
    assert not (tmp_path / "plate.checkpoint").exists()
    assert list(series(tmp_path)) == [0.0] and len(list(tmp_path.glob("plate_*.vtu"))) == 1
    assert VtuSeries(tmp_path, "plate").resume(1.0) == 1
