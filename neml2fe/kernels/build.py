"""Generated C++ source becomes a shared library for this machine's processor."""

from __future__ import annotations

import functools
import os
import platform
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from neml2fe.kernels.store import LOCK_TIMEOUT, BuildError, Built, kept

COMPILE_TIMEOUT = LOCK_TIMEOUT - 60.0  # seconds; a waiting process outlasts one that hangs
FLAGS = ("-std=c++17", "-O2", "-fPIC", "-fno-math-errno", "-fno-trapping-math", "-Wno-psabi")
# Used where the compiler has them; the macro is defined exactly where libmvec links.
OPTIONAL = (("-march=native",), ("-fopenmp",), ("-DNEML2FE_LIBMVEC=1", "-lmvec"))
PROBE = """
#ifdef _OPENMP
#include <omp.h>
int threads() { return omp_get_max_threads(); }
#endif
#ifdef NEML2FE_LIBMVEC
extern "C" void _ZGVbN2v_exp();
void (*exponential)() = _ZGVbN2v_exp;
#endif
int main() { return 0; }
"""


class NoCompiler(BuildError):
    """No usable C++ compiler on this machine."""


@dataclass(frozen=True)
class Compiler:
    """A C++ compiler: `command` to call it, what it says of itself and of the processor it
    compiles for, and the `options` out of OPTIONAL that work."""

    command: tuple[str, ...]
    version: str
    target: str
    options: tuple[str, ...]

    @property
    def openmp(self) -> bool:
        return "-fopenmp" in self.options


def find_compiler() -> Compiler:
    """$CXX, which may hold arguments, else the first of g++, clang++ and c++ on the PATH."""
    return _find(os.environ.get("CXX", ""), os.environ.get("PATH", ""))


def host_library(source: str, label: str = "") -> Built:
    """The library of a C++ source, from the cache or built into it; `label` is for messages."""
    compiler = find_compiler()
    options = [*compiler.options, "-shared", *extra_options()]
    facts = {**asdict(compiler), "flags": [*FLAGS, *options]}

    def make(text: Path, library: Path) -> None:
        try:
            run_compiler(compiler, [text], library, options, f"the kernel {label or text.stem}")
        except BuildError as error:
            raise BuildError(f"{error}\nThe source is kept in {text}") from error

    return kept(".so", source, facts, make)


def extra_options() -> list[str]:
    """Those of the variable NEML2FE_CXXFLAGS."""
    return _words("NEML2FE_CXXFLAGS", os.environ.get("NEML2FE_CXXFLAGS", ""))


def run_compiler(
    compiler: Compiler, given: Sequence[Path], to: Path, options: Sequence[str], what: str
) -> None:
    """Compile or link files; raises `BuildError`, which calls them `what`."""
    done = _compile(compiler.command, options, given, to)
    if done.returncode != 0 or not to.is_file():
        said = complaint(done.stderr or f"exit status {done.returncode}, no message")
        raise BuildError(
            f"{shlex.join(compiler.command)} ({compiler.version}) cannot compile {what}:\n  {said}"
        )


def complaint(log: str) -> str:
    """The first lines of what a compiler says is wrong."""
    lines = log.splitlines()
    first = next((i for i, line in enumerate(lines) if "error" in line.lower()), 0)
    return "\n  ".join(lines[first : first + 10])


@functools.cache
def _find(chosen: str, search: str) -> Compiler:
    """The compiler that $CXX and $PATH give, examined once a process."""
    names = [words] if (words := _words("CXX", chosen)) else [["g++"], ["clang++"], ["c++"]]
    found = [(path, *rest) for name, *rest in names if (path := shutil.which(name, path=search))]
    if not found:
        why = "CXX is what cannot be run," if words else "CXX is not set and the PATH lacks"
        tried = ", ".join(name for name, *_ in names)
        raise NoCompiler(
            f"no C++ compiler: {why} {tried}; install g++ or clang++, or let CXX name one"
        )
    command = (os.path.abspath(found[0][0]), *found[0][1:])
    said = _run([*command, "--version"])
    if said.returncode != 0:
        raise NoCompiler(f"{shlex.join(command)} is no C++ compiler: `--version` gives an error")
    version = next(iter(said.stdout.splitlines()), "")
    return Compiler(command, version, _target(command), _options(command))


def _target(command: Sequence[str]) -> str:
    """The processor as the compiler sees it (GCC), else as the system does; and the C library."""
    seen = _run([*command, "-march=native", "-Q", "--help=target"])
    text = seen.stdout
    if seen.returncode != 0 or "-march=" not in text:
        cpuinfo, names = Path("/proc/cpuinfo"), ("model name", "flags", "Features", "CPU ")
        lines = cpuinfo.read_text(encoding="utf-8").splitlines() if cpuinfo.exists() else []
        text = "\n".join(sorted({line for line in lines if line.startswith(names)}))
    return "\n".join([platform.system(), platform.machine(), *platform.libc_ver(), text])


def _options(command: Sequence[str]) -> tuple[str, ...]:
    """What of OPTIONAL compiles and links, tried all at once and, if that fails, one by one."""
    with tempfile.TemporaryDirectory(prefix="neml2fe-probe-") as name:
        source, program = Path(name) / "probe.cpp", Path(name) / "probe"
        source.write_text(PROBE, encoding="utf-8")

        def works(options: Sequence[str]) -> bool:
            return _compile(command, options, [source], program).returncode == 0

        chosen = tuple(flag for option in OPTIONAL for flag in option)
        if not works(chosen):
            chosen = ()
            for option in OPTIONAL:
                chosen = (*chosen, *option) if works([*chosen, *option]) else chosen
    return chosen


def _compile(
    compiler: Sequence[str], flags: Sequence[str], given: Sequence[Path], to: Path
) -> subprocess.CompletedProcess[str]:
    """Flags may name libraries, so they come after the files that need them."""
    command = [*compiler, *FLAGS, *map(str, given), "-o", str(to), *flags, "-lm"]
    return _run(command, COMPILE_TIMEOUT)


def _run(command: Sequence[str], timeout: float = 60.0) -> subprocess.CompletedProcess[str]:
    """Run a compiler; its messages in English."""
    try:
        return subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
            env={**os.environ, "LC_ALL": "C"},
        )
    except OSError as error:
        raise NoCompiler(f"{shlex.join(command[:1])} cannot be run: {error}") from error
    except subprocess.TimeoutExpired as error:
        raise BuildError(f"{command[0]} was stopped after {timeout:.0f} s: {command}") from error


def _words(variable: str, text: str) -> list[str]:
    """An environment variable's words, split as a shell does."""
    try:
        return shlex.split(text)
    except ValueError as error:
        raise BuildError(f"{variable} is '{text}', which a shell cannot split: {error}") from error
