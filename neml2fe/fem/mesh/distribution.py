"""A mesh shared out over the ranks of a communicator.

Only rank 0 holds the whole mesh. It sends every rank its elements, the nodes these touch,
and the boundary facets and interfaces that these carry.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neml2fe.errors import MeshError
from neml2fe.fem.collective import collectively, receive_arrays, send_arrays
from neml2fe.fem.mesh.elements import Array, Index
from neml2fe.fem.mesh.exchange import (
    gather_elements,
    gather_interface,
    gather_nodes,
    scatter_elements,
    scatter_interface,
    scatter_nodes,
)
from neml2fe.fem.mesh.facets import (
    CellBlock,
    FacetConnectivity,
    connect_facets,
    interface_sides,
)
from neml2fe.fem.mesh.mesh import Mesh
from neml2fe.fem.mesh.partition import check_ranks, own_nodes, partition_elements

__all__ = [
    "LocalMesh",
    "distribute",
    "gather_elements",
    "gather_interface",
    "gather_nodes",
    "scatter_elements",
    "scatter_interface",
    "scatter_nodes",
]


@dataclass(frozen=True, eq=False)
class LocalMesh:
    """One rank's part of a mesh; with `comm` None, the whole mesh in the same layout.

    Node numbers in `cells`, `boundaries`, `node_sets` and `interfaces` are local. The local
    nodes are those of this rank's elements and interfaces: first the `n_owned` owned ones, then
    the ghosts, which other ranks own. Every node is owned by one rank.

    points: (n_local, dim) coordinates.
    cells: the same blocks on every rank, some perhaps with no cell, (0, k).
    elements: for each block, the original numbers of this rank's cells, ascending.
    boundaries: the same names and facet types on every rank; each facet is on the rank of
        its element only (the first of two).
    node_sets: local numbers of the nodes, ghosts too, of all boundaries and node sets.
    regions: for each block, the local cells of each named group.
    interfaces: the same names and facet types on every rank, some perhaps with no pair; each
        pair of facets, (n, 2 k), is on the rank of the element on its minus side.
    interface_numbers: for each block of an interface, the original numbers of this rank's pairs.
    nodes: (n_local,) original node numbers.
    global_nodes: (n_local,) numbers in the parallel ordering: rank r owns
        [node_start, node_start + n_owned), ranks in order.
    n_global, n_elements, n_interface: nodes, elements of each block and facet pairs of each
        block of each interface in the whole mesh.
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
    interfaces: dict[str, tuple[CellBlock, ...]]
    interface_numbers: dict[str, tuple[Index, ...]]
    nodes: Index
    global_nodes: Index
    node_start: int
    n_global: int
    n_elements: tuple[int, ...]
    n_interface: dict[str, tuple[int, ...]]
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

    def connect() -> tuple[FacetConnectivity | None, Index | None]:
        if not root:
            return None, None
        if mesh is None:
            raise MeshError("rank 0 must pass the mesh")
        check_ranks(mesh, size)
        sides = interface_sides(_blocks(mesh.interfaces))
        facets = connect_facets(mesh.cells, mesh.n_nodes, _blocks(mesh.boundaries) + sides)
        return facets, _neighbours(mesh, facets) if size > 1 else None

    facets, neighbours = collectively(comm, connect, every_rank=True)
    element_rank = partition_elements(mesh if root else None, neighbours, comm)

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


def _blocks(groups: dict[str, tuple[CellBlock, ...]]) -> list[CellBlock]:
    return [block for blocks in groups.values() for block in blocks]


def _parents(mesh: Mesh, facets: FacetConnectivity) -> tuple[list[Index], list[Index]]:
    """The first element at each facet of each boundary block; and of each interface side."""
    elements = [facets.element[facets.first[number]] for number in facets.queries]
    n = len(_blocks(mesh.boundaries))
    return elements[:n], elements[n:]


