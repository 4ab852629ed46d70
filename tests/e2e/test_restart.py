"""Runs that stop and go on: by themselves, killed, and from checkpoints that do not fit."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import meshio
import numpy as np
import pytest
from e2e_runs import PLATE, Ended, settings
from mpi_ranks import ENVIRONMENT

from neml2fe.cli import main
from neml2fe.io import checkpoint, read_table

Cli = Callable[..., Ended]
STOP = settings("Drivers/plate/stops=0.3", "Drivers/plate/end_time=0.7")
HALF = settings("Drivers/plate/stops=0.3", "Drivers/plate/end_time=0.3")
MANY = settings("Drivers/plate/dt=0.02")


def contents(folder: Path) -> dict[str, bytes]:
    """The tables and fields of a run, byte for byte."""
    files = [*folder.glob("*.csv"), *folder.glob("*.pvd"), *folder.glob("plate_*.vtu")]
    return {path.name: path.read_bytes() for path in files}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of an uninterrupted run."""
    folder = tmp_path_factory.mktemp("whole")
    from neml2fe.cli.main import main

    assert main(["run", str(PLATE), "-q", "-o", str(folder), *STOP]) == 0
    return folder


def test_resumed_run_is_the_same_to_the_last_bit(whole: Path, neml2fe: Cli, tmp_path: Path) -> None:
    command = ["run", PLATE, "-o", tmp_path]
    assert neml2fe(*command, *HALF).code == 0
    half = read_table(tmp_path / "plate.csv")
    assert half["time"][-1] == 0.3
    ended = neml2fe(*command, *STOP, "--resume")
    assert ended.code == 0 and "Files written:" in ended.out
    assert contents(tmp_path) == contents(whole)
    (a, had), (b, has) = (checkpoint.load(f / "plate.checkpoint") for f in (whole, tmp_path))
    assert had == has and set(a) == set(b)
    assert all(np.array_equal(a[name], b[name]) for name in a)
    assert read_table(tmp_path / "plate.csv")["step"].tolist() == list(
        range(len(contents(whole)) - 2)
    )


def test_resume_of_a_run_at_its_end(whole: Path, neml2fe: Cli) -> None:
    before = contents(whole)
    ended = neml2fe("run", PLATE, "-o", whole, *STOP, "--resume")
    assert ended.code == 0 and not ended.err and "nothing to do: time 0.7" in ended.out
    assert contents(whole) == before


def test_resume_from_a_named_checkpoint_elsewhere(
    whole: Path, neml2fe: Cli, tmp_path: Path
) -> None:
    longer = settings("Drivers/plate/end_time=0.8")
    named = ["--resume", whole / "plate.checkpoint"]
    assert neml2fe("run", PLATE, "-q", "-o", tmp_path, *longer, *named).code == 0
    times = read_table(tmp_path / "plate.csv")["time"]
    assert times[0] > 0.7 and times[-1] == 0.8


def test_killed_run_goes_on(neml2fe: Cli, tmp_path: Path) -> None:
    """SIGKILL after the first checkpoint: all files are whole, and the end is the same."""
    ends = ["-o", tmp_path / "killed", *MANY, *settings("Drivers/plate/end_time=0.5")]
    command = [sys.executable, "-m", "neml2fe", "run", str(PLATE), *map(str, ends)]
    running = subprocess.Popen(command, stdout=subprocess.DEVNULL, env=os.environ | ENVIRONMENT)
    folder = tmp_path / "killed"
    try:
        until = time.monotonic() + 60
        while len(list(folder.glob("plate_*.vtu"))) < 6 and time.monotonic() < until:
            time.sleep(0.01)
    finally:
        running.send_signal(signal.SIGKILL)
        assert running.wait(10) == -signal.SIGKILL
    table = read_table(folder / "plate.csv")
    assert 5 <= len(table["time"]) < 26
    assert checkpoint.load(folder / "plate.checkpoint")[1]["step"] >= 4
    listed = (folder / "plate.pvd").read_text()
    for path in folder.glob("plate_*.vtu"):
        assert "displacement" in meshio.read(path).point_data
    assert listed.rstrip().endswith("</VTKFile>")

    assert neml2fe("run", PLATE, "-q", *ends, "--resume").code == 0
    ends[1] = tmp_path / "whole"
    assert neml2fe("run", PLATE, "-q", *ends).code == 0
    assert contents(folder) == contents(tmp_path / "whole")


