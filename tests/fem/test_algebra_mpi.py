"""The algebra on 1, 2 and 4 MPI ranks: same answers, same failures, no rank left behind."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("petsc4py", reason="petsc4py is not installed")
pytest.importorskip("mpi4py", reason="mpi4py is not installed")
pytestmark = [
    pytest.mark.mpi,
    pytest.mark.skipif(shutil.which("mpiexec") is None, reason="mpiexec is not installed"),
]

SCRIPT = Path(__file__).parent / "algebra_on_ranks.py"


def run(case: str, ranks: int, folder: Path) -> dict[str, np.ndarray]:
    output = folder / f"{case}-{ranks}.npz"
    environment = os.environ | {
        "OMP_NUM_THREADS": "1",
        "OMPI_ALLOW_RUN_AS_ROOT": "1",
        "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
        "OMPI_MCA_rmaps_base_oversubscribe": "1",
    }
    command = ["mpiexec", "-n", str(ranks), sys.executable, str(SCRIPT), case, str(output)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr + done.stdout
    assert "PETSC ERROR" not in done.stderr
    with np.load(output) as data:
        return dict(data)


@pytest.mark.parametrize("ranks", [1, 2, 4])
def test_newton_matches_scipy(ranks: int, tmp_path: Path) -> None:
    from algebra_on_ranks import CELLS, solve
    from elasticity_box import box

    expected = solve(box(CELLS), "scipy").x
    found = run("newton", ranks, tmp_path)["x"]
    assert np.linalg.norm(found - expected) <= 1e-12 * np.linalg.norm(expected)


@pytest.mark.parametrize("ranks", [1, 2, 4])
@pytest.mark.parametrize("case", ["tied", "tied_multigrid"])
def test_linear_constraints_match_scipy(case: str, ranks: int, tmp_path: Path) -> None:
    from algebra_on_ranks import CELLS, solve_tied
    from elasticity_box import box

    expected = solve_tied(box(CELLS), "scipy")
    found = run(case, ranks, tmp_path)["u"]
    assert np.linalg.norm(found - expected) <= 1e-10 * np.linalg.norm(expected)


@pytest.mark.parametrize("ranks", [2, 4])
def test_matrix_types_hold_the_same_matrix(ranks: int, tmp_path: Path) -> None:
    found = run("coo", ranks, tmp_path)
    np.testing.assert_allclose(found["in_place"], found["coo"], rtol=1e-9, atol=1e-11)


def test_log_counts_the_work_of_all_ranks(tmp_path: Path) -> None:
    found = run("log", 2, tmp_path)
    assert found["solves"] == 2 and found["products"] >= found["least"]


def test_multigrid_does_not_depend_on_ranks(tmp_path: Path) -> None:
    one, two = (run("multigrid", ranks, tmp_path) for ranks in (1, 2))
    assert np.linalg.norm(one["x"] - two["x"]) <= 1e-6 * np.linalg.norm(one["x"])
    assert int(one["iterations"]) <= 40 and int(two["iterations"]) <= 40


@pytest.mark.parametrize("ranks", [2, 4])
def test_ghost_sum_is_adjoint_of_ghost_update(ranks: int, tmp_path: Path) -> None:
    found = run("ghosts", ranks, tmp_path)
    assert found["forward"] == pytest.approx(float(found["backward"]), rel=1e-12)


def test_nan_on_one_rank_fails_on_all(tmp_path: Path) -> None:
    assert "not a number" in str(run("nan", 2, tmp_path)["reason"])


def test_exception_on_one_rank_reaches_all(tmp_path: Path) -> None:
    assert np.all(np.isfinite(run("exception", 2, tmp_path)["x"]))


def test_missing_constraint_is_named(tmp_path: Path) -> None:
    found = run("singular", 2, tmp_path)
    assert not found["converged"] and "rigid-body motion" in str(found["reason"])


def test_unused_option_is_reported_once(tmp_path: Path) -> None:
    found = run("unused_option", 2, tmp_path)
    assert found["counts"].tolist() == [1, 0]
    assert "neml2fe_ksp_typ" in str(found["message"])
