"""Linear solvers for the Jacobians of many points at once."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch

from neml2fe.errors import InputError, ModelError
from neml2fe.implicit.system import Layout

Solution = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
Steps = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]


class LinearSolver:
    """Base of the linear solvers."""

    def solve(
        self, matrix: torch.Tensor, rhs: torch.Tensor, layout: Layout | None = None
    ) -> torch.Tensor:
        """Solve `(N, n, n)` systems for `(N, n)` or `(N, n, k)`; those that cannot be solved give
        non-finite results, which the caller reports per point. `layout` tells what the rows
        (residuals) and columns (unknowns) of the matrices are."""
        raise NotImplementedError

    def steps(self, layout: Layout | None = None) -> Steps:
        """The solver of one Newton solve: called with the Jacobians and right-hand sides of an
        iteration, and with the numbers `(N,)` of the points they are for; the first call is for
        all points. It may keep what serves the next call, and may return inexact steps."""
        return lambda matrix, rhs, points: self.solve(matrix, rhs, layout)


@dataclass
class DenseLU(LinearSolver):
    """Dense LU factorisation with partial pivoting of each point's Jacobian."""

    def solve(
        self, matrix: torch.Tensor, rhs: torch.Tensor, layout: Layout | None = None
    ) -> torch.Tensor:
        columns = rhs if rhs.ndim == matrix.ndim else rhs.unsqueeze(-1)
        factors, pivots, _ = torch.linalg.lu_factor_ex(matrix)
        x = torch.linalg.lu_solve(factors, pivots, columns)
        return x if rhs.ndim == matrix.ndim else x.squeeze(-1)


@dataclass
class SchurComplement(LinearSolver):
    r"""Elimination of one of two groups of unknowns, the primary one $p$:
    $S = A_{ss} - A_{sp} A_{pp}^{-1} A_{ps}$ is solved for the other one.

    The system must have two groups of unknowns and of residuals (rows separated by `;`), and the
    primary ones must be as large as each other, with a regular $A_{pp}$. Both solvers default to
    `DenseLU`.
    """

    residual_primary_group: int = 0
    unknown_primary_group: int = 0
    primary_solver: LinearSolver | None = None
    schur_solver: LinearSolver | None = None

    def __post_init__(self) -> None:
        for name in ("residual_primary_group", "unknown_primary_group"):
            if getattr(self, name) not in (0, 1):
                raise InputError(f"SchurComplement: {name} must be 0 or 1")
        self.primary_solver = self.primary_solver or DenseLU()
        self.schur_solver = self.schur_solver or DenseLU()

    def solve(
        self, matrix: torch.Tensor, rhs: torch.Tensor, layout: Layout | None = None
    ) -> torch.Tensor:
        assert self.primary_solver is not None and self.schur_solver is not None
        eliminated, rest, whole = self._parts(layout)
        primary, schur = self.primary_solver, self.schur_solver
        return self._eliminate(
            matrix,
            rhs,
            whole,
            lambda a, b: primary.solve(a, b, eliminated),
            lambda a, b: schur.solve(a, b, rest),
        )

    def steps(self, layout: Layout | None = None) -> Steps:
        assert self.primary_solver is not None and self.schur_solver is not None
        eliminated, rest, whole = self._parts(layout)
        primary, schur = self.primary_solver.steps(eliminated), self.schur_solver.steps(rest)
        return lambda matrix, rhs, points: self._eliminate(
            matrix,
            rhs,
            whole,
            lambda a, b: primary(a, b, points),
            lambda a, b: schur(a, b, points),
        )

    def _eliminate(
        self,
        matrix: torch.Tensor,
        rhs: torch.Tensor,
        layout: Layout,
        primary: Solution,
        schur: Solution,
    ) -> torch.Tensor:
        r, u = self.residual_primary_group, self.unknown_primary_group
        b = rhs if rhs.ndim == matrix.ndim else rhs.unsqueeze(-1)
        rows = matrix.split(list(layout.residual_groups), -2)
        to_p, to_s = (row.split(list(layout.unknown_groups), -1) for row in (rows[r], rows[1 - r]))
        parts = b.split(list(layout.residual_groups), -2)
        n, k = layout.unknown_groups[1 - u], b.shape[-1]
        # A_pp^-1 of A_ps and b_p at once, and so for S, whose columns are those of b.
        y, z = primary(to_p[u], torch.cat([to_p[1 - u], parts[r]], -1)).split([n, k], -1)
        x_s = schur(to_s[1 - u] - to_s[u] @ y, parts[1 - r] - to_s[u] @ z)
        x_p = z - y @ x_s
        x = torch.cat([x_p, x_s] if u == 0 else [x_s, x_p], -2)
        return x if rhs.ndim == matrix.ndim else x.squeeze(-1)

    def _parts(self, layout: Layout | None) -> tuple[Layout, Layout, Layout]:
        """Layouts of the primary block, of the Schur complement, and of the whole."""
        if layout is None:
            raise ModelError("SchurComplement works for systems with groups of unknowns only")
        r, u = self.residual_primary_group, self.unknown_primary_group
        n_u, n_r = len(layout.unknown_groups), len(layout.residual_groups)
        if n_u != 2 or n_r != 2:
            raise ModelError(
                f"SchurComplement needs 2 groups of unknowns and of residuals, not {n_u} and "
                f"{n_r}; separate them by ';' in [EquationSystems], as in unknowns = 'stress; ep'"
            )
        if layout.residual_groups[r] != layout.unknown_groups[u]:
            raise ModelError(
                f"SchurComplement: the primary block must be square, but residual group {r} has "
                f"{layout.residual_groups[r]} components and unknown group {u} has "
                f"{layout.unknown_groups[u]}; choose other groups as primary ones"
            )
        return _block(layout, r, u), _block(layout, 1 - r, 1 - u), layout


def transposed(layout: Layout) -> Layout:
    """The layout of the transposed matrix: rows for columns."""
    return Layout(layout.residuals, layout.shapes, layout.residual_groups, layout.unknown_groups)


def _block(layout: Layout, row: int, column: int) -> Layout:
    """The layout of one block of the matrix."""
    return Layout(
        _of_group(layout.shapes, layout.unknown_groups, column),
        _of_group(layout.residuals, layout.residual_groups, row),
        (layout.unknown_groups[column],),
        (layout.residual_groups[row],),
    )


def _of_group(
    shapes: dict[str, tuple[int, ...]], sizes: tuple[int, ...], group: int
) -> dict[str, tuple[int, ...]]:
    first, found, at = sum(sizes[:group]), {}, 0
    for name, shape in shapes.items():
        if first <= at < first + sizes[group]:
            found[name] = shape
        at += math.prod(shape)
    return found
