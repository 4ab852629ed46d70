"""Newton's method point by point: converged points are frozen, failed ones retried alone."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum

import torch

from neml2fe.errors import InputError
from neml2fe.implicit.linear_solvers import DenseLU, LinearSolver

Residual = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
Linearised = Callable[[torch.Tensor, torch.Tensor], tuple[torch.Tensor, torch.Tensor]]


class Status(IntEnum):
    """Outcome of the local solve of one point."""

    CONVERGED = 0
    ITERATION_LIMIT = 1
    NOT_FINITE = 2


@dataclass
class NewtonResult:
    """`u` `(N, n)` with NaN rows where `status` `(N,)` is not CONVERGED; iterations `(N,)`."""

    u: torch.Tensor
    status: torch.Tensor
    iterations: torch.Tensor
    residual_norm: torch.Tensor


@dataclass
class Newton:
    """Newton-Raphson with per-point convergence |r| <= abs_tol or |r| <= rel_tol |r_0|.

    A point that converges still takes the step computed from its last Jacobian, which is
    free and brings its error to round-off, as exact derivatives assume. Points that fail
    are tried again with a backtracking line search on |r|.
    """

    linear_solver: LinearSolver | None = None
    abs_tol: float = 1e-10
    rel_tol: float = 1e-8
    max_its: int = 25

    # Used by the second attempt only; fields of a deck in NewtonWithLineSearch.
    line_search = False
    max_linesearch_iterations = 10
    linesearch_cutback = 2.0
    linesearch_stopping_criteria = 1e-3

    def __post_init__(self) -> None:
        for name in ("abs_tol", "rel_tol", "max_its", "max_linesearch_iterations"):
            if not 0 <= getattr(self, name) < math.inf:
                raise InputError(f"Newton: {name} must be a number of at least 0")
        if not 1.0 < self.linesearch_cutback < math.inf:
            raise InputError("Newton: linesearch_cutback must be greater than 1")

    def solve(self, linearised: Linearised, residual: Residual, u0: torch.Tensor) -> NewtonResult:
        """Solve all N points from `u0` `(N, n)`.

        Both functions take unknowns `(k, n)` and the numbers `(k,)` of the points they are for.
        """
        result = self._attempt(linearised, residual, u0, self.line_search)
        failed = (result.status != Status.CONVERGED).nonzero().squeeze(-1)
        if self.line_search or not len(failed):
            return result
        again = self._attempt(
            lambda u, k: linearised(u, failed[k]),
            lambda u, k: residual(u, failed[k]),
            u0[failed],
            True,
        )
        result.u[failed] = again.u
        result.status[failed] = again.status
        result.iterations[failed] += again.iterations
        result.residual_norm[failed] = again.residual_norm
        return result

    def _attempt(
        self, linearised: Linearised, residual: Residual, u0: torch.Tensor, line_search: bool
    ) -> NewtonResult:
        solver = self.linear_solver or DenseLU()
        n_points = len(u0)
        u = u0.clone()
        status = torch.full((n_points,), Status.ITERATION_LIMIT, device=u.device)
        iterations = torch.zeros(n_points, dtype=torch.int64, device=u.device)
        norm = torch.full((n_points,), torch.inf, dtype=u.dtype, device=u.device)
        target = norm
        active = torch.arange(n_points, device=u.device)
        for iteration in range(self.max_its + 1):
            here = u[active]
            r, jacobian = linearised(here, active)
            size = torch.linalg.vector_norm(r, dim=-1)
            norm[active] = size
            if iteration == 0:
                # No residual falls further than round-off lets it, which matters in float32.
                rel_tol = max(self.rel_tol, 10.0 * torch.finfo(u.dtype).eps)
                target = torch.clamp(rel_tol * size, min=self.abs_tol)
            converged = size <= target[active]
            step = -solver.solve(jacobian, r)
            usable = torch.isfinite(step).all(-1)
            broken = ~converged & ~(usable & torch.isfinite(size))
            status[active[broken]] = Status.NOT_FINITE
            status[active[converged]] = Status.CONVERGED
            going = ~converged & ~broken
            iterations[active[going]] += 1
            if line_search:
                step[going] = self._backtrack(
                    residual, here[going], active[going], step[going], size[going]
                )
            moving = usable & ~broken
            u[active[moving]] += step[moving]
            active = active[going]
            if not len(active):
                break
        u[status != Status.CONVERGED] = torch.nan
        return NewtonResult(u, status, iterations, norm)

    def _backtrack(
        self,
        residual: Residual,
        u: torch.Tensor,
        points: torch.Tensor,
        step: torch.Tensor,
        size: torch.Tensor,
    ) -> torch.Tensor:
        """Scale each point's step until |r|^2 falls (Armijo), keeping the last trial otherwise."""
        scale = torch.ones_like(size)
        waiting = torch.arange(len(u), device=u.device)
        for _ in range(self.max_linesearch_iterations):
            trial = u[waiting] + scale[waiting, None] * step[waiting]
            new = torch.linalg.vector_norm(residual(trial, points[waiting]), dim=-1)
            slope = 2.0 * self.linesearch_stopping_criteria * scale[waiting]
            too_long = ~(new**2 <= (1.0 - slope) * size[waiting] ** 2)
            waiting = waiting[too_long]
            if not len(waiting):
                break
            scale[waiting] /= self.linesearch_cutback
        return scale[:, None] * step


@dataclass
class NewtonWithLineSearch(Newton):
    """Newton-Raphson in which every step is scaled back until the residual norm falls."""

    max_linesearch_iterations: int = 10
    linesearch_cutback: float = 2.0
    linesearch_stopping_criteria: float = 1e-3

    line_search = True
