"""`LocalMatrix`: the sum of a rank's element matrices, before the ranks add theirs up."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_array

Index = NDArray[np.int64]
PART = 65_536  # elements or blocks that are worked on at a time


class LocalMatrix:
    """Blocks of `dim` x `dim` entries over local nodes, in compressed rows.

    Columns of a row ascend by local node number. `values` `(n_blocks * dim^2,)` has the order of
    the scalar rows: row node a, its component i, then the blocks of the row, then j. So it is
    the data of a scalar CSR matrix, and element matrices find their place through one number
    for each pair of nodes.

    indptr: (n_nodes + 1,) first block of each row node.
    indices: (n_blocks,) column nodes.
    """

    def __init__(
        self,
        connectivities: Sequence[Index],
        n_nodes: int,
        dim: int,
        device: torch.device | str = "cpu",
    ) -> None:
        self.n_nodes, self.dim = n_nodes, dim
        pattern = csr_array((n_nodes, n_nodes), dtype=np.int8)
        for connectivity in connectivities:
            n, k = connectivity.shape
            incidence = csr_array(
                (np.ones(n * k, np.int8), connectivity.ravel(), np.arange(0, n * k + 1, k)),
                shape=(n, n_nodes),
            )
            product = csr_array(incidence.T) @ incidence
            product.data[:] = 1
            pattern = pattern + product
        pattern.sort_indices()
        self.indptr, self.indices = (
            pattern.indptr.astype(np.int64),
            pattern.indices.astype(np.int32),
        )
        self.values = torch.zeros(len(self.indices) * dim * dim, dtype=torch.float64, device=device)
        self._starts = torch.as_tensor(self.indptr, device=device)

    def slots(self, connectivity: Index) -> torch.Tensor:
        """Number of the block of each pair of nodes of each element, int32 `(n, k, k)`."""
        n, k = connectivity.shape
        keys = np.repeat(np.arange(self.n_nodes), np.diff(self.indptr)) * self.n_nodes
        keys += self.indices
        slots = np.empty((n, k, k), dtype=np.int32)
        for start in range(0, n, PART):  # bounds the memory of the search
            part = connectivity[start : start + PART]
            wanted = part[:, :, None] * self.n_nodes + part[:, None, :]
            slots[start : start + PART] = np.searchsorted(keys, wanted)
        return torch.as_tensor(slots, device=self.values.device)

    def add(self, slots: torch.Tensor, connectivity: torch.Tensor, matrices: torch.Tensor) -> None:
        """Add element matrices `(n, k*dim, k*dim)`, rows over nodes, then components."""
        dim = self.dim
        first = self._starts[connectivity]  # (n, k)
        width = self._starts[connectivity + 1] - first
        i = torch.arange(dim, device=matrices.device)
        row = dim * dim * first[..., None] + i * dim * width[..., None]  # (n, k, i)
        column = dim * (slots - first[..., None])  # (n, k, k)
        place = row[:, :, :, None, None] + column[:, :, None, :, None] + i
        self.values.index_add_(0, place.reshape(-1), matrices.reshape(-1))

    def zero(self) -> None:
        self.values.zero_()

    def _rows(self, blocks: Index) -> Index:
        """The row node of blocks."""
        return np.searchsorted(self.indptr, blocks, side="right") - 1

    def _places(self, blocks: Index) -> Index:
        """Where in `values` the entries of blocks lie, `(n, dim, dim)`."""
        dim, a = self.dim, self._rows(blocks)
        first, width = self.indptr[a], self.indptr[a + 1] - self.indptr[a]
        i = np.arange(dim)
        start = dim * dim * first + dim * (blocks - first)
        return start[:, None, None] + i[:, None] * (dim * width)[:, None, None] + i

    def diagonal_places(self) -> Index:
        """Where in `values` the diagonal entry of every local dof lies, `(n_nodes * dim,)`."""
        rows = np.repeat(np.arange(self.n_nodes), np.diff(self.indptr))
        places = self._places(np.flatnonzero(rows == self.indices))
        return np.diagonal(places, axis1=1, axis2=2).reshape(-1)

    def places(self, marked: NDArray[np.bool_]) -> Index:
        """Places of all entries in a row or column of the dofs `marked` `(n_nodes * dim,)`."""
        dofs = marked.reshape(self.n_nodes, self.dim)
        nodes = np.asarray(dofs.any(axis=1), dtype=bool)
        rows = np.repeat(np.arange(self.n_nodes), np.diff(self.indptr))
        blocks = np.flatnonzero(nodes[rows] | nodes[self.indices])
        hit = dofs[rows[blocks]][:, :, None] | dofs[self.indices[blocks]][:, None, :]
        return self._places(blocks)[hit]

    def product(self, x: NDArray[np.float64], transposed: bool = False) -> NDArray[np.float64]:
        """The matrix, or its transpose, times `x` `(n_nodes * dim,)`; cheap where few nodes of `x`
        are not zero."""
        nodal = x.reshape(-1, self.dim)
        active = np.asarray(nodal.any(axis=1), dtype=bool)
        values, y = self.values.cpu().numpy(), np.zeros((self.dim, self.n_nodes))
        for start in range(0, len(self.indices), PART):
            stop = min(start + PART, len(self.indices))
            blocks = start + np.flatnonzero(self._touched(active, start, stop, transposed))
            if not len(blocks):
                continue
            entries, rows = values[self._places(blocks)], self._rows(blocks)
            columns = self.indices[blocks]
            if transposed:
                rows, columns, entries = columns, rows, entries.swapaxes(1, 2)
            added = np.einsum("nij,nj->in", entries, nodal[columns])
            first, last = rows.min(), rows.max() + 1
            for component, weights in zip(y, added, strict=True):
                component[first:last] += np.bincount(rows - first, weights, last - first)
        return y.T.reshape(-1)

    def _touched(
        self, active: NDArray[np.bool_], start: int, stop: int, transposed: bool
    ) -> NDArray[np.bool_]:
        """Which of the blocks `start` to `stop` are in columns (rows) of active nodes."""
        if not transposed:
            return active[self.indices[start:stop]]
        bounds = np.clip(self.indptr, start, stop)
        return np.repeat(active, np.diff(bounds))
