"""Which elements share a facet, and which element a given facet belongs to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from neml2fe.fem.mesh.elements import CellBlock, Index, reference_element

__all__ = ["CellBlock", "FacetConnectivity", "connect_facets", "interface_sides"]


class SlotGroup(NamedTuple):
    """The facets of one type on the cells of one type: slots cell by cell from `start` on."""

    start: int
    cells: CellBlock
    facets: CellBlock  # in local node numbers

    def nodes(self, slots: Index) -> Index:
        """Node numbers (n, nodes of a facet); the normal points out of the slot's element."""
        cell, local = np.divmod(slots - self.start, len(self.facets.connectivity))
        columns = self.facets.connectivity[local]
        return np.take_along_axis(self.cells.connectivity[cell], columns, axis=1)


@dataclass(frozen=True, eq=False)
class FacetConnectivity:
    """The facets of a mesh, numbered by their vertex sets.

    A slot is one facet of one element; elements are counted through all blocks.

    groups: the slots of each cell type and facet type, one group after the other.
    element, number: (n_slots,) element and facet number of each slot.
    count, first: (n_facets,) number of elements on each facet, and its first slot (or -1).
    queries: facet numbers of the facet blocks that were passed along, (n,) for each.
    """

    groups: tuple[SlotGroup, ...]
    element: Index
    number: Index
    count: Index
    first: Index
    queries: tuple[Index, ...]

    def twins(self) -> Index:
        """(n, 2) pairs of slots that are one facet between two elements, the lower first."""
        order = np.argsort(self.number, kind="stable")
        number = self.number[order]
        twin = np.flatnonzero(number[1:] == number[:-1])
        return np.column_stack([order[twin], order[twin + 1]])

    def neighbours(self) -> Index:
        """(n, 2) pairs of elements that share a facet, each pair once."""
        return self.element[self.twins()]

    def group_of(self, slots: Index) -> Index:
        """Number in `groups` of each slot."""
        starts = [group.start for group in self.groups]
        return np.searchsorted(starts, slots, side="right") - 1

    def nodes(self, slots: Index, facet_type: str) -> Index:
        """Node numbers (n, nodes of a facet) of slots that all are of `facet_type`.

        Each row is ordered so that its normal points out of the slot's element.
        """
        rows = np.empty((len(slots), reference_element(facet_type).n_nodes), dtype=np.int64)
        of = self.group_of(slots)
        for g in np.unique(of):
            rows[of == g] = self.groups[g].nodes(slots[of == g])
        return rows


def connect_facets(
    cells: Sequence[CellBlock], n_nodes: int, queries: Sequence[CellBlock] = ()
) -> FacetConnectivity:
    """Number all element facets of `cells` and find the facet blocks `queries` among them."""
    groups: list[SlotGroup] = []
    vertices, element = [], []
    start = first_element = 0
    for block in cells:
        n = len(block.connectivity)
        for facets in reference_element(block.cell_type).facets:
            groups.append(SlotGroup(start, block, facets))
            corners = facets.connectivity[:, : reference_element(facets.cell_type).n_vertices]
            vertices.append(block.connectivity[:, corners].reshape(-1, corners.shape[1]))
            element.append(np.repeat(np.arange(first_element, first_element + n), len(corners)))
            start += len(element[-1])
        first_element += n
    for block in queries:
        vertices.append(block.connectivity[:, : reference_element(block.cell_type).n_vertices])

    numbers = _number_by_vertices(vertices, n_nodes)
    number = np.concatenate(numbers[: len(groups)])
    n_facets = 1 + max((int(n.max()) for n in numbers if n.size), default=-1)
    first = np.full(n_facets, -1, dtype=np.int64)
    first[number[::-1]] = np.arange(len(number))[::-1]
    return FacetConnectivity(
        groups=tuple(groups),
        element=np.concatenate(element),
        number=number,
        count=np.bincount(number, minlength=n_facets),
        first=first,
        queries=tuple(numbers[len(groups) :]),
    )


def interface_sides(pairs: Sequence[CellBlock]) -> list[CellBlock]:
    """The minus and the plus facets of each block of facet pairs, one after the other."""
    return [
        CellBlock(cell_type, nodes)
        for cell_type, connectivity in pairs
        for nodes in np.array_split(connectivity, 2, axis=1)
    ]


def _number_by_vertices(vertices: Sequence[Index], n_nodes: int) -> list[Index]:
    """Give equal vertex sets equal numbers, through all arrays (n, 2 to 4 vertices)."""
    keys = np.concatenate([_keys(v, n_nodes) for v in vertices])
    order = np.lexsort(keys.T)
    changed = (keys[order[1:]] != keys[order[:-1]]).any(axis=1)
    number = np.empty(len(keys), dtype=np.int64)
    number[order[:1]] = 0
    number[order[1:]] = np.cumsum(changed)
    return np.split(number, np.cumsum([len(v) for v in vertices])[:-1])


def _keys(vertices: Index, n_nodes: int) -> Index:
    """Two integers (n, 2) that name a set of up to four vertices."""
    columns = np.full((len(vertices), 4), -1, dtype=np.int64)
    columns[:, : vertices.shape[1]] = np.sort(vertices, axis=1)
    base = n_nodes + 1
    return (columns[:, ::2] + 1) * base + columns[:, 1::2] + 1
