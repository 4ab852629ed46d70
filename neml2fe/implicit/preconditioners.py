"""Preconditioners of Krylov methods: cheap approximate inverses of many matrices at once."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from neml2fe.errors import ModelError
from neml2fe.implicit.system import Layout

State = tuple[torch.Tensor, ...]


class Preconditioner:
    """Base of the preconditioners: an approximation M of each matrix that is easy to invert."""

    def setup(self, matrix: torch.Tensor, layout: Layout | None) -> State:
        """What `apply` needs for matrices `(N, n, n)`: tensors with a row for each of them."""
        raise NotImplementedError

    def apply(self, state: State, vectors: torch.Tensor) -> torch.Tensor:
        """M^-1 times vectors `(N, k, n)`."""
        raise NotImplementedError


@dataclass
class NoPreconditioner(Preconditioner):
    """None: M = 1."""

    def setup(self, matrix: torch.Tensor, layout: Layout | None) -> State:
        return ()

    def apply(self, state: State, vectors: torch.Tensor) -> torch.Tensor:
        return vectors


@dataclass
class JacobiPreconditioner(Preconditioner):
    """The diagonal of the matrix; a zero in it counts as one."""

    def setup(self, matrix: torch.Tensor, layout: Layout | None) -> State:
        diagonal = matrix.diagonal(dim1=-2, dim2=-1)
        return (torch.where(diagonal == 0.0, 1.0, 1.0 / diagonal),)

    def apply(self, state: State, vectors: torch.Tensor) -> torch.Tensor:
        return vectors * state[0].unsqueeze(-2)


@dataclass
class BlockJacobiPreconditioner(Preconditioner):
    """Diagonal blocks of the matrix, one for each unknown variable; a singular block counts as
    the identity."""

    def setup(self, matrix: torch.Tensor, layout: Layout | None) -> State:
        if layout is None:
            raise ModelError("BlockJacobiPreconditioner works for systems of variables only")
        inverses, at = [], 0
        for size in (math.prod(shape) for shape in layout.shapes.values()):
            block = matrix[:, at : at + size, at : at + size]
            inverse, info = torch.linalg.inv_ex(block)
            identity = torch.eye(size, dtype=matrix.dtype, device=matrix.device)
            inverses.append(torch.where((info != 0)[:, None, None], identity, inverse))
            at += size
        return tuple(inverses)

    def apply(self, state: State, vectors: torch.Tensor) -> torch.Tensor:
        parts = vectors.split([len(inverse[0]) for inverse in state], -1)
        return torch.cat([v @ m.mT for v, m in zip(parts, state, strict=True)], -1)


@dataclass
class FullPreconditioner(Preconditioner):
    """The LU factors of the matrix itself. Kept over the iterations of Newton's method by a
    `cache_strategy`, they precondition the Jacobians that follow."""

    def setup(self, matrix: torch.Tensor, layout: Layout | None) -> State:
        factors, pivots, _ = torch.linalg.lu_factor_ex(matrix)
        return factors, pivots

    def apply(self, state: State, vectors: torch.Tensor) -> torch.Tensor:
        return torch.linalg.lu_solve(*state, vectors.mT).mT
