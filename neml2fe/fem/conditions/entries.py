"""`Entries`: a sparse matrix in the making."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array, csr_array

Array = NDArray[np.float64]
Index = NDArray[np.int64]


class Entries:
    """Rows, columns and values of a matrix, added up piece by piece. Zeros are kept, so that a
    matrix with other values in the same places has the same structure."""

    def __init__(self, shape: tuple[int, int]) -> None:
        self.shape = shape
        self._parts: list[tuple[Index, Index, Array]] = []

    def add(self, rows: Index, columns: Index, values: Array | float) -> None:
        """Add entries; the arrays are broadcast against each other."""
        r, c, v = np.broadcast_arrays(rows, columns, np.asarray(values, dtype=np.float64))
        self._parts.append((r.ravel(), c.ravel(), v.ravel()))

    def copy(self) -> Entries:
        """Entries to which others can be added."""
        other = Entries(self.shape)
        other._parts = list(self._parts)
        return other

    def matrix(self) -> csr_array:
        rows, columns, values = (np.concatenate(part) for part in zip(*self._parts, strict=True))
        return csr_array(coo_array((values, (rows, columns)), shape=self.shape))
