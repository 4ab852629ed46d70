"""Starting MPI ranks from the command line."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import subprocess
import sys
from typing import Any

from neml2fe.errors import InputError

TERMINAL = "NEML2FE_TERMINAL"


def wanted_ranks(text: str) -> int:
    """The number that `--ranks` asks for; 'auto' is two where MPI and PETSc are found."""
    if text == "auto":
        missing = missing_for_mpi()
        if missing and "petsc4py" not in missing:  # without it, the solver says so itself
            print(f"neml2fe: running on one rank: no {', '.join(missing)}", file=sys.stderr)
        return 1 if missing else 2
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
        TERMINAL: str(int(sys.stdout.isatty())),
        "COLUMNS": str(shutil.get_terminal_size().columns),
    }
    command = ["mpiexec", "-n", str(ranks), sys.executable, "-m", "neml2fe", *words]
    process = subprocess.Popen(command, env=environment)
    # A launcher that dies by force may leave its ranks behind, so it is asked and awaited.
    signal.signal(signal.SIGTERM, lambda *_: process.terminate())
    try:
        return process.wait()
    except KeyboardInterrupt:
        try:
            process.wait(timeout=1.0)  # a terminal interrupts the launcher as well
        except subprocess.TimeoutExpired:
            process.terminate()
            process.wait()
        raise


def plain_output() -> None:
    """Print without control characters, unless `launch` says that the user is at a terminal:
    some launchers give the ranks a terminal of their own, wherever the output goes."""
    if os.environ.get(TERMINAL) != "1":
        os.environ["TERM"] = "dumb"


def share_threads(comm: Any) -> None:
    """Divide the cores between the ranks, unless the user decided."""
    if comm is not None and "OMP_NUM_THREADS" not in os.environ:
        import torch

        torch.set_num_threads(max(1, (os.cpu_count() or 1) // comm.size))
