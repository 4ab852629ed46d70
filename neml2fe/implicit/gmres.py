"""GMRES with restarts, for many right-hand sides at once."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from neml2fe.errors import InputError
from neml2fe.implicit.krylov import Krylov, Operator
from neml2fe.implicit.preconditioners import Preconditioner


@dataclass
class GMRES(Krylov):
    """Generalised minimal residuals (Saad and Schultz 1986), begun again after `restart`
    iterations; without a restart, n iterations solve a system of n unknowns."""

    restart: int = 40
    max_its: int = 1000
    abs_tol: float = 0.0
    rel_tol: float = 1e-4
    preconditioner: Preconditioner | None = None
    cache_strategy: str = "none"
    cache_max_its: int = 10

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.restart < 1:
            raise InputError("GMRES: restart must be at least 1")

    def cycle(
        self, apply: Operator, residual: torch.Tensor, target: torch.Tensor, most: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Arnoldi's basis V with A V = V H, and rotations Q with Q H = R, one column at a time.

        The first column of Q times |residual| is the right-hand side of R y; its last entry is
        the residual left. Columns that a point does not use are those of the identity.
        """
        batch, n = residual.shape[:-1], residual.shape[-1]
        m = min(self.restart, n, most)
        eps = 10.0 * n * torch.finfo(residual.dtype).eps
        start = torch.linalg.vector_norm(residual, dim=-1)
        going = start > target
        basis = residual.new_zeros(*batch, m + 1, n)
        basis[..., 0, :] = _scaled(residual, start, going)
        identity = torch.eye(m + 1, dtype=residual.dtype, device=residual.device)
        rotation = identity.expand(*batch, m + 1, m + 1).clone()
        upper = identity[:m, :m].expand(*batch, m, m).clone()
        taken = torch.zeros((*batch, m), dtype=torch.bool, device=residual.device)
        used = torch.zeros(batch, dtype=torch.int64, device=residual.device)
        for j in range(m):
            used += going
            w, known = apply(basis[..., j, :]), basis[..., : j + 1, :]
            size = torch.linalg.vector_norm(w, dim=-1)
            h = residual.new_zeros(*batch, m + 1)
            for _ in range(2):  # once more for what round-off left
                part = (known @ w.unsqueeze(-1)).squeeze(-1)
                w = w - (part.unsqueeze(-2) @ known).squeeze(-2)
                h[..., : j + 1] += part
            h[..., j + 1] = length = torch.linalg.vector_norm(w, dim=-1)
            column = (rotation @ h.unsqueeze(-1)).squeeze(-1)
            radius = torch.hypot(column[..., j], column[..., j + 1])
            # A column without anything new, of a singular matrix, would only blow up y.
            taken[..., j] = going & (radius > eps * size)
            c, s = (_scaled(column[..., i, None], radius, taken[..., j]) for i in (j, j + 1))
            a, b = rotation[..., j, :].clone(), rotation[..., j + 1, :].clone()
            rotation[..., j, :], rotation[..., j + 1, :] = c * a + s * b, c * b - s * a
            column[..., j] = radius
            upper[..., : j + 1, j] = torch.where(
                taken[..., j, None], column[..., : j + 1], upper[..., : j + 1, j]
            )
            left = start * rotation[..., j + 1, 0].abs()
            going = taken[..., j] & (left > target) & (length > eps * size)
            if not bool(going.any()):
                break
            basis[..., j + 1, :] = _scaled(w, length, going)
        rhs = torch.where(taken, start.unsqueeze(-1) * rotation[..., :m, 0], 0.0)
        y = torch.linalg.solve_triangular(upper, rhs.unsqueeze(-1), upper=True)
        return (basis[..., :m, :].mT @ y).squeeze(-1), used


def _scaled(vector: torch.Tensor, size: torch.Tensor, where: torch.Tensor) -> torch.Tensor:
    """`vector / size` in the places `where`, zero elsewhere."""
    safe = torch.where(where, size, 1.0).unsqueeze(-1)
    return torch.where(where.unsqueeze(-1), vector / safe, 0.0)
