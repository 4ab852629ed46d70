"""Runs on MPI ranks: the same answers as on one, and no rank left waiting."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from e2e_runs import PLATE, Ended, all_on_ranks, on_ranks, process, settings
from mpi_ranks import ENVIRONMENT, NEEDS_MPI

from neml2fe.cli.main import main
from neml2fe.io import checkpoint, read_table

Cli = Callable[..., Ended]
Two = tuple[Path, dict[str, Ended]]
pytestmark = NEEDS_MPI
END = settings("Drivers/plate/stops=0.2", "Drivers/plate/end_time=0.5")
HALF = settings("Drivers/plate/stops=0.2", "Drivers/plate/end_time=0.2")


@pytest.fixture(scope="module")
def serial(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("serial")
    assert main(["run", str(PLATE), "-q", "-o", str(folder), *END]) == 0
    return folder


def agree(one: Path, other: Path) -> None:
    """Displacements, states and loads of two runs are equal to 1e-9, and so are their steps."""
    (a, had), (b, has) = (checkpoint.load(path / "plate.checkpoint") for path in (one, other))
    assert had.pop("energies") == pytest.approx(has.pop("energies"), rel=1e-9)
    assert had == has and set(a) == set(b)
    for name in a:
        assert np.linalg.norm(a[name] - b[name]) <= 1e-9 * np.linalg.norm(a[name]), name
    x, y = (read_table(path / "plate.csv") for path in (one, other))
    assert list(x) == list(y) and np.array_equal(x["time"], y["time"])
    for name in x:
        scale = max(np.abs(x["pull_reaction"]).max() if "reaction" in name else 0.0, 1e-3)
        if name != "newton_iterations":
            assert np.allclose(x[name], y[name], rtol=1e-9, atol=1e-9 * scale), name
    times = [re.findall(r'timestep="(.*?)"', (p / "plate.pvd").read_text()) for p in (one, other)]
    assert times[0] == times[1]


def test_ranks_agree_with_one(serial: Path, tmp_path: Path) -> None:
    ended = process("run", PLATE, "--ranks", "auto", "-o", tmp_path, *END)
    assert ended.code == 0 and not ended.err
    assert "on 2 ranks" in ended.out and ended.out.count("Files written:") == 1
    assert all(c.isprintable() or c == "\n" for c in ended.out)
    agree(serial, tmp_path)
    assert (tmp_path / "plate.png").stat().st_size > 10_000


def test_auto_follows_the_backend(serial: Path, neml2fe: Cli, tmp_path: Path) -> None:
    scipy = settings("Drivers/plate/backend=scipy")
    ended = neml2fe("run", PLATE, "--ranks", "auto", "-o", tmp_path, *END, *scipy)
    assert ended.code == 0 and "on 1 rank; SciPy" in ended.out
    agree(serial, tmp_path)


def test_output_of_a_launcher_is_plain_and_one_rank_goes_on(serial: Path, tmp_path: Path) -> None:
    """Open MPI gives the ranks a terminal of its own, also where its output goes to a file."""
    ended = on_ranks(2, "run", PLATE, "-o", tmp_path, *HALF)
    assert ended.code == 0 and not ended.err
    assert all(c.isprintable() or c in "\r\n" for c in ended.out)
    assert ended.out.count("Files written:") == 1
    ended = on_ranks(1, "run", PLATE, "-q", "-o", tmp_path, *END, "--resume")
    assert ended.code == 0, ended.err
    agree(serial, tmp_path)


BAD = {
    "boundary": (["BoundaryConditions/pull/boundary=rigth"], ["did you mean 'right'"]),
    "mesh": (["Meshes/plate/divisions=0 3"], ["[Meshes/plate]"]),
    "option": (["Drivers/plate/petsc_options=-ksp_type nosuch"], ["nosuch"]),
    "nan": (["BoundaryConditions/pull/value=breaks"], ["'pull' is nan at time 0.6"]),
    "backend": (["Drivers/plate/backend=scipy"], ["one rank"]),
}


@pytest.fixture(scope="module")
def two(serial: Path, tmp_path_factory: pytest.TempPathFactory) -> Two:
    """Runs of two ranks that were started once: each has a folder of its name."""
    folder = tmp_path_factory.mktemp("two")
    assert main(["run", str(PLATE), "-q", "-o", str(folder / "resumed"), *HALF]) == 0
    (folder / "unwritable" / "plate.csv").mkdir(parents=True)
    words = {name: settings(*changes) for name, (changes, _) in BAD.items()}
    words["resumed"] = [*END, "--resume"]
    words["unwritable"] = []
    checkpoint_of_one = str(serial / "plate.checkpoint")
    words["foreign"] = [*settings("Meshes/plate/lengths=2 1.1"), "--resume", checkpoint_of_one]
    return folder, all_on_ranks(
        2,
        {name: ["run", PLATE, "-q", "-o", folder / name, *more] for name, more in words.items()},
        folder,
    )


def test_two_ranks_go_on_where_one_stopped(serial: Path, two: Two) -> None:
    folder, ended = two
    assert ended["resumed"].code == 0, ended["resumed"].err
    agree(serial, folder / "resumed")


@pytest.mark.parametrize("name", BAD)
def test_bad_input_stops_every_rank(name: str, two: Two) -> None:
    folder, ended = two
    ended[name].refused(*BAD[name][1])
    if name == "nan":
        assert len(read_table(folder / name / "plate.csv")["time"]) >= 2
        assert checkpoint.load(folder / name / "plate.checkpoint")[1]["time"] > 0


def test_no_convergence_stops_every_rank(tmp_path: Path) -> None:
    hopeless = settings("Solvers/newton/max_its=2", "Drivers/plate/dt_min=0.05")
    ended = on_ranks(2, "run", PLATE, "-q", "-o", tmp_path, *hopeless)
    own = [line for line in ended.err.splitlines() if line.startswith("neml2fe: ")]
    Ended(ended.code, ended.out, "\n".join(own)).refused("dt_min", code=1)
    assert len(read_table(tmp_path / "plate.csv")["time"]) >= 2
    assert checkpoint.load(tmp_path / "plate.checkpoint")[1]["time"] > 0


def test_unwritable_results_stop_every_rank(two: Two) -> None:
    folder, ended = two
    ended["unwritable"].refused(f"cannot write {folder}/unwritable/plate.csv")


def test_a_checkpoint_of_another_run_stops_every_rank(serial: Path, two: Two) -> None:
    two[1]["foreign"].refused(str(serial / "plate.checkpoint"), "of another run")


def test_a_damaged_checkpoint_stops_every_rank(serial: Path, tmp_path: Path) -> None:
    """Through the command's own launcher, whose standard error holds our line and no other."""
    path = tmp_path / "bad.checkpoint"
    data = (serial / "plate.checkpoint").read_bytes()
    path.write_bytes(data[: len(data) // 2])
    ended = process("run", PLATE, "--ranks=2", "-o", tmp_path, "--resume", path)
    ended.refused(str(path), "damaged")


@pytest.mark.parametrize("whom", ["group", "parent"])
def test_interrupt_ends_all_ranks(whom: str, tmp_path: Path) -> None:
    """Ctrl-C at a terminal goes to the whole group; a script may interrupt the command alone."""
    more = [*settings("Drivers/plate/dt=0.01"), "-o", str(tmp_path)]
    running = subprocess.Popen(
        [sys.executable, "-m", "neml2fe", "run", str(PLATE), "--ranks", "2", *more],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | ENVIRONMENT,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    until = time.monotonic() + 200
    while len(list(tmp_path.glob("plate_*.vtu"))) < 3 and time.monotonic() < until:
        assert running.poll() is None
        time.sleep(0.02)
    (os.killpg if whom == "group" else os.kill)(running.pid, signal.SIGINT)
    _, err = running.communicate(timeout=30)
    assert running.returncode == 130
    assert err.splitlines()[-1] == "interrupted; what was written stays readable"
    time.sleep(0.5)
    written = len(read_table(tmp_path / "plate.csv")["time"])
    assert 2 <= written < 101
    time.sleep(1.5)
    assert len(read_table(tmp_path / "plate.csv")["time"]) == written, "a rank lives on"
