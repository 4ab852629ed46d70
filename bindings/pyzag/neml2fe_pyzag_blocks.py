"""Chunks of steps and their Jacobians, from one code to the other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from pyzag import nonlinear
from pyzag.chunktime import BidiagonalForwardOperator, BidiagonalThomasFactorization
from pyzag.operators.base import BlockJacobian, BlockVector
from pyzag.operators.dense import DenseBlockJacobian as PyzagJacobian
from pyzag.operators.dense import DenseBlockVector

from neml2fe.errors import ConvergenceError, InputError
from neml2fe.pyzag.operators import DenseBlockJacobian


class FailingChunk(nonlinear.ChunkOp):
    """A chunk in which residuals that are not finite are huge: pyzag counts NaN as converged, and
    would keep the guess of the states."""

    def __call__(self, x: BlockVector) -> tuple[BlockVector, BidiagonalForwardOperator]:
        residual, system = super().__call__(x)
        assert isinstance(residual, DenseBlockVector)
        bad = ~torch.isfinite(residual.data).all(-1, keepdim=True)
        huge = torch.finfo(residual.dtype).max ** 0.25
        return DenseBlockVector(torch.where(bad, huge, residual.data)), system


class CheckedJacobian(PyzagJacobian):
    """pyzag's dense blocks, whose adjoint is refused where its gradients would be wrong: at
    residuals that are not finite, whose NaN pyzag turns into zeros, and for parameters that
    require no gradient, which its sweep cannot do with."""

    def __init__(
        self,
        diag: torch.Tensor,
        sub: torch.Tensor,
        residual: torch.Tensor,
        module: torch.nn.Module,
    ) -> None:
        super().__init__(diag, sub)
        self.residual, self.module = residual, module

    def as_adjoint_walk(self) -> BlockJacobian:
        bad = ~torch.isfinite(self.residual).all(-1).all(0)
        if bool(bad.any()):
            numbers = ", ".join(map(str, bad.nonzero().flatten().tolist()[:10]))
            raise ConvergenceError(
                f"{int(bad.sum())} of {len(bad)} specimens did not converge (specimen {numbers}): "
                "their states are not finite, and gradients of them do not exist"
            )
        frozen = [n for n, p in self.module.named_parameters() if not p.requires_grad]
        if frozen:
            raise InputError(
                f"pyzag's adjoint needs a gradient of every parameter, and {', '.join(frozen)} "
                "requires none; leave it out with include_parameters"
            )
        return super().as_adjoint_walk()


def dense(blocks: BlockJacobian, wrapper: Any) -> DenseBlockJacobian:
    """The blocks of any Jacobian of pyzag, `(m, S, n, n)`: those that it holds or, of other
    storage, what its operators make of unit vectors, which `wrapper` converts."""
    if isinstance(blocks, PyzagJacobian):
        return DenseBlockJacobian(blocks.diag.detach(), blocks.sub.detach())
    m, batch, n = blocks.nblk_steps, blocks.batch_size, blocks.block_size
    system = blocks.forward_system(BidiagonalThomasFactorization)
    unit = torch.eye(n, dtype=blocks.dtype, device=blocks.device).view(n, 1, 1, n)

    def images(of: Callable[[BlockVector], BlockVector], steps: int) -> torch.Tensor:
        ways = unit.expand(n, steps, batch, n).contiguous()
        return torch.stack([wrapper.unwrap_vector(of(wrapper.wrap_vector(way))) for way in ways])

    diag = images(system.A.matvec, m).movedim(0, -1)
    sub = images(blocks.couple_prev_chunk, 1).movedim(0, -2)  # rows: it multiplies from the left
    if m > 1:
        sub = torch.cat((sub, images(system.B.matvec, m - 1).movedim(0, -1)))
    return DenseBlockJacobian(diag.detach(), sub.detach())
