"""`neml2fe doctor`: what neml2fe finds on this machine, and what would bring the rest."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

import neml2fe
from neml2fe.kernels import BuildError, cache_dir
from neml2fe.kernels.build import find_compiler

Row = tuple[str, str, str]

# Solver packages by the names that PETSc gives them.
SOLVERS = {
    "mumps": "MUMPS",
    "hypre": "hypre",
    "superlu_dist": "SuperLU_DIST",
    "ptscotch": "PT-Scotch",
}

OPTIONAL = {
    "matplotlib": ("figures", "matplotlib"),
    "h5py": ("XDMF and HDF5 files", "h5py"),
    "pyvista": ("3-D pictures", "pyvista"),
    "pyro": ("Bayesian calibration", "pyro-ppl"),
}

ALTERNATIVES = Path("/etc/alternatives")

# Asked in a process of its own: a broken MPI may abort or hang instead of raising.
PETSC_PROBE = f"""
import json, petsc4py
from petsc4py import PETSc
print(json.dumps({{
    "version": ".".join(map(str, PETSc.Sys.getVersion())),
    "petsc4py": petsc4py.__version__,
    "where": "/".join(filter(None, petsc4py.get_config().values())),
    "scalar": PETSc.ScalarType.__name__,
    "index": PETSc.IntType.__name__,
    "solvers": [s for s in {list(SOLVERS)} if PETSc.Sys.hasExternalPackage(s)],
}}))
"""
MPI_PROBE = """
import json, mpi4py
mpi4py.rc.initialize = False
from mpi4py import MPI
print(json.dumps({"library": MPI.Get_library_version(), "vendor": MPI.get_vendor()[0],
                  "mpi4py": mpi4py.__version__}))
