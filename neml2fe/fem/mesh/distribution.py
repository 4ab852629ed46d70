"""A mesh shared out over the ranks of a communicator, and data moved to and from rank 0.

Only rank 0 holds the whole mesh. It sends every rank its elements, the nodes these touch,
and the boundary facets that these carry.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neml2fe.errors import MeshError
from neml2fe.fem.collective import (
    collectively,
    gather_rows,
    receive_arrays,
    scatter_rows,
    send_arrays,
)
from neml2fe.fem.mesh.elements import Array, Index
from neml2fe.fem.mesh.facets import CellBlock, FacetConnectivity, connect_facets
from neml2fe.fem.mesh.mesh import Mesh
from neml2fe.fem.mesh.partition import check_ranks, own_nodes, partition_elements


@dataclass(frozen=True, eq=False)
class LocalMesh:
    """One rank's part of a mesh; with `comm` None, the whole mesh in the same layout.

    Node numbers in `cells`, `boundaries` and `node_sets` are local. The local nodes are those
    of this rank's elements: first the `n_owned` owned ones, then the ghosts, which other
    ranks own. Every node is owned by one rank.

    points: (n_local, dim) coordinates.
    cells: the same blocks on every rank, some perhaps with no cell, (0, k).
    elements: for each block, the original numbers of this rank's cells, ascending.
    boundaries: the same names and facet types on every rank; each facet is on the rank of
        its element only (the first of two).
    node_sets: local numbers of the nodes, ghosts too, of all boundaries and node sets.
    regions: for each block, the local cells of each named group.
    nodes: (n_local,) original node numbers.
    global_nodes: (n_local,) numbers in the parallel ordering: rank r owns
        [node_start, node_start + n_owned), ranks in order.
    n_global, n_elements: nodes and elements of the whole mesh.
    """

    comm: Any
    rank: int
    size: int
    dim: int
    points: Array
    n_owned: int
    cells: tuple[CellBlock, ...]
    elements: tuple[Index, ...]
    boundaries: dict[str, tuple[CellBlock, ...]]
    node_sets: dict[str, Index]
    regions: dict[str, tuple[Index, ...]]
    nodes: Index
    global_nodes: Index
    node_start: int
    n_global: int
    n_elements: tuple[int, ...]
    name: str

    @property
    def n_local(self) -> int:
        return len(self.nodes)


def distribute(mesh: Mesh | None, comm: Any = None) -> LocalMesh:
    """Share out `mesh`, which rank 0 passes (the others None), over the ranks of `comm`.

    Serial for `comm` None. Raises MeshError on every rank if there are more ranks than
    elements.
    """
    root = comm is None or comm.rank == 0
    size = 1 if comm is None else comm.size

    def connect() -> FacetConnectivity | None:
        if not root:
            return None
        if mesh is None:
            raise MeshError("rank 0 must pass the mesh")
        check_ranks(mesh, size)
        facets = [block for blocks in mesh.boundaries.values() for block in blocks]
        return connect_facets(mesh.cells, mesh.n_nodes, facets)

    facets = collectively(comm, connect, every_rank=True)
    element_rank = partition_elements(mesh if root else None, facets, comm)

    def share_out() -> _Shares | None:
        if not root:
            return None
        assert mesh is not None and facets is not None
        return _Shares(mesh, facets, element_rank, size)

    shares = collectively(comm, share_out, every_rank=True)
    if shares is None:
        return _unpack(receive_arrays(comm, 0), comm.bcast(None), comm)
    for rank in range(1, size):
        send_arrays(comm, shares.pack(rank), rank)
    layout = shares.layout if comm is None else comm.bcast(shares.layout)
    return _unpack(shares.pack(0), layout, comm)


@dataclass(frozen=True)
class _Layout:
    """What all ranks know of the whole mesh."""

    name: str
    cell_types: list[str]
    n_elements: tuple[int, ...]
    boundaries: dict[str, list[str]]
    node_sets: list[str]
    regions: list[str]
    node_starts: Index


class _Shares:
    """The whole mesh on rank 0, cut into one list of arrays for each rank."""

    def __init__(
        self, mesh: Mesh, facets: FacetConnectivity, element_rank: Index, size: int
    ) -> None:
        self.mesh = mesh
        n_elements = tuple(len(block.connectivity) for block in mesh.cells)
        self.ranks = np.split(element_rank, np.cumsum(n_elements)[:-1])
        connectivities = [block.connectivity for block in mesh.cells]
        self.owner = own_nodes(connectivities, self.ranks, mesh.n_nodes, size)
        order = np.argsort(self.owner, kind="stable")
        self.global_number = np.empty(mesh.n_nodes, dtype=np.int64)
        self.global_number[order] = np.arange(mesh.n_nodes)
        self.facet_ranks = [
            element_rank[facets.element[facets.first[number]]] for number in facets.queries
        ]
        names = list(dict.fromkeys([*mesh.boundaries, *mesh.node_sets]))
        self.members = [_indicator(mesh.boundary_nodes(name), mesh.n_nodes) for name in names]
        self.layout = _Layout(
            name=mesh.name,
            cell_types=[block.cell_type for block in mesh.cells],
            n_elements=n_elements,
            boundaries={
                name: [block.cell_type for block in blocks]
                for name, blocks in mesh.boundaries.items()
            },
            node_sets=names,
            regions=list(mesh.regions),
            node_starts=np.searchsorted(self.owner[order], np.arange(size + 1)),
        )

    def pack(self, rank: int) -> list[NDArray]:
        """Arrays for one rank, in the order in which `_unpack` takes them."""
        mesh = self.mesh
        elements = [np.flatnonzero(ranks == rank) for ranks in self.ranks]
        cells = [b.connectivity[e] for b, e in zip(mesh.cells, elements, strict=True)]
        nodes = np.unique(np.concatenate([c.ravel() for c in cells]))
        nodes = nodes[np.lexsort((self.global_number[nodes], self.owner[nodes] != rank))]
        local = np.full(mesh.n_nodes, -1, dtype=np.int64)
        local[nodes] = np.arange(len(nodes))

        facets = [block for blocks in mesh.boundaries.values() for block in blocks]
        return [
            mesh.points[nodes],
            nodes,
            self.global_number[nodes],
            *elements,
            *[local[connectivity] for connectivity in cells],
            *[
                local[block.connectivity[ranks == rank]]
                for block, ranks in zip(facets, self.facet_ranks, strict=True)
            ],
            *[np.flatnonzero(member[nodes]) for member in self.members],
            *[
                np.flatnonzero(np.isin(mine, group))
                for groups in mesh.regions.values()
                for mine, group in zip(elements, groups, strict=True)
            ],
        ]


def _indicator(numbers: Index, n: int) -> NDArray[np.bool_]:
    chosen = np.zeros(n, dtype=bool)
    chosen[numbers] = True
    return chosen


def _unpack(arrays: list[NDArray], layout: _Layout, comm: Any) -> LocalMesh:
    rank, size = (0, 1) if comm is None else (comm.rank, comm.size)
    take = iter(arrays)
    points, nodes, global_nodes = next(take), next(take), next(take)
    elements = tuple(next(take) for _ in layout.cell_types)
    cells = tuple(CellBlock(cell_type, next(take)) for cell_type in layout.cell_types)
    boundaries = {
        name: tuple(CellBlock(cell_type, next(take)) for cell_type in types)
        for name, types in layout.boundaries.items()
    }
    node_sets = {name: next(take) for name in layout.node_sets}
    regions = {name: tuple(next(take) for _ in layout.cell_types) for name in layout.regions}
    start, stop = layout.node_starts[rank : rank + 2].tolist()
    return LocalMesh(
        comm=comm,
        rank=rank,
        size=size,
        dim=points.shape[1],
        points=points,
        n_owned=stop - start,
        cells=cells,
        elements=elements,
        boundaries=boundaries,
        node_sets=node_sets,
        regions=regions,
        nodes=nodes,
        global_nodes=global_nodes,
        node_start=start,
        n_global=int(layout.node_starts[-1]),
        n_elements=layout.n_elements,
        name=layout.name,
    )


def gather_nodes(local: LocalMesh, values: NDArray) -> NDArray | None:
    """Nodal values (n_owned, ...) of all ranks as (n_global, ...) in original node order.

    On rank 0; None elsewhere.
    """
    _check_rows(local, values, local.n_owned, "owned nodes")
    return _gather(local, values, local.nodes[: local.n_owned])


def gather_elements(local: LocalMesh, values: Sequence[NDArray]) -> list[NDArray] | None:
    """Values (cells of the block, ...) for each block as (all cells of the block, ...).

    In original element order on rank 0; None elsewhere.
    """
    gathered = []
    for block, elements in zip(values, local.elements, strict=True):
        _check_rows(local, block, len(elements), "elements of a block")
        gathered.append(_gather(local, block, elements))
    return [block for block in gathered if block is not None] if local.rank == 0 else None


def scatter_nodes(local: LocalMesh, values: NDArray | None) -> NDArray:
    """Nodal values (n_global, ...) in original order on rank 0 as (n_local, ...), ghosts too."""
    return _scatter(local, values, local.nodes, local.n_global, "nodes")


def scatter_elements(local: LocalMesh, values: Sequence[NDArray] | None) -> tuple[NDArray, ...]:
    """Values for each block, original order, on rank 0 as values of this rank's elements."""
    return tuple(
        _scatter(local, None if values is None else values[b], elements, n, "elements")
        for b, (elements, n) in enumerate(zip(local.elements, local.n_elements, strict=True))
    )


def _check_rows(local: LocalMesh, values: NDArray, n: int, what: str) -> None:
    def check() -> None:
        if len(values) != n:
            raise MeshError(f"got {len(values)} rows of values for {n} {what}", local.name)

    collectively(local.comm, check, every_rank=True)


def _gather(local: LocalMesh, values: NDArray, numbers: Index) -> NDArray | None:
    rows, order = gather_rows(local.comm, values), gather_rows(local.comm, numbers)
    if rows is None or order is None:
        return None
    original = np.empty_like(rows)
    original[order] = rows
    return original


def _scatter(
    local: LocalMesh, values: NDArray | None, numbers: Index, n: int, what: str
) -> NDArray:
    def check() -> None:
        if values is None or len(values) != n:
            got = "nothing" if values is None else f"{len(values)} rows"
            raise MeshError(f"rank 0 must pass values for all {n} {what}; got {got}", local.name)

    collectively(local.comm, check)
    wanted = gather_rows(local.comm, numbers)
    rows = None if wanted is None or values is None else values[wanted]
    return scatter_rows(local.comm, rows, len(numbers))
