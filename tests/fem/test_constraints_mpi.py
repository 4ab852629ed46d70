"""Linked displacements on two MPI ranks: the answers of SciPy on one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from constraints_on_ranks import solve
from mpi_ranks import NEEDS_MPI, script_on_ranks
from numpy.typing import NDArray

pytestmark = NEEDS_MPI

SCRIPT = Path(__file__).parent / "constraints_on_ranks.py"
CASES = ["rollers", "rigid", "cell", "finite", "glued", "blown"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All cases on two ranks."""
    folder = tmp_path_factory.mktemp("ranks")
    script_on_ranks(2, SCRIPT, folder, *CASES, "refused")
    return folder


def load(folder: Path, case: str) -> dict[str, NDArray]:
    with np.load(folder / f"{case}.npz") as data:
        return dict(data)


@pytest.mark.parametrize("case", CASES)
def test_two_ranks_agree_with_scipy(case: str, folder: Path) -> None:
    found, expected = load(folder, case), solve(case, "scipy")
    for name in set(expected) - {"residuals", "restored"}:
        size = np.linalg.norm(expected[name])
        assert np.linalg.norm(found[name] - expected[name]) <= 1e-9 * size, name
    assert found["restored"] == 0.0


def test_contradictions_reach_every_rank(folder: Path) -> None:
    messages = load(folder, "refused")["messages"].tolist()
    assert len(messages) == 2 and len(set(messages)) == 1
    assert "InputError" in messages[0] and "which 'head' moves" in messages[0]
