"""Rows of a distributed matrix: what each rank adds to rows that others own, and where it goes.

Every rank holds the sum of its element matrices as CSR of square blocks over its local nodes,
ghosts after the owned ones. This module finds the entries of the rows that a rank owns, split
as PETSc splits them: *diagonal* part (columns that the rank owns) and *off-diagonal* part.
Rows of owned nodes away from rank borders are copied whole; only the others need index arrays.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import bsr_array

from neml2fe.errors import InputError
from neml2fe.fem.algebra.layout import Array, DofLayout

Ints = NDArray[np.integer[Any]]


@dataclass(frozen=True)
class BlockPattern:
    """CSR of blocks: `indptr` (n_rows + 1,), `indices` ascending in every row.

    The scalar entries are stored row by row, as in scalar CSR.
    """

    indptr: Ints
    indices: Ints

    def __len__(self) -> int:
        return len(self.indices)

    def rows(self) -> Ints:
        """The block row of every block, (n_blocks,)."""
        return np.repeat(np.arange(len(self.indptr) - 1), np.diff(self.indptr))

    def scalar(self, size: int, n_columns: int) -> tuple[Ints, Ints]:
        """`indptr` and `indices` of the scalar CSR of blocks `size` x `size`."""
        ones = np.ones((len(self), size, size), dtype=np.int8)
        shape = ((len(self.indptr) - 1) * size, n_columns * size)
        matrix = bsr_array((ones, self.indices, self.indptr), shape=shape).tocsr()
        return matrix.indptr, matrix.indices

    def positions(self, blocks: Ints, rows: Ints, size: int) -> Ints:
        """Places of the scalars of `blocks` in block rows `rows`, (n * size * size,)."""
        start = self.indptr[rows].astype(np.int64)
        width = size * (self.indptr[rows + 1] - start)
        corner = size * size * start + size * (blocks - start)
        places = corner[:, None, None] + np.arange(size)[:, None] * width[:, None, None]
        return (places + np.arange(size)).reshape(-1)


def check_pattern(pattern: BlockPattern, n_nodes: int) -> None:
    """Raise `InputError` unless `pattern` is a CSR over `n_nodes` nodes, ascending in its rows."""
    indptr, indices = pattern.indptr, pattern.indices
    if len(indptr) != n_nodes + 1 or indptr[0] != 0 or indptr[-1] != len(indices):
        raise InputError(
            f"matrix pattern: indptr must have {n_nodes + 1} entries from 0 to {len(indices)}, "
            f"the number of blocks"
        )
    if np.any(np.diff(indptr) < 0):
        raise InputError("matrix pattern: indptr must not descend")
    if len(indices) and (indices.min() < 0 or indices.max() >= n_nodes):
        raise InputError(
            f"matrix pattern: nodes span {indices.min()}..{indices.max()}, "
            f"but this rank has the nodes 0..{n_nodes - 1}"
        )
    if np.any(np.diff(pattern.rows() * np.int64(n_nodes) + indices) <= 0):
        raise InputError("matrix pattern: the nodes of a row must ascend")


@dataclass
class Neighbour:
    """Rows of this rank's nodes that `rank` adds to: `pattern` with global columns."""

    rank: int
    rows: Ints
    pattern: BlockPattern

    def block_rows(self) -> Ints:
        return self.rows[self.pattern.rows()]


class GhostRows:
    """Brings the rows of ghosts to their owners. The constructor is collective."""

    def __init__(self, layout: DofLayout, pattern: BlockPattern) -> None:
        self._comm, self._area = layout.comm, layout.block_size**2
        self.neighbours: list[Neighbour] = []
        self._sends: list[tuple[int, slice]] = []
        if layout.n_ranks == 1:
            return
        n_owned = layout.n_owned_nodes
        ends = np.cumsum(layout.comm.allgather(n_owned))
        ghosts = layout.global_nodes[n_owned:]
        owners = np.searchsorted(ends, ghosts, side="right")
        messages: list[Any] = [None] * layout.n_ranks
        for rank in np.unique(owners):
            first, last = n_owned + np.searchsorted(owners, [rank, rank + 1])
            begin, end = pattern.indptr[[first, last]]
            messages[rank] = (
                layout.global_nodes[first:last],
                pattern.indptr[first : last + 1] - begin,
                layout.global_nodes[pattern.indices[begin:end]],
            )
            self._sends.append((int(rank), slice(self._area * begin, self._area * end)))
        start = ends[layout.rank] - n_owned
        for rank, message in enumerate(layout.comm.alltoall(messages)):
            if message is not None:
                nodes, indptr, columns = message
                self.neighbours.append(
                    Neighbour(rank, nodes - start, BlockPattern(indptr, columns))
                )

    def exchange(self, values: Array) -> list[Array]:
        """Scalars that each of `neighbours` holds for rows of this rank. Collective."""
        if not self._sends and not self.neighbours:
            return []
        from mpi4py import MPI

        buffers = [np.empty(self._area * len(n.pattern)) for n in self.neighbours]
        requests = [
            self._comm.Irecv(buffer, neighbour.rank)
            for buffer, neighbour in zip(buffers, self.neighbours, strict=True)
        ]
        requests += [self._comm.Isend(values[part], rank) for rank, part in self._sends]
        MPI.Request.Waitall(requests)
        return buffers