"""

INSTALL_PETSC = "make setup (by hand: see docs/installation.md); until then SciPy solves serially"


def report() -> list[Row]:
    """Component, status (`ok`, `missing` or `note`) and detail, a row for each thing looked at."""
    return [
        ("Python", "ok", f"{platform.python_version()} ({sys.executable})"),
        ("neml2fe", "ok", f"{neml2fe.__version__} ({os.path.dirname(neml2fe.__file__)})"),
        *_torch(),
        *_compiler(),
        *_petsc(),
        *_mpi(),
        *(_optional(module, *use) for module, use in OPTIONAL.items()),
        _threads(),
    ]


def main() -> int:
    """Print the report as a table; the exit code is 0, since nothing optional is an error."""
    colours = {"ok": "green", "missing": "red", "note": "yellow"}
    table = Table("component", "status", title="neml2fe doctor", title_justify="left")
    table.add_column("detail", overflow="fold")
    for component, status, detail in report():
        table.add_row(component, f"[{colours[status]}]{status}[/]", detail.replace("[", r"\["))
    Console().print(table)
    return 0


def _torch() -> list[Row]:
    gpus = [
        f"cuda:{index} ({torch.cuda.get_device_name(index)})"
        for index in range(torch.cuda.device_count())
    ]
    devices = ("devices", "ok", ", ".join(["cpu", *gpus]))
    if torch.version.cuda and not gpus:
        idle = f"{torch.__version__}: a CUDA build, but no CUDA device is seen"
        return [("torch", "note", idle), devices]
    return [("torch", "ok", str(torch.__version__)), devices]


def _compiler() -> list[Row]:
    """The compiler of kernels, what of its options works, and where kernels are kept."""
    try:
        found = find_compiler()
    except BuildError as error:
        detail = str(error) if os.environ.get("CXX") else "apt-get install g++"
        return [("C++ compiler", "missing", detail)]
    options = " ".join(found.options)
    parts = {"-march=native": "this processor", "-fopenmp": "OpenMP", "-lmvec": "libmvec"}
    absent = [title for option, title in parts.items() if option not in found.options]
    detail = f"{found.version} ({shlex.join(found.command)}), {options or 'no options'}"
    if absent:
        detail += f"; kernels are slower without {', '.join(absent)}"
    compiler = ("C++ compiler", "note" if absent else "ok", detail)
    try:
        directory = cache_dir()
        files = [f for f in directory.glob("*") if f.suffix in (".so", ".cubin")]
        size = sum(f.stat().st_size for f in files) / 2**20
    except (OSError, RuntimeError) as error:
        return [compiler, ("kernel cache", "note", f"kernels are not kept: {error}")]
    return [compiler, ("kernel cache", "ok", f"{directory}: {len(files)} kernels, {size:.1f} MB")]


def _petsc() -> list[Row]:
    found, failure = _ask(PETSC_PROBE)
    if found is None:
        return [("PETSc", "missing", f"{failure}. To get it: {INSTALL_PETSC}")]
    build = (
        f"{found['version']} in {found['where']}, {found['scalar']} values, "
        f"{found['index']} indices, petsc4py {found['petsc4py']}"
    )
    there = [title for key, title in SOLVERS.items() if key in found["solvers"]]
    absent = [title for title in SOLVERS.values() if title not in there]
    solvers = ", ".join(["GAMG (part of PETSc)", *there])
    if absent:
        solvers += f"; without {', '.join(absent)}: configure PETSc with --download-<package>"
    if found["scalar"] != "float64":
        build += "; neml2fe needs a PETSc built with real double-precision values"
    return [
        ("PETSc", "ok" if found["scalar"] == "float64" else "note", build),
        ("PETSc solvers", "note" if absent else "ok", solvers),
        *(_blas() if found["where"].startswith("/usr/") else []),
    ]


def _blas() -> list[Row]:
    """The BLAS that Debian's PETSc calls: a choice of the system's, seen in a link."""
    for link in ALTERNATIVES.glob("libblas.so.3-*"):
        library = link.resolve()
        if library.parent.name == "blas":
            advice = "MUMPS is many times faster with: apt-get install libopenblas0-pthread"
            return [("BLAS", "note", f"{library} is the slow reference BLAS; {advice}")]
        return [("BLAS", "ok", str(library))]
    return []


def _mpi() -> list[Row]:
    found, failure = _ask(MPI_PROBE)
    if found is None:
        library = ("MPI library", "missing", f"{failure}. To get it: {INSTALL_PETSC}")
    else:
        name = re.split(r"[,\0\n]", found["library"])[0].strip()
        library = ("MPI library", "ok", f"{name}, mpi4py {found['mpi4py']}")
    launcher = shutil.which("mpiexec")
    if launcher is None:
        return [library, ("mpiexec", "missing", "apt-get install openmpi-bin")]
    version = _first_line([launcher, "--version"])
    if found and (found["vendor"] == "Open MPI") != _is_open_mpi(version):
        advice = "its ranks would not find each other; put the right mpiexec first in PATH"
        clash = f"{launcher} ({version}) does not belong to {found['vendor']}: {advice}"
        return [library, ("mpiexec", "note", clash)]
    return [library, ("mpiexec", "ok", f"{launcher}, {version}")]


def _is_open_mpi(version: str) -> bool:
    return any(name in version for name in ("OpenRTE", "Open MPI", "PRRTE", "prterun"))


def _optional(module: str, use: str, package: str) -> Row:
    try:
        return (module, "ok", f"{importlib.metadata.version(package)}, for {use}")
    except importlib.metadata.PackageNotFoundError:
        return (module, "missing", f"optional, for {use}: pip install {package}")


def _threads() -> Row:
    setting = os.environ.get("OMP_NUM_THREADS", "not set")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    detail = f"{torch.get_num_threads()} in torch, {cores} cores, OMP_NUM_THREADS {setting}"
    return ("threads", "ok", detail)


def _ask(probe: str) -> tuple[dict[str, Any] | None, str]:
    """The JSON object that `probe` prints in a process of its own, or None and the reason."""
    try:
        answer = subprocess.run(
            [sys.executable, "-c", probe],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
        )
    except subprocess.TimeoutExpired:
        return None, "no answer within 60 s"
    if answer.returncode == 0:
        return json.loads(answer.stdout.splitlines()[-1]), ""
    complaint = answer.stderr.strip().splitlines()
    return None, complaint[-1] if complaint else f"it ended with exit code {answer.returncode}"


def _first_line(command: list[str]) -> str:
    try:
        text = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=20
        ).stdout
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"does not run: {error}"
    lines = text.strip().splitlines()
    return lines[0].strip() if lines else "of unknown version"
