"""What a finite-element solver asks of its algebra: vectors, one matrix, linear and Newton solves.

A vector is a NumPy array of float64. *Owned* vectors hold the dofs of the nodes that this
rank owns; *local* vectors append the ghosts, nodes that elements of this rank touch but
another rank owns. Dof `node * block_size + component`, in local and global numbers alike.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from neml2fe.errors import ConvergenceError, InputError
from neml2fe.fem.algebra.layout import Array, DofLayout

Residual = Callable[[Array], Array]
Jacobian = Callable[[Array], None]
Monitor = Callable[[int, float], None]
T = TypeVar("T")

NO_MATRIX = "the algebra has no matrix: call set_pattern first, and not after close"
SINGULAR = "the matrix is singular; is rigid-body motion constrained?"
NOT_FINITE = "the matrix or the right-hand side contains NaN or infinity"
NULL_PIVOT = 1e-12
"""A pivot smaller than this, relative to the matrix before elimination, counts as zero.

Bodies that lack a constraint leave pivots of 1e-14 to 2e-13, bodies that are only slender
(1 : 30,000) or heterogeneous (stiffness ratio 1e9) leave 1e-10 or more."""
NO_CORRECT_DIGIT = 1e-2
"""A linear solve that ends above this relative residual says nothing about the solution,
whatever the recurrence of an iterative method may estimate."""
REUSE_ITERATIONS = 12
"""Iterations after which factors of an earlier matrix are given up. To 1e-10 it takes 6 where the
elements' stiffness differs by 1 %, 11 where it differs by 20 %."""
REUSE_RTOL = 1e-10
"""Relative residual of solves with factors of an earlier matrix, unless asked otherwise."""


@dataclass(frozen=True)
class Tolerances:
    """When Newton stops: `|r| <= atol`, or `|r| <= rtol |r0|`, or after `max_it` iterations.

    `atol` has the unit of the residual (force); PETSc options override all three.
    """

    rtol: float = 1e-8
    atol: float = 1e-10
    max_it: int = 25


@dataclass(frozen=True)
class LinearResult:
    """Outcome of one linear solve; `x` is owned, `residual_norm` is `|b - A x|`, with A^T where
    that was asked for."""

    x: Array
    iterations: int
    residual_norm: float
    converged: bool
    reason: str


@dataclass(frozen=True)
class NonlinearResult:
    """Outcome of one Newton solve; `x` is owned, `residual_norms` begins with that of `x0`."""

    x: Array
    converged: bool
    reason: str
    iterations: int
    residual_norms: list[float] = field(default_factory=list)
    linear_iterations: int = 0


@dataclass
class Statistics:
    """What an `Algebra` has done so far.

    `set_ups` counts factorisations and preconditioners, `retries` the solves that were
    repeated because the linear solver had failed.
    """

    newton_solves: int = 0
    newton_iterations: int = 0
    linear_solves: int = 0
    linear_iterations: int = 0
    set_ups: int = 0
    retries: int = 0


