"""`GatheredRows`: a table of which each rank holds some rows, whole on every rank."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Index = NDArray[np.int64]


def all_rows(comm: Any, rows: NDArray) -> NDArray:
    """The rows `(n, ...)` of all ranks in rank order, on every rank. Collective."""
    if comm is None:
        return rows
    rows = np.ascontiguousarray(rows)
    width = int(np.prod(rows.shape[1:], dtype=np.int64))
    counts = comm.allgather(len(rows))
    stacked = np.empty((sum(counts), *rows.shape[1:]), dtype=rows.dtype)
    comm.Allgatherv(rows, (stacked, [n * width for n in counts]))
    return stacked


class GatheredRows:
    """A table of `n` rows. Making one is collective.

    - `numbers`: which of them this rank holds; no other rank holds them.
    """

    def __init__(self, comm: Any, numbers: Index, n: int) -> None:
        self.numbers, self.n, self._comm = numbers, n, comm
        self._order = all_rows(comm, numbers)

    def gather(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        """The table `(n, ...)` of this rank's `rows` `(len(numbers), ...)` and those of the others,
        the same on every rank; NaN in rows that none holds. Collective."""
        table = np.full((self.n, *rows.shape[1:]), np.nan)
        table[self._order] = all_rows(self._comm, rows)
        return table
