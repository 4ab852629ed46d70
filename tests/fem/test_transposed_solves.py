"""Solves with the transpose of the matrix, and with factors of an earlier matrix."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from elasticity_box import box
from mpi_ranks import NEEDS_MPI, script_on_ranks
from numpy.typing import NDArray
from scipy.sparse import csr_array
from transposed_on_ranks import METHODS, solutions, unsymmetric

from neml2fe.fem.algebra import Algebra, DofLayout, make_algebra, petsc_available

needs_petsc = pytest.mark.skipif(not petsc_available(), reason="petsc4py is not installed")
both = pytest.mark.parametrize("backend", [pytest.param("petsc", marks=needs_petsc), "scipy"])
MULTIGRID = {"pc_type": "gamg", "ksp_rtol": "1e-12"}
N = 40
GRADED = DofLayout(None, 1, N, np.arange(N), np.zeros((N, 1)))
PRECONDITIONED_NORM = {"ksp_type": "gmres", "pc_type": "jacobi"}
ways = pytest.mark.parametrize(
    ("backend", "options"),
    [
        pytest.param("petsc", None, marks=needs_petsc, id="petsc"),
        pytest.param("petsc", MULTIGRID, marks=needs_petsc, id="multigrid"),
        pytest.param("scipy", None, id="scipy"),
    ],
)


def off(found: NDArray, expected: NDArray) -> float:
    return float(np.linalg.norm(found - expected) / np.linalg.norm(expected))


@ways
@pytest.mark.parametrize("skew", [0.0, 0.1])
@pytest.mark.parametrize("cells", [(9, 6), (4, 3, 3)])
def test_transposed_against_dense(
    backend: str, options: dict | None, skew: float, cells: tuple[int, ...]
) -> None:
    part = unsymmetric(cells, skew=skew)
    matrix = part.dense()
    with make_algebra(part.layout, backend, options) as algebra:
        part.fill(algebra)
        plain = algebra.solve_linear(part.rhs)
        result = algebra.solve_linear(part.rhs, transposed=True)
    assert result.converged, result.reason
    assert off(plain.x, np.linalg.solve(matrix, part.rhs)) <= 1e-9
    assert off(result.x, np.linalg.solve(matrix.T, part.rhs)) <= 1e-9
    residual = np.linalg.norm(part.rhs - matrix.T @ result.x)
    assert result.residual_norm == pytest.approx(residual, rel=1e-2, abs=1e-13)
    if skew:
        assert off(result.x, plain.x) > 1e-2


@ways
def test_transposed_with_linear_constraints(backend: str, options: dict | None) -> None:
    """The last node follows two others."""
    part = unsymmetric((4, 3))
    n = len(part.rhs)
    transform = np.eye(n)
    transform[n - 2 :] = 0.0
    for i in range(2):
        transform[n - 2 + i, [14 + i, 16 + i]] = 0.25, 0.75
    mask = part.constrained.copy()
    mask[n - 2 :] = True
    with make_algebra(part.layout, backend, options) as algebra:
        algebra.set_pattern(part.indptr, part.indices)
        algebra.set_transform(csr_array(transform))
        algebra.set_constrained(mask)
        algebra.set_matrix(part.values, diagonal=1.0)
        rhs = np.where(mask, 0.0, algebra.to_reduced(part.rhs))
        result = algebra.solve_linear(rhs, transposed=True)
    assert result.converged, result.reason
    t = transform[:, ~mask]
    q = np.zeros(n)
    q[~mask] = np.linalg.solve(t.T @ part.dense().T @ t, t.T @ part.rhs)
    np.testing.assert_allclose(result.x, q, rtol=1e-8, atol=1e-9)


@ways
def test_a_bad_matrix_is_reported_and_a_good_one_then_solved(
    backend: str, options: dict | None
) -> None:
    free, good = box((9, 6), fix=(0,)), unsymmetric((9, 6))
    with make_algebra(good.layout, backend, options) as algebra:
        free.fill(algebra)
        for reuse in (False, True):
            result = algebra.solve_linear(free.rhs, transposed=True, reuse=reuse)
            assert not result.converged
            assert "rigid-body motion constrained" in result.reason
        good.fill(algebra)
        algebra.set_matrix(np.nan * good.values)
        for reuse in (False, True):
            result = algebra.solve_linear(good.rhs, transposed=True, reuse=reuse)
            assert not result.converged
            assert "contains NaN or infinity" in result.reason
        algebra.set_matrix(good.values)
        for reuse in (False, True):
            result = algebra.solve_linear(good.rhs, transposed=True, reuse=reuse)
            assert result.converged, result.reason
        assert off(result.x, np.linalg.solve(good.dense().T, good.rhs)) <= 1e-8
        assert not algebra.solve_linear(0.0 * good.rhs, transposed=True, reuse=True).x.any()


@needs_petsc
@pytest.mark.parametrize("kind", ["cholesky", "gamg"])
@pytest.mark.parametrize("reuse", [False, True])
def test_a_wrong_promise_of_symmetry_is_no_wrong_answer(kind: str, reuse: bool) -> None:
    part = unsymmetric((9, 6), skew=3e-6)
    expected = np.linalg.solve(part.dense().T, part.rhs)
    with make_algebra(part.layout, "petsc", {"pc_type": kind}, symmetric=True) as algebra:
        part.fill(algebra)
        plain = algebra.solve_linear(part.rhs)
        result = algebra.solve_linear(part.rhs, 1e-8, transposed=True, reuse=reuse)
    assert off(plain.x, expected) > 1e-5
    assert not result.converged or off(result.x, expected) <= 1e-6


# factors of an earlier matrix


@pytest.fixture
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if iterations were cheap beside factors, as they are in large bodies alone."""
    if petsc_available():
        from neml2fe.fem.algebra import petsc_reuse

        monkeypatch.setattr(petsc_reuse, "FLOPS_OF_AN_ITERATION", 1.0)


