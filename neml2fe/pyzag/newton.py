"""Newton's method for a chunk of steps: one block-bidiagonal system, specimen by specimen.

All steps of a chunk are corrected at once. Specimens do not depend on each other: one that has
converged is taken out, one that fails does not touch the others.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch

from neml2fe.errors import InputError
from neml2fe.pyzag.recursion import Linearised

# From states (m, s, n) of the specimens (s,).
Evaluate = Callable[[torch.Tensor, torch.Tensor], Linearised]
# From corrections (m, s, n) of single steps and how they propagate (m - 1, s, n, n) to those of
# the chunk.
Substitute = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class ChunkSolution:
    """States `(m, S, n)`, whether each specimen `(S,)` converged, and its iterations `(S,)`."""

    x: torch.Tensor
    converged: torch.Tensor
    iterations: torch.Tensor


class ChunkNewtonRaphson:
    """A step has converged at |R| <= atol, or at |R| <= rtol |R_0| if the correction that remains
    is small too, below `step_tol` times the state; a specimen when all its steps have.

    `rtol` alone would accept wrong states of power laws, whose first residual is huge. The last
    correction, known by then, is still applied, which brings errors to round-off. `miter` is the
    largest number of iterations; a specimen whose residual has not fallen for `patience` of them
    is given up, and goes on in shorter chunks. With `throw_on_fail=False` a specimen that fails
    even step by step ends in NaN; by default it is an error.
    """

    line_search = False
    alpha, linesearch_iter = 0.5, 10  # of the line search

    def __init__(
        self,
        rtol: float = 1e-8,
        atol: float = 1e-10,
        miter: int = 100,
        throw_on_fail: bool = True,
        step_tol: float = 1e-6,
        patience: int = 20,
    ) -> None:
        for name, value in (("rtol", rtol), ("atol", atol), ("step_tol", step_tol)):
            if not 0.0 <= value < math.inf:
                raise InputError(f"{name} must be a number of at least 0, got {value}")
        if miter < 1 or patience < 1:
            raise InputError(f"miter and patience must be at least 1, got {miter} and {patience}")
        self.rtol, self.atol, self.miter = rtol, atol, miter
        self.step_tol, self.patience = step_tol, patience
        self.throw_on_fail = throw_on_fail

    @torch.no_grad()
    def solve(
        self,
        evaluate: Evaluate,
        substitute: Substitute,
        x0: torch.Tensor,
        line_search: bool | None = None,
    ) -> ChunkSolution:
        """Solve for S specimens from `x0` `(m, S, n)`."""
        search = self.line_search if line_search is None else line_search
        x, n_specimens = x0.clone(), x0.shape[1]
        active = torch.arange(n_specimens, device=x.device)
        converged = torch.zeros(n_specimens, dtype=torch.bool, device=x.device)
        iterations = torch.zeros(n_specimens, dtype=torch.int64, device=x.device)
        best = torch.full((n_specimens,), torch.inf, dtype=x.dtype, device=x.device)
        waited = torch.zeros_like(iterations)
        target = torch.zeros_like(x[..., 0])
        here = x
        known: Linearised | None = None
        # Nothing falls further than round-off lets it, which matters in single precision.
        eps = torch.finfo(x.dtype).eps
        round_off, still = 10.0 * eps, max(self.step_tol, eps**0.5)
        for iteration in range(self.miter + 1):
            if not len(active):
                break
            at = known or evaluate(here, active)
            size = torch.linalg.vector_norm(at.residual, dim=-1)
            if iteration == 0:
                target = torch.clamp(max(self.rtol, round_off) * size, min=self.atol)
            step = substitute(at.correction, at.propagation[1:])
            settled = torch.linalg.vector_norm(step, dim=-1) <= still * (
                torch.linalg.vector_norm(here, dim=-1) + self.atol
            )
            fine = (size <= self.atol) | (settled & (size <= target[:, active]))
            total = torch.linalg.vector_norm(size, dim=0)
            usable = torch.isfinite(step).all(-1).all(0)
            done = fine.all(0) & usable
            fell = total < best[active]
            waited[active] = torch.where(fell, 0, waited[active] + 1)
            best[active] = torch.where(fell, total, best[active])
            broken = ~done & (~usable | ~torch.isfinite(total) | (waited[active] > self.patience))
            going = ~done & ~broken & (iteration < self.miter)
            if not bool(going.all()):
                converged[active[done]] = True
                x[:, active[done]] = (here - step)[:, done]
                active, total = active[going], total[going]
                here, step = here[:, going], step[:, going]
            iterations[active] += 1
            known = None
            if search:
                here, known = self._searched(evaluate, here, step, total, active)
            else:
                here = here - step
        return ChunkSolution(x, converged, iterations)

    def _searched(
        self,
        evaluate: Evaluate,
        here: torch.Tensor,
        step: torch.Tensor,
        total: torch.Tensor,
        active: torch.Tensor,
    ) -> tuple[torch.Tensor, Linearised | None]:
        """States further on, each specimen with a step that lowers its residual, if one is found;
        and what was evaluated there."""
        factor = torch.ones_like(total)
        for trial in range(self.linesearch_iter + 1):
            there = here - factor[:, None] * step
            known = evaluate(there, active) if len(active) else None
            if known is None or trial == self.linesearch_iter:
                break
            new = torch.linalg.vector_norm(known.residual, dim=(0, 2))
            worse = ~(new < total)
            if not bool(worse.any()):
                break
            factor = torch.where(worse, factor * self.alpha, factor)
        return there, known


class ChunkNewtonRaphsonLineSearch(ChunkNewtonRaphson):
    """Newton's method in which the correction of a specimen is cut by `alpha`, at most
    `linesearch_iter` times, until the norm of all its residuals falls."""

    line_search = True

    def __init__(
        self,
        rtol: float = 1e-8,
        atol: float = 1e-10,
        miter: int = 100,
        throw_on_fail: bool = True,
        step_tol: float = 1e-6,
        patience: int = 20,
        alpha: float = 0.5,
        linesearch_iter: int = 10,
    ) -> None:
        super().__init__(rtol, atol, miter, throw_on_fail, step_tol, patience)
        if not 0.0 < alpha < 1.0 or linesearch_iter < 1:
            raise InputError(
                "alpha must lie between 0 and 1 and linesearch_iter be at least 1, got "
                f"{alpha} and {linesearch_iter}"
            )
        self.alpha, self.linesearch_iter = alpha, linesearch_iter
