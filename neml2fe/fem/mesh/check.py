"""What makes a mesh usable, and the orientation of its boundary facets and interfaces.

Elements are numbered from 0 within the cells of their type in all messages.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from neml2fe.errors import MeshError
from neml2fe.fem.mesh.elements import VOLUME_CELLS, Array, Index, jacobians, reference_element
from neml2fe.fem.mesh.facets import (
    CellBlock,
    FacetConnectivity,
    connect_facets,
    interface_sides,
)

# Below this fraction of the element's size, raised to dim, a Jacobian determinant is zero
# up to the rounding of the coordinates.
_FLAT = 1e-13


def check_cells(points: Array, cells: Sequence[CellBlock]) -> None:
    """Raise MeshError unless the volume cells can carry a finite-element problem."""
    if not cells:
        raise MeshError("the mesh has no elements")
    for block in cells:
        if block.cell_type not in VOLUME_CELLS:
            raise MeshError(
                f"{len(block.connectivity)} cells are of type '{block.cell_type}', which is not "
                f"supported; supported: {', '.join(VOLUME_CELLS)}"
            )
    types = [block.cell_type for block in cells]
    elements = [reference_element(cell_type) for cell_type in types]
    if len(set(types)) < len(types):
        raise MeshError(f"each cell type may have one block only; got {', '.join(types)}")
    if len({element.dim for element in elements}) > 1:
        raise MeshError(f"the cells are of different dimensions: {', '.join(types)}")
    if len({element.degree for element in elements}) > 1:
        raise MeshError(f"linear and quadratic cells are mixed: {', '.join(types)}")
    if points.ndim != 2 or points.shape[1] != elements[0].dim:
        raise MeshError(
            f"{elements[0].dim}-D cells ({', '.join(types)}) need points of shape "
            f"(n, {elements[0].dim}); got {points.shape}"
        )
    for block in cells:
        _check_connectivity(block, len(points))
        _check_coordinates(block, points)
        _check_jacobians(block, points)


def orient_boundaries(
    cells: Sequence[CellBlock],
    boundaries: Mapping[str, tuple[CellBlock, ...]],
    n_nodes: int,
) -> dict[str, tuple[CellBlock, ...]]:
    """Turn the surface facets outward; raise MeshError where facets and cells do not fit.

    Facets are matched by their vertices. A facet with one element takes that element's
    node order, which points outward; one between two elements keeps its own.
    """
    for name, blocks in boundaries.items():
        for block in blocks:
            _check_facet_block(f"boundary '{name}'", block, cells, n_nodes)
    given = [block for blocks in boundaries.values() for block in blocks]
    facets = connect_facets(cells, n_nodes, given)
    _check_overlap(cells, facets)
    _check_conformity(cells, facets)

    numbers = iter(facets.queries)
    return {
        name: tuple(_orient(f"boundary '{name}'", b, next(numbers), facets) for b in blocks)
        for name, blocks in boundaries.items()
    }


def orient_interfaces(
    cells: Sequence[CellBlock],
    interfaces: Mapping[str, tuple[CellBlock, ...]],
    n_nodes: int,
) -> dict[str, tuple[CellBlock, ...]]:
    """Turn the pairs of facets so that the minus side points out of its element.

    Raises MeshError unless both sides are facets on the surface of the mesh.
    """
    if not interfaces:
        return {}
    names = [name for name, blocks in interfaces.items() for _ in blocks]
    pairs = [block for blocks in interfaces.values() for block in blocks]
    sides = interface_sides(pairs)
    for name, side in zip(np.repeat(names, 2), sides, strict=True):
        _check_facet_block(f"interface '{name}'", side, cells, n_nodes)
    facets = connect_facets(cells, n_nodes, sides)
    turned: dict[str, tuple[CellBlock, ...]] = {name: () for name in interfaces}
    for i, name in enumerate(names):
        outward = []
        for side, number in zip(sides[2 * i : 2 * i + 2], facets.queries[2 * i :], strict=False):
            outward.append(_orient(f"interface '{name}'", side, number, facets).connectivity)
            inside = np.flatnonzero(facets.count[number] > 1)
            if inside.size:
                raise MeshError(
                    f"interface '{name}': the facet with nodes "
                    f"{side.connectivity[inside[0]].tolist()} (from 0) lies between two elements; "
                    "split the mesh there"
                )
        minus, plus = sides[2 * i].connectivity, sides[2 * i + 1].connectivity
        columns = (outward[0][:, :, None] == minus[:, None, :]).argmax(axis=2)
        rows = np.hstack([outward[0], np.take_along_axis(plus, columns, axis=1)])
        turned[name] += (CellBlock(pairs[i].cell_type, rows),)
    return turned


def _check_connectivity(block: CellBlock, n_nodes: int) -> None:
    cell_type, connectivity = block
    expected = reference_element(cell_type).n_nodes
    if connectivity.ndim != 2 or connectivity.shape[1] != expected:
        raise MeshError(
            f"{cell_type} cells have {expected} nodes; got an array {connectivity.shape}"
        )
    outside = np.flatnonzero(((connectivity < 0) | (connectivity >= n_nodes)).any(axis=1))
    if outside.size:
        raise MeshError(
            f"{cell_type} element {outside[0]} refers to nodes that do not exist "
            f"(nodes {connectivity[outside[0]].tolist()} of {n_nodes}, from 0)"
        )
    ordered = np.sort(connectivity, axis=1)
    repeated = np.flatnonzero((ordered[:, 1:] == ordered[:, :-1]).any(axis=1))
    if repeated.size:
        raise MeshError(
            f"{cell_type} element {repeated[0]} has the same node twice "
            f"(nodes {connectivity[repeated[0]].tolist()}, from 0)"
        )


def _check_coordinates(block: CellBlock, points: Array) -> None:
    finite = np.asarray(np.isfinite(points).all(axis=1))
    bad = np.flatnonzero(~finite[block.connectivity].all(axis=1))
    if bad.size:
        nodes = block.connectivity[bad[0]]
        node = nodes[~finite[nodes]][0]
        raise MeshError(
            f"{block.cell_type} element {bad[0]}: the coordinates of node {node} are not "
            f"finite: {_position(points[node])}"
        )


def _check_jacobians(block: CellBlock, points: Array, chunk: int = 50_000) -> None:
    element = reference_element(block.cell_type)
    _, gradients = element.tabulate(element.quadrature()[0])
    smallest, largest = [], []
    for start in range(0, len(block.connectivity), chunk):
        x = points[block.connectivity[start : start + chunk]]
        size = np.ptp(x, axis=1).max(axis=1) ** element.dim
        determinant = np.linalg.det(jacobians(x, gradients)) / size[:, None]
        smallest.append(determinant.min(axis=1))
        largest.append(determinant.max(axis=1))
    low, high = np.concatenate(smallest), np.concatenate(largest)
    bad = np.flatnonzero(~(low > _FLAT))
    if not bad.size:
        return
    if element.dim == 2 and (high < -_FLAT).all():
        raise MeshError(
            f"all {len(low)} {block.cell_type} elements are numbered clockwise; number their "
            "nodes counter-clockwise (reverse the surface in the mesh generator)"
        )
    number = bad[0]
    kind = "has no volume" if high[number] <= _FLAT and low[number] >= -_FLAT else "is inverted"
    more = f" ({bad.size} of {len(low)} elements are unusable)" if bad.size > 1 else ""
    centroid = points[block.connectivity[number]].mean(axis=0)
    raise MeshError(
        f"{block.cell_type} element {number} with its centroid at {_position(centroid)} {kind}: "
        f"its Jacobian determinant must be positive at every quadrature point{more}"
    )


def _check_facet_block(
    what: str, block: CellBlock, cells: Sequence[CellBlock], n_nodes: int
) -> None:
    elements = [reference_element(cell.cell_type) for cell in cells]
    wanted = sorted({facets.cell_type for element in elements for facets in element.facets})
    if block.cell_type not in wanted:
        raise MeshError(
            f"{what} has facets of type '{block.cell_type}'; "
            f"the facets of the cells are of type {' or '.join(wanted)}"
        )
    _check_connectivity(block, n_nodes)


def _check_overlap(cells: Sequence[CellBlock], facets: FacetConnectivity) -> None:
    crowded = np.flatnonzero(facets.count > 2)
    if crowded.size:
        sharing = facets.element[facets.number == crowded[0]]
        names = ", ".join(_element_name(cells, number) for number in sharing)
        raise MeshError(f"elements overlap: {names} share one facet; at most two may")


def _check_conformity(cells: Sequence[CellBlock], facets: FacetConnectivity) -> None:
    """Two elements on the same vertices must have the same nodes between these."""
    types = np.array([group.facets.cell_type for group in facets.groups])
    if all(reference_element(str(facet_type)).degree == 1 for facet_type in types):
        return  # these have vertices only
    slots = facets.twins()
    kinds = types[facets.group_of(slots)]
    unlike = np.flatnonzero(kinds[:, 0] != kinds[:, 1])
    if unlike.size:
        one, other = kinds[unlike[0]]
        reason = f"one is of type {one} and the other {other}"
        raise _not_conforming(cells, facets, slots[unlike[0]], reason)
    for facet_type in np.unique(kinds).tolist():
        alike = slots[kinds[:, 0] == facet_type]
        first, second = (np.sort(facets.nodes(side, facet_type)) for side in alike.T)
        apart = np.flatnonzero((first != second).any(axis=1))
        if apart.size:
            reason = "the nodes between these are not the same"
            raise _not_conforming(cells, facets, alike[apart[0]], reason)


def _not_conforming(
    cells: Sequence[CellBlock], facets: FacetConnectivity, slots: Index, reason: str
) -> MeshError:
    one, other = (_element_name(cells, number) for number in facets.element[slots].tolist())
    return MeshError(f"{one} and {other} have facets on the same vertices, but {reason}")


def _orient(what: str, block: CellBlock, number: Index, facets: FacetConnectivity) -> CellBlock:
    slot = facets.first[number]
    orphan = np.flatnonzero(slot < 0)
    if orphan.size:
        raise MeshError(
            f"{what}: {orphan.size} of {len(slot)} facets belong to no element; the "
            f"first has nodes {block.connectivity[orphan[0]].tolist()} (from 0)"
        )
    types = np.array([group.facets.cell_type for group in facets.groups])
    other = np.flatnonzero(types[facets.group_of(slot)] != block.cell_type)
    if other.size:
        raise MeshError(
            f"{what}: the {block.cell_type} facet with nodes "
            f"{block.connectivity[other[0]].tolist()} (from 0) belongs to an element whose facet "
            f"there is of type {types[facets.group_of(slot[other[0]])]}"
        )
    own = facets.nodes(slot, block.cell_type)
    foreign = np.flatnonzero((np.sort(own, axis=1) != np.sort(block.connectivity, axis=1)).any(1))
    if foreign.size:
        raise MeshError(
            f"{what}: the facet with nodes {block.connectivity[foreign[0]].tolist()} "
            f"and its element, whose nodes there are {own[foreign[0]].tolist()}, do not agree"
        )
    interior = facets.count[number] > 1
    return CellBlock(block.cell_type, np.where(interior[:, None], block.connectivity, own))


def _element_name(cells: Sequence[CellBlock], number: int) -> str:
    for block in cells:
        if number < len(block.connectivity):
            return f"{block.cell_type} element {number}"
        number -= len(block.connectivity)
    raise AssertionError("element number out of range")


def _position(x: Array) -> str:
    return "(" + ", ".join(f"{value:.6g}" for value in x) + ")"
