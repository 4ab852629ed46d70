"""The length of Newton steps by the decrease of phi(a) = |r(u + a step)|^2, point by point."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import torch

Residual = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
Linearised = Callable[[torch.Tensor, torch.Tensor], tuple[torch.Tensor, torch.Tensor]]
TYPES = ("BACKTRACKING", "STRONG_WOLFE")
CURVATURE = 0.9  # the usual choice for Newton steps


@dataclass(frozen=True)
class LineSearch:
    """Lengths a, first 1, with enough decrease, phi(a) <= phi(0) + c a phi'(0) (Armijo).

    `STRONG_WOLFE` asks for |phi'(a)| <= 0.9 |phi'(0)| too, which takes a Jacobian for each trial,
    and rules out steps far too short. As the step is Newton's, phi'(0) = -2 phi(0).
    """

    type: str
    max_iterations: int
    cutback: float
    decrease: float
    check: bool

    def lengths(
        self,
        linearised: Linearised,
        residual: Residual,
        u: torch.Tensor,
        points: torch.Tensor,
        step: torch.Tensor,
        size: torch.Tensor,
    ) -> torch.Tensor:
        """Lengths `(k,)` of steps `(k, n)` from `u`, where |r| is `size`; the last trial where
        none is good enough. A bracket shrinks, or has no end yet, until one is."""
        length = torch.ones_like(size)
        low, high = torch.zeros_like(size), torch.full_like(size, torch.inf)
        waiting = torch.arange(len(u), device=u.device)
        for _ in range(self.max_iterations):
            a, phi = length[waiting], size[waiting] ** 2
            trial, way, k = u[waiting] + a[:, None] * step[waiting], step[waiting], points[waiting]
            limit = (1.0 - 2.0 * self.decrease * a) * phi
            self._check(limit)
            if self.type == "STRONG_WOLFE":
                r, jacobian = linearised(trial, k)
                slope = 2.0 * (r * (jacobian @ way.unsqueeze(-1)).squeeze(-1)).sum(-1)
            else:
                r, slope = residual(trial, k), torch.zeros_like(phi)
            steepest = 2.0 * CURVATURE * phi
            too_long = ~(r.square().sum(-1) <= limit) | (slope > steepest)
            too_short = ~too_long & (slope < -steepest)
            high[waiting] = torch.where(too_long, a, high[waiting])
            low[waiting] = torch.where(too_short, a, low[waiting])
            waiting = waiting[too_long | too_short]
            if not len(waiting):
                break
            a, end = low[waiting], high[waiting]
            length[waiting] = torch.where(
                torch.isfinite(end), a + (end - a) / self.cutback, a * self.cutback
            )
        return length

    def _check(self, limit: torch.Tensor) -> None:
        if self.check and bool((limit < 0.0).any()):
            warnings.warn(
                "the line search asks for a negative |r|^2, which no step has; choose "
                "linesearch_stopping_criteria below 0.5",
                stacklevel=2,
            )
