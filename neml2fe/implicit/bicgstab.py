"""BiCGStab for many right-hand sides at once."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from neml2fe.implicit.krylov import Krylov, Operator
from neml2fe.implicit.preconditioners import Preconditioner


@dataclass
class BiCGStab(Krylov):
    """Stabilised biconjugate gradients (van der Vorst 1992): few vectors, two products an
    iteration. It begins again from its best point after 2n iterations or a breakdown."""

    max_its: int = 1000
    abs_tol: float = 0.0
    rel_tol: float = 1e-4
    preconditioner: Preconditioner | None = None
    cache_strategy: str = "none"
    cache_max_its: int = 10

    def cycle(
        self, apply: Operator, residual: torch.Tensor, target: torch.Tensor, most: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Points that are done, or broken down, go on for nothing: only the best y counts."""
        shadow = p = r = residual
        y = best = torch.zeros_like(r)
        least = torch.linalg.vector_norm(r, dim=-1)
        going = least > target
        used = torch.zeros_like(going, dtype=torch.int64)
        rho = _dot(shadow, r)
        for _ in range(min(most, 2 * r.shape[-1])):
            used += going
            v = apply(p)
            alpha = rho / _dot(shadow, v)
            s = r - alpha * v
            t = apply(s)
            square = _dot(t, t)
            omega = torch.where(square > 0.0, _dot(t, s) / square, 0.0)
            y = y + alpha * p + omega * s
            r = s - omega * t
            size = torch.linalg.vector_norm(r, dim=-1)
            better = going & (size < least)
            best = torch.where(better.unsqueeze(-1), y, best)
            least = torch.where(better, size, least)
            rho, last = _dot(shadow, r), rho
            beta = (rho / last) * (alpha / omega)
            p = r + beta * (p - omega * v)
            going = going & (size > target) & torch.isfinite(p).all(-1)
            if not bool(going.any()):
                break
        return best, used


def _dot(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return (a * b).sum(-1, keepdim=True)