@needs_petsc
def test_patience_grows_with_the_cost_of_factors() -> None:
    from neml2fe.fem.algebra.petsc_reuse import patience

    counts = []
    for cells in ((12, 12), (8, 8, 8), (12, 12, 12)):
        part = box(cells)
        with make_algebra(part.layout, "petsc") as algebra:
            part.fill(algebra)
            assert algebra.solve_linear(part.rhs).converged
            counts.append(patience(algebra._solver._snes.getKSP().getPC()))
    assert counts[0] == 1 < counts[1] < counts[2] <= 12


@both
@pytest.mark.parametrize("skew", [0.0, 0.1])
@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.usefixtures("cheap")
def test_factors_of_a_like_matrix_serve(backend: str, skew: float, transposed: bool) -> None:
    first, like = (unsymmetric((16, 12), change=c, skew=skew) for c in (0.0, 0.01))
    with make_algebra(first.layout, backend) as algebra:
        first.fill(algebra)
        assert algebra.solve_linear(first.rhs).converged
        algebra.set_matrix(like.values)
        result = algebra.solve_linear(first.rhs, transposed=transposed, reuse=True)
        assert result.converged and 1 < result.iterations <= 6, result
        assert algebra.statistics.set_ups == 1 and algebra.statistics.linear_solves == 2
        assert result.residual_norm <= 2e-10 * np.linalg.norm(first.rhs)
        matrix = like.dense().T if transposed else like.dense()
        assert off(result.x, np.linalg.solve(matrix, first.rhs)) <= 1e-8
        loose = algebra.solve_linear(first.rhs, 1e-4, transposed, reuse=True)
        assert loose.iterations < result.iterations
        # Nothing but this call is changed by it.
        plain = algebra.solve_linear(first.rhs, transposed=transposed)
        assert plain.iterations == 1 and algebra.statistics.set_ups == 2
        assert off(plain.x, np.linalg.solve(matrix, first.rhs)) <= 1e-11
        again = algebra.solve_linear(first.rhs, transposed=transposed, reuse=True)
        assert again.iterations <= 2


@both
@pytest.mark.usefixtures("cheap")
def test_factors_of_a_different_matrix_are_made_anew(backend: str) -> None:
    first, other = unsymmetric((16, 12)), unsymmetric((16, 12), change=0.999)
    with make_algebra(first.layout, backend) as algebra:
        first.fill(algebra)
        # With none at first, it makes some.
        assert algebra.solve_linear(first.rhs, transposed=True, reuse=True).converged
        assert algebra.statistics.set_ups == 1
        algebra.set_matrix(other.values)
        result = algebra.solve_linear(first.rhs, transposed=True, reuse=True)
        assert result.converged and algebra.statistics.set_ups == 2
        assert off(result.x, np.linalg.solve(other.dense().T, first.rhs)) <= 1e-10
        algebra.renew()
        algebra.solve_linear(first.rhs, transposed=True, reuse=True)
        assert algebra.statistics.set_ups == 3


@both
@pytest.mark.usefixtures("cheap")
def test_factors_are_kept_when_the_matrix_loses_symmetry(backend: str) -> None:
    first, other = box((8, 6)), unsymmetric((8, 6), skew=0.01)
    with make_algebra(first.layout, backend) as algebra:
        first.fill(algebra)
        for part in (first, other, first):
            algebra.set_matrix(part.values)
            result = algebra.solve_linear(first.rhs, 1e-12, transposed=True, reuse=True)
            assert result.converged, result.reason
            assert off(result.x, np.linalg.solve(part.dense().T, first.rhs)) <= 1e-9


