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

from neml2fe.errors import ConvergenceError, InputError

Array = NDArray[np.float64]
Residual = Callable[[Array], Array]
Jacobian = Callable[[Array], None]
Monitor = Callable[[int, float], None]
T = TypeVar("T")

SINGULAR = "the matrix is singular; is rigid-body motion constrained?"
NOT_FINITE = "the matrix or the right-hand side contains NaN or infinity"
NULL_PIVOT = 1e-12
"""A pivot smaller than this, relative to the matrix before elimination, counts as zero.

Bodies that lack a constraint leave pivots of 1e-14 to 2e-13, bodies that are only slender
(1 : 30,000) or heterogeneous (stiffness ratio 1e9) leave 1e-10 or more."""
NO_CORRECT_DIGIT = 1e-2
"""A linear solve that ends above this relative residual says nothing about the solution,
whatever the recurrence of an iterative method may estimate."""


@dataclass(frozen=True)
class DofLayout:
    """Which nodes this rank holds. Collective data: every rank builds its own part.

    - `comm`: mpi4py communicator, or None for a serial problem.
    - `block_size`: dofs per node.
    - `n_owned_nodes`: nodes owned by this rank.
    - `global_nodes`: (n_local_nodes,) parallel node numbers; first the owned ones,
      consecutive and following those of the rank before, then the ghosts.
    - `coordinates`: (n_local_nodes, dim), length unit of the mesh; for rigid-body modes.
    """

    comm: Any
    block_size: int
    n_owned_nodes: int
    global_nodes: NDArray[np.int64]
    coordinates: Array

    def __post_init__(self) -> None:
        owned = self.global_nodes[: self.n_owned_nodes]
        if len(owned) != self.n_owned_nodes or np.any(np.diff(owned) != 1):
            raise InputError(
                "DofLayout.global_nodes must begin with the n_owned_nodes owned nodes, "
                "numbered consecutively"
            )
        if self.coordinates.ndim != 2 or len(self.coordinates) != len(self.global_nodes):
            raise InputError(
                f"DofLayout.coordinates has shape {self.coordinates.shape}; "
                f"expected ({len(self.global_nodes)}, dim)"
            )

    @property
    def n_ranks(self) -> int:
        return 1 if self.comm is None else int(self.comm.Get_size())

    @property
    def rank(self) -> int:
        return 0 if self.comm is None else int(self.comm.Get_rank())

    @property
    def n_owned_dofs(self) -> int:
        return self.n_owned_nodes * self.block_size

    @property
    def n_local_dofs(self) -> int:
        return len(self.global_nodes) * self.block_size

    def n_global_dofs(self) -> int:
        """Dofs of all ranks together. Collective."""
        return (
            self.n_owned_dofs if self.comm is None else int(self.comm.allreduce(self.n_owned_dofs))
        )


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
    """Outcome of one linear solve; `x` is owned, `residual_norm` is `|b - A x|`."""

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


class Algebra(ABC):
    """Parallel vectors, one sparse matrix, and the solvers that use it.

    Every method is collective unless it says otherwise. The object owns what it allocates;
    call `close()` or use it in a `with` statement.
    """

    def __init__(self, layout: DofLayout) -> None:
        self.layout = layout

    @abstractmethod
    def set_pattern(self, rows: NDArray[np.int64], cols: NDArray[np.int64]) -> None:
        """Fix the coordinates of the matrix entries that `set_matrix` will receive.

        `rows`, `cols`: (n_entries,) global dofs; a rank may contribute to any row, entries
        at equal coordinates are summed. A second call replaces the matrix.
        Raises `InputError` for unequal lengths or dofs outside the problem.
        """

    @abstractmethod
    def set_matrix(self, values: Array) -> None:
        """Replace the matrix by `values` (n_entries,), aligned with the pattern."""

    @abstractmethod
    def set_constrained(self, mask: NDArray[np.bool_]) -> None:
        """Say which owned dofs (n_owned_dofs,) have prescribed values.

        The caller has already removed their rows and columns, all but the diagonal; the
        mask keeps multigrid's near-null space zero there.
        """

    @abstractmethod
    def sum_to_owners(self, local: Array) -> Array:
        """Owned part (n_owned_dofs,) of `local` (n_local_dofs,) after ghosts were added to it."""

    @abstractmethod
    def update_ghosts(self, owned: Array) -> Array:
        """`owned` (n_owned_dofs,) extended by the owners' values of the ghosts (n_local_dofs,)."""

    @abstractmethod
    def solve_linear(self, rhs: Array) -> LinearResult:
        """Solve `A x = rhs` with the matrix last set. A failure is reported, never raised."""

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

        An exception in a callback reaches the caller as itself; the other ranks raise
        `ConvergenceError` with its message. That needs the callback to fail *between*
        collective operations: where one rank may fail before a collective call of the same
        callback, it calls `raise_together` first.
        """

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


def check_pattern(rows: NDArray[Any], cols: NDArray[Any], n_dofs: int) -> None:
    """Raise `InputError` unless `rows` and `cols` are equally long and within `[0, n_dofs)`."""
    if rows.shape != cols.shape or rows.ndim != 1:
        raise InputError(
            f"matrix pattern: rows {rows.shape} and cols {cols.shape} must be equally long lists"
        )
    for name, dofs in (("row", rows), ("column", cols)):
        if dofs.size and (dofs.min() < 0 or dofs.max() >= n_dofs):
            raise InputError(
                f"matrix pattern: {name} dofs span {dofs.min()}..{dofs.max()}, "
                f"but the problem has the dofs 0..{n_dofs - 1}"
            )


def check_length(name: str, values: NDArray[Any], expected: int) -> None:
    """Raise `InputError` unless `values` has `expected` entries."""
    if np.shape(values) != (expected,):
        raise InputError(f"{name} has shape {np.shape(values)}; expected ({expected},)")


def useless(residual_norm: float, rhs_norm: float) -> str:
    """Why a linear solve that ended with `residual_norm` says nothing; empty when it does."""
    if not math.isfinite(rhs_norm):
        return NOT_FINITE
    return "" if residual_norm <= NO_CORRECT_DIGIT * rhs_norm else SINGULAR
