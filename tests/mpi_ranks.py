"""Starting MPI ranks from tests."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "OMPI_ALLOW_RUN_AS_ROOT": "1",
    "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
    # More ranks than cores, for Open MPI 4 and 5; others allow it anyway.
    "OMPI_MCA_rmaps_base_oversubscribe": "1",
    "OMPI_MCA_mpi_yield_when_idle": "1",
    "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe",
}


def has_mpi() -> bool:
    found = all(find_spec(name) is not None for name in ("mpi4py", "petsc4py"))
    return found and shutil.which("mpiexec") is not None


# Marks of tests that start ranks.
NEEDS_MPI = [
    pytest.mark.mpi,
    pytest.mark.skipif(not has_mpi(), reason="mpi4py, petsc4py or mpiexec is not installed"),
]


def script_on_ranks(ranks: int, script: Path, *words: object, timeout: float = 270) -> str:
    """What a Python script prints on so many ranks; it must end well. Starting Python and torch
    takes longer than a small problem: one start should do all that there is on so many ranks."""
    done = subprocess.run(
        ["mpiexec", "-n", str(ranks), sys.executable, str(script), *map(str, words)],
        env=os.environ | ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=timeout,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "PETSC ERROR" not in done.stderr
    return done.stdout
