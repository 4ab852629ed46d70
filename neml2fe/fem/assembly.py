"""The global stiffness matrix: element matrices into the algebra's coordinate-format pattern."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from neml2fe.fem.algebra import Algebra
from neml2fe.fem.mesh.distribution import LocalMesh
from neml2fe.fem.integrals.block import ElementBlock


class Stiffness:
    """Assembles consistent tangents. Rows and columns of the dofs in `constrained`
    `(n_local_dofs,)` are removed; their diagonal entries are the mean `diagonal` of the first
    matrix. Every method is collective."""

    def __init__(
        self,
        algebra: Algebra,
        local: LocalMesh,
        blocks: Sequence[ElementBlock],
        constrained: NDArray[np.bool_],
    ) -> None:
        self._algebra, self._blocks = algebra, blocks
        self.diagonal = 0.0
        dim = local.dim
        to_global = (local.global_nodes[:, None] * dim + np.arange(dim)).reshape(-1)
        rows, columns = [], []
        for block in blocks:
            dofs = to_global[block.dofs]
            shape = (*dofs.shape, dofs.shape[1])
            rows.append(np.broadcast_to(dofs[:, :, None], shape).reshape(-1))
            columns.append(np.broadcast_to(dofs[:, None, :], shape).reshape(-1))
        owned = constrained[: local.n_owned * dim]
        fixed = to_global[: local.n_owned * dim][owned]
        algebra.set_pattern(np.concatenate([*rows, fixed]), np.concatenate([*columns, fixed]))
        algebra.set_constrained(owned)
        self._n_fixed = len(fixed)
        free = (~constrained).astype(float)
        self._free = [torch.as_tensor(free[b.dofs], device=b.volumes.device) for b in blocks]

    def assemble(self, tangents: Sequence[torch.Tensor | None]) -> None:
        """Set the algebra's matrix from the tangents `(n, 6, 6)` of each block's points."""
        matrices = []
        for block, tangent in zip(self._blocks, tangents, strict=True):
            assert tangent is not None
            matrices.append(block.stiffness(tangent))
        if not self.diagonal:
            entries = [torch.diagonal(k, dim1=1, dim2=2).abs() for k in matrices]
            total = self._algebra.allreduce(sum(float(e.sum()) for e in entries))
            self.diagonal = total / self._algebra.allreduce(sum(e.numel() for e in entries))
        for k, free in zip(matrices, self._free, strict=True):
            k.mul_(free[:, :, None]).mul_(free[:, None, :])
        values = [k.reshape(-1).cpu().numpy() for k in matrices]
        self._algebra.set_matrix(np.concatenate([*values, np.full(self._n_fixed, self.diagonal)]))
