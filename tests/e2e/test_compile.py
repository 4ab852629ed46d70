"""`neml2fe compile`: what later runs need is built, once, and nothing else is built by them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from e2e_runs import HERE, PLATE, Ended, process

from neml2fe.kernels import build

DECKS = HERE.parent / "decks"
Cli = Callable[..., Ended]
COMPILER = shutil.which("g++") or shutil.which("c++")
pytestmark = pytest.mark.skipif(COMPILER is None, reason="no C++ compiler")


@pytest.fixture
def built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """With an empty cache: how many libraries the compiler was asked for."""
    log, script = tmp_path / "log", tmp_path / "cxx"
    script.write_text(
        f'#!/bin/sh\ncase "$*" in *-shared*) echo built >> {log};; esac\nexec {COMPILER} "$@"\n'
    )
    script.chmod(0o755)
    monkeypatch.setenv("CXX", str(script))
    monkeypatch.setenv("NEML2FE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.delenv("NEML2FE_CXXFLAGS", raising=False)
    monkeypatch.delenv("NEML2FE_BACKEND", raising=False)
    build._find.cache_clear()
    return lambda: len(log.read_text().splitlines()) if log.exists() else 0


def rows(ended: Ended) -> list[list[str]]:
    """The cells of the table's rows."""
    lines = [line for line in ended.out.splitlines() if line.endswith("│") and " kB " in line]
    return [[cell.strip() for cell in line.strip("│ ").split("│")] for line in lines]


FINE = ("--set", "Meshes/plate/divisions=16 8", "--set", "Drivers/plate/end_time=0.1")


def test_a_run_finds_what_was_built(
    built: Callable[[], int], neml2fe: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    first = neml2fe("compile", PLATE)
    assert first.code == 0, first
    table = rows(first)
    assert [row[1] for row in table] == ["update", "update, tangent", "vjp"]
    assert built() == 3 and not any("cached" in row[5] for row in table)
    again = rows(neml2fe("compile", PLATE))
    assert [row[:5] for row in again] == [row[:5] for row in table]
    assert all("cached" in row[5] for row in again)
    run = process("run", PLATE, "-q", "-o", tmp_path / "out", *FINE)
    assert run.code == 0, run
    assert built() == 3
    monkeypatch.setenv("NEML2FE_CACHE", str(tmp_path / "empty"))
    assert neml2fe("run", PLATE, "-q", "-o", tmp_path / "out", *FINE).code == 0
    assert built() > 3  # it does use kernels


def test_the_table_tells_what_the_files_are(
    built: Callable[[], int], neml2fe: Cli, tmp_path: Path
) -> None:
    table = rows(neml2fe("compile", DECKS / "perzyna_voce.i", "--model", "model"))
    assert [row[:3] for row in table] == [
        ["model", "update", "7"],
        ["model", "update, tangent", "7"],
        ["model", "vjp", "7"],
    ]
    libraries = (tmp_path / "cache" / "kernels").glob("*.so")
    sizes = [f"{path.stat().st_size / 1024:.0f} kB" for path in libraries]
    assert sorted(row[4] for row in table) == sorted(sizes)
    assert all(int(row[3]) > 100 for row in table)


@pytest.mark.slow  # as a run does, above
def test_a_driver_finds_what_was_built(
    built: Callable[[], int], neml2fe: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    deck = DECKS / "perzyna_voce.i"
    first = neml2fe("compile", deck)
    assert {row[1] for row in rows(first)} >= {"solve", "solve, vjp", "update", "vjp"}, first
    n = built()
    run = process("run", deck, "-q", "-o", tmp_path / "out", NEML2FE_BACKEND="kernel")
    assert run.code == 0, run
    assert built() == n
    monkeypatch.setenv("NEML2FE_CACHE", str(tmp_path / "empty"))
    monkeypatch.setenv("NEML2FE_BACKEND", "kernel")
    assert neml2fe("run", deck, "-q", "-o", tmp_path / "out").code == 0
    assert built() > n


def test_a_narrow_terminal_shows_whole_names(
    built: Callable[[], int], neml2fe: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    name = "viscoplastic_steel_of_the_pipe"
    deck = tmp_path / "deck.i"
    deck.write_text((DECKS / "perzyna_voce.i").read_text().replace("[model]", f"[{name}]"))
    ended = neml2fe("compile", deck, "--model", name)
    assert [row[0] for row in rows(ended)] == [name] * 3, ended
    assert ended.out.count(str(tmp_path / "cache" / "kernels")) == 1


def test_an_iterative_linear_solver_runs_eagerly(built: Callable[[], int], neml2fe: Cli) -> None:
    ended = neml2fe("compile", DECKS / "solvers_gmres.i")
    assert ended.code == 0 and built() == 0, ended
    said = "'model' has an iterative linear solver, which kernels do not have; it runs eagerly"
    assert ended.out.strip() == f"neml2fe: {said}"


def test_sub_batches_are_known_to_a_run_alone(built: Callable[[], int], neml2fe: Cli) -> None:
    ended = neml2fe("compile", DECKS / "crystal_taylor.i")
    assert ended.code == 1 and built() == len(rows(ended)) > 0
    assert "a run alone, which builds its own kernels" in ended.out


def test_what_cannot_be_right_is_refused(
    built: Callable[[], int], neml2fe: Cli, tmp_path: Path
) -> None:
    neml2fe("compile", PLATE, "--model", "nothing").refused("no model 'nothing'")
    neml2fe("compile", tmp_path / "no.i").refused("no.i")
    empty = tmp_path / "empty.i"
    empty.write_text("[Models]\n[]\n")
    neml2fe("compile", empty).refused("no material and no implicit update")
    yields = ("compile", DECKS / "perzyna_voce.i", "--model", "yield_surface")
    neml2fe(*yields).refused("'yield_surface' is no law to compile")


def test_without_a_compiler_all_is_named(
    built: Callable[[], int], neml2fe: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CXX", "/nonexistent")
    ended = neml2fe("compile", PLATE)
    assert ended.code == 1
    assert "no C++ compiler" in ended.out and not rows(ended)


def test_a_deck_chooses_the_backend(built: Callable[[], int], neml2fe: Cli, tmp_path: Path) -> None:
    name = "Materials/metal/backend"
    ended = neml2fe("run", PLATE, "-q", "-o", tmp_path, "--set", f"{name}=kernl")
    ended.refused("'kernl'", "kernel")
    ended = neml2fe("run", PLATE, "-q", "-o", tmp_path, "--set", f"{name}=eager")
    assert ended.code == 0 and built() == 0
    ended = neml2fe("compile", PLATE, "--set", f"{name}=eager")
    assert ended.code == 0 and built() == 0 and "nothing to compile" in ended.out
    assert neml2fe("syntax", "Material").out.count("backend") == 1


def test_the_doctor_knows_the_kernels(
    built: Callable[[], int], neml2fe: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = " ".join(neml2fe("doctor").out.split())
    assert "kernel cache" in out and os.environ["NEML2FE_CACHE"] in out
    assert "-march=native" in out or "slower without" in out
    monkeypatch.setenv("CXX", "/nonexistent")
    assert "CXX is what cannot be run" in " ".join(neml2fe("doctor").out.split())
