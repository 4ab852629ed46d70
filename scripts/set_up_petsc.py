"""PETSc for the set-up: find the one that is there, or Debian's; compile petsc4py against it."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sysconfig
from dataclasses import dataclass
from pathlib import Path

from set_up_steps import (
    CONSTRAINTS,
    PYTHON,
    PYTHON_PACKAGE,
    Journal,
    SetupError,
    apt_get,
    install_packages,
)

DEBIAN_PETSC = Path("/usr/lib/petscdir")
# Open MPI is what Debian builds PETSc with. On the default BLAS MUMPS is many times slower.
DEBIAN_MPI = ["libopenmpi-dev", "openmpi-bin", "g++"]
DEBIAN_PETSC_PACKAGES = ["petsc-dev", *DEBIAN_MPI, "libopenblas0-pthread"]
SERIAL = bool(os.environ.get("NEML2FE_SERIAL"))  # the user's wish to go without PETSc


@dataclass(frozen=True)
class Petsc:
    """A PETSc installation: what petsc4py is compiled against."""

    directory: Path
    arch: str
    version: tuple[int, int]

    @property
    def of_the_system(self) -> bool:
        return self.directory.is_relative_to("/usr")

    @property
    def build_requirements(self) -> list[str]:
        """What petsc4py of this version needs to compile.

        Before 3.20 its sources are for Cython 0.29; before 3.23 they use a part of Cython that
        3.1 no longer has. Setuptools 81 dropped parts too. NumPy is the one that will be used.
        """
        cython = "cython>=3"
        if self.version < (3, 20):
            cython = "cython<3"
        elif self.version < (3, 23):
            cython = "cython>=3,<3.1"
        numpy = [line for line in CONSTRAINTS.read_text().splitlines() if line.startswith("numpy=")]
        return ["setuptools<81", "wheel", cython, *numpy]

    @property
    def compiler(self) -> str:
        """The C compiler, MPI's, that PETSc was built with."""
        text = (self.directory / self.arch / "lib/petsc/conf/petscvariables").read_text()
        match = re.search(r"^PCC *= *(\S+)", text, re.MULTILINE)
        return match[1] if match else "mpicc"


def read_petsc(directory: Path, arch: str = "") -> Petsc:
    """Read version and configuration of the PETSc in `directory`.

    Raises `SetupError` if there is none or if it cannot be used (complex or
    single-precision numbers, no MPI).
    """
    header = directory / "include" / "petscversion.h"
    configuration = directory / arch / "include" / "petscconf.h"
    if not (header.exists() and configuration.exists()):
        raise SetupError(f"no PETSc with headers in PETSC_DIR={directory} PETSC_ARCH={arch}")
    numbers = dict(re.findall(r"#define PETSC_VERSION_(\w+)\s+(\d+)", header.read_text()))
    defined = set(re.findall(r"#define PETSC_(\w+)", configuration.read_text()))
    for flag, meaning in {
        "USE_COMPLEX": "complex numbers",
        "USE_REAL_SINGLE": "single precision",
        "HAVE_MPIUNI": "no MPI",
    }.items():
        if flag in defined:
            raise SetupError(
                f"the PETSc in {directory} is built with {meaning}; neml2fe needs real double "
                "precision and MPI: set PETSC_DIR and PETSC_ARCH to such a build"
            )
    return Petsc(directory, arch, (int(numbers["MAJOR"]), int(numbers["MINOR"])))


def find_petsc() -> Petsc | None:
    """The user's PETSc (PETSC_DIR, conda, or under this Python's petsc4py), else Debian's."""
    if "PETSC_DIR" in os.environ:
        return read_petsc(Path(os.environ["PETSC_DIR"]), os.environ.get("PETSC_ARCH", ""))
    conda = Path(os.environ.get("CONDA_PREFIX", ""))
    if conda.is_absolute() and (conda / "include" / "petscversion.h").exists():
        return read_petsc(conda)
    if importlib.util.find_spec("petsc4py") is not None:
        import petsc4py

        settings = petsc4py.get_config()
        return read_petsc(Path(settings["PETSC_DIR"]), settings["PETSC_ARCH"])
    debian = [
        read_petsc(header.parents[1])
        for header in DEBIAN_PETSC.glob("petsc[0-9].*/*-real/include/petscversion.h")
    ]
    return max(debian, key=lambda petsc: petsc.version, default=None)