@dataclass
class Part:
    """How the diagonal or off-diagonal part of the owned rows is filled.

    `runs` are (target, source, length) of rows copied whole; `sources` and `targets` place the
    other entries of this rank; `vacant` targets have none. `added` is, for each neighbour, where
    its scalars come from and go to.
    """

    n_scalars: int
    runs: list[tuple[int, int, int]]
    sources: Ints
    targets: Ints
    vacant: Ints
    added: list[tuple[Ints, Ints]]

    def fill(self, array: Array, values: Array, received: Sequence[Array]) -> None:
        """Overwrite `array` (n_scalars,) by the sum of this rank's and its neighbours' entries."""
        for target, source, length in self.runs:
            array[target : target + length] = values[source : source + length]
        array[self.targets] = values[self.sources]
        array[self.vacant] = 0.0
        for (sources, targets), buffer in zip(self.added, received, strict=True):
            array[targets] += buffer[sources]


def split_rows(
    layout: DofLayout, local: BlockPattern, neighbours: Sequence[Neighbour]
) -> tuple[list[Part], BlockPattern]:
    """Diagonal and off-diagonal part of the rows of owned nodes, and the pattern of both together
    with global columns; every diagonal block is included. Collective."""
    n_owned, n_global = layout.n_owned_nodes, layout.n_global_nodes()
    start = int(layout.global_nodes[0]) if n_owned else 0
    rows = local.rows()[: local.indptr[n_owned]]
    inner = local.indices[: len(rows)] < n_owned

    def part(diagonal: bool) -> tuple[Part, Ints]:
        mine = np.flatnonzero(inner == diagonal)
        own = rows[mine] * n_global + layout.global_nodes[local.indices[mine]]
        found = []  # of each neighbour: its blocks in this part, and their keys
        for neighbour in neighbours:
            columns = neighbour.pattern.indices
            theirs = (columns >= start) & (columns < start + n_owned)
            blocks = np.flatnonzero(theirs == diagonal)
            found.append((blocks, neighbour.block_rows()[blocks] * n_global + columns[blocks]))
        nodes = np.arange(n_owned) if diagonal else np.arange(0)
        wanted = np.concatenate([nodes * n_global + start + nodes, *(keys for _, keys in found)])
        extra = np.setdiff1d(wanted, own)
        keys = np.insert(own, np.searchsorted(own, extra), extra)
        indptr = np.searchsorted(keys, np.arange(n_owned + 1) * n_global)
        pattern = BlockPattern(indptr, keys % n_global)

        whole = np.zeros(n_owned, dtype=bool)
        if diagonal:
            whole[:] = True
            whole[rows[~inner]] = False
            whole[extra // n_global] = False
        loose = mine[~whole[rows[mine]]]
        slots = np.searchsorted(keys, own[~whole[rows[mine]]])
        size, vacant = layout.block_size, np.searchsorted(keys, extra)
        filling = Part(
            size * size * len(pattern),
            _runs(whole, pattern, local, size * size),
            local.positions(loose, rows[loose], size),
            pattern.positions(slots, rows[loose], size),
            pattern.positions(vacant, extra // n_global, size),
            [
                (
                    neighbour.pattern.positions(blocks, neighbour.pattern.rows()[blocks], size),
                    pattern.positions(np.searchsorted(keys, k), k // n_global, size),
                )
                for neighbour, (blocks, k) in zip(neighbours, found, strict=True)
            ],
        )
        return filling, keys

    parts, keys = zip(*(part(diagonal) for diagonal in (True, False)), strict=True)
    both = np.concatenate(keys) if len(keys[1]) else keys[0]
    both.sort(kind="stable")
    indptr = np.searchsorted(both, np.arange(n_owned + 1) * n_global)
    return list(parts), BlockPattern(indptr, both % n_global)


def _runs(
    whole: NDArray[np.bool_], target: BlockPattern, source: BlockPattern, area: int
) -> list[tuple[int, int, int]]:
    """(target, source, length) in scalars of the stretches of rows that are copied whole."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], whole, [False]])))
    first, last = edges[::2], edges[1::2]
    lengths = area * (target.indptr[last] - target.indptr[first])
    starts = area * target.indptr[first], area * source.indptr[first]
    return list(zip(*(s.tolist() for s in (*starts, lengths)), strict=True))
