"""Newton's method point by point: converged points are frozen, failed ones retried alone."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import IntEnum

import torch

from neml2fe.errors import InputError
from neml2fe.implicit.line_search import TYPES, Linearised, LineSearch, Residual
from neml2fe.implicit.linear_solvers import DenseLU, LinearSolver
from neml2fe.implicit.system import Layout


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

    rel_tol accepts only where the step that remains is small too, |step| < substep_del_tol |u|:
    a power law can make |r_0| so huge that a point with a small |r| beside it still moves far.

    A point that converges still takes the step computed from its last Jacobian, which is
    free and brings its error to round-off, as exact derivatives assume. Points that fail
    are tried again with a backtracking line search on |r|.
    """

    linear_solver: LinearSolver | None = None
    abs_tol: float = 1e-10
    rel_tol: float = 1e-8
    max_its: int = 25
    substep_del_tol: float = 1e-6

    # Used by the second attempt only; fields of a deck in NewtonWithLineSearch.
    line_search = False
    linesearch_type = "BACKTRACKING"
    max_linesearch_iterations = 10
    linesearch_cutback = 2.0
    linesearch_stopping_criteria = 1e-3
    check_negative_criterion = False

    def __post_init__(self) -> None:
        kind = type(self).__name__
        for name in ("abs_tol", "rel_tol", "max_its", "max_linesearch_iterations"):
            if not 0 <= getattr(self, name) < math.inf:
                raise InputError(f"{kind}: {name} must be a number of at least 0")
        if not self.substep_del_tol > 0.0:
            raise InputError(f"{kind}: substep_del_tol must be greater than 0")
        if not 1.0 < self.linesearch_cutback < math.inf:
            raise InputError(f"{kind}: linesearch_cutback must be greater than 1")
        if not 0.0 <= self.linesearch_stopping_criteria < math.inf:
            raise InputError(f"{kind}: linesearch_stopping_criteria must be at least 0")
        if self.linesearch_type not in TYPES:
            raise InputError(
                f"{kind}: linesearch_type is {' or '.join(TYPES)}, not '{self.linesearch_type}'"
            )

    def solve(
        self,
        linearised: Linearised,
        residual: Residual,
        u0: torch.Tensor,
        *,
        layout: Layout | None = None,
    ) -> NewtonResult:
        """Solve all N points from `u0` `(N, n)`.

        Both functions take unknowns `(k, n)` and the numbers `(k,)` of the points they are for.
        `layout` is for linear solvers that know of groups and variables.
        """
        result = self._attempt(linearised, residual, u0, self.line_search, layout)
        failed = (result.status != Status.CONVERGED).nonzero().squeeze(-1)
        if self.line_search or not len(failed):
            return result
        again = self._attempt(
            lambda u, k: linearised(u, failed[k]),
            lambda u, k: residual(u, failed[k]),
            u0[failed],
            True,
            layout,
        )
        result.u[failed] = again.u
        result.status[failed] = again.status
        result.iterations[failed] += again.iterations
        result.residual_norm[failed] = again.residual_norm
        return result

    def _attempt(
        self,
        linearised: Linearised,
        residual: Residual,
        u0: torch.Tensor,
        line_search: bool,
        layout: Layout | None = None,
    ) -> NewtonResult:
        steps = (self.linear_solver or DenseLU()).steps(layout)
        n_points = len(u0)
        u = u0.clone()
        status = torch.full((n_points,), Status.ITERATION_LIMIT, device=u.device)
        iterations = torch.zeros(n_points, dtype=torch.int64, device=u.device)
        norm = torch.full((n_points,), torch.inf, dtype=u.dtype, device=u.device)
        target = norm
        active = torch.arange(n_points, device=u.device)
        # Nothing falls further than round-off lets it, which matters in float32.
        round_off = 10.0 * torch.finfo(u.dtype).eps
        still = max(self.substep_del_tol, torch.finfo(u.dtype).eps ** 0.5)
        search = LineSearch(
            self.linesearch_type,
            self.max_linesearch_iterations,
            self.linesearch_cutback,
            self.linesearch_stopping_criteria,
            self.check_negative_criterion,
        )
        for iteration in range(self.max_its + 1):
            here = u[active]
            r, jacobian = linearised(here, active)
            size = torch.linalg.vector_norm(r, dim=-1)
            norm[active] = size
            if iteration == 0:
                target = torch.clamp(max(self.rel_tol, round_off) * size, min=self.abs_tol)
            step = -steps(jacobian, r, active)
            settled = torch.linalg.vector_norm(step, dim=-1) <= still * (
                torch.linalg.vector_norm(here, dim=-1) + self.abs_tol
            )
            converged = (size <= self.abs_tol) | (settled & (size <= target[active]))
            usable = torch.isfinite(step).all(-1)
            broken = ~converged & ~(usable & torch.isfinite(size))
            status[active[broken]] = Status.NOT_FINITE
            status[active[converged]] = Status.CONVERGED
            going = ~converged & ~broken
            iterations[active[going]] += 1
            if line_search:
                lengths = search.lengths(
                    linearised, residual, here[going], active[going], step[going], size[going]
                )
                step[going] *= lengths[:, None]
            moving = usable & ~broken
            u[active[moving]] += step[moving]
            active = active[going]
            if not len(active):
                break
        u[status != Status.CONVERGED] = torch.nan
        return NewtonResult(u, status, iterations, norm)


@dataclass
class NewtonWithLineSearch(Newton):
    """Newton-Raphson in which every step is scaled back until the residual norm falls.

    `linesearch_type` is `BACKTRACKING`, for steps with enough decrease of |r|^2, or
    `STRONG_WOLFE`, which asks for a flat enough |r|^2 at the end of the step as well and takes a
    Jacobian for each trial.
    """

    linesearch_type: str = "BACKTRACKING"
    max_linesearch_iterations: int = 10
    linesearch_cutback: float = 2.0
    linesearch_stopping_criteria: float = 1e-3
    check_negative_criterion: bool = False

    line_search = True
