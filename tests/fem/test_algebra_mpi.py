"""The algebra on 1, 2 and 4 MPI ranks: same answers, same failures, no rank left behind."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from mpi_ranks import NEEDS_MPI, script_on_ranks
from numpy.typing import NDArray

pytestmark = NEEDS_MPI

SCRIPT = Path(__file__).parent / "algebra_on_ranks.py"


Run = Callable[[str, int], dict[str, NDArray]]
# Each number of ranks is started once, for all of its cases.
EVERYWHERE = ["newton", "tied", "tied_multigrid"]
CASES = {
    1: [*EVERYWHERE, "multigrid"],
    2: [
        *EVERYWHERE,
        *("multigrid", "coo", "ghosts", "log", "nan", "exception", "singular", "unused_option"),
    ],
    4: [*EVERYWHERE, "coo", "ghosts"],
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """What a case found on so many ranks."""

    @cache
    def start(ranks: int) -> Path:
        folder = tmp_path_factory.mktemp(f"ranks{ranks}")
        script_on_ranks(ranks, SCRIPT, folder, *CASES[ranks])
        return folder

    def load(case: str, ranks: int) -> dict[str, NDArray]:
        with np.load(start(ranks) / f"{case}.npz") as data:
            return dict(data)

    return load


@pytest.mark.parametrize("ranks", [1, 2, 4])
def test_newton_matches_scipy(ranks: int, run: Run) -> None:
    from algebra_on_ranks import CELLS, solve
    from elasticity_box import box

    expected = solve(box(CELLS), "scipy").x
    found = run("newton", ranks)["x"]
    assert np.linalg.norm(found - expected) <= 1e-12 * np.linalg.norm(expected)


@pytest.mark.parametrize("ranks", [1, 2, 4])
@pytest.mark.parametrize("case", ["tied", "tied_multigrid"])
def test_linear_constraints_match_scipy(case: str, ranks: int, run: Run) -> None:
    from algebra_on_ranks import CELLS, solve_tied
    from elasticity_box import box

    expected = solve_tied(box(CELLS), "scipy")
    found = run(case, ranks)["u"]
    assert np.linalg.norm(found - expected) <= 1e-10 * np.linalg.norm(expected)


@pytest.mark.parametrize("ranks", [2, 4])
def test_matrix_types_hold_the_same_matrix(ranks: int, run: Run) -> None:
    found = run("coo", ranks)
    np.testing.assert_allclose(found["in_place"], found["coo"], rtol=1e-9, atol=1e-11)


def test_log_counts_the_work_of_all_ranks(run: Run) -> None:
    found = run("log", 2)
    assert found["solves"] == 2 and found["products"] >= found["least"]


def test_multigrid_does_not_depend_on_ranks(run: Run) -> None:
    one, two = (run("multigrid", ranks) for ranks in (1, 2))
    assert np.linalg.norm(one["x"] - two["x"]) <= 1e-6 * np.linalg.norm(one["x"])
    assert int(one["iterations"]) <= 40 and int(two["iterations"]) <= 40


@pytest.mark.parametrize("ranks", [2, 4])
def test_ghost_sum_is_adjoint_of_ghost_update(ranks: int, run: Run) -> None:
    found = run("ghosts", ranks)
    assert found["forward"] == pytest.approx(float(found["backward"]), rel=1e-12)


def test_nan_on_one_rank_fails_on_all(run: Run) -> None:
    assert "not a number" in str(run("nan", 2)["reason"])


def test_exception_on_one_rank_reaches_all(run: Run) -> None:
    assert np.all(np.isfinite(run("exception", 2)["x"]))


def test_missing_constraint_is_named(run: Run) -> None:
    found = run("singular", 2)
    assert not found["converged"] and "rigid-body motion" in str(found["reason"])


def test_unused_option_is_reported_once(run: Run) -> None:
    found = run("unused_option", 2)
    assert found["counts"].tolist() == [1, 0]
    assert "neml2fe_ksp_typ" in str(found["message"])