@both
@pytest.mark.usefixtures("cheap")
def test_newton_makes_its_own_factors(backend: str) -> None:
    """Between its solves, one with factors that it has left."""
    part = unsymmetric((8, 6))
    matrix = part.dense()
    with make_algebra(part.layout, backend) as algebra:
        part.fill(algebra)

        def newton() -> tuple[int, int]:
            before = algebra.statistics.set_ups
            result = algebra.solve_nonlinear(
                lambda x: matrix @ x + 1e-3 * x**3 - part.rhs,
                lambda x: algebra.set_matrix(part.values),
                np.zeros_like(part.rhs),
            )
            assert result.converged
            return result.iterations, algebra.statistics.set_ups - before

        first = newton()
        before = algebra.statistics.set_ups
        algebra.set_matrix(1.01 * part.values)
        result = algebra.solve_linear(part.rhs, transposed=True, reuse=True)
        assert result.converged and algebra.statistics.set_ups == before
        assert newton() == first == (first[0], first[0])


# preconditioners and norms of the user


@needs_petsc
@pytest.mark.parametrize("kind", ["sor", "eisenstat"])
def test_a_preconditioner_without_transpose(kind: str) -> None:
    part = unsymmetric((8, 6))
    options = {"pc_type": kind, "ksp_rtol": "1e-11"}
    with make_algebra(part.layout, "petsc", options) as algebra:
        part.fill(algebra)
        for _ in range(2):
            result = algebra.solve_linear(part.rhs, transposed=True)
            assert result.converged, result.reason
            assert off(result.x, np.linalg.solve(part.dense().T, part.rhs)) <= 1e-8
            assert algebra.solve_linear(part.rhs).converged


def graded(algebra: Algebra) -> tuple[NDArray, NDArray]:
    """A full matrix, set, whose rows differ by four decades, and a right-hand side: norms of
    residuals and of residuals that Jacobi has preconditioned are those of different vectors."""
    random = np.random.default_rng(0)
    scale = 10.0 ** np.linspace(-2.0, 2.0, N)
    matrix = scale[:, None] * (np.diag(random.uniform(2.0, 8.0, N)) + random.random((N, N)) / 8)
    algebra.set_pattern(np.arange(N + 1) * N, np.tile(np.arange(N), N))
    algebra.set_matrix(matrix.ravel())
    return matrix, random.random(N)


@needs_petsc
def test_a_preconditioned_norm_does_not_pass_for_the_residual() -> None:
    with make_algebra(GRADED, "petsc", PRECONDITIONED_NORM) as algebra:
        matrix, rhs = graded(algebra)
        size = np.linalg.norm(rhs)
        plain = algebra.solve_linear(rhs, 1e-5)
        assert plain.converged and plain.residual_norm > 1e-4 * size
        result = algebra.solve_linear(rhs, 1e-5, transposed=True)
        assert result.converged, result.reason
        assert np.linalg.norm(rhs - matrix.T @ result.x) <= 2e-5 * size


@needs_petsc
def test_a_tolerance_of_the_user_cannot_loosen_a_transposed_solve() -> None:
    part = unsymmetric((8, 6))
    with make_algebra(part.layout, "petsc", {"pc_type": "gamg", "ksp_rtol": "1e-3"}) as algebra:
        part.fill(algebra)
        size = np.linalg.norm(part.rhs)
        assert algebra.solve_linear(part.rhs, 1e-9).residual_norm > 1e-7 * size
        result = algebra.solve_linear(part.rhs, 1e-9, transposed=True)
        assert result.residual_norm <= 2e-9 * size


@needs_petsc
def test_set_ups_are_judged_in_the_norm_that_was_watched(monkeypatch: pytest.MonkeyPatch) -> None:
    from neml2fe.fem.algebra import petsc_policy

    reductions = []
    solved = petsc_policy.SetUpPolicy.solved

    def record(policy: petsc_policy.SetUpPolicy, iterations: int, reduction: float) -> None:
        reductions.append(reduction)
        solved(policy, iterations, reduction)

    monkeypatch.setattr(petsc_policy.SetUpPolicy, "solved", record)
    options = PRECONDITIONED_NORM | {"snes_ksp_ew": "0", "ksp_rtol": "1e-5"}
    with make_algebra(GRADED, "petsc", options) as algebra:
        matrix, rhs = graded(algebra)
        assert algebra.solve_linear(rhs).converged
        algebra.solve_nonlinear(
            lambda x: matrix @ x - rhs, lambda x: algebra.set_matrix(matrix.ravel()), np.zeros(N)
        )
    assert len(reductions) >= 2
    assert all(1e-7 < r <= 1e-5 for r in reductions), reductions


# ranks


@pytest.mark.parametrize("ranks", [pytest.param(3, marks=NEEDS_MPI)])
def test_ranks_agree_with_scipy(ranks: int, tmp_path: Path) -> None:
    expected, _ = solutions("direct", "scipy")
    script_on_ranks(ranks, Path(__file__).parent / "transposed_on_ranks.py", tmp_path)
    with np.load(tmp_path / "found.npz") as found:
        for name in METHODS:
            assert off(found[name], expected) <= 1e-8, name
