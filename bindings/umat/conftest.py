"""The library of the tests' laws and the driver, built once a run."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from filelock import FileLock
from umat_driving import built
from umat_laws import exported
from umat_laws import laws as laws_of

from neml2fe.cli import main
from neml2fe.export import build_umat
from neml2fe.export.layout import Layout
from neml2fe.kernels.build import NoCompiler, find_compiler
from neml2fe.material import Material

HERE = Path(__file__).parent
QUICK = "-O0"  # optimised as usual, all laws take half a minute; `other` is


@pytest.fixture(scope="session")
def laws(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Material]:
    return laws_of(tmp_path_factory.mktemp("laws"))


@pytest.fixture(scope="session")
def layouts(laws: dict[str, Material]) -> dict[str, Layout]:
    found = exported(laws)
    return {
        n: Layout.of(n, e.material, "auto", e.finite_strain)
        for n, e in zip(laws, found, strict=True)
    }


@pytest.fixture(scope="session")
def umat(laws: dict[str, Material], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The library; processes of pytest-xdist share it."""
    try:
        find_compiler()
    except NoCompiler as error:
        pytest.skip(str(error))
    base = tmp_path_factory.getbasetemp()
    folder = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    path = folder / "libneml2fe_umat.so"
    with FileLock(folder / "umat.lock"):
        if not path.exists():
            with pytest.MonkeyPatch.context() as changed:
                changed.setenv("NEML2FE_CXXFLAGS", QUICK)
                build_umat(exported(laws), path)
    return path


@pytest.fixture(scope="session")
def driver(umat: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built(umat, tmp_path_factory.mktemp("driver") / "driver", HERE / "driver.f90")


@pytest.fixture(scope="session")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library of two materials that `--umat` makes of a deck."""
    deck = tmp_path_factory.mktemp("other") / "other.i"
    law = "type = LinearElasticity\n    elasticity = 'isotropic(E = {E}, nu = 0)'"
    block = f"  [{{name}}]\n    {law}\n  []\n"
    blocks = block.format(name="brass", E=1e5) + block.format(name="_tin", E=5e4)
    deck.write_text(f"[Models]\n{blocks}[]\n")
    assert main(["compile", str(deck), "--umat", str(deck.with_suffix(".so"))]) == 0
    text = deck.with_suffix(".txt").read_text()
    assert "brass" in text and "no *DEPVAR; *USER MATERIAL, CONSTANTS=2" in text
    assert "PROPS 1  elasticity.E = 100000.0" in text
    return deck.with_suffix(".so")