class Algebra(ABC):
    """Parallel vectors, one sparse matrix, and the solvers that use it.

    Every method is collective unless it says otherwise. The object owns what it allocates;
    call `close()` or use it in a `with` statement.
    """

    def __init__(self, layout: DofLayout) -> None:
        self.layout = layout
        self.statistics = Statistics()

    @abstractmethod
    def set_pattern(self, indptr: NDArray[Any], indices: NDArray[Any]) -> None:
        """Fix where the matrix has entries: this rank's part, in blocks of `block_size` squared.

        CSR over the local nodes: the blocks of row node `a` have the column nodes
        `indices[indptr[a]:indptr[a + 1]]`, ascending local numbers. A second call replaces the
        matrix. Raises `InputError` for arrays that are no such CSR.
        """

    @abstractmethod
    def set_matrix(self, values: Array, diagonal: float | None = None) -> None:
        """Replace the matrix by the sum over the ranks of `values`.

        `values`: (n_blocks * block_size^2,), the data of the scalar CSR of the pattern: row by
        row, each with the entries of its blocks. `diagonal`, when given, becomes the diagonal
        entry of the dofs of `set_constrained`.
        """

    @abstractmethod
    def set_transform(self, rows: csr_array | None) -> None:
        """Constrain displacements linearly: u = T q + g; None ends that.

        `rows`: (n_owned_dofs, n_global_dofs), the rows of T for owned dofs with global columns;
        q is laid out as u. The matrix, the solves and their vectors are then those of q:
        T^T K T, without the dofs of `set_constrained`, whose `diagonal` `set_matrix` must fill
        in: eliminated dofs, for which T has no column, and prescribed ones. A new pattern
        ends a transform too. Where the entries of `rows` have the places of those before, it may
        be called during a nonlinear solve.
        """

    @abstractmethod
    def to_displacement(self, q: Array) -> Array:
        """T q, owned; `q` itself without a transform."""

    @abstractmethod
    def to_reduced(self, r: Array) -> Array:
        """T^T r, owned; `r` itself without a transform."""

    @abstractmethod
    def set_constrained(self, mask: NDArray[np.bool_]) -> None:
        """Say which owned dofs (n_owned_dofs,) are no unknowns: prescribed or eliminated.

        Without a transform the caller removes their rows and columns from the matrix;
        `set_matrix` can fill in their diagonal, and multigrid's near-null space is zero there.
        """

    @abstractmethod
    def sum_to_owners(self, local: Array) -> Array:
        """Owned part (n_owned_dofs,) of `local` (n_local_dofs,) after ghosts were added to it."""

    @abstractmethod
    def update_ghosts(self, owned: Array) -> Array:
        """`owned` (n_owned_dofs,) extended by the owners' values of the ghosts (n_local_dofs,)."""

    @abstractmethod
    def solve_linear(
        self,
        rhs: Array,
        rtol: float | None = None,
        transposed: bool = False,
        reuse: bool = False,
    ) -> LinearResult:
        """Solve `A x = rhs` with the matrix last set. A failure is reported, never raised.

        - `rtol`: relative residual at which an iterative solver may stop, in place of its own.
        - `transposed`: solve `A^T x = rhs`. An iterative solver has then converged only where
          the residual itself, made anew from the solution, has fallen to `rtol`.
        - `reuse`: a direct method may use the factors of an earlier matrix, as preconditioner of
          a few iterations to `rtol` (1e-10 by default). Where these do not suffice, it factorises
          the matrix. Iterative methods keep what serves them without being asked.
        """

    @abstractmethod
    def solve_nonlinear(
        self,
        residual: Residual,
        jacobian: Jacobian,
        x0: Array,
        monitor: Monitor | None = None,
        atol: float | None = None,
    ) -> NonlinearResult:
        """Find `residual(x) = 0` by Newton's method with a backtracking line search.

        - `residual(x)`: owned to owned. NaN marks a point where it cannot be evaluated: a
          line-search trial is shortened, an `x0` that gives NaN ends the solve unconverged.
        - `jacobian(x)`: calls `set_matrix` with the derivative of the residual at `x`.
        - `monitor(iteration, norm)`: called on every rank.
        - `atol`: replaces that of the tolerances in this solve.

        The dofs of `set_constrained` keep the values that they have in `x0`.

        An exception in a callback reaches the caller as itself; the other ranks raise
        `ConvergenceError` with its message. That needs the callback to fail *between*
        collective operations: where one rank may fail before a collective call of the same
        callback, it calls `raise_together` first.
        """

    @abstractmethod
    def renew(self) -> None:
        """Forget preconditioners and what earlier solves taught, as if nothing had been solved.

        A run that writes a checkpoint calls it, so that a restart repeats it to the last bit.
        """

    def log_summary(self) -> list[tuple[str, int, float, float]]:
        """The library's own account: (operation, count, seconds, flops)."""
        return []

    @abstractmethod
    def describe(self) -> str:
        """The solvers in one line, for the run's report. Not collective."""

    @abstractmethod
    def close(self) -> None:
        """Release the matrix, the vectors and the solvers. Further use is an error."""

    def __enter__(self: T) -> T:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def allreduce(self, value: T, op: str = "sum") -> T:
        """`value` of all ranks combined by `op`: 'sum', 'max' or 'min'. Arrays only for 'sum'."""
        if self.layout.comm is None:
            return value
        from mpi4py import MPI

        return self.layout.comm.allreduce(value, op=getattr(MPI, op.upper()))

    def dot(self, a: Array, b: Array) -> float:
        """Global inner product of two owned vectors."""
        return float(self.allreduce(float(a @ b)))

    def norm(self, a: Array) -> float:
        """Global Euclidean norm of an owned vector."""
        return math.sqrt(self.dot(a, a))

    def raise_together(self, error: BaseException | None) -> None:
        """Raise on every rank when any rank brings an `error`; otherwise return.

        The rank that failed raises its own error, the others a `ConvergenceError` that
        names the first failing rank and its message.
        """
        if self.layout.comm is not None:
            found = self.layout.comm.allreduce(
                [] if error is None else [(self.layout.rank, f"{type(error).__name__}: {error}")]
            )
            if found and error is None:
                rank, message = found[0]
                raise ConvergenceError(f"rank {rank} failed: {message}")
        if error is not None:
            raise error


def check_length(name: str, values: NDArray[Any], expected: int) -> None:
    """Raise `InputError` unless `values` has `expected` entries."""
    if np.shape(values) != (expected,):
        raise InputError(f"{name} has shape {np.shape(values)}; expected ({expected},)")


def check_transform(rows: csr_array, layout: DofLayout) -> None:
    """Raise `InputError` unless `rows` has a row for every owned dof, a column for every dof."""
    expected = (layout.n_owned_dofs, layout.n_global_nodes() * layout.block_size)
    if rows.shape != expected:
        raise InputError(f"the transform has shape {rows.shape}; expected {expected}")


def useless(residual_norm: float, rhs_norm: float) -> str:
    """Why a linear solve that ended with `residual_norm` says nothing; empty when it does."""
    if not math.isfinite(rhs_norm):
        return NOT_FINITE
    return "" if residual_norm <= NO_CORRECT_DIGIT * rhs_norm else SINGULAR