@pytest.mark.parametrize("backend", ["auto", "scipy"])
def test_interrupted_run_ends_promptly(backend: str, tmp_path: Path) -> None:
    more = [*MANY, *settings(f"Drivers/plate/backend={backend}"), "-o", str(tmp_path)]
    command = [sys.executable, "-m", "neml2fe", "run", str(PLATE), *more]
    # Some shells start what runs in the background deaf to Ctrl-C.
    running = subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | ENVIRONMENT,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    until = time.monotonic() + 60
    while len(list(tmp_path.glob("plate_*.vtu"))) < 3 and time.monotonic() < until:
        time.sleep(0.01)
    running.send_signal(signal.SIGINT)
    _, err = running.communicate(timeout=15)
    assert running.returncode == 130
    assert err == "interrupted; what was written stays readable\n"
    assert len(read_table(tmp_path / "plate.csv")["time"]) >= 3


def test_an_interrupt_that_a_library_turns_into_another_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def library(*given: object) -> None:
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt:
            raise RuntimeError("error code -1") from None

    monkeypatch.setattr("neml2fe.input.load_input", library)
    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        assert main(["run", str(PLATE)]) == 130
    finally:
        signal.signal(signal.SIGINT, previous)
    assert capsys.readouterr().err == "interrupted; what was written stays readable\n"


# --- checkpoints that do not fit -------------------------------------------------------
def damaged(original: bytes) -> bytes:
    middle = len(original) // 2
    return original[:middle] + bytes(b ^ 255 for b in original[middle : middle + 8]) + original[
        middle + 8 :
    ]  # fmt: skip


BAD: dict[str, Callable[[bytes], bytes]] = {
    "damaged": damaged,
    "truncated": lambda original: original[: len(original) // 2],
    "empty": lambda original: b"",
    "not a checkpoint": lambda original: b"step,time\n0,0\n",
}


@pytest.mark.parametrize("name", BAD)
def test_bad_checkpoint(name: str, whole: Path, neml2fe: Cli, tmp_path: Path) -> None:
    path = tmp_path / "bad.checkpoint"
    path.write_bytes(BAD[name]((whole / "plate.checkpoint").read_bytes()))
    ended = neml2fe("run", PLATE, "-q", "-o", tmp_path / "o", "--resume", path)
    ended.refused(str(path), "damaged")
    assert not (tmp_path / "o").exists()


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        (["Meshes/plate/lengths=2 1.1"], "mesh"),
        (["Meshes/plate/divisions=4 4"], "mesh"),
        (["Drivers/plate/quadrature_degree=1"], "quadrature"),
        (
            ["Materials/metal/model=elastic", "Materials/metal/strain=elastic_strain"],
            "states",
        ),
    ],
)
def test_foreign_checkpoint(
    changes: list[str], what: str, whole: Path, neml2fe: Cli, tmp_path: Path
) -> None:
    before = contents(whole)
    path = whole / "plate.checkpoint"
    deck = tmp_path / "plate.i"
    elastic = "[Models]\n[elastic]\ntype = LinearIsotropicElasticity\nstrain = 'elastic_strain'\n"
    elastic += "coefficients = '1e5 0.3'\ncoefficient_types = 'YOUNGS_MODULUS POISSONS_RATIO'\n"
    text = PLATE.read_text().replace("!include ", f"!include {PLATE.parent}/")
    deck.write_text(text + elastic + "[]\n[]\n")
    ended = neml2fe("run", deck, "-q", "-o", whole, *settings(*changes), "--resume", path)
    ended.refused(str(path), "of another run", what)
    assert contents(whole) == before


def test_no_checkpoint(neml2fe: Cli, tmp_path: Path) -> None:
    ended = neml2fe("run", PLATE, "-q", "-o", tmp_path, "--resume")
    ended.refused("plate.checkpoint", "No such file")
