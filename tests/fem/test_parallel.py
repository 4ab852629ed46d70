"""Whole problems on 1, 2 and 4 MPI ranks and on SciPy: the same answers, the same failures."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from mpi_ranks import NEEDS_MPI, script_on_ranks
from numpy.typing import NDArray
from problem_on_ranks import TIMES, solve

pytestmark = NEEDS_MPI

Run = Callable[[str, int], dict[str, NDArray]]
SCRIPT = Path(__file__).parent / "problem_on_ranks.py"
HISTORIES = ["quad9-j2", "quad9-perzyna", "tetra10-perzyna", "mixed-j2"]
OTHERS = {
    1: ["tetra10-perzyna-gamg"],
    2: ["tetra10-perzyna-gamg", "faulty", "failing", "refused"],
    4: ["faulty"],
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, int], dict[str, NDArray]]:
    """What a case found on so many ranks; each number of ranks is started once, for all cases."""

    @cache
    def start(ranks: int) -> Path:
        folder = tmp_path_factory.mktemp(f"ranks{ranks}")
        script_on_ranks(ranks, SCRIPT, folder, *HISTORIES, *OTHERS[ranks])
        return folder

    def load(case: str, ranks: int) -> dict[str, NDArray]:
        with np.load(start(ranks) / f"{case}.npz") as data:
            return dict(data)

    return load


@cache
def serial(mesh: str, material: str) -> dict[str, NDArray]:
    return solve(mesh, material, "scipy")


def difference(found: dict[str, NDArray], expected: dict[str, NDArray]) -> dict[str, float]:
    """Norm of the difference relative to the norm, for displacements, loads and every field."""
    names = [n for n in expected if n not in ("iterations", "cells")]
    return {
        n: float(np.linalg.norm(found[n] - expected[n]) / max(np.linalg.norm(expected[n]), 1e-300))
        for n in names
    }


@pytest.mark.parametrize("ranks", [1, 2, 4])
@pytest.mark.parametrize("case", HISTORIES)
def test_histories_agree_with_scipy(case: str, ranks: int, run: Run) -> None:
    found, expected = run(case, ranks), serial(*case.split("-"))
    errors = difference(found, expected)
    assert {"u", "stress/0", "equivalent_plastic_strain/0"} <= set(errors)
    assert max(errors.values()) <= 1e-9, errors
    assert expected["equivalent_plastic_strain/0"].max() > 5e-3
    assert len(found["iterations"]) == len(TIMES)
    if case.startswith("mixed") and ranks == 4:
        assert (found["cells"] == 0).any(), "some rank should hold no triangles"


@pytest.mark.parametrize("ranks", [1, 2])
def test_multigrid_agrees_to_its_tolerance(ranks: int, run: Run) -> None:
    """Newton ends by its own residual, so that the linear tolerance leaves no trace."""
    errors = difference(run("tetra10-perzyna-gamg", ranks), serial("tetra10", "perzyna"))
    assert max(errors.values()) <= 1e-9, errors


@pytest.mark.parametrize("ranks", [2, 4])
def test_exception_in_one_rank_stops_all(ranks: int, run: Run) -> None:
    found = run("faulty", ranks)
    *others, culprit = found["messages"].tolist()
    assert culprit == "RuntimeError: the material broke"
    assert len(others) == ranks - 1
    for message in others:
        assert message.startswith("ConvergenceError") and "the material broke" in message
        assert f"rank {ranks - 1}" in message
    assert np.all(found["times"] == 0.4)


def test_points_that_fail_on_one_rank_cut_the_step_on_all(run: Run) -> None:
    found = run("failing", 2)
    assert found["converged"].tolist() == [[False, True]] * 2
    assert np.all(found["failed"] == found["points"]) and found["points"] > 0
    for reason in found["reasons"].tolist():
        assert reason.startswith(f"{found['points']} of 108 points")


def test_bad_input_reaches_every_rank(run: Run) -> None:
    found = run("refused", 2)
    for messages in found.values():
        assert len(set(messages.tolist())) == 1
    assert "MeshError" in found["boundary"][0] and "did you mean 'right'" in found["boundary"][0]
    assert "InputError" in found["clash"][0] and "on common nodes" in found["clash"][0]
    assert "InputError" in found["nan"][0] and "nan" in found["nan"][0]
    assert "rigid-body motion" in found["free"][0]
