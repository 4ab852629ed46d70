"""Libraries of the tests' laws, built once a run."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from c_calls import Library
from filelock import FileLock

from neml2fe.cli import main
from neml2fe.kernels.build import NoCompiler, find_compiler

HERE = Path(__file__).parent
QUICK = "-O0"  # the library of laws.i is optimised as usual
OTHER = """
[Models]
  [elastic]
    type = LinearElasticity
    elasticity = 'isotropic(E = 7e4, nu = 0.33)'
  []
[]
"""


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of all that is built; processes of pytest-xdist share it."""
    try:
        find_compiler()
    except NoCompiler as error:
        pytest.skip(str(error))
    base = tmp_path_factory.getbasetemp()
    path = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "neml2fe_c"
    path.mkdir(exist_ok=True)
    return path


def built(folder: Path, deck: Path, *options: str, flags: str = "") -> Path:
    """The library of a deck, by its name in `folder`; `flags` of the compiler."""
    path = folder / deck.with_suffix(".so").name
    with FileLock(folder / f"{deck.stem}.lock"), pytest.MonkeyPatch.context() as changed:
        changed.setenv("NEML2FE_CXXFLAGS", flags)
        if not path.exists():
            assert main(["compile", str(deck), "--library", str(path), *options]) == 0
    return path


@pytest.fixture(scope="session")
def deck() -> Path:
    return HERE / "laws.i"


@pytest.fixture(scope="session")
def library(folder: Path, deck: Path) -> Library:
    return Library(built(folder, deck))


@pytest.fixture(scope="session")
def grains(folder: Path) -> Library:
    """Laws with sub-batches and tensors of parameters."""
    return Library(built(folder, HERE / "grains.i", flags=QUICK))


@pytest.fixture(scope="session")
def hencky(folder: Path) -> Library:
    """Laws of the logarithmic strain."""
    deck = folder / "hencky.i"
    deck.write_text((HERE / "laws.i").read_text())
    models = ["--model", "one_iteration", "cauchy"]
    return Library(built(folder, deck, "--finite-strain", *models, flags=QUICK))


@pytest.fixture(scope="session")
def other(folder: Path) -> Path:
    """A second library, of one material, by a name that the first one has too."""
    deck = folder / "other.i"
    deck.write_text(OTHER)
    return built(folder, deck)


@pytest.fixture(scope="session")
def c_compiler() -> Iterator[str]:
    found = shutil.which("cc") or shutil.which("gcc")
    if found is None:
        pytest.skip("no C compiler (cc, gcc)")
    yield found
