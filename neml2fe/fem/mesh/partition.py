"""Which rank computes each element and which owns each node."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from neml2fe.errors import MeshError
from neml2fe.fem.mesh.elements import Array, Index
from neml2fe.fem.mesh.mesh import Mesh

# Partitioners of PETSc in order of preference; which exist depends on its build.
_PARTITIONERS = ("ptscotch", "parmetis")


def partition_elements(mesh: Mesh | None, neighbours: Index | None, comm: Any) -> Index:
    """The rank of every element, counted through all blocks, on rank 0; empty elsewhere.

    Collective. Each rank gets an element. The graph joins the pairs of elements `neighbours`,
    (n, 2), which rank 0 passes with the mesh.
    Raises MeshError (on rank 0) if there are fewer elements than ranks.
    """
    if comm is None or comm.size == 1:
        assert mesh is not None
        return np.zeros(mesh.n_elements, dtype=np.int64)
    n = 0 if mesh is None else mesh.n_elements
    rank = _petsc_partition(n, neighbours, comm)
    if mesh is None:
        return np.empty(0, dtype=np.int64)
    if rank is None or np.bincount(rank, minlength=comm.size).min() == 0:
        centroids = [mesh.points[block.connectivity].mean(axis=1) for block in mesh.cells]
        rank = bisect(np.concatenate(centroids), comm.size)
    return rank


def check_ranks(mesh: Mesh, size: int) -> None:
    if mesh.n_elements < size:
        raise MeshError(
            f"the mesh has {mesh.n_elements} elements, too few for {size} ranks; "
            f"run on at most {mesh.n_elements}",
            mesh.name,
        )


def _petsc_partition(n: int, neighbours: Index | None, comm: Any) -> Index | None:
    """Ranks from PETSc's graph partitioner on rank 0, or None where PETSc has none.

    Rank 0 passes the whole graph of `n` elements and the others none of it.
    """
    try:
        from petsc4py import PETSc
    except ImportError:
        PETSc = None
    partitioner = None if PETSc is None else _create_partitioner(PETSc, comm)
    if partitioner is None:
        if comm.rank == 0:
            warnings.warn(
                "PETSc offers no graph partitioner here; elements are shared out by "
                "coordinate bisection",
                stacklevel=2,
            )
        return None
    pairs = np.empty((0, 2), np.int64) if neighbours is None else neighbours
    first, second = pairs.T
    edges = np.unique(np.concatenate([first * n + second, second * n + first]))
    row, column = np.divmod(edges, max(n, 1))
    csr = (
        np.searchsorted(row, np.arange(n + 1)).astype(PETSc.IntType),
        column.astype(PETSc.IntType),
        np.ones(len(column), dtype=PETSc.ScalarType),
    )
    total = comm.bcast(n)
    graph = PETSc.Mat().createAIJ(size=((n, total), (n, total)), csr=csr, comm=comm)
    graph.assemble()
    partitioner.setAdjacency(graph)
    result = PETSc.IS()
    partitioner.apply(result)
    rank = result.getIndices().astype(np.int64)
    for petsc_object in (result, partitioner, graph):
        petsc_object.destroy()
    return rank


def _create_partitioner(PETSc: Any, comm: Any) -> Any:
    for kind in _PARTITIONERS:
        partitioner = PETSc.MatPartitioning().create(comm)
        try:
            partitioner.setType(kind)
        except PETSc.Error:
            partitioner.destroy()
            continue
        return partitioner
    return None


def bisect(centroids: Array, size: int) -> Index:
    """Recursive coordinate bisection: split across the longest extent, in proportion.

    centroids: (n, dim). Returns ranks (n,); none is empty if n >= size.
    """
    rank = np.zeros(len(centroids), dtype=np.int64)

    def split(members: Index, first: int, parts: int) -> None:
        if parts == 1:
            rank[members] = first
            return
        x = centroids[members]
        members = members[np.argsort(x[:, np.ptp(x, axis=0).argmax()], kind="stable")]
        low = parts // 2
        cut = max(low, len(members) * low // parts)
        split(members[:cut], first, low)
        split(members[cut:], first + low, parts - low)

    split(np.arange(len(centroids)), 0, size)
    return rank


def own_nodes(
    connectivities: Sequence[Index], ranks: Sequence[Index], n_nodes: int, size: int
) -> Index:
    """The owner (n_nodes,) of every node: one of the ranks whose elements touch it.

    The nodes between the same ranks are divided evenly among these, in runs of
    consecutive numbers, so that ownership is balanced and neighbours stay together.
    """
    touch = np.unique(
        np.concatenate(
            [
                (nodes * size + rank[:, None]).ravel()
                for nodes, rank in zip(connectivities, ranks, strict=True)
            ]
        )
    )
    node, rank = np.divmod(touch, size)
    n_ranks = np.bincount(node, minlength=n_nodes)
    start = np.cumsum(n_ranks) - n_ranks
    first, last = rank[start], rank[start + n_ranks - 1]

    order = np.lexsort((last, first, n_ranks))
    keys = np.column_stack([n_ranks, first, last])[order]
    group = np.concatenate([[0], np.cumsum((keys[1:] != keys[:-1]).any(axis=1))])
    group_size = np.bincount(group)
    position = np.arange(n_nodes) - (np.cumsum(group_size) - group_size)[group]
    choice = np.empty(n_nodes, dtype=np.int64)
    choice[order] = position * n_ranks[order] // group_size[group]
    return rank[start + choice]
