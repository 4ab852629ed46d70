"""The serial backend: SuperLU through SciPy, and Newton's method with backtracking."""

from __future__ import annotations

from inspect import signature
from typing import Any

import numpy as np
import scipy
from numpy.typing import NDArray
from scipy.sparse import csr_array, diags_array
from scipy.sparse.linalg import LinearOperator, SuperLU, gmres, splu

from neml2fe.errors import Error
from neml2fe.fem.algebra.interface import (
    NO_MATRIX,
    NOT_FINITE,
    NULL_PIVOT,
    REUSE_ITERATIONS,
    REUSE_RTOL,
    SINGULAR,
    Algebra,
    Jacobian,
    LinearResult,
    Monitor,
    NonlinearResult,
    Residual,
    Tolerances,
    check_length,
    check_transform,
    useless,
)
from neml2fe.fem.algebra.layout import Array, DofLayout
from neml2fe.fem.algebra.pattern import BlockPattern, check_pattern

FACTOR_OPTIONS = {
    "permc_spec": "MMD_AT_PLUS_A",
    "diag_pivot_thresh": 0.1,
    "options": {"SymmetricMode": True, "Equil": False},
}
"""Minimum degree on A^T + A: the pattern of finite elements is symmetric, the tangent need not be,
hence pivoting by threshold. Unscaled, so that pivots compare with the columns of the matrix."""
GMRES_RTOL = "rtol" if "rtol" in signature(gmres).parameters else "tol"  # before SciPy 1.12
SUFFICIENT_DECREASE = 1e-4
SMALLEST_STEP = 1e-10


