"""Linked displacements on two MPI ranks: the answers of SciPy on one."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from constraints_on_ranks import solve
from numpy.typing import NDArray
from test_parallel import ENVIRONMENT

pytest.importorskip("petsc4py", reason="petsc4py is not installed")
pytest.importorskip("mpi4py", reason="mpi4py is not installed")
pytestmark = [
    pytest.mark.mpi,
    pytest.mark.skipif(shutil.which("mpiexec") is None, reason="mpiexec is not installed"),
]

SCRIPT = Path(__file__).parent / "constraints_on_ranks.py"
CASES = ["rollers", "rigid", "cell", "finite", "glued", "blown"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All cases on two ranks."""
    folder = tmp_path_factory.mktemp("ranks")
    command = ["mpiexec", "-n", "2", sys.executable, str(SCRIPT), str(folder), *CASES, "refused"]
    done = subprocess.run(
        command, env=os.environ | ENVIRONMENT, capture_output=True, text=True, timeout=200
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def load(folder: Path, case: str) -> dict[str, NDArray]:
    with np.load(folder / f"{case}.npz") as data:
        return dict(data)


@pytest.mark.parametrize("case", CASES)
def test_two_ranks_agree_with_scipy(case: str, folder: Path) -> None:
    found, expected = load(folder, case), solve(case, "scipy")
    for name in set(expected) - {"residuals", "restored"}:
        size = np.linalg.norm(expected[name])
        assert np.linalg.norm(found[name] - expected[name]) <= 1e-9 * size, name
    assert found["restored"] == 0.0


def test_contradictions_reach_every_rank(folder: Path) -> None:
    messages = load(folder, "refused")["messages"].tolist()
    assert len(messages) == 2 and len(set(messages)) == 1
    assert "InputError" in messages[0] and "which 'head' moves" in messages[0]
