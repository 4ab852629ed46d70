"""The global matrix in PETSc, filled from the values of a `LocalMatrix`.

AIJ matrices are filled in place: their two value arrays are overwritten without searching or
sorting, and without an index for every entry. Other matrix types, such as those of a GPU, get
the same values through PETSc's coordinate format (COO).
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from petsc4py import PETSc

from neml2fe.errors import InputError
from neml2fe.fem.algebra.layout import Array, DofLayout
from neml2fe.fem.algebra.pattern import BlockPattern, GhostRows, split_rows
from neml2fe.fem.algebra.petsc_calls import (
    aij_values,
    sequential_parts,
    set_preallocation_coo,
    set_values_coo,
)
from neml2fe.fem.algebra.petsc_reasons import message


class GlobalMatrix(Protocol):
    """A PETSc matrix `mat`, and how to replace its values; `fill` is collective."""

    mat: Any

    def fill(self, values: Array) -> None: ...


def make_matrix(layout: DofLayout, comm: Any, prefix: str, pattern: BlockPattern) -> GlobalMatrix:
    """The matrix of type `-mat_type` for the sums of element matrices with `pattern`."""
    mat = PETSc.Mat().create(comm)
    n = layout.n_owned_dofs
    mat.setSizes(((n, None), (n, None)), bsize=layout.block_size)
    mat.setType(PETSc.Mat.Type.AIJ)
    mat.setOptionsPrefix(prefix)
    try:
        mat.setFromOptions()
    except PETSc.Error as error:
        mat.destroy()
        raise InputError(f"PETSc refuses an option: {message(error)}") from error
    form = InPlaceMatrix if mat.type in ("seqaij", "mpiaij") else CooMatrix
    return form(mat, layout, pattern)


class InPlaceMatrix:
    """AIJ: the values of owned rows are copied into PETSc's arrays, those of ghost rows travel."""

    def __init__(self, mat: Any, layout: DofLayout, pattern: BlockPattern) -> None:
        self.mat = mat
        self._ghosts = GhostRows(layout, pattern)
        self._parts, rows = split_rows(layout, pattern, self._ghosts.neighbours)
        indptr, indices = rows.scalar(layout.block_size, layout.n_global_nodes())
        mat.setPreallocationCSR((indptr.astype(PETSc.IntType), indices.astype(PETSc.IntType)))
        mat.setOption(PETSc.Mat.Option.NEW_NONZERO_LOCATION_ERR, True)

    def fill(self, values: Array) -> None:
        received = self._ghosts.exchange(values)
        for handle, part in zip(sequential_parts(self.mat), self._parts, strict=False):
            with aij_values(handle, part.n_scalars) as array:
                part.fill(array, values, received)
        self.mat.assemble()  # tells PETSc that the values changed


class CooMatrix:
    """Any other type, by its own coordinate-format assembly."""

    def __init__(self, mat: Any, layout: DofLayout, pattern: BlockPattern) -> None:
        self.mat = mat
        size = layout.block_size
        indptr, indices = pattern.scalar(size, len(layout.global_nodes))
        dofs = (layout.global_nodes[:, None] * size + np.arange(size)).reshape(-1)
        n = layout.n_owned_dofs
        self._n = len(indices)
        rows = np.repeat(dofs, np.diff(indptr))
        set_preallocation_coo(
            mat, np.concatenate([rows, dofs[:n]]), np.concatenate([dofs[indices], dofs[:n]])
        )
        self._values = np.zeros(self._n + n)  # nothing is added to the diagonal: it only exists

    def fill(self, values: Array) -> None:
        self._values[: self._n] = values
        set_values_coo(self.mat, self._values)