class ScipyAlgebra(Algebra):
    """`Algebra` on one rank."""

    def __init__(self, layout: DofLayout, tolerances: Tolerances) -> None:
        super().__init__(layout)
        self._tolerances = tolerances
        self._matrix: csr_array | None = None
        self._constrained = np.zeros(layout.n_owned_dofs, dtype=bool)
        self._stiffness: csr_array | None = None
        self._transform: csr_array | None = None
        self._factors: SuperLU | None = None

    def set_pattern(self, indptr: NDArray[Any], indices: NDArray[Any]) -> None:
        size, n_nodes = self.layout.block_size, self.layout.n_owned_nodes
        pattern = BlockPattern(np.asarray(indptr), np.asarray(indices))
        check_pattern(pattern, n_nodes)
        starts, columns = pattern.scalar(size, n_nodes)
        shape = (self.layout.n_owned_dofs,) * 2
        self._stiffness = csr_array((np.zeros(len(columns)), columns, starts), shape=shape)
        self._matrix, self._transform, self._factors = self._stiffness, None, None

    def set_transform(self, rows: csr_array | None) -> None:
        if rows is not None:
            check_transform(rows, self.layout)
        self._transform = rows

    def set_constrained(self, mask: NDArray[np.bool_]) -> None:
        check_length("mask of constrained dofs", mask, self.layout.n_owned_dofs)
        self._constrained = np.array(mask, dtype=bool)

    def set_matrix(self, values: Array, diagonal: float | None = None) -> None:
        if self._stiffness is None:
            raise Error(NO_MATRIX)
        check_length("matrix values", values, self._stiffness.nnz)
        self._stiffness.data[:] = values
        self._matrix = self._stiffness
        if self._transform is not None:
            kept = self._transform @ diags_array((~self._constrained).astype(float))
            self._matrix = csr_array(kept.T @ self._stiffness @ kept)
        if diagonal is not None:
            own = np.flatnonzero(self._constrained)
            change = np.zeros(len(self._constrained))
            change[own] = diagonal - self._matrix.diagonal()[own]
            self._matrix = self._matrix + diags_array(change, format="csr")

    def to_displacement(self, q: Array) -> Array:
        check_length("reduced vector", q, self.layout.n_owned_dofs)
        return q.copy() if self._transform is None else self._transform @ q

    def to_reduced(self, r: Array) -> Array:
        check_length("owned vector", r, self.layout.n_owned_dofs)
        return r.copy() if self._transform is None else self._transform.T @ r

    def sum_to_owners(self, local: Array) -> Array:
        check_length("local vector", local, self.layout.n_local_dofs)
        return np.array(local, dtype=np.float64)

    def update_ghosts(self, owned: Array) -> Array:
        return self.sum_to_owners(owned)  # a serial problem has no ghosts

    def solve_linear(
        self,
        rhs: Array,
        rtol: float | None = None,
        transposed: bool = False,
        reuse: bool = False,
    ) -> LinearResult:
        matrix = self._require_matrix()
        check_length("right-hand side", rhs, self.layout.n_owned_dofs)
        self.statistics.linear_solves += 1
        system = matrix.T if transposed else matrix
        if reuse and self._factors is not None:
            kept = self._solve_with_kept(system, rhs, rtol or REUSE_RTOL, transposed)
            if kept is not None:
                return kept
        x, failure = np.zeros_like(rhs), self._factorise(matrix)
        if self._factors is not None:
            x = self._factors.solve(rhs, trans="T" if transposed else "N")
        self.statistics.linear_iterations += 1
        self.statistics.set_ups += 1
        norm = self.norm(rhs - system @ x)
        failure = failure or useless(norm, self.norm(rhs))
        reason = f"the linear solver failed: {failure}" if failure else "direct solve"
        return LinearResult(x, 1, norm, not failure, reason)

    def _factorise(self, matrix: csr_array) -> str:
        """Keep the factors of `matrix`; why there are none, empty when there are."""
        self._factors = None
        columns = np.asarray(abs(matrix).max(axis=0).todense()).ravel()
        if not np.all(np.isfinite(columns)):
            return NOT_FINITE
        try:
            factors = splu(matrix.tocsc(), **FACTOR_OPTIONS)
        except RuntimeError:  # SuperLU met an exactly zero pivot
            return SINGULAR
        except MemoryError:
            return "the factors do not fit in memory; PETSc solves larger problems"
        pivots = abs(factors.U.diagonal())[factors.perm_c]
        if not np.all(pivots > NULL_PIVOT * columns):
            return SINGULAR
        self._factors = factors
        return ""

    def _solve_with_kept(
        self, system: csr_array, rhs: Array, rtol: float, transposed: bool
    ) -> LinearResult | None:
        """GMRES with the factors of an earlier matrix; None where they do not do."""
        assert self._factors is not None
        factors, trans = self._factors, "T" if transposed else "N"
        # From the right, where GMRES minimises the residual itself.
        operator = LinearOperator(
            system.shape, lambda y: system @ factors.solve(y, trans=trans), dtype=np.float64
        )
        norms: list[float] = []
        y, _ = gmres(
            operator,
            rhs,
            **{GMRES_RTOL: rtol},
            atol=0.0,
            restart=REUSE_ITERATIONS,
            maxiter=1,
            callback=norms.append,
            callback_type="pr_norm",
        )
        x = factors.solve(y, trans=trans)
        norm = self.norm(rhs - system @ x)
        self.statistics.linear_iterations += len(norms)
        if not norm <= 2.0 * rtol * self.norm(rhs):
            return None
        reason = "solved with the factors of an earlier matrix"
        return LinearResult(x, len(norms), norm, True, reason)

    def solve_nonlinear(
        self,
        residual: Residual,
        jacobian: Jacobian,
        x0: Array,
        monitor: Monitor | None = None,
        atol: float | None = None,
    ) -> NonlinearResult:
        check_length("x0", x0, self.layout.n_owned_dofs)
        self.statistics.newton_solves += 1
        limits = self._tolerances
        atol = limits.atol if atol is None else atol
        x = np.array(x0, dtype=np.float64)
        r = residual(x)
        check_length("the residual", r, self.layout.n_owned_dofs)
        norms: list[float] = []

        def finish(converged: bool, reason: str) -> NonlinearResult:
            steps = len(norms) - 1
            self.statistics.newton_iterations += steps
            return NonlinearResult(x, converged, reason, steps, norms, linear_iterations)

        linear_iterations = 0
        if not np.all(np.isfinite(r)):
            return NonlinearResult(
                x, False, "the residual is not a number at the start of the solve", 0
            )
        while True:
            norms.append(self.norm(r))
            if monitor:
                monitor(len(norms) - 1, norms[-1])
            if norms[-1] <= atol:
                return finish(True, "the residual is below atol")
            if norms[-1] <= limits.rtol * norms[0]:
                return finish(True, "the residual fell below rtol")
            if len(norms) > limits.max_it:
                return finish(False, f"not converged in {limits.max_it} iterations")
            jacobian(x)
            linear = self.solve_linear(r)
            linear_iterations += linear.iterations
            if not linear.converged:
                return finish(False, linear.reason)
            trial = _backtrack(residual, x, linear.x, norms[-1])
            if trial is None:
                return finish(False, "the line search found no step that reduces the residual")
            x, r = trial

    def renew(self) -> None:
        self._factors = None

    def describe(self) -> str:
        return f"SciPy {scipy.__version__}: newton with backtracking, lu (superlu), serial"

    def close(self) -> None:
        self._matrix = self._stiffness = self._factors = None

    def _require_matrix(self) -> csr_array:
        if self._matrix is None:
            raise Error(NO_MATRIX)
        return self._matrix


def _backtrack(
    residual: Residual, x: Array, direction: Array, norm: float
) -> tuple[Array, Array] | None:
    """The first `x - s direction`, s = 1, ..., with Armijo's decrease, and its residual.

    s shrinks to the minimiser of the parabola through |r|^2 and its slope -2 |r|^2 at s = 0,
    kept within [0.1, 0.5] of the last s; by a half where the residual is not a number.
    """
    s = 1.0
    while s > SMALLEST_STEP:
        trial = x - s * direction
        r = residual(trial)
        ratio = float(r @ r) / norm**2
        if ratio <= 1.0 - 2.0 * SUFFICIENT_DECREASE * s:
            return trial, r
        parabola = s * s / (ratio - 1.0 + 2.0 * s) if np.isfinite(ratio) else 0.5 * s
        s = min(max(parabola, 0.1 * s), 0.5 * s)
    return None
