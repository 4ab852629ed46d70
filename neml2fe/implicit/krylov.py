"""GMRES and BiCGStab for many points at once, each stopping by itself.

Both minimise or reduce the residual |b - A x| of each right-hand side, and are preconditioned
from the right, so that this is the residual that decides.

`solve` is strict: a right-hand side that does not reach the tolerance within `max_its` iterations
gives NaN. The steps of Newton's method are inexact instead: a step that reduces the linear
residual is taken though it misses the tolerance, and Newton's own tolerances, which know nothing
of this, decide about convergence; only a step without any reduction is NaN.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from neml2fe.errors import InputError
from neml2fe.implicit.linear_solvers import LinearSolver, Steps, transposed
from neml2fe.implicit.preconditioners import NoPreconditioner, Preconditioner, State
from neml2fe.implicit.system import Layout

Operator = Callable[[torch.Tensor], torch.Tensor]
STRATEGIES = ("none", "chord", "max_its")


@dataclass
class Solved:
    """Solutions `(N, k, n)`; which are within the tolerance, which are better than zero, and the
    iterations of each, `(N, k)`."""

    x: torch.Tensor
    converged: torch.Tensor
    reduced: torch.Tensor
    iterations: torch.Tensor


class Krylov(LinearSolver):
    """What GMRES and BiCGStab share: |b - A x| <= max(abs_tol, rel_tol |b|), or round-off.

    `cache_strategy` says when a preconditioner is set up in a Newton solve: `none`, at every
    iteration; `chord`, at the first only; `max_its`, also after a linear solve of more than
    `cache_max_its` iterations. Each point has its own, and one that did not serve to converge is
    always renewed.
    """

    max_its: int
    abs_tol: float
    rel_tol: float
    preconditioner: Preconditioner | None
    cache_strategy: str
    cache_max_its: int

    def __post_init__(self) -> None:
        name = type(self).__name__
        if self.max_its < 1:
            raise InputError(f"{name}: max_its must be at least 1")
        if self.cache_max_its < 0:
            raise InputError(f"{name}: cache_max_its must be at least 0")
        for tolerance in ("abs_tol", "rel_tol"):
            if not 0.0 <= getattr(self, tolerance) < math.inf:
                raise InputError(f"{name}: {tolerance} must be a number of at least 0")
        if self.cache_strategy not in STRATEGIES:
            raise InputError(
                f"{name}: cache_strategy is one of {', '.join(STRATEGIES)}, "
                f"not '{self.cache_strategy}'"
            )
        self.preconditioner = self.preconditioner or NoPreconditioner()

    def solve(
        self, matrix: torch.Tensor, rhs: torch.Tensor, layout: Layout | None = None
    ) -> torch.Tensor:
        if rhs.ndim == matrix.ndim:
            return _Solve.apply(self, layout, matrix, rhs)
        return _Solve.apply(self, layout, matrix, rhs.unsqueeze(-1)).squeeze(-1)

    def strict(
        self, matrix: torch.Tensor, rhs: torch.Tensor, layout: Layout | None
    ) -> torch.Tensor:
        """Solutions for `(N, n, k)`, NaN where they miss the tolerance."""
        assert self.preconditioner is not None
        state = self.preconditioner.setup(matrix, layout)
        found = self.iterate(matrix, rhs.mT, state)
        return found.x.masked_fill(~found.converged.unsqueeze(-1), torch.nan).mT

    def steps(self, layout: Layout | None = None) -> Steps:
        return _Steps(self, layout)

    def iterate(self, matrix: torch.Tensor, rhs: torch.Tensor, state: State) -> Solved:
        """Cycles of the method until all `(N, k, n)` right-hand sides are done, where a cycle
        does not reduce the residual any more, or for `max_its` iterations.

        A residual that is lost in round-off, as that of elimination is, is all that can be had;
        only if it is much smaller than the right-hand side, the matrix is not singular.
        """
        preconditioner = self.preconditioner
        assert preconditioner is not None

        def apply(v: torch.Tensor) -> torch.Tensor:
            return preconditioner.apply(state, v) @ matrix.mT

        eps = 10.0 * torch.finfo(rhs.dtype).eps
        small = torch.finfo(rhs.dtype).eps ** 0.25
        round_off = eps * torch.linalg.matrix_norm(matrix).unsqueeze(-1)
        start = size = torch.linalg.vector_norm(rhs, dim=-1)
        target = torch.clamp(max(self.rel_tol, eps) * size, min=self.abs_tol)
        x, residual = torch.zeros_like(rhs), rhs
        iterations = torch.zeros_like(size, dtype=torch.int64)
        converged = size <= target
        lost = torch.zeros_like(converged)
        going = torch.isfinite(size) & ~converged
        left = self.max_its
        while left > 0 and bool(going.any()):
            safe = torch.where(going.unsqueeze(-1), residual, 0.0)
            correction, used = self.cycle(apply, safe, target, left)
            trial = x + preconditioner.apply(state, correction)
            again = rhs - trial @ matrix.mT
            new = torch.linalg.vector_norm(again, dim=-1)
            better = going & (new < size)
            x = torch.where(better.unsqueeze(-1), trial, x)
            residual = torch.where(better.unsqueeze(-1), again, residual)
            size = torch.where(better, new, size)
            lost = size <= round_off * torch.linalg.vector_norm(x, dim=-1)
            within = (size <= target) | (lost & (size <= small * start))
            converged = converged | (going & within)
            going = better & ~converged
            iterations += used
            left -= int(used.max())
        return Solved(x, converged, converged | ((size < start) & ~lost), iterations)

    def cycle(
        self, apply: Operator, residual: torch.Tensor, target: torch.Tensor, most: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Corrections y with A M^-1 y near `residual` `(N, k, n)`, and iterations `(N, k)`, none
        where the residual is within its target `(N, k)`."""
        raise NotImplementedError


