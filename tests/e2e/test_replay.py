"""A quadrature point that fails leaves a deck that repeats it alone."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PLATE = ROOT / "examples/perforated_plate/plate.i"
# Three local iterations are too few for the first plastic step.
TOO_FEW = ("--set", "Solvers/newton/max_its=3")
ONE_TRY = ("--set", "Drivers/plate/dt=0.2", "--set", "Drivers/plate/dt_min=0.2")


def run(*words: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "neml2fe", "run", *map(str, words)],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=200,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


def failed_point(tmp_path: Path, *words: str) -> Path:
    """The deck of the point that failed."""
    failed = run(*words, "-o", tmp_path, PLATE, *TOO_FEW, *ONE_TRY, cwd=tmp_path)
    assert failed.returncode == 1
    deck = tmp_path / "plate_failed_point.i"
    (line,) = [x for x in failed.stderr.splitlines() if x.startswith("neml2fe: error:")]
    assert f"neml2fe run {deck} failed_point" in line
    assert "quad9" in line
    return deck


def test_failed_point_can_be_repeated(tmp_path: Path) -> None:
    deck = failed_point(tmp_path)
    again = run(deck, "failed_point", *TOO_FEW, cwd=tmp_path)
    assert again.returncode == 1
    assert "did not converge for 1 of 1 specimens" in again.stderr
    mended = run(deck, "failed_point", "-o", tmp_path, cwd=tmp_path)
    assert mended.returncode == 0, mended.stderr
    assert (tmp_path / "failed_point.csv").exists()


@pytest.mark.mpi
def test_failed_point_on_two_ranks(tmp_path: Path) -> None:
    """It fails again on its own: what the ranks wrote is what it met."""
    pytest.importorskip("petsc4py")
    again = run(failed_point(tmp_path, "--ranks", "2"), "failed_point", *TOO_FEW, cwd=tmp_path)
    assert again.returncode == 1
    assert "did not converge for 1 of 1 specimens" in again.stderr
