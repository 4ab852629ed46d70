"""Programs in C and C++ that use a library: the example, the shim of the README, the header."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from c_calls import Library
from c_reference import Reference

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def example(library: Library, c_compiler: str) -> Iterator[Path]:
    program = library.path.with_name("example")
    options = ["-std=c99", "-pedantic", "-Wall", "-Wextra", "-Werror", f"-I{library.path.parent}"]
    given = [str(HERE / "example.c"), "-o", str(program), str(library.path), "-lm"]
    subprocess.run([c_compiler, *options, *given], check=True)
    yield program


def run(example: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([example, *arguments], capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("loaded", [False, True])
def test_example(library: Library, deck: Path, example: Path, loaded: bool) -> None:
    done = run(example, str(library.path) if loaded else "", "steel", "4", "350")
    assert done.returncode == 0, done.stderr
    assert (
        "state: 19 numbers" in done.stdout and "12 to 12: equivalent_plastic_strain" in done.stdout
    )
    law, reference = library.material("steel"), Reference.of(deck, "steel")
    rows = [line.split() for line in done.stdout.splitlines() if line.startswith("step")]
    assert len(rows) == 40
    state, fields = law.initial_state(4), np.full((4, 1), 350.0)
    for k, row in enumerate(rows):
        time = 0.05 * (k + 1)
        e = 0.01 * np.arange(1, 5) / 4 * np.sin(2 * np.pi * time)
        strain = e[:, None] * np.array([1, -0.5, -0.5, 0, 0, 0])
        found = reference.update(law, strain, state, time, 0.05, fields)
        state = found.state
        assert float(row[3]) == pytest.approx(strain[-1, 0], abs=1e-16)
        assert float(row[5]) == pytest.approx(found.stress[-1, 0], rel=1e-9)
        assert float(row[7]) == pytest.approx(found.tangent[-1, 0, 0], rel=1e-9)


def test_example_with_wrong_arguments(library: Library, other: Path, example: Path) -> None:
    wrong = run(example, "", "stele", "4")
    assert wrong.returncode == 2 and "there is: elastic, steel" in wrong.stderr
    assert run(example, "/none.so", "steel", "4").returncode == 2
    assert "small strain" in run(example, "", "rubber", "1").stderr
    assert run(example, str(other), "elastic", "1").returncode == 0
    failed = run(example, "", "hasty", "1")
    assert failed.returncode == 1 and "1 of 1 points failed in step" in failed.stderr


def test_header_in_c89_and_cpp(library: Library, c_compiler: str, tmp_path: Path) -> None:
    for suffix, language in (("c", "-std=c89"), ("cpp", "-std=c++98")):
        text = tmp_path / f"uses.{suffix}"
        text.write_text(
            '#include "neml2fe.h"\nint f(void) { return neml2fe_size(0, NEML2FE_STATE); }\n'
        )
        options = [language, "-pedantic", "-Wall", "-Werror", f"-I{library.path.parent}", "-c"]
        subprocess.run(
            [c_compiler, *options, str(text), "-o", str(tmp_path / "uses.o")], check=True
        )


SHIM = HERE / "shim.cpp"


def shim_answers(shim: Path, library: Library, deck: Path) -> None:
    """The cube is in uniaxial stress; its first point has the strains that it prints."""
    done = run(shim, "hasty")
    assert done.returncode == 0, done.stderr
    law, reference = library.material("hasty"), Reference.of(deck, "hasty")
    state, before = law.initial_state(1), 0.0
    for row in np.array([line.split() for line in done.stdout.splitlines()], dtype=float):
        time, dt, strain, stress = row[0], row[1], row[2:8], row[8:]
        assert time == pytest.approx(before + dt) and strain[0] == pytest.approx(0.02 * time)
        found = reference.update(law, strain[None].copy(), state, time, dt)
        state, before = found.state, time
        assert abs(found.stress[0] - stress).max() < 1e-9 * stress[0]
        assert abs(stress[1:]).max() < 1e-9 * stress[0]
    assert before == pytest.approx(1.0) and dt < 0.125  # some steps were cut


def test_shim(library: Library, deck: Path, c_compiler: str, tmp_path: Path) -> None:
    compiler = shutil.which("g++") or pytest.skip("no g++")
    shim, options = (
        tmp_path / "shim",
        ["-std=c++17", "-O1", "-pedantic", "-Wall", "-Wextra", "-Werror"],
    )
    given = [str(SHIM), "-o", str(shim), str(library.path), f"-I{library.path.parent}"]
    subprocess.run([compiler, *options, *given], check=True)
    shim_answers(shim, library, deck)
    assert "there is: elastic, steel" in run(shim, "nothing").stderr
    assert "no fields" in run(shim, "steel").stderr


@pytest.mark.skipif(shutil.which("cmake") is None, reason="no cmake")
def test_shim_by_cmake(library: Library, tmp_path: Path) -> None:
    given = ["-S", str(HERE), "-B", str(tmp_path), f"-DNEML2FE_LIBRARY={library.path}"]
    for arguments in (given, ["--build", str(tmp_path)]):
        subprocess.run(["cmake", *arguments], check=True, capture_output=True)
    assert "there is: elastic, steel" in run(tmp_path / "shim", "nothing").stderr
