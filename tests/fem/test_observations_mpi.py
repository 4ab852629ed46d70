"""Observations on two and four MPI ranks: the values of one, and exact transposes."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest
from mpi_ranks import NEEDS_MPI, script_on_ranks
from numpy.typing import NDArray
from observations_on_ranks import observe

pytestmark = NEEDS_MPI

SCRIPT = Path(__file__).parent / "observations_on_ranks.py"
CASES = {2: ("plane", "rigid", "cell"), 4: ("plane", "finite")}
on_one = cache(observe)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All cases, in a folder for each number of ranks."""
    folder = tmp_path_factory.mktemp("ranks")
    for ranks, cases in CASES.items():
        (folder / str(ranks)).mkdir()
        script_on_ranks(ranks, SCRIPT, folder / str(ranks), *cases, "refused")
    return folder


def load(folder: Path, ranks: int, case: str) -> dict[str, NDArray]:
    with np.load(folder / str(ranks) / f"{case}.npz") as data:
        return dict(data)


@pytest.mark.parametrize(("ranks", "case"), [(n, c) for n in CASES for c in CASES[n]])
def test_ranks_have_the_values_of_one(ranks: int, case: str, folder: Path) -> None:
    found, expected = load(folder, ranks, case), on_one(case)
    assert found["same"]
    assert found["transpose"].max() <= 1e-13
    for name in set(expected) - {"transpose", "same"}:
        a, b = found[name], expected[name]
        assert np.array_equal(np.isnan(a), np.isnan(b)), name
        assert np.nanmax(np.abs(a - b)) <= 1e-9 * np.nanmax(np.abs(b)), name


@pytest.mark.parametrize("ranks", CASES)
def test_refusals_reach_every_rank(ranks: int, folder: Path) -> None:
    messages = load(folder, ranks, "refused")["messages"]
    parts = [
        "number 1 (from 0) at (1.5, 0.5), is 0.5 away",
        "did you mean 'right'",
        "body 'high'",
        "virtual displacements (",
    ]
    for on_ranks, part in zip(messages.tolist(), parts, strict=True):
        assert len(on_ranks) == ranks and len(set(on_ranks)) == 1 and part in on_ranks[0], on_ranks
