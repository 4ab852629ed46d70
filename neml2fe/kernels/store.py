"""Machine code on disk, kept by content: made once, and checked whenever it is handed out.

An entry is `<key><suffix>` and `<key>.json`; the key covers all that the code depends on. One
process makes an entry while the others wait for its lock, and nothing is handed out whose
checksum is not the one noted when it was made.
"""

from __future__ import annotations

import atexit
import hashlib
import json
import os
import shutil
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import filelock

from neml2fe.errors import Error

FORMAT = 2  # of an entry; another number leaves all older entries aside
LOCK_TIMEOUT = 960.0  # seconds
_THREADS = threading.Lock()  # in place of a lock for all processes, in the directory of this one
_private: list[Path] = []  # that directory, once it is there
os.register_at_fork(after_in_child=_private.clear)  # it goes with the parent
Facts = Mapping[str, object]
Make = Callable[[Path, Path], None]


class BuildError(Error):
    """A compiler that fails on a kernel, or a build that cannot be waited for."""


@dataclass(frozen=True)
class Built:
    """Machine code. `seconds` the compiler took, be it long ago; `size` in bytes; `cached` when
    it was found on disk, not built by this call."""

    path: Path
    seconds: float
    size: int
    cached: bool


def cache_dir() -> Path:
    """Where code is kept: in $NEML2FE_CACHE, $XDG_CACHE_HOME/neml2fe or ~/.cache/neml2fe."""
    if chosen := os.environ.get("NEML2FE_CACHE"):
        return Path(chosen).expanduser().absolute() / "kernels"
    shared = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return (shared if shared.is_absolute() else Path.home() / ".cache") / "neml2fe" / "kernels"


def kept(suffix: str, source: str, facts: Facts, make: Make) -> Built:
    """The code of `source`, which depends on `facts` as well: from the cache, or put into it by
    `make(from, to)`, which compiles one file to another.

    Where the cache cannot be written or locked it is made for this process alone, with a
    warning. A source that cannot be compiled stays in its file.
    """
    key = hashlib.sha256(json.dumps([FORMAT, suffix, source, facts]).encode()).hexdigest()
    reasons: list[str] = []
    private = (lambda: _private_dir(reasons[0])), (lambda path: _THREADS)
    for directory, alone in ((cache_dir, _locked), private):
        try:
            path = directory() / (key + suffix)
            if found := _found(path):
                return found
            path.parent.mkdir(parents=True, exist_ok=True)
            with alone(path.with_suffix(".lock")):
                return _found(path) or _made(path, source, facts, make)
        except (OSError, RuntimeError) as error:  # RuntimeError: no home directory, no locks
            reasons.append(str(error))
    raise BuildError(f"no place to build a kernel: {'; then: '.join(reasons)}")


def _found(path: Path) -> Built | None:
    """The entry at `path`, or None where a part is missing or not what was noted."""
    try:
        content = path.read_bytes()
        notes = json.loads(path.with_suffix(".json").read_bytes())
        right = notes["sha256"] == hashlib.sha256(content).hexdigest()
        return Built(path, float(notes["seconds"]), len(content), True) if right else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _made(path: Path, source: str, facts: Facts, make: Make) -> Built:
    """The entry at `path`, new; whoever calls this is alone with it."""
    for left in path.parent.glob(f"{path.stem}.*.tmp"):  # by a process that was killed
        shutil.rmtree(left, ignore_errors=True)
    text = path.with_suffix(".cpp")
    text.write_text(source, encoding="utf-8")
    with tempfile.TemporaryDirectory(".tmp", f"{path.stem}.", path.parent, True) as directory:
        code, notes = Path(directory) / path.name, Path(directory) / "notes"
        start = time.perf_counter()
        make(text, code)
        seconds, content = time.perf_counter() - start, code.read_bytes()
        checksum = hashlib.sha256(content).hexdigest()
        notes.write_text(json.dumps({**facts, "seconds": seconds, "sha256": checksum}, indent=1))
        os.replace(code, path)
        os.replace(notes, path.with_suffix(".json"))
    text.unlink(missing_ok=True)
    return Built(path, seconds, len(content), cached=False)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Alone among all processes. The system frees the lock of a holder that died."""
    lock = filelock.FileLock(path, timeout=LOCK_TIMEOUT)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of filelock, when it turns to a soft lock
            held = lock.acquire()
    except filelock.Timeout as error:
        raise BuildError(
            f"waited {LOCK_TIMEOUT:.0f} s for another process that builds the same kernel;"
            f" it holds the lock {path}: end it, or set NEML2FE_CACHE to another directory"
        ) from error
    with held:
        if isinstance(lock, filelock.SoftFileLock):  # which a killed holder would leave behind
            raise OSError(f"the file system of {path.parent} has no locks")
        yield


def _private_dir(reason: str) -> Path:
    if not _private:
        _private.append(Path(tempfile.mkdtemp(prefix="neml2fe-kernels-")))
        warnings.warn(
            f"compiled kernels are not kept ({reason}): they are built in {_private[0]}, for this"
            " process alone; set NEML2FE_CACHE to a directory that can be written and locked",
            stacklevel=5,
        )
    return _private[0]


@atexit.register
def _remove_private() -> None:
    for path in _private:
        if not any(path.glob("*.cpp")):  # the source of a failed build
            shutil.rmtree(path, ignore_errors=True)