def _neighbours(mesh: Mesh, facets: FacetConnectivity) -> Index:
    """(n, 2) pairs of elements that meet in a facet or an interface."""
    _, sides = _parents(mesh, facets)
    across = [np.column_stack(pair) for pair in zip(sides[::2], sides[1::2], strict=True)]
    return np.concatenate([facets.neighbours(), *across])


@dataclass(frozen=True)
class _Layout:
    """What all ranks know of the whole mesh."""

    name: str
    cell_types: list[str]
    n_elements: tuple[int, ...]
    boundaries: dict[str, list[str]]
    node_sets: list[str]
    regions: list[str]
    interfaces: dict[str, list[str]]
    n_interface: dict[str, tuple[int, ...]]
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
        parents, sides = _parents(mesh, facets)
        self.facet_ranks = [element_rank[elements] for elements in parents]
        self.pair_ranks = [element_rank[elements] for elements in sides[::2]]
        names = list(dict.fromkeys([*mesh.boundaries, *mesh.node_sets]))
        self.members = [_indicator(mesh.boundary_nodes(name), mesh.n_nodes) for name in names]
        self.layout = _Layout(
            name=mesh.name,
            cell_types=[block.cell_type for block in mesh.cells],
            n_elements=n_elements,
            boundaries=_types(mesh.boundaries),
            node_sets=names,
            regions=list(mesh.regions),
            interfaces=_types(mesh.interfaces),
            n_interface={
                name: tuple(len(block.connectivity) for block in blocks)
                for name, blocks in mesh.interfaces.items()
            },
            node_starts=np.searchsorted(self.owner[order], np.arange(size + 1)),
        )

    def pack(self, rank: int) -> list[NDArray]:
        """Arrays for one rank, in the order in which `_unpack` takes them."""
        mesh = self.mesh
        elements = [np.flatnonzero(ranks == rank) for ranks in self.ranks]
        cells = [b.connectivity[e] for b, e in zip(mesh.cells, elements, strict=True)]
        pairs = [np.flatnonzero(ranks == rank) for ranks in self.pair_ranks]
        interfaces = [
            block.connectivity[numbers]
            for block, numbers in zip(_blocks(mesh.interfaces), pairs, strict=True)
        ]
        nodes = np.unique(np.concatenate([c.ravel() for c in cells + interfaces]))
        nodes = nodes[np.lexsort((self.global_number[nodes], self.owner[nodes] != rank))]
        local = np.full(mesh.n_nodes, -1, dtype=np.int64)
        local[nodes] = np.arange(len(nodes))

        return [
            mesh.points[nodes],
            nodes,
            self.global_number[nodes],
            *elements,
            *[local[connectivity] for connectivity in cells],
            *[
                local[block.connectivity[ranks == rank]]
                for block, ranks in zip(_blocks(mesh.boundaries), self.facet_ranks, strict=True)
            ],
            *[np.flatnonzero(member[nodes]) for member in self.members],
            *[
                np.flatnonzero(np.isin(mine, group))
                for groups in mesh.regions.values()
                for mine, group in zip(elements, groups, strict=True)
            ],
            *[local[connectivity] for connectivity in interfaces],
            *pairs,
        ]


def _types(groups: dict[str, tuple[CellBlock, ...]]) -> dict[str, list[str]]:
    return {name: [block.cell_type for block in blocks] for name, blocks in groups.items()}


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
    interfaces = {
        name: tuple(CellBlock(cell_type, next(take)) for cell_type in types)
        for name, types in layout.interfaces.items()
    }
    numbers = {name: tuple(next(take) for _ in t) for name, t in layout.interfaces.items()}
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
        interfaces=interfaces,
        interface_numbers=numbers,
        nodes=nodes,
        global_nodes=global_nodes,
        node_start=start,
        n_global=int(layout.node_starts[-1]),
        n_elements=layout.n_elements,
        n_interface=layout.n_interface,
        name=layout.name,
    )
