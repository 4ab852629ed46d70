"""Interfaces of no thickness: a mesh cut open along facets between its elements.

A node on the cut is copied once for each fan of elements around it that the cut separates, so
that crack fronts inside the body keep single nodes, and junctions of several interfaces get as
many nodes as there are bodies.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from neml2fe.errors import MeshError
from neml2fe.fem.mesh.elements import Index, reference_element
from neml2fe.fem.mesh.facets import (
    CellBlock,
    FacetConnectivity,
    connect_facets,
    interface_sides,
)
from neml2fe.fem.mesh.mesh import Mesh


def split(mesh: Mesh, boundary: str, name: str | None = None) -> Mesh:
    """Cut `mesh` open along the facets of `boundary` that lie between two elements.

    The new mesh has the interface `name` (by default called as the boundary); the normals of
    the facets, as the boundary orders them, point from its minus to its plus side. Boundaries
    and node sets that hold a copied node get all its copies, and boundaries that hold a cut
    facet get both its sides. A facet whose vertices all lie on the front of the cut could not
    open and is left out.

    Raises MeshError if there is no such boundary, no facet of it lies between two elements,
    or none would open.
    """
    mesh.boundary(boundary)  # raises if there is none
    facets = _connect(mesh)
    slots = np.full((len(facets.count), 2), -1)
    twins = facets.twins()
    slots[facets.number[twins[:, 0]]] = twins
    numbers: list[Index] = []
    sides: list[Index] = []
    groups = [(group, block) for group, blocks in mesh.boundaries.items() for block in blocks]
    for (group, block), number in zip(groups, facets.queries, strict=False):
        if group == boundary:
            inside = facets.count[number] > 1
            pairs = slots[number[inside]]
            own = facets.nodes(pairs[:, 0], block.cell_type)
            along = _turn_alike(block.connectivity[inside], own, block.cell_type)
            numbers.append(number[inside])
            sides.append(np.where(along[:, None], pairs, pairs[:, ::-1]))
    _, distinct = np.unique(np.concatenate(numbers), return_index=True)
    cut = np.concatenate(sides)[np.sort(distinct)]
    return _open(mesh, facets, cut, name or boundary, f"boundary '{boundary}'")


def split_regions(mesh: Mesh, region_a: str, region_b: str, name: str | None = None) -> Mesh:
    """Cut `mesh` open between two regions; the minus side is `region_a`.

    The interface is called `name`, by default '<region_a>_<region_b>'; otherwise as `split`.
    Where more than two regions meet, use `split_all_regions`: it also opens facets that are
    closed as long as only two of the regions are separated.
    """
    return split_all_regions(mesh, [region_a, region_b], name or f"{region_a}_{region_b}")


def split_all_regions(mesh: Mesh, regions: Sequence[str], name: str) -> Mesh:
    """Cut `mesh` open between any two of `regions`, the earlier one on the minus side.

    All cuts together make the interface `name`; otherwise as `split`. Raises MeshError also if
    regions have elements in common.
    """
    place = np.full(mesh.n_elements, -1)
    first_element = np.cumsum([0] + [len(block.connectivity) for block in mesh.cells])
    for i, region in enumerate(regions):
        parts = zip(mesh.region(region), first_element[:-1], strict=True)
        mine = np.concatenate([numbers + start for numbers, start in parts])
        shared = place[mine].max(initial=-1)
        if shared >= 0:
            raise MeshError(
                f"regions '{regions[shared]}' and '{region}' have elements in common; the mesh "
                "can be split between separate regions only",
                mesh.name,
            )
        place[mine] = i
    facets = _connect(mesh)
    twins = facets.twins()
    first, second = place[facets.element[twins]].T
    ordered = np.where((first < second)[:, None], twins, twins[:, ::-1])
    cut = ordered[(first >= 0) & (second >= 0) & (first != second)]
    return _open(mesh, facets, cut, name, f"the border between {len(regions)} regions")


def _connect(mesh: Mesh) -> FacetConnectivity:
    """The facets, with all boundary blocks and then all interface sides as queries."""
    blocks = [block for blocks in mesh.boundaries.values() for block in blocks]
    pairs = [block for blocks in mesh.interfaces.values() for block in blocks]
    return connect_facets(mesh.cells, mesh.n_nodes, blocks + interface_sides(pairs))


def _turn_alike(given: Index, own: Index, facet_type: str) -> NDArray[np.bool_]:
    """Whether the facets `given` have the sense of `own`, (n, k) the same nodes each."""
    n = reference_element(facet_type).n_vertices
    if n == 2:
        return given[:, 0] == own[:, 0]
    place = (own[:, :n] == given[:, :1]).argmax(axis=1)
    return own[np.arange(len(own)), (place + 1) % n] == given[:, 1]


def _open(mesh: Mesh, facets: FacetConnectivity, cut: Index, name: str, what: str) -> Mesh:
    """`mesh` opened along `cut`, (n, 2) slots on the minus and the plus side."""
    if name in mesh.interfaces:
        raise MeshError(f"the mesh has an interface named '{name}' already", mesh.name)
    if not len(cut):
        raise MeshError(f"no facet of {what} lies between two elements", mesh.name)
    fans = _Fans.of(mesh, facets, cut)
    opening = fans.separated(facets, cut)
    if not opening.any():
        raise MeshError(
            f"no facet of {what} would open: all vertices are on the front of the cut; refine "
            "the mesh there",
            mesh.name,
        )
    if not opening.all():
        cut = cut[opening]
        fans = _Fans.of(mesh, facets, cut)
    cells, origin = fans.copy_nodes(mesh)
    by_type = {block.cell_type: block for block in cells}
    groups = tuple(g._replace(cells=by_type[g.cells.cell_type]) for g in facets.groups)
    opened = replace(facets, groups=groups)

    def follow(given: Index, slots: Index, facet_type: str) -> Index:
        """The facets `given`, in old node numbers, on the opened elements of `slots`."""
        old = facets.nodes(slots, facet_type)
        columns = (given[:, :, None] == old[:, None, :]).argmax(axis=2)
        return np.take_along_axis(opened.nodes(slots, facet_type), columns, axis=1)

    other_slot = np.full(len(facets.count), -1)
    other_slot[facets.number[cut[:, 0]]] = cut.max(axis=1)
    numbers = iter(facets.queries)
    boundaries: dict[str, tuple[CellBlock, ...]] = {name: () for name in mesh.boundaries}
    for group, blocks in mesh.boundaries.items():
        for (cell_type, rows), number in zip(blocks, numbers, strict=False):
            twin = other_slot[number]
            sides = [
                follow(rows, facets.first[number], cell_type),
                follow(rows[twin >= 0], twin[twin >= 0], cell_type),
            ]
            boundaries[group] += (CellBlock(cell_type, np.vstack(sides)),)
    interfaces: dict[str, tuple[CellBlock, ...]] = {name: () for name in mesh.interfaces}
    for group, blocks in mesh.interfaces.items():
        for block in blocks:
            pair = [
                follow(side.connectivity, facets.first[next(numbers)], side.cell_type)
                for side in interface_sides([block])
            ]
            interfaces[group] += (CellBlock(block.cell_type, np.hstack(pair)),)

    types = np.array([group.facets.cell_type for group in facets.groups])
    cut_types = types[facets.group_of(cut[:, 0])]
    new: list[CellBlock] = []
    for facet_type in dict.fromkeys(cut_types.tolist()):
        minus, plus = cut[cut_types == facet_type].T
        there = follow(facets.nodes(minus, facet_type), plus, facet_type)
        new.append(CellBlock(facet_type, np.hstack([opened.nodes(minus, facet_type), there])))
    return replace(
        mesh,
        points=mesh.points[origin],
        cells=cells,
        boundaries=boundaries,
        node_sets=_node_sets(mesh, boundaries, origin),
        interfaces=interfaces | {name: tuple(new)},
        point_data={key: value[origin] for key, value in mesh.point_data.items()},
    )


def _node_sets(
    mesh: Mesh, boundaries: dict[str, tuple[CellBlock, ...]], origin: Index
) -> dict[str, Index]:
    """Node sets with all copies, and with the copies of boundary nodes that no facet holds."""
    node_sets = {}
    for group in dict.fromkeys([*mesh.node_sets, *mesh.boundaries]):
        nodes = np.flatnonzero(np.isin(origin, mesh.boundary_nodes(group)))
        held = [block.connectivity.ravel() for block in boundaries.get(group, ())]
        if group not in mesh.node_sets:
            nodes = np.setdiff1d(nodes, np.concatenate(held))
        if nodes.size:
            node_sets[group] = nodes
    return node_sets


@dataclass(frozen=True)
class _Fans:
    """The corners (element, node) at the nodes of a cut, joined by facets into fans.

    marked: (n_nodes,) whether a node is on the cut.
    corners: ascending, element * n_nodes + node.
    before, after: the fan of each corner without and with the cut.
    """

    marked: NDArray[np.bool_]
    corners: Index
    before: Index
    after: Index

    @classmethod
    def of(cls, mesh: Mesh, facets: FacetConnectivity, cut: Index) -> _Fans:
        n = mesh.n_nodes
        marked = np.zeros(n, dtype=bool)
        for _, _, nodes in _by_group(facets, cut):
            marked[nodes] = True
        found, start = [], 0
        for block in mesh.cells:
            element, k = np.nonzero(marked[block.connectivity])
            found.append((start + element) * n + block.connectivity[element, k])
            start += len(block.connectivity)
        corners = np.sort(np.concatenate(found))

        is_cut = np.zeros(len(facets.count), dtype=bool)
        is_cut[facets.number[cut[:, 0]]] = True
        joints, uncut = [], []
        for slots, _, nodes in _by_group(facets, facets.twins()):
            facet, k = np.nonzero(marked[nodes])
            joints.append(facets.element[slots[facet]] * n + nodes[facet, k, None])
            uncut.append(~is_cut[facets.number[slots[facet, 0]]])
        joined = np.searchsorted(corners, np.concatenate(joints))
        return cls(
            marked,
            corners,
            _components(joined, len(corners)),
            _components(joined[np.concatenate(uncut)], len(corners)),
        )

    def separated(self, facets: FacetConnectivity, cut: Index) -> NDArray[np.bool_]:
        """Whether the two sides of each facet of `cut` have different nodes at some vertex."""
        n = len(self.marked)
        apart = np.zeros(len(cut), dtype=bool)
        for slots, mine, nodes in _by_group(facets, cut):
            facet_type = facets.groups[facets.group_of(slots[:1, 0])[0]].facets.cell_type
            vertices = nodes[:, : reference_element(facet_type).n_vertices]
            minus, plus = (
                self.after[np.searchsorted(self.corners, element[:, None] * n + vertices)]
                for element in facets.element[slots].T
            )
            apart[mine] = (minus != plus).any(axis=1)
        return apart

    def copy_nodes(self, mesh: Mesh) -> tuple[tuple[CellBlock, ...], Index]:
        """The cells with their new nodes, and which node each node is or was copied from.

        Of the fans that the cut makes out of one, that of the first element keeps the node;
        fans that met in nothing but the node before go on sharing it.
        """
        n = mesh.n_nodes
        _, first = np.unique(self.after, return_index=True)
        by_first = np.argsort(first)
        _, keeper = np.unique(self.before[first[by_first]], return_index=True)
        number = self.corners[first] % n
        copies = np.setdiff1d(np.arange(len(first)), by_first[keeper])
        copies = copies[np.lexsort((first[copies], number[copies]))]
        origin = np.concatenate([np.arange(n), number[copies]])
        number[copies] = n + np.arange(len(copies))
        cells, start = [], 0
        for cell_type, connectivity in mesh.cells:
            nodes = connectivity.copy()
            element, k = np.nonzero(self.marked[nodes])
            corner = (start + element) * n + nodes[element, k]
            nodes[element, k] = number[self.after[np.searchsorted(self.corners, corner)]]
            cells.append(CellBlock(cell_type, nodes))
            start += len(connectivity)
        return tuple(cells), origin


def _by_group(facets: FacetConnectivity, pairs: Index) -> list[tuple[Index, Index, Index]]:
    """The slot pairs of each group: (slots (m, 2), their places in `pairs`, nodes (m, k))."""
    of = facets.group_of(pairs[:, 0])
    parts = [(np.flatnonzero(of == g), facets.groups[g]) for g in np.unique(of)]
    return [(pairs[mine], mine, group.nodes(pairs[mine, 0])) for mine, group in parts]


def _components(joined: Index, n: int) -> Index:
    """Label (n,) of the component of each of `n` corners; joined: (m, 2) pairs of them."""
    graph = coo_array((np.ones(len(joined), dtype=np.int8), joined.T), shape=(n, n))
    return connected_components(graph, directed=False)[1].astype(np.int64)
