"""Generated C++ source becomes a shared library, kept on disk by content.

An entry is `<key>.so` and `<key>.json`; the key covers all that the machine code depends on:
source, flags, compiler and processor. One process builds an entry while the others wait for
its lock, and nothing is handed out whose size and checksum are not those noted at the build.
"""

from __future__ import annotations

import atexit
import functools
import hashlib
import json
import os
import platform
import shlex
import shutil
import subprocess
import tempfile
import threading
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import filelock

from neml2fe.errors import Error

FORMAT = 1  # of an entry; another number leaves all older entries aside
COMPILE_TIMEOUT = 900.0  # seconds
LOCK_TIMEOUT = COMPILE_TIMEOUT + 60.0  # a waiting process outlasts one compiler that hangs
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
_THREADS = threading.Lock()  # guards the private directory, which only this process uses
_private: dict[int, Path] = {}  # by process, as a forked one must not use its parent's


class BuildError(Error):
    """A compiler that fails on a kernel, or a build that cannot be waited for."""


class NoCompiler(BuildError):
    """No usable C++ compiler on this machine."""


@dataclass(frozen=True)
class Built:
    """A shared library. `seconds` the compiler took, be it long ago; `size` in bytes; `cached`
    when it was found on disk, not built by this call."""

    path: Path
    seconds: float
    size: int
    cached: bool


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


def cache_dir() -> Path:
    """Where libraries are kept: in $NEML2FE_CACHE, $XDG_CACHE_HOME/neml2fe or ~/.cache/neml2fe."""
    if chosen := os.environ.get("NEML2FE_CACHE"):
        return Path(chosen).expanduser().absolute() / "kernels"
    shared = Path(os.environ.get("XDG_CACHE_HOME", ""))
    base = shared if shared.is_absolute() else Path.home() / ".cache"
    return base / "neml2fe" / "kernels"


def find_compiler() -> Compiler:
    """$CXX, which may hold arguments, else the first of g++, clang++ and c++ on the PATH."""
    return _find(os.environ.get("CXX", ""), os.environ.get("PATH", ""))


def host_library(source: str, label: str = "") -> Built:
    """The library of a C++ source, from the cache or built into it.

    Where the cache cannot be written or locked it is built for this process alone, with a
    warning. `label` says in the entry's notes what the library is.
    """
    compiler = find_compiler()
    extra = _words("NEML2FE_CXXFLAGS", os.environ.get("NEML2FE_CXXFLAGS", ""))
    facts = [FORMAT, source, FLAGS, compiler.options, extra, compiler.command, compiler.version]
    key = hashlib.sha256(json.dumps([*facts, compiler.target]).encode()).hexdigest()
    try:
        directory = cache_dir()
        if entry := _entry(directory, key):
            return entry
        directory.mkdir(parents=True, exist_ok=True)
        with _locked(directory / f"{key}.lock"):
            return _entry(directory, key) or _build(directory, key, source, label, compiler, extra)
    except (OSError, RuntimeError) as error:  # RuntimeError: no home directory, no locks
        reason = str(error)
    try:
        with _THREADS:
            private = _private.get(os.getpid()) or _private_dir(reason)
            return _entry(private, key) or _build(private, key, source, label, compiler, extra)
    except OSError as error:
        raise BuildError(f"no place to build a kernel: {reason}; then: {error}") from error


def _build(
    directory: Path, key: str, source: str, label: str, compiler: Compiler, extra: Sequence[str]
) -> Built:
    """Compile into `directory`; whoever calls this is alone with the key."""
    for left in directory.glob(f"{key}.*.tmp"):  # by a process that was killed
        shutil.rmtree(left, ignore_errors=True)
    kept = directory / f"{key}.cpp"
    kept.write_text(source, encoding="utf-8")
    with tempfile.TemporaryDirectory(
        prefix=f"{key}.", suffix=".tmp", dir=directory, ignore_cleanup_errors=True
    ) as name:
        library, notes = Path(name) / f"{key}.so", Path(name) / f"{key}.json"
        flags = [*compiler.options, "-shared", *extra]
        start = time.perf_counter()
        done = _compile(compiler.command, flags, kept, library)
        seconds = time.perf_counter() - start
        if done.returncode != 0 or not library.is_file():
            lines = done.stderr.splitlines() or [f"exit status {done.returncode}, no message"]
            first = next((i for i, line in enumerate(lines) if "error" in line.lower()), 0)
            what = "\n  ".join(lines[first : first + 10])
            raise BuildError(
                f"{shlex.join(compiler.command)} ({compiler.version}) cannot compile the kernel"
                f" {label or key}:\n  {what}\nThe source is kept in {kept}"
            )
        content = library.read_bytes()
        facts = {
            "label": label,
            "seconds": seconds,
            "size": len(content),
            "sha256": hashlib.sha256(content).hexdigest(),
            "compiler": compiler.version,
            "flags": [*FLAGS, *flags],
        }
        notes.write_text(json.dumps(facts, indent=1), encoding="utf-8")
        path = directory / library.name
        os.replace(library, path)
        os.replace(notes, directory / notes.name)
    kept.unlink(missing_ok=True)
    return Built(path, seconds, len(content), cached=False)


def _entry(directory: Path, key: str) -> Built | None:
    """The entry of a key, or None where a part is missing or not what was noted."""
    path = directory / f"{key}.so"
    try:
        notes = json.loads((directory / f"{key}.json").read_text(encoding="utf-8"))
        content = path.read_bytes()
        if [len(content), hashlib.sha256(content).hexdigest()] != [notes["size"], notes["sha256"]]:
            return None
        return Built(path, float(notes["seconds"]), len(content), cached=True)
    except (OSError, ValueError, KeyError, TypeError):
        return None


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Alone among all processes. The system frees the lock of a holder that died."""
    lock = filelock.FileLock(path, timeout=LOCK_TIMEOUT)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of filelock, when it turns to a soft lock
            lock.acquire()
    except filelock.Timeout as error:
        raise BuildError(
            f"waited {LOCK_TIMEOUT:.0f} s for another process that builds the same kernel;"
            f" it holds the lock {path}: end it, or set NEML2FE_CACHE to another directory"
        ) from error
    try:
        if isinstance(lock, filelock.SoftFileLock):  # which a killed holder would leave behind
            raise OSError(f"the file system of {path.parent} has no locks")
        yield
    finally:
        lock.release()


def _private_dir(reason: str) -> Path:
    """A directory that goes with this process, unless the source of a failed build is in it."""
    owner = os.getpid()
    path = _private[owner] = Path(tempfile.mkdtemp(prefix="neml2fe-kernels-"))

    def remove() -> None:
        if os.getpid() == owner and not any(path.glob("*.cpp")):
            shutil.rmtree(path, ignore_errors=True)

    atexit.register(remove)
    warnings.warn(
        f"compiled kernels are not kept ({reason}): they are built in {path}, for this process"
        " alone; set NEML2FE_CACHE to a directory that can be written and locked",
        stacklevel=3,
    )
    return path


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
            return _compile(command, options, source, program).returncode == 0

        kept = tuple(flag for option in OPTIONAL for flag in option)
        if not works(kept):
            kept = ()
            for option in OPTIONAL:
                kept = (*kept, *option) if works([*kept, *option]) else kept
    return kept


def _compile(
    compiler: Sequence[str], flags: Sequence[str], source: Path, to: Path
) -> subprocess.CompletedProcess[str]:
    """Flags may name libraries, so they come after the source that needs them."""
    command = [*compiler, *FLAGS, str(source), "-o", str(to), *flags, "-lm"]
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