def missing_packages(petsc: Petsc | None) -> list[str]:
    """Debian packages still needed to compile petsc4py."""
    missing = []
    if petsc is None:
        missing += DEBIAN_PETSC_PACKAGES
    elif shutil.which(petsc.compiler) is None:
        missing += DEBIAN_MPI
    if not Path(sysconfig.get_path("include"), "Python.h").exists():
        missing.append(f"{PYTHON_PACKAGE}-dev")
    return missing


def is_installed(petsc: Petsc) -> bool:
    """Whether `.venv` has a petsc4py that was compiled against `petsc` and still loads."""
    probe = """if True:
        import mpi4py.MPI, petsc4py, petsc4py.PETSc
        settings = petsc4py.get_config()
        print(settings["PETSC_DIR"], settings["PETSC_ARCH"], petsc4py.__version__, sep=":")"""
    found = subprocess.run([PYTHON, "-c", probe], capture_output=True, text=True)
    wanted = f"{petsc.directory}:{petsc.arch}:{petsc.version[0]}.{petsc.version[1]}."
    return found.returncode == 0 and found.stdout.startswith(wanted)


def build_petsc4py(journal: Journal, petsc: Petsc, build: Path) -> None:
    """Put wheels of petsc4py and mpi4py that fit `petsc` into the folder `build`."""
    release = f"{petsc.version[0]}.{petsc.version[1]}"
    journal.say(f"PETSc {release} in {petsc.directory / petsc.arch}: compiling petsc4py")
    shutil.rmtree(build, ignore_errors=True)
    journal.run("build environment", [PYTHON, "-m", "venv", build / "env"])
    python = build / "env" / "bin" / "python"
    journal.run("build tools", [python, "-m", "pip", "install", *petsc.build_requirements])
    # Not from pip's cache: it does not know which PETSc a wheel was compiled against.
    wheel: list[str | Path] = ["-m", "pip", "wheel", "--no-cache-dir", "--no-deps", "-w", build]
    journal.run(
        "compiling petsc4py",
        [python, *wheel, "--no-build-isolation", f"petsc4py=={release}.*"],
        {
            "PETSC_DIR": str(petsc.directory),
            "PETSC_ARCH": petsc.arch,
            # The wrapper is thin: -O1 halves the time to compile it and costs nothing measurable.
            "CFLAGS": "-w -Wno-error -g0 -O1",
        },
    )
    # The published mpi4py finds the MPI of the system; another one needs a build of its own.
    source = [] if petsc.of_the_system else ["--no-binary", "mpi4py"]
    journal.run(
        "mpi4py",
        [PYTHON, *wheel, *source, "-c", CONSTRAINTS, "mpi4py"],
        {"MPICC": petsc.compiler},
    )


def prepare_petsc(journal: Journal, build: Path) -> Petsc | None:
    """Find or install PETSc and compile petsc4py into `build`; None when it cannot be had."""
    if SERIAL:
        journal.say("NEML2FE_SERIAL is set: no PETSc; finite elements run serially on SciPy")
        return None
    petsc = find_petsc()
    if petsc is not None and is_installed(petsc):
        return petsc
    packages = missing_packages(petsc)
    apt = apt_get()
    if packages and apt is None:
        journal.say(
            f"no PETSc: {' '.join(packages)} missing, and apt-get or root is not to be had here; "
            "finite elements run serially on SciPy"
        )
        return None
    if packages and apt is not None:
        install_packages(journal, apt, packages)
        petsc = find_petsc()
    if petsc is None or shutil.which(petsc.compiler) is None:
        raise SetupError(
            "PETSc or the MPI compiler it was built with is still not found; set PETSC_DIR, or "
            "NEML2FE_SERIAL=1 to go on without PETSc"
        )
    build_petsc4py(journal, petsc, build)
    return petsc
