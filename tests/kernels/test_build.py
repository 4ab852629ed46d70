"""Libraries from C++ source: built once, verified, safe among processes, clear when they fail."""

from __future__ import annotations

import ctypes
import dataclasses
import errno
import fcntl
import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

from neml2fe.kernels import build, store
from neml2fe.kernels.source import TEMPLATES

SOURCE = 'extern "C" double twice(double x) { return 2 * x; }'
REAL = shutil.which("g++") or shutil.which("c++")
MODES = """
extern "C" int modes() {
  int found = 0;
#ifdef _OPENMP
  found += 1;
#endif
#ifdef NEML2FE_LIBMVEC
  found += 2;
#endif
#ifdef __FAST_MATH__
  found += 4;
#endif
  return found;
}
"""
FORK = multiprocessing.get_context("fork")  # saves each process the start of another Python


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and a compiler examined anew."""
    monkeypatch.setenv("NEML2FE_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("NEML2FE_CXXFLAGS", raising=False)
    build._find.cache_clear()
    return tmp_path / "cache" / "kernels"


@pytest.fixture
def wrap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """CXX becomes a script that does something of its own before it turns to the compiler."""

    def wrapped(first: str) -> None:
        path = tmp_path / "cxx"
        path.write_text(f'#!/bin/sh\n{first}\nexec {REAL} "$@"\n')
        path.chmod(0o755)
        monkeypatch.setenv("CXX", str(path))

    return wrapped


@pytest.fixture
def builds(tmp_path: Path, wrap: Callable[[str], None]) -> Callable[[], int]:
    """How many libraries a compiler was asked for."""
    log = tmp_path / "log"
    wrap(f'case "$*" in *-shared*) echo built >> {log};; esac')
    return lambda: len(log.read_text().splitlines()) if log.exists() else 0


def twice(library: build.Built) -> float:
    function = ctypes.CDLL(str(library.path)).twice
    function.restype, function.argtypes = ctypes.c_double, [ctypes.c_double]
    return float(function(21.0))


def start() -> tuple[BaseProcess, Connection]:
    """A process that builds the source, and where it says whether it found it and where it is."""

    def run() -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        library = build.host_library(SOURCE)
        end.send((library.cached, library.path))

    said, end = FORK.Pipe(duplex=False)
    process = FORK.Process(target=run)
    process.start()
    end.close()
    return process, said


def test_built_once_then_found(builds: Callable[[], int], cache: Path) -> None:
    first = build.host_library(SOURCE, "twice")
    assert twice(first) == 42.0
    assert not first.cached
    assert first.path.parent == cache
    assert first.size == first.path.stat().st_size
    assert first.seconds > 0.0

    second = build.host_library(SOURCE)
    assert second == build.Built(first.path, first.seconds, first.size, cached=True)
    assert builds() == 1
    notes = json.loads(first.path.with_suffix(".json").read_text())
    assert notes["seconds"] == first.seconds
    assert "-O2" in notes["flags"] and "-shared" in notes["flags"]
    assert sorted(file.suffix for file in cache.iterdir()) == [".json", ".lock", ".so"]


def test_found_by_another_process(builds: Callable[[], int]) -> None:
    first = build.host_library(SOURCE)
    code = f"from neml2fe.kernels import build; print(build.host_library({SOURCE!r}))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert found.stdout.strip() == str(dataclasses.replace(first, cached=True))
    assert builds() == 1


def test_many_processes_build_once(builds: Callable[[], int]) -> None:
    processes = [start() for _ in range(8)]
    found = [said.recv() for _, said in processes]
    for process, _ in processes:
        process.join(60)
    assert [process.exitcode for process, _ in processes] == [0] * 8
    assert sorted(cached for cached, _ in found) == [False] + [True] * 7
    assert len({path for _, path in found}) == 1
    assert builds() == 1


@pytest.mark.parametrize(
    "harm",
    [
        lambda so, notes: so.write_bytes(so.read_bytes()[:-100]),
        lambda so, notes: so.write_bytes(so.read_bytes()[:-1] + b"?"),
        lambda so, notes: so.write_bytes(b""),
        lambda so, notes: so.unlink(),
        lambda so, notes: notes.unlink(),
        lambda so, notes: notes.write_text(""),
        lambda so, notes: notes.write_bytes(b"\xff{]"),
        lambda so, notes: notes.write_text("[1, 2]"),
        lambda so, notes: notes.write_text("{}"),
    ],
    ids=["short", "bit", "empty", "no so", "no json", "zero json", "garbage", "list", "no facts"],
)
def test_a_broken_entry_is_built_again(harm: Callable[[Path, Path], object]) -> None:
    first = build.host_library(SOURCE)
    harm(first.path, first.path.with_suffix(".json"))
    second = build.host_library(SOURCE)
    assert not second.cached
    assert second.path == first.path
    assert twice(second) == 42.0
    assert build.host_library(SOURCE).cached


def test_what_the_code_depends_on_is_in_the_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wrap: Callable[[str], None]
) -> None:
    wrap(
        'case "$*" in *--version*) echo $VERSION; exit;;'
        " *--help=target*) echo -march= $CPU; exit;; esac"
    )
    paths = []

    def another(source: str = SOURCE, **environment: str) -> None:
        with monkeypatch.context() as patch:
            for name, value in {"VERSION": "1", "CPU": "a", **environment}.items():
                patch.setenv(name, value)
            build._find.cache_clear()
            paths.append(build.host_library(source).path)

    another()
    another(source=SOURCE + "\n")
    another(NEML2FE_CXXFLAGS="-DA='1 2'")
    another(VERSION="2")
    another(CPU="b")
    another(CXX=f"{tmp_path / 'cxx'} -DB")
    assert len(set(paths)) == 6
    another()
    assert paths[-1] == paths[0]


def test_the_compiler_and_its_options() -> None:
    compiler = build.find_compiler()
    assert compiler is build.find_compiler()
    assert Path(compiler.command[0]).is_absolute()
    assert compiler.version
    modes = ctypes.CDLL(str(build.host_library(MODES).path)).modes()
    assert modes == compiler.openmp + 2 * ("-lmvec" in compiler.options)


@pytest.mark.parametrize(
    ("option", "code"),
    [
        ("-march=native", "int main() {}"),
        ("-fopenmp", "#include <omp.h>\nint main() { return omp_get_max_threads() == 0; }"),
        ("-lmvec", 'extern "C" void _ZGVbN2v_exp(); int main() { _ZGVbN2v_exp(); }'),
    ],
)
def test_an_option_is_used_exactly_where_it_works(
    option: str, code: str, tmp_path: Path, wrap: Callable[[str], None]
) -> None:
    (tmp_path / "a.cpp").write_text(code)
    call = [str(REAL), str(tmp_path / "a.cpp"), "-o", str(tmp_path / "a"), option]
    works = subprocess.run(call, capture_output=True).returncode == 0
    wrap("")
    all_options = build.find_compiler().options
    assert (option in all_options) == works

    build._find.cache_clear()
    wrap(f'case "$*" in *{option}*) exit 1;; esac')
    left = {option, "-DNEML2FE_LIBMVEC=1"} if option == "-lmvec" else {option}
    compiler = build.find_compiler()
    assert set(compiler.options) == set(all_options) - left
    assert compiler.target
    modes = ctypes.CDLL(str(build.host_library(MODES).path)).modes()
    assert modes == compiler.openmp + 2 * ("-lmvec" in compiler.options)


def test_extra_flags_reach_the_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEML2FE_CXXFLAGS", "-DANSWER='6 * 7'")
    library = build.host_library('extern "C" int answer() { return ANSWER; }')
    assert ctypes.CDLL(str(library.path)).answer() == 42


def test_the_cache_follows_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("NEML2FE_CACHE", "~/kept")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert store.cache_dir() == tmp_path / "kept" / "kernels"
    monkeypatch.delenv("NEML2FE_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert store.cache_dir() == tmp_path / "xdg" / "neml2fe" / "kernels"
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    assert store.cache_dir() == tmp_path / ".cache" / "neml2fe" / "kernels"


def test_no_compiler(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, wrap: Callable[[str], None]
) -> None:
    monkeypatch.setenv("CXX", "/nonexistent/cxx -O1")
    with pytest.raises(build.NoCompiler, match=r"CXX .*/nonexistent/cxx; install g\+\+"):
        build.host_library(SOURCE)
    monkeypatch.delenv("CXX")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(build.NoCompiler, match=r"the PATH lacks g\+\+, clang\+\+, c\+\+"):
        build.host_library(SOURCE)
    wrap("exit 3")
    with pytest.raises(build.NoCompiler, match="is no C\\+\\+ compiler"):
        build.host_library(SOURCE)
    monkeypatch.setenv("CXX", "'g++")
    with pytest.raises(build.BuildError, match="CXX is ''g\\+\\+'"):
        build.host_library(SOURCE)


def test_a_source_that_does_not_compile(cache: Path) -> None:
    wrong = 'extern "C" int f() { return undeclared_name; }\n' + "#warning noise\n" * 20
    for _ in range(2):
        with pytest.raises(build.BuildError) as caught:
            build.host_library(wrong, "the wrong one")
    text = str(caught.value)
    assert "undeclared_name" in text and "the wrong one" in text
    assert build.find_compiler().command[0] in text
    assert len(text.splitlines()) <= 12
    (kept,) = cache.glob("*.cpp")
    assert str(kept) in text
    assert kept.read_text() == wrong
    assert sorted(file.suffix for file in cache.iterdir()) == [".cpp", ".lock"]


def test_a_failure_mended_leaves_no_source(
    cache: Path, monkeypatch: pytest.MonkeyPatch, wrap: Callable[[str], None]
) -> None:
    wrap('case "$FULL $*" in "1 "*-shared*) echo error: disk full >&2; exit 1;; esac')
    monkeypatch.setenv("FULL", "1")
    with pytest.raises(build.BuildError, match="disk full"):
        build.host_library(SOURCE)
    monkeypatch.delenv("FULL")
    assert twice(build.host_library(SOURCE)) == 42.0
    assert not list(cache.glob("*.cpp"))


def test_a_compiler_that_hangs(
    monkeypatch: pytest.MonkeyPatch, cache: Path, wrap: Callable[[str], None]
) -> None:
    wrap('case "$*" in *-shared*) exec sleep 60;; esac')
    build.find_compiler()
    monkeypatch.setattr(build, "COMPILE_TIMEOUT", 0.2)
    with pytest.raises(build.BuildError, match="stopped after 0 s"):
        build.host_library(SOURCE)
    assert sorted(file.suffix for file in cache.iterdir()) == [".cpp", ".lock"]


def test_a_cache_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    code = (
        "import warnings\nfrom neml2fe.kernels import build\n"
        "with warnings.catch_warnings(record=True) as caught:\n"
        "    warnings.simplefilter('always')\n"
        f"    built = [build.host_library(s) for s in ({SOURCE!r}, {SOURCE!r}, '')]\n"
        "print(*(b.cached for b in built), len(caught), built[0].path, built[0].path.exists())\n"
        "print(caught[0].message)\n"
    )
    monkeypatch.setenv("NEML2FE_CACHE", str(tmp_path / "file" / "cache"))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    facts, warning = done.stdout.splitlines()
    *found, count, path, exists = facts.split()
    assert (found, count, exists) == (["False", "True", "False"], "1", "True")
    assert str(tmp_path / "file" / "cache") in warning and "NEML2FE_CACHE" in warning
    assert str(Path(path).parent) in warning
    assert not Path(path).parent.exists()  # gone with its process


@pytest.mark.parametrize("code", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_file_system_without_locks(
    code: int, monkeypatch: pytest.MonkeyPatch, cache: Path
) -> None:
    def no_locks(fd: int, operation: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(fcntl, "flock", no_locks)
    monkeypatch.setattr(store, "_private", [])
    with pytest.warns(UserWarning) as caught:
        library = build.host_library(SOURCE)
    assert [str(warning.message).startswith("compiled kernels") for warning in caught] == [True]
    assert twice(library) == 42.0
    assert library.path.parent != cache
    assert build.host_library(SOURCE).cached
    assert not list(cache.glob("*.so"))


def test_a_lock_that_stays_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    library = build.host_library(SOURCE)
    library.path.unlink()
    monkeypatch.setattr(store, "LOCK_TIMEOUT", 0.1)
    with open(library.path.with_suffix(".lock")) as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(build.BuildError) as caught:
            build.host_library(SOURCE)
    assert str(library.path.with_suffix(".lock")) in str(caught.value)
    assert not build.host_library(SOURCE).cached


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGINT], ids=["killed", "interrupted"])
def test_a_builder_that_ends_early_blocks_nobody(
    end: signal.Signals, tmp_path: Path, cache: Path, wrap: Callable[[str], None]
) -> None:
    """The compiler of the first process hangs, having written half a library."""
    begun = tmp_path / "begun"
    wrap(
        f'case "$*" in *-shared*) if [ ! -e {begun} ]; then\n'
        '  for word; do case "$word" in *.so) echo half > "$word";; esac; done\n'
        f"  echo $$ > {begun}.pid; mv {begun}.pid {begun}; exec sleep 60\nfi;; esac"
    )
    first, _ = start()
    deadline = time.monotonic() + 30
    while not begun.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    waiting, said = start()
    try:
        time.sleep(0.3)
        assert waiting.is_alive()
        os.kill(first.pid, end)
        first.join(10)
        assert first.exitcode
        cached, _ = said.recv()
    finally:
        waiting.kill()
        if end == signal.SIGKILL:  # the compiler outlives it
            os.kill(int(begun.read_text()), signal.SIGKILL)
    assert not cached
    library = build.host_library(SOURCE)
    assert library.cached
    assert twice(library) == 42.0
    assert sorted(file.suffix for file in cache.iterdir()) == [".json", ".lock", ".so"]


def test_the_wheel_has_the_templates_and_the_marker_of_types(tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    copy = tmp_path / "source"
    copy.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(root / name, copy)
    shutil.copytree(
        root / "neml2fe", copy / "neml2fe", ignore=shutil.ignore_patterns("__pycache__")
    )
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "-w", str(tmp_path), str(copy)], check=True, timeout=120)
    (wheel,) = tmp_path.glob("*.whl")
    there = {name for name in zipfile.ZipFile(wheel).namelist() if not name.endswith(".py")}
    templates = {f"neml2fe/kernels/templates/{p.name}" for p in TEMPLATES.iterdir()}
    assert len(templates) >= 3
    assert there >= {"neml2fe/py.typed", *templates}