class _Steps:
    """Inexact solutions of successive Jacobians, whose preconditioners are kept."""

    def __init__(self, solver: Krylov, layout: Layout | None) -> None:
        self.solver, self.layout = solver, layout
        self.state: list[torch.Tensor] = []
        self.stale = torch.empty(0, dtype=torch.bool)

    def __call__(
        self, matrix: torch.Tensor, rhs: torch.Tensor, points: torch.Tensor
    ) -> torch.Tensor:
        columns = rhs if rhs.ndim == matrix.ndim else rhs.unsqueeze(-1)
        found = self.solver.iterate(matrix, columns.mT, self._renewed(matrix, points))
        stale = ~found.converged
        if self.solver.cache_strategy == "none":
            stale = torch.ones_like(stale)
        elif self.solver.cache_strategy == "max_its":
            stale |= found.iterations > self.solver.cache_max_its
        self.stale[points] = stale.any(-1)
        x = found.x.masked_fill(~found.reduced.unsqueeze(-1), torch.nan).mT
        return x if rhs.ndim == matrix.ndim else x.squeeze(-1)

    def _renewed(self, matrix: torch.Tensor, points: torch.Tensor) -> State:
        preconditioner = self.solver.preconditioner
        assert preconditioner is not None
        if not len(self.stale):
            self.stale = torch.zeros(len(points), dtype=torch.bool, device=points.device)
            self.state = list(preconditioner.setup(matrix, self.layout))
            return tuple(self.state)
        which = self.stale[points].nonzero().squeeze(-1)
        if len(which):
            for kept, new in zip(
                self.state, preconditioner.setup(matrix[which], self.layout), strict=True
            ):
                kept[points[which]] = new
        return tuple(kept[points] for kept in self.state)


class _Solve(torch.autograd.Function):
    """x = A^-1 b as one node of torch's graph, whatever the number of iterations."""

    @staticmethod
    def forward(
        solver: Krylov, layout: Layout | None, matrix: torch.Tensor, rhs: torch.Tensor
    ) -> torch.Tensor:
        return solver.strict(matrix, rhs, layout)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: torch.Tensor) -> None:
        ctx.solver, ctx.layout = inputs[:2]
        ctx.save_for_backward(inputs[2], output)
        ctx.save_for_forward(inputs[2], output)

    @staticmethod
    def backward(ctx: Any, x_bar: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        matrix, x = ctx.saved_tensors
        layout = transposed(ctx.layout) if ctx.layout is not None else None
        b_bar = ctx.solver.solve(matrix.mT, x_bar, layout)
        return None, None, -b_bar @ x.mT, b_bar

    @staticmethod
    def jvp(
        ctx: Any, _s: None, _l: None, matrix_t: torch.Tensor | None, rhs_t: torch.Tensor | None
    ) -> torch.Tensor:
        matrix, x = ctx.saved_tensors
        change = torch.zeros_like(x) if rhs_t is None else rhs_t
        if matrix_t is not None:
            change = change - matrix_t @ x
        solution: torch.Tensor = ctx.solver.solve(matrix, change, ctx.layout)
        return solution

    @staticmethod
    def vmap(
        info: Any, in_dims: tuple[Any, ...], solver: Krylov, layout: Any, *tensors: torch.Tensor
    ) -> tuple[torch.Tensor, int]:
        """Fold the mapped dimension into the columns, or into the points if matrices differ."""
        maps = info.batch_size
        matrix, rhs = (
            t.movedim(d, 0) if d is not None else t.expand(maps, *t.shape)
            for t, d in zip(tensors, in_dims[2:], strict=True)
        )
        if in_dims[2] is None:
            columns = rhs.movedim(0, -1).flatten(-2)
            x = _Solve.apply(solver, layout, matrix[0], columns)
            return x.unflatten(-1, (-1, maps)).movedim(-1, 0), 0
        x = _Solve.apply(solver, layout, matrix.flatten(0, 1), rhs.flatten(0, 1))
        return x.unflatten(0, (maps, -1)), 0
