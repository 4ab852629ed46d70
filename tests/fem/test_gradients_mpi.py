"""Gradients and sensitivities on two and four MPI ranks are those of one, and the same bits on all
ranks of a run."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pytest
from gradients_on_ranks import gradients
from mpi_ranks import NEEDS_MPI, script_on_ranks

pytestmark = NEEDS_MPI

Results: TypeAlias = tuple[int, Path]
SCRIPT = Path(__file__).parent / "gradients_on_ranks.py"
CASES = {2: ("plate", "chaboche", "cell", "rigid", "shape"), 4: ("plate", "cell", "rigid")}
on_one = cache(gradients)


@pytest.fixture(scope="module", params=list(CASES))
def results(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Results:
    """The number of ranks, and the folder of the results of its cases."""
    ranks, folder = request.param, tmp_path_factory.mktemp("ranks")
    for name in CASES[ranks]:
        on_one(name)  # compiles the laws
    script_on_ranks(ranks, SCRIPT, folder, *CASES[ranks], "refused")
    return ranks, folder


def test_ranks_have_the_gradients_of_one(results: Results) -> None:
    ranks, folder = results
    for name in CASES[ranks]:
        assert_those_of_one(name, folder)


def test_multigrid_on_ranks_gives_the_gradients_of_a_direct_solver(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_one("chaboche")
    monkeypatch.setenv("PETSC_OPTIONS", "-neml2fe_ksp_type gmres -neml2fe_pc_type gamg")
    script_on_ranks(2, SCRIPT, tmp_path, "chaboche")
    assert_those_of_one("chaboche", tmp_path)


def assert_those_of_one(name: str, folder: Path) -> None:
    with np.load(folder / f"{name}.npz") as data:
        found = dict(data)
    expected = on_one(name)
    assert found["same"] and set(found) == set(expected)
    for key in set(expected) - {"same"}:
        error = np.abs(found[key] - expected[key]).max() / np.abs(expected[key]).max()
        print(f"{name} {key}: {error:.1e}")
        assert error <= 1e-9, (name, key)


def test_refusals_reach_every_rank(results: Results) -> None:
    with np.load(results[1] / "refused.npz") as data:
        scaled, turned, failed = data["messages"].tolist()
    for messages in (scaled, turned):
        assert all("the ranks differentiate different losses" in text for text in messages)
    assert all("this rank alone" in text for text in failed), failed
