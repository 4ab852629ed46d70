"""Set up `.venv` for neml2fe: what `make setup` runs.

Standard library only, because it runs before anything is installed. The steps are

1. system packages that are missing, by apt-get, where that is allowed;
2. the virtual environment, PyTorch, and neml2fe with the versions of `constraints.txt`;
3. petsc4py compiled against the PETSc that is there, and mpi4py (`set_up_petsc.py`).

Steps 1 and 3 run beside step 2. A stamp makes the next call return at once; a call
that was killed half way is noticed by the next one, which starts `.venv` afresh.
`docs/installation.md` describes the choices for users.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from set_up_petsc import SERIAL, find_petsc, prepare_petsc
from set_up_steps import (
    CONSTRAINTS,
    PYTHON,
    PYTHON_PACKAGE,
    ROOT,
    VENV,
    Journal,
    SetupError,
    apt_get,
    install_packages,
)

LOG = VENV / "setup.log"
STAMP = VENV / "setup.stamp"
UNFINISHED = VENV / "setup.unfinished"


def make_venv(journal: Journal) -> None:
    """A `.venv` of this Python with pip; afresh if the last set-up was killed half way."""
    version = "import pip, sys; print(sys.version)"
    present = (
        PYTHON.exists()
        and subprocess.run([PYTHON, "-c", version], capture_output=True, text=True).stdout.strip()
        == sys.version.strip()
    )
    if present and not UNFINISHED.exists():
        return
    if importlib.util.find_spec("ensurepip") is None:  # Debian has it in a package of its own
        apt = apt_get()
        if apt is None:
            raise SetupError(f"this Python has no ensurepip: install {PYTHON_PACKAGE}-venv")
        install_packages(journal, apt, [f"{PYTHON_PACKAGE}-venv"])
    for entry in VENV.iterdir():
        if entry != LOG:
            shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()
    journal.run("making .venv", [sys.executable, "-m", "venv", VENV])
    (VENV / ".gitignore").write_text("*\n")


@contextmanager
def unfinished() -> Iterator[None]:
    """Leave a mark if the process dies inside; a pip that fails by itself has cleaned up."""
    UNFINISHED.touch()
    try:
        yield
    except SetupError:
        UNFINISHED.unlink()
        raise
    UNFINISHED.unlink()


def set_up(journal: Journal) -> None:
    journal.say(f"setting up neml2fe in {VENV} (details in setup.log there)")
    make_venv(journal)
    build = VENV / "petsc4py-build"
    pip: list[str | Path] = [PYTHON, "-m", "pip", "install"]
    pinned = {"PIP_CONSTRAINT": str(CONSTRAINTS), "PIP_BUILD_CONSTRAINT": str(CONSTRAINTS)}
    with unfinished(), ThreadPoolExecutor(1) as beside:
        petsc = beside.submit(prepare_petsc, journal, build)
        torch = re.search(r"^torch==\S+", CONSTRAINTS.read_text(), re.MULTILINE)
        assert torch is not None, "constraints.txt pins torch"
        journal.say(f"Python packages: {torch[0]} and the pinned ones in constraints.txt")
        # By name and first, so that pip takes the build of this release that suits the machine.
        journal.run("pip install torch", [*pip, torch[0]], pinned)
        journal.run("pip install neml2fe", [*pip, "-e", ".[figures,bayes,hdf5,dev]"], pinned)
        journal.say("Python packages are installed")
        if petsc.result() is None:
            uninstall = [*pip[:-1], "uninstall", "-y", "petsc4py", "mpi4py"]
            journal.run("pip uninstall petsc4py", uninstall)
        elif build.exists():
            built = build.glob("*.whl")
            journal.run("pip install petsc4py", [*pip, "--no-deps", "--force-reinstall", *built])
            shutil.rmtree(build)
    journal.say("set-up is finished" + ("" if petsc.result() else " (serial)"))


def fingerprint() -> str:
    """Changes whenever the set-up would come out differently."""
    state = hashlib.sha256()
    scripts = sorted(Path(__file__).parent.glob("*.py"))
    for file in (ROOT / "pyproject.toml", CONSTRAINTS, *scripts):
        state.update(file.read_bytes())
    petsc = "serial" if SERIAL else find_petsc()
    state.update(f"{ROOT} {sys.version} {petsc}".encode())
    return state.hexdigest()


def main() -> int:
    if sys.version_info < (3, 10):  # noqa: UP036
        print(
            f"neml2fe needs Python 3.10 or newer, this is {sys.version.split()[0]}: "
            "make PYTHON=python3.11 ...",
            file=sys.stderr,
        )
        return 1
    if Path(sys.prefix).resolve() == VENV.resolve():  # called from the activated .venv
        base = getattr(sys, "_base_executable", sys.executable)
        os.execv(base, [base, __file__])
    VENV.mkdir(exist_ok=True)
    with LOG.open("a") as log:
        fcntl.flock(log, fcntl.LOCK_EX)  # two calls at once: the second waits, then has no work
        try:
            if STAMP.exists() and STAMP.read_text() == fingerprint():
                return 0
            STAMP.unlink(missing_ok=True)
            log.truncate(0)
            set_up(Journal(log))
            STAMP.write_text(fingerprint())
        except SetupError as error:
            print(f"set-up stopped: {error}\nEverything it printed: {LOG}", file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            print("set-up interrupted; the next call repairs it", file=sys.stderr)
            return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
