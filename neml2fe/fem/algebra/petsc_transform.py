"""Linear constraints u = T q + g in PETSc: products with T, and the reduced matrix T^T K T."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from petsc4py import PETSc
from scipy.sparse import coo_array, csr_array

from neml2fe.fem.algebra.layout import Array, DofLayout


class PetscTransform:
    """T, whose rows for owned dofs are `rows`, and T^T K T in the dofs that are unknown."""

    def __init__(self, layout: DofLayout, comm: Any, rows: csr_array) -> None:
        self._layout = layout
        n = layout.n_owned_dofs
        self._rows = stored = self._with_diagonal(rows)
        csr = (stored.indptr.astype(PETSc.IntType), stored.indices.astype(PETSc.IntType))
        self.mat = PETSc.Mat().createAIJ(
            ((n, None), (n, None)), bsize=layout.block_size, csr=(*csr, stored.data), comm=comm
        )
        self._free = self.mat.duplicate(copy=True)
        self.reduced: Any = None

    def _with_diagonal(self, rows: csr_array) -> csr_array:
        layout, n = self._layout, self._layout.n_owned_dofs
        start = int(layout.global_nodes[0]) * layout.block_size if n else 0
        # A stored zero where T has no diagonal entry, so that T^T K T has a place for one.
        own = np.arange(n)
        entries = rows.tocoo()
        stored = coo_array(
            (
                np.concatenate([entries.data, np.zeros(n)]),
                (np.concatenate([entries.row, own]), np.concatenate([entries.col, own + start])),
            ),
            shape=rows.shape,
        ).tocsr()
        stored.sort_indices()
        return stored

    def update(self, rows: csr_array) -> bool:
        """Take over the entries of `rows` where they are in the places of the present ones on
        every rank; otherwise change nothing. The reduced matrix stays the same object."""
        stored, old = self._with_diagonal(rows), self._rows
        same = np.array_equal(stored.indptr, old.indptr)
        same = same and np.array_equal(stored.indices, old.indices)
        comm = self._layout.comm
        if not (same if comm is None else min(comm.allgather(same))):
            return False
        csr = (stored.indptr.astype(PETSc.IntType), stored.indices.astype(PETSc.IntType))
        self.mat.setValuesCSR(*csr, stored.data)
        self.mat.assemble()
        return True

    def set_constrained(self, mask: NDArray[np.bool_]) -> None:
        """Leave out the columns of the owned dofs in `mask`."""
        self.mat.copy(self._free, PETSc.Mat.Structure.SAME_NONZERO_PATTERN)
        kept = self.mat.createVecRight()
        kept.array[:] = ~mask
        self._free.diagonalScale(None, kept)
        kept.destroy()

    def reduce(self, mat: Any) -> Any:
        """T^T `mat` T without the constrained dofs; the symbolic product is kept."""
        if self.reduced is None:
            self.reduced = mat.ptap(self._free)
            self.reduced.setOptionsPrefix(mat.getOptionsPrefix())
        else:
            mat.ptap(self._free, result=self.reduced)
        return self.reduced

    def to_displacement(self, q: Array) -> Array:
        return self._multiply(q, self.mat.mult)

    def to_reduced(self, r: Array) -> Array:
        return self._multiply(r, self.mat.multTranspose)

    def _multiply(self, values: Array, product: Any) -> Array:
        x, y = self.mat.createVecs()
        x.array[:] = values
        product(x, y)
        result = y.array.copy()
        x.destroy()
        y.destroy()
        return result

    def destroy(self) -> None:
        for mat in (self.mat, self._free, self.reduced):
            if mat is not None:
                mat.destroy()
