"""Starting MPI ranks from the command line."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys

from neml2fe.errors import InputError


def wanted_ranks(text: str) -> int:
    """The number that `--ranks` asks for; 'auto' is two where MPI and PETSc are found."""
    if text == "auto":
        missing = missing_for_mpi()
        if missing:
            print(f"running serially with SciPy where PETSc is absent: no {', '.join(missing)}")
            return 1
        return 2
    if not text.isdigit() or int(text) < 1:
        raise InputError(f"--ranks takes a positive number or 'auto', got '{text}'")
    return int(text)


def missing_for_mpi() -> list[str]:
    """What several ranks would need and is not there."""
    missing = [m for m in ("mpi4py", "petsc4py") if importlib.util.find_spec(m) is None]
    return missing + ([] if shutil.which("mpiexec") else ["mpiexec"])


def launch(ranks: int, words: list[str]) -> int:
    """Run `neml2fe` with `words` on `ranks` MPI ranks; returns the exit code.

    Raises `InputError` when MPI or PETSc is missing.
    """
    missing = missing_for_mpi()
    if missing:
        raise InputError(
            f"{ranks} ranks need {' and '.join(missing)}; see `neml2fe doctor`, or run on one rank"
        )
    environment = {
        **os.environ,
        # Open MPI refuses root, and more ranks than cores, unless told otherwise.
        "OMPI_ALLOW_RUN_AS_ROOT": "1",
        "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
        "OMPI_MCA_rmaps_base_oversubscribe": "1",
        "OMPI_MCA_orte_execute_quiet": "1",
        # The launcher gives ranks a terminal of its own; ours decides what the table looks like.
        "COLUMNS": str(shutil.get_terminal_size().columns),
        **({} if sys.stdout.isatty() else {"TERM": "dumb", "NO_COLOR": "1"}),
    }
    command = ["mpiexec", "-n", str(ranks), sys.executable, "-m", "neml2fe", *words]
    return subprocess.run(command, env=environment, check=False).returncode
