"""Linear solvers for the Jacobians of many points at once."""

from __future__ import annotations

from dataclasses import dataclass

import torch


class LinearSolver:
    """Base of the linear solvers."""

    def solve(self, matrix: torch.Tensor, rhs: torch.Tensor) -> torch.Tensor:
        """Solve `(N, n, n)` systems for `(N, n)` or `(N, n, k)`; singular ones give non-finite
        results, which the caller reports per point."""
        raise NotImplementedError


@dataclass
class DenseLU(LinearSolver):
    """Dense LU factorisation with partial pivoting of each point's Jacobian."""

    def solve(self, matrix: torch.Tensor, rhs: torch.Tensor) -> torch.Tensor:
        columns = rhs if rhs.ndim == matrix.ndim else rhs.unsqueeze(-1)
        factors, pivots, _ = torch.linalg.lu_factor_ex(matrix)
        x = torch.linalg.lu_solve(factors, pivots, columns)
        return x if rhs.ndim == matrix.ndim else x.squeeze(-1)
