"""The algebra on one rank, each statement for PETSc and for SciPy."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from elasticity_box import Box, box, element_stiffness
from scipy.sparse import bsr_array, csr_array

from neml2fe.errors import Error, InputError
from neml2fe.fem.algebra import (
    Algebra,
    DofLayout,
    Tolerances,
    make_algebra,
    petsc_available,
)

needs_petsc = pytest.mark.skipif(not petsc_available(), reason="petsc4py is not installed")
both = pytest.mark.parametrize("backend", [pytest.param("petsc", marks=needs_petsc), "scipy"])


def serial(n_nodes: int, block_size: int = 1) -> DofLayout:
    return DofLayout(None, block_size, n_nodes, np.arange(n_nodes), np.zeros((n_nodes, 1)))


def full_pattern(n: int) -> tuple[np.ndarray, np.ndarray]:
    return np.arange(n + 1) * n, np.tile(np.arange(n), n)


def diagonal_pattern(n: int) -> tuple[np.ndarray, np.ndarray]:
    return np.arange(n + 1), np.arange(n)


# linear


@both
@pytest.mark.parametrize("seed", range(3))
def test_random_blocks_and_new_values(backend: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    n, size = 10, 3
    blocks = (rng.random((n, n)) < 0.4) | np.eye(n, dtype=bool)
    indptr, indices = np.concatenate([[0], np.cumsum(blocks.sum(1))]), np.nonzero(blocks)[1]
    entries = np.kron(blocks, np.ones((size, size))) > 0
    with make_algebra(serial(n, size), backend) as algebra:
        algebra.set_pattern(indptr, indices)
        for _ in range(3):
            matrix = np.where(entries, rng.normal(size=entries.shape), 0.0) + 20 * np.eye(n * size)
            rhs = rng.normal(size=n * size)
            algebra.set_matrix(matrix[entries])
            result = algebra.solve_linear(rhs)
            assert result.converged, result.reason
            np.testing.assert_allclose(result.x, np.linalg.solve(matrix, rhs), rtol=0, atol=1e-12)
            assert result.residual_norm <= 1e-11


@both
def test_blocks_that_the_pattern_lacks_on_the_diagonal(backend: str) -> None:
    """A node without elements, whose diagonal the caller asks to be filled."""
    part = box((3, 2))
    n = len(part.layout.global_nodes)
    layout = serial(n + 1, 2)
    with make_algebra(layout, backend) as algebra:
        algebra.set_pattern(np.append(part.indptr, part.indptr[-1]), part.indices)
        algebra.set_constrained(np.append(part.constrained, [True, True]))
        algebra.set_matrix(part.values, diagonal=4.0)
        result = algebra.solve_linear(np.append(part.rhs, [8.0, 4.0]))
    assert result.converged, result.reason
    expected = np.linalg.solve(part.dense(), part.rhs)
    np.testing.assert_allclose(result.x, np.append(expected, [2.0, 1.0]), rtol=1e-10, atol=1e-12)


@both
@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize("cells", [(9, 6), (4, 3, 3)])
def test_elasticity_against_dense(backend: str, symmetric: bool, cells: tuple[int, ...]) -> None:
    part = box(cells)
    expected = np.linalg.solve(part.dense(), part.rhs)
    with make_algebra(part.layout, backend, symmetric=symmetric) as algebra:
        part.fill(algebra)
        result = algebra.solve_linear(part.rhs)
    assert np.linalg.norm(result.x - expected) <= 1e-12 * np.linalg.norm(expected)


@both
def test_second_pattern_replaces_the_first(backend: str) -> None:
    n = 6
    with make_algebra(serial(n), backend) as algebra:
        algebra.set_pattern(*diagonal_pattern(n))
        algebra.set_matrix(np.full(n, 2.0))
        np.testing.assert_allclose(algebra.solve_linear(np.ones(n)).x, 0.5)
        algebra.set_pattern(*full_pattern(n))
        values = np.eye(n) * 4 + 1
        algebra.set_matrix(values.ravel())
        np.testing.assert_allclose(
            algebra.solve_linear(np.ones(n)).x, np.linalg.solve(values, np.ones(n))
        )


@both
@pytest.mark.parametrize("symmetric", [False, True])
def test_missing_constraint_is_named(backend: str, symmetric: bool) -> None:
    """A free rigid-body translation, with loads that excite it and with loads that do not."""
    part = box((9, 6), fix=(0,))
    pull = part.rhs.copy()
    pull[1::2] = 0.0
    with make_algebra(part.layout, backend, symmetric=symmetric) as algebra:
        part.fill(algebra)
        for rhs in (part.rhs, pull):
            result = algebra.solve_linear(rhs)
            assert not result.converged
            assert "the matrix is singular; is rigid-body motion constrained?" in result.reason


@both
def test_slender_and_heterogeneous_bodies_are_not_singular(backend: str) -> None:
    slender = box((300, 2), lengths=(300.0, 1.0))
    mixed = box((12, 12))
    rng = np.random.default_rng(0)
    mixed.stiffness *= 10 ** rng.uniform(-4, 4, (144, 1, 1))
    mixed.assemble()
    for part in (slender, mixed):
        with make_algebra(part.layout, backend) as algebra:
            part.fill(algebra)
            result = algebra.solve_linear(part.rhs)
        assert result.converged, result.reason


@both
@pytest.mark.parametrize("broken", ["zero row", "nan"])
def test_bad_matrix_fails_and_a_good_one_then_works(backend: str, broken: str) -> None:
    n = 5
    good = np.eye(n) * 3 + 1
    bad = good.copy()
    bad[2] = 0.0 if broken == "zero row" else np.nan
    with make_algebra(serial(n), backend) as algebra:
        algebra.set_pattern(*full_pattern(n))
        algebra.set_matrix(bad.ravel())
        result = algebra.solve_linear(np.ones(n))
        assert not result.converged
        assert ("singular" if broken == "zero row" else "NaN") in result.reason
        algebra.set_matrix(good.ravel())
        assert algebra.solve_linear(np.ones(n)).converged


@both
def test_load_that_is_not_a_number_fails(backend: str) -> None:
    part = box((4, 3))
    with make_algebra(part.layout, backend) as algebra:
        part.fill(algebra)
        result = algebra.solve_linear(part.rhs * np.nan)
    assert not result.converged and "right-hand side contains NaN" in result.reason


@both
def test_zero_load_gives_zero(backend: str) -> None:
    part = box((4, 3))
    with make_algebra(part.layout, backend) as algebra:
        part.fill(algebra)
        result = algebra.solve_linear(0 * part.rhs)
    assert result.converged and not result.x.any()


# nonlinear


def cubic(algebra: Algebra, n: int) -> tuple[Callable, Callable]:
    """`A x + x^3 = 1` with A the second-difference matrix plus the identity."""
    matrix = 3 * np.eye(n) - np.eye(n, k=1) - np.eye(n, k=-1)
    algebra.set_pattern(*full_pattern(n))
    return (
        lambda x: matrix @ x + x**3 - 1,
        lambda x: algebra.set_matrix((matrix + np.diag(3 * x**2)).ravel()),
    )


@both
def test_newton_converges_quadratically(backend: str) -> None:
    n, seen = 12, []
    with make_algebra(serial(n), backend, tolerances=Tolerances(1e-15, 1e-13)) as algebra:
        residual, jacobian = cubic(algebra, n)
        result = algebra.solve_nonlinear(
            residual, jacobian, np.ones(n), monitor=lambda *a: seen.append(a)
        )
    assert result.converged, result.reason
    assert np.linalg.norm(residual(result.x)) <= 1e-13
    assert seen == list(enumerate(result.residual_norms))
    assert len(seen) == result.iterations + 1 and result.linear_iterations == result.iterations
    norms = np.array([r for r in result.residual_norms if 1e-12 < r < 0.5])
    order = np.log(norms[2:] / norms[1:-1]) / np.log(norms[1:-1] / norms[:-2])
    assert order[-1] > 1.8


@both
def test_tolerances_decide(backend: str) -> None:
    n = 12
    with make_algebra(serial(n), backend, tolerances=Tolerances(1e-3, 1e-30, 25)) as algebra:
        residual, jacobian = cubic(algebra, n)
        loose = algebra.solve_nonlinear(residual, jacobian, np.ones(n))
        assert loose.converged and "rtol" in loose.reason
        assert loose.residual_norms[-1] <= 1e-3 * loose.residual_norms[0]
        assert loose.residual_norms[-2] > 1e-3 * loose.residual_norms[0]
        start = algebra.solve_nonlinear(residual, jacobian, loose.x, atol=1.0)
        assert start.converged and start.iterations == 0 and "atol" in start.reason
        again = algebra.solve_nonlinear(residual, jacobian, np.ones(n))
        assert again.residual_norms == pytest.approx(loose.residual_norms)
    with make_algebra(serial(n), backend, tolerances=Tolerances(max_it=2)) as algebra:
        residual, jacobian = cubic(algebra, n)
        short = algebra.solve_nonlinear(residual, jacobian, 10 * np.ones(n))
        assert not short.converged and short.iterations == 2
        assert short.reason == "not converged in 2 iterations"


@both
def test_nan_at_the_start_ends_unconverged(backend: str) -> None:
    with make_algebra(serial(4), backend) as algebra:
        _, jacobian = cubic(algebra, 4)
        result = algebra.solve_nonlinear(lambda x: x * np.nan, jacobian, np.zeros(4))
    assert not result.converged and "not a number" in result.reason


@both
def test_nan_in_a_trial_shortens_the_step(backend: str) -> None:
    """Newton for log(x) = 0 from x = 5 jumps to x < 0, where the logarithm is undefined."""
    trials = []

    def residual(x: np.ndarray) -> np.ndarray:
        trials.append(x.min())
        with np.errstate(invalid="ignore"):
            return np.log(x)

    with make_algebra(serial(3), backend) as algebra:
        algebra.set_pattern(*diagonal_pattern(3))
        result = algebra.solve_nonlinear(
            residual, lambda x: algebra.set_matrix(1 / x), np.full(3, 5.0)
        )
    assert min(trials) < 0
    assert result.converged, result.reason
    np.testing.assert_allclose(result.x, 1.0)


@both
def test_nan_wherever_newton_goes_ends_unconverged(backend: str) -> None:
    def residual(x: np.ndarray) -> np.ndarray:
        return np.ones(3) if not x.any() else x * np.nan

    with make_algebra(serial(3), backend) as algebra:
        algebra.set_pattern(*diagonal_pattern(3))
        result = algebra.solve_nonlinear(
            residual, lambda x: algebra.set_matrix(np.ones(3)), np.zeros(3)
        )
    assert not result.converged
    assert np.all(np.isfinite(result.x))


@both
def test_a_minimum_that_is_no_root_ends_unconverged(backend: str) -> None:
    with make_algebra(serial(1), backend) as algebra:
        algebra.set_pattern(*diagonal_pattern(1))
        result = algebra.solve_nonlinear(
            lambda x: x**2 + 1, lambda x: algebra.set_matrix(2 * x), np.ones(1)
        )
    assert not result.converged and result.reason


@both
def test_singular_tangent_ends_unconverged(backend: str) -> None:
    n = 6
    with make_algebra(serial(n), backend) as algebra:
        residual, jacobian = cubic(algebra, n)
        result = algebra.solve_nonlinear(
            residual, lambda x: algebra.set_matrix(np.ones(n * n)), np.zeros(n)
        )
        assert not result.converged and "singular" in result.reason
        assert algebra.solve_nonlinear(residual, jacobian, np.zeros(n)).converged


@both
@pytest.mark.parametrize("where", ["residual", "jacobian", "monitor"])
@pytest.mark.parametrize("kind", [ZeroDivisionError, InputError, KeyboardInterrupt])
def test_exception_in_a_callback_is_raised_as_itself(
    backend: str, where: str, kind: type[BaseException], capfd: pytest.CaptureFixture
) -> None:
    error = kind("on purpose")

    def fail(*_: object) -> None:
        raise error

    n = 6
    with make_algebra(serial(n), backend) as algebra:
        residual, jacobian = cubic(algebra, n)
        calls = {"residual": residual, "jacobian": jacobian, "monitor": None} | {where: fail}
        for _ in range(2):
            with pytest.raises(kind) as caught:
                algebra.solve_nonlinear(x0=np.zeros(n), **calls)
            assert caught.value is error
        assert algebra.solve_nonlinear(residual, jacobian, np.zeros(n)).converged
    assert capfd.readouterr() == ("", "")


# vectors and arguments


@both
def test_serial_vectors(backend: str) -> None:
    with make_algebra(serial(4, 3), backend) as algebra:
        x = np.arange(12.0)
        for result in (algebra.update_ghosts(x), algebra.sum_to_owners(x)):
            np.testing.assert_array_equal(result, x)
            assert not np.shares_memory(result, x)
        assert algebra.dot(x, x) == x @ x and algebra.norm(x) == np.sqrt(x @ x)
        assert algebra.allreduce(3, "max") == 3


@both
def test_wrong_arguments_are_refused(backend: str) -> None:
    with make_algebra(serial(4), backend) as algebra:
        with pytest.raises(Error, match="set_pattern first"):
            algebra.solve_linear(np.ones(4))
        with pytest.raises(InputError, match=r"span 0\.\.4, but this rank has the nodes 0\.\.3"):
            algebra.set_pattern(np.arange(5), np.array([0, 1, 2, 4]))
        with pytest.raises(InputError, match="indptr must have 5 entries"):
            algebra.set_pattern(np.arange(4), np.arange(3))
        with pytest.raises(InputError, match="must ascend"):
            algebra.set_pattern(np.array([0, 2, 3, 4, 5]), np.array([1, 0, 1, 2, 3]))
        algebra.set_pattern(*diagonal_pattern(4))
        with pytest.raises(InputError, match=r"transform has shape \(3, 4\); expected \(4, 4\)"):
            algebra.set_transform(csr_array((3, 4)))
        with pytest.raises(InputError, match=r"matrix values has shape \(3,\); expected \(4,\)"):
            algebra.set_matrix(np.ones(3))
        algebra.set_matrix(np.ones(4))
        with pytest.raises(InputError, match="right-hand side"):
            algebra.solve_linear(np.ones(5))
        with pytest.raises(InputError, match="the residual has shape"):
            algebra.solve_nonlinear(lambda x: np.ones(1), lambda x: None, np.ones(4))
    with pytest.raises(Error, match="not after close"):
        algebra.solve_linear(np.ones(4))


def test_wrong_layouts_and_backends_are_refused() -> None:
    with pytest.raises(InputError, match="did you mean 'petsc'"):
        make_algebra(serial(3), "pets")
    with pytest.raises(InputError, match="numbered consecutively"):
        DofLayout(None, 1, 2, np.array([0, 2]), np.zeros((2, 2)))
    with pytest.raises(InputError, match="coordinates"):
        DofLayout(None, 1, 2, np.array([0, 1]), np.zeros((3, 2)))

    class TwoRanks:
        def Get_size(self) -> int:
            return 2

    with pytest.raises(InputError, match="SciPy solves on one rank, this run has 2"):
        make_algebra(DofLayout(TwoRanks(), 1, 1, np.arange(1), np.zeros((1, 1))), "scipy")


def test_auto_without_petsc_says_so_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "petsc4py", None)
    with pytest.warns(UserWarning, match="petsc4py is not installed") as caught:
        algebra = make_algebra(serial(3), "auto")
    assert len(caught) == 1 and algebra.describe().startswith("SciPy")
    with pytest.raises(InputError, match="needs petsc4py"):
        make_algebra(serial(3), "petsc")


def test_scipy_says_that_it_ignores_options() -> None:
    with pytest.warns(UserWarning, match="ignored: ksp_type"):
        make_algebra(serial(3), "scipy", {"ksp_type": "cg"})


# PETSc's options and multigrid


@needs_petsc
@pytest.mark.parametrize("key", ["ksp_type", "-ksp_type", "neml2fe_ksp_type", "-neml2fe_ksp_type"])
def test_options_override_the_defaults(key: str) -> None:
    part = box((6, 4))
    options = {key: "cg", "pc_type": "jacobi", "ksp_rtol": "1e-10"}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with make_algebra(part.layout, "petsc", options) as algebra:
            assert algebra.describe().endswith("newtonls, cg, jacobi")
            part.fill(algebra)
            result = algebra.solve_linear(part.rhs)
    assert result.converged and result.iterations > 5
    with make_algebra(part.layout, "petsc") as algebra:  # nothing is left behind
        assert "newtonls, preonly, cholesky (" in algebra.describe()


@needs_petsc
def test_environment_options_need_the_prefix_and_give_way() -> None:
    from petsc4py import PETSc

    database = PETSc.Options()
    database["neml2fe_pc_type"], database["ksp_type"] = "jacobi", "bcgs"
    try:
        with make_algebra(serial(3), "petsc") as algebra:
            assert algebra.describe().endswith("cg, jacobi")
        with make_algebra(serial(3), "petsc", {"pc_type": "sor"}) as algebra:
            assert algebra.describe().endswith("cg, sor")
    finally:
        database.delValue("neml2fe_pc_type")
        database.delValue("ksp_type")


@needs_petsc
def test_snes_options_reach_newton() -> None:
    with make_algebra(serial(6), "petsc", {"snes_max_it": "1", "snes_atol": "1e-9"}) as algebra:
        residual, jacobian = cubic(algebra, 6)
        result = algebra.solve_nonlinear(residual, jacobian, 9 * np.ones(6), atol=1e9)
    assert result.reason == "not converged in 1 iterations"


@needs_petsc
def test_mistyped_option_is_reported_once_by_name() -> None:
    part = box((4, 3))
    options = {"ksp_typ": "cg", "snes_view_all": None, "pc_type": "lu"}
    with make_algebra(part.layout, "petsc", options) as algebra:
        part.fill(algebra)
        with pytest.warns(UserWarning, match="neml2fe_ksp_typ, neml2fe_snes_view_all$") as caught:
            algebra.solve_linear(part.rhs)
            algebra.solve_linear(part.rhs)
    assert len(caught) == 1


@needs_petsc
def test_mistyped_option_value_is_an_input_error() -> None:
    with pytest.raises(InputError, match="KSP type cgg"):
        make_algebra(serial(3), "petsc", {"ksp_type": "cgg"})


def multigrid_iterations(symmetric: bool, modes: bool, options: dict | None = None) -> int:
    part = box((10, 10, 10))
    layout = part.layout
    if not modes:  # coordinates of another dimension than the displacement have no rigid bodies
        points = np.zeros((len(layout.global_nodes), 1))
        layout = DofLayout(None, 3, layout.n_owned_nodes, layout.global_nodes, points)
    with make_algebra(
        layout, "petsc", {"pc_type": "gamg"} | (options or {}), symmetric=symmetric
    ) as algebra:
        algebra.set_pattern(part.indptr, part.indices)
        algebra.set_matrix(part.values)
        algebra.set_constrained(part.constrained)
        result = algebra.solve_linear(part.rhs)
        assert result.converged, result.reason
        assert result.residual_norm <= 1e-8 * np.linalg.norm(part.rhs)
    return result.iterations


@needs_petsc
@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize(("smooths", "most"), [("0", 36), ("1", 20)])
def test_multigrid_profits_from_rigid_body_modes(smooths: str, most: int, symmetric: bool) -> None:
    options = {"pc_gamg_agg_nsmooths": smooths} if smooths != "0" else {}
    with_modes = multigrid_iterations(symmetric, True, options)
    assert with_modes <= most
    assert with_modes < 0.75 * multigrid_iterations(symmetric, False, options)


@needs_petsc
def test_multigrid_is_the_default_of_large_problems(monkeypatch: pytest.MonkeyPatch) -> None:
    from neml2fe.fem.algebra import petsc_defaults

    monkeypatch.setattr(petsc_defaults, "DIRECT_LIMIT", {2: 100})
    for symmetric, name in ((False, "gmres, gamg"), (True, "cg, gamg")):
        with make_algebra(box((20, 20)).layout, "petsc", symmetric=symmetric) as algebra:
            assert algebra.describe().endswith(name)


@needs_petsc
def test_multigrid_that_cannot_converge_says_what_to_do() -> None:
    part = box((8, 8), fix=(0,))
    with make_algebra(part.layout, "petsc", {"pc_type": "gamg", "ksp_max_it": "30"}) as algebra:
        part.fill(algebra)
        result = algebra.solve_linear(part.rhs)
    assert not result.converged
    assert "rigid-body motion" in result.reason


@needs_petsc
@pytest.mark.parametrize("factor", [0.0, np.nan])
def test_multigrid_of_a_bad_matrix_fails_and_a_good_one_then_works(factor: float) -> None:
    part = box((6, 6, 6))
    with make_algebra(part.layout, "petsc", {"pc_type": "gamg"}) as algebra:
        part.fill(algebra)
        algebra.set_matrix(factor * part.values)
        result = algebra.solve_linear(part.rhs)
        assert not result.converged
        assert result.reason.startswith("the linear solver failed")
        algebra.set_matrix(part.values)
        assert algebra.solve_linear(part.rhs).converged


# choice of the solver by the matrix


@needs_petsc
@pytest.mark.parametrize("options", [None, {"pc_type": "gamg"}])
def test_an_unsymmetric_matrix_gets_a_solver_for_such(options: dict | None) -> None:
    part = box((8, 8))
    skew = part.values.copy()
    convection = 0.1 * np.random.default_rng(0).normal(size=len(skew))
    skew += np.where(skew != 0.0, convection * abs(skew).mean(), 0.0)
    with make_algebra(part.layout, "petsc", options) as algebra:
        part.fill(algebra)
        assert algebra.solve_linear(part.rhs).converged
        assert algebra.describe().split(" (")[0].endswith(("preonly, cholesky", "cg, gamg"))
        for values in (skew, part.values):  # once a material has lost symmetry, it may again
            algebra.set_matrix(values)
            result = algebra.solve_linear(part.rhs)
            assert result.converged, result.reason
            assert result.residual_norm <= 2e-8 * np.linalg.norm(part.rhs)
            assert algebra.describe().split(" (")[0].endswith(("preonly, lu", "gmres, gamg"))
        algebra.renew()
        assert algebra.describe().split(" (")[0].endswith(("preonly, cholesky", "cg, gamg"))


@needs_petsc
def test_an_indefinite_symmetric_matrix_is_solved_without_cg() -> None:
    values = np.diag([1.0, -2.0, 3.0, -4.0]) + 0.5
    with make_algebra(serial(4), "petsc", {"pc_type": "none"}) as algebra:
        algebra.set_pattern(*full_pattern(4))
        algebra.set_matrix(values.ravel())
        result = algebra.solve_linear(np.ones(4))
        assert algebra.statistics.retries == 1
    assert result.converged, result.reason
    np.testing.assert_allclose(result.x, np.linalg.solve(values, np.ones(4)), rtol=1e-6)


@needs_petsc
def test_conjugate_gradients_outlast_a_set_up_that_has_become_indefinite() -> None:
    # Smoothers of compressible elements do not cover the spectrum of those that flow.
    part, flowing = box((8, 8, 8)), box((8, 8, 8))
    flow = element_stiffness(np.full(3, 1 / 8), poisson=0.49)
    flowing.stiffness = np.where(part.stiffness != 0.0, flow, 0.0)  # the clamped face stays so
    flowing.assemble()
    with make_algebra(part.layout, "petsc", {"pc_type": "gamg"}) as algebra:
        part.fill(algebra)
        assert algebra.solve_linear(part.rhs).converged
        algebra.set_matrix(flowing.values)
        result = algebra.solve_linear(part.rhs)
        assert algebra.statistics.retries == 1
        assert algebra.describe().endswith("cg, gamg")
    assert result.converged, result.reason
    assert result.residual_norm <= 2e-8 * np.linalg.norm(part.rhs)


@needs_petsc
def test_set_ups_are_kept_while_they_serve(monkeypatch: pytest.MonkeyPatch) -> None:
    part = box((6, 6, 6))
    with make_algebra(part.layout, "petsc", {"pc_type": "gamg"}) as algebra:
        part.fill(algebra)
        for factor in (1.0, 1.1, 1.2):
            algebra.set_matrix(factor * part.values)
            assert algebra.solve_linear(part.rhs).converged
        assert algebra.statistics.set_ups == 1 and algebra.statistics.linear_solves == 3
        other = box((6, 6, 6))
        other.stiffness *= np.where(np.arange(216) % 36 < 12, 1.0, 1e-4)[:, None, None]
        other.assemble()
        algebra.set_matrix(other.values)
        counts = [algebra.solve_linear(part.rhs).iterations for _ in range(3)]
        assert algebra.statistics.set_ups > 1
        assert counts[-1] < counts[0]


@needs_petsc
def test_a_direct_solver_takes_over_where_multigrid_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    from neml2fe.fem.algebra import petsc_defaults

    monkeypatch.setattr(petsc_defaults, "DIRECT_LIMIT", {2: 100})
    part = box((60, 6), lengths=(60.0, 0.5))  # cells 12 times longer than thick
    with make_algebra(part.layout, "petsc") as algebra:
        assert algebra.describe().endswith("cg, gamg")
        part.fill(algebra)
        result = algebra.solve_linear(part.rhs)
        assert result.converged, result.reason
        assert "preonly, " in algebra.describe() and algebra.statistics.retries >= 1


@needs_petsc
def test_multigrid_names_a_free_motion_that_the_load_does_not_excite() -> None:
    part = box((8, 8), fix=(0,))
    pull = part.rhs.copy()
    pull[1::2] = 0.0
    with make_algebra(part.layout, "petsc", {"pc_type": "gamg"}) as algebra:
        part.fill(algebra)
        result = algebra.solve_linear(pull)
        assert not result.converged and "rigid-body motion" in result.reason
        good = box((8, 8))
        algebra.set_constrained(good.constrained)
        algebra.set_matrix(good.values)
        assert algebra.solve_linear(good.rhs).converged


@needs_petsc
@pytest.mark.parametrize("kind", ["baij", "aijcrl"])
def test_other_matrix_types_are_filled_too(kind: str) -> None:
    part = box((5, 4))
    options = {"mat_type": kind, "pc_type": "jacobi", "ksp_rtol": "1e-12"}
    with make_algebra(part.layout, "petsc", options) as algebra:
        part.fill(algebra)
        algebra.set_matrix(2 * part.values)
        result = algebra.solve_linear(part.rhs)
    expected = np.linalg.solve(2 * part.dense(), part.rhs)
    np.testing.assert_allclose(result.x, expected, rtol=1e-8, atol=1e-10)


@needs_petsc
def test_a_matrix_type_that_this_petsc_lacks_is_named() -> None:
    part = box((3, 2))
    algebra = make_algebra(part.layout, "petsc", {"mat_type": "aijnowhere"})
    with algebra, pytest.raises(InputError, match="aijnowhere"):
        part.fill(algebra)


@both
def test_statistics_count(backend: str) -> None:
    part = box((6, 4))
    with make_algebra(part.layout, backend) as algebra:
        part.fill(algebra)
        for _ in range(2):
            algebra.set_matrix(part.values)
            algebra.solve_linear(part.rhs)
        found = algebra.statistics
    assert (found.linear_solves, found.linear_iterations, found.set_ups) == (2, 2, 2)


@needs_petsc
def test_options_file(tmp_path: Path) -> None:
    path = tmp_path / "petsc.txt"
    path.write_text("# cheap\n-neml2fe_ksp_type cg\n-pc_type jacobi # fast\n\n-ksp_rtol 1e-3\n")
    part = box((6, 4))
    with make_algebra(part.layout, "petsc", {"ksp_rtol": "1e-10"}, options_file=path) as algebra:
        assert algebra.describe().endswith("newtonls, cg, jacobi")
        part.fill(algebra)
        result = algebra.solve_linear(part.rhs)
    assert result.residual_norm <= 2e-10 * np.linalg.norm(part.rhs)
    path.write_text("-ksp_type cg\nksp_rtol 1e-3\n")
    with pytest.raises(InputError, match=r"petsc.txt:2: expected one option.*ksp_rtol 1e-3"):
        make_algebra(part.layout, "petsc", options_file=path)
    with pytest.raises(InputError, match="cannot read the PETSc options"):
        make_algebra(part.layout, "petsc", options_file=tmp_path / "none.txt")


# linear constraints


def tied(part: Box, rng: np.random.Generator) -> tuple[csr_array, np.ndarray, np.ndarray]:
    """T and the mask of dofs that are no unknowns: the last node follows two others, node 5 has
    a rotated frame."""
    n = len(part.rhs)
    transform = np.eye(n)
    last, one, two = n // 2 - 1, 7, 8
    transform[2 * last : 2 * last + 2] = 0.0
    for i in range(2):
        transform[2 * last + i, [2 * one + i, 2 * two + i]] = 0.25, 0.75
    angle = rng.uniform(0.1, 1.0)
    turn = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    transform[10:12, 10:12] = turn
    mask = part.constrained.copy()
    mask[2 * last : 2 * last + 2] = True
    return csr_array(transform), transform, mask


@both
@pytest.mark.parametrize("options", [None, {"pc_type": "gamg", "ksp_rtol": "1e-12"}])
def test_linear_constraints(backend: str, options: dict | None) -> None:
    if backend == "scipy" and options:
        pytest.skip("SciPy has one method")
    part, rng = box((4, 3)), np.random.default_rng(1)
    rows, transform, mask = tied(part, rng)
    free = ~mask
    with make_algebra(part.layout, backend, options) as algebra:
        algebra.set_pattern(part.indptr, part.indices)
        algebra.set_transform(rows)
        algebra.set_constrained(mask)
        for factor in (1.0, 3.0):
            algebra.set_matrix(factor * part.values, diagonal=1.0)
            reduced = algebra.to_reduced(part.rhs)
            np.testing.assert_allclose(reduced, transform.T @ part.rhs, atol=1e-14)
            result = algebra.solve_linear(np.where(free, reduced, 0.0))
            assert result.converged, result.reason
            t = transform[:, free]
            q = np.zeros(len(mask))
            q[free] = np.linalg.solve(t.T @ (factor * part.dense()) @ t, t.T @ part.rhs)
            np.testing.assert_allclose(result.x, q, rtol=1e-8, atol=1e-10)
            np.testing.assert_allclose(algebra.to_displacement(q), transform @ q, atol=1e-12)
        algebra.set_transform(None)
        algebra.set_constrained(part.constrained)
        algebra.set_matrix(part.values)
        expected = np.linalg.solve(part.dense(), part.rhs)
        np.testing.assert_allclose(algebra.solve_linear(part.rhs).x, expected, atol=1e-8)


@needs_petsc
def test_multigrid_knows_the_rigid_body_modes_of_turned_frames() -> None:
    """Every other node turned by its own angle about z: as many iterations as without."""
    part = box((8, 8, 8))
    rng = np.random.default_rng(2)
    blocks = np.tile(np.eye(3), (len(part.layout.global_nodes), 1, 1))
    for block in blocks[::2]:
        a = rng.uniform(0, 6)
        block[:2, :2] = [[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]]
    n = len(blocks)
    rows = bsr_array((blocks, np.arange(n), np.arange(n + 1))).tocsr()
    counts = []
    for transform in (None, rows):
        with make_algebra(part.layout, "petsc", {"pc_type": "gamg"}) as algebra:
            algebra.set_pattern(part.indptr, part.indices)
            algebra.set_transform(transform)
            algebra.set_constrained(part.constrained)
            algebra.set_matrix(part.values, diagonal=0.1)
            result = algebra.solve_linear(algebra.to_reduced(part.rhs))
            assert result.converged, result.reason
            counts.append(result.iterations)
    assert counts[1] <= counts[0] + 2


@needs_petsc
def test_inexact_newton_leaves_linear_solves_exact() -> None:
    part = box((6, 6, 6))
    matrix = part.dense()
    with make_algebra(
        part.layout, "petsc", {"pc_type": "gamg"}, tolerances=Tolerances(0.0, 1e-9)
    ) as algebra:
        part.fill(algebra)
        result = algebra.solve_nonlinear(
            lambda x: matrix @ x - part.rhs,
            lambda x: algebra.set_matrix(part.values),
            np.zeros_like(part.rhs),
        )
        assert result.converged and 1 < result.iterations <= 6, result.residual_norms
        linear = algebra.solve_linear(part.rhs)
        assert linear.residual_norm <= 1.01e-8 * np.linalg.norm(part.rhs)
        loose = algebra.solve_linear(part.rhs, rtol=1e-2)
        assert loose.iterations < linear.iterations
