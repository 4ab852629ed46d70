"""Which elements share a facet, and which element a given facet belongs to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from neml2fe.fem.mesh.elements import Index, reference_element


class CellBlock(NamedTuple):
    """Cells of one type: meshio name and node numbers (n, nodes of a cell), VTK order."""

    cell_type: str
    connectivity: Index


@dataclass(frozen=True, eq=False)
class FacetConnectivity:
    """The facets of a mesh, numbered by their vertex sets.

    A slot is one (element, local facet) pair; elements are counted through all blocks.

    element, local, number: (n_slots,) element, local facet and facet number of each slot.
    count, first: (n_facets,) number of elements on each facet, and its first slot (or -1).
    queries: facet numbers of the facet blocks that were passed along, (n,) for each.
    """

    element: Index
    local: Index
    number: Index
    count: Index
    first: Index
    queries: tuple[Index, ...]

    def neighbours(self) -> Index:
        """(n, 2) pairs of elements that share a facet, each pair once."""
        order = np.argsort(self.number, kind="stable")
        number = self.number[order]
        twin = np.flatnonzero(number[1:] == number[:-1])
        return np.column_stack([self.element[order[twin]], self.element[order[twin + 1]]])


def connect_facets(
    cells: Sequence[CellBlock], n_nodes: int, queries: Sequence[CellBlock] = ()
) -> FacetConnectivity:
    """Number all element facets of `cells` and find the facet blocks `queries` among them."""
    vertices, element, local = [], [], []
    offset = 0
    for block in cells:
        facets = reference_element(block.cell_type).facet_vertices
        n = len(block.connectivity)
        vertices.append(block.connectivity[:, facets].reshape(-1, facets.shape[1]))
        element.append(np.repeat(np.arange(offset, offset + n), len(facets)))
        local.append(np.tile(np.arange(len(facets)), n))
        offset += n
    for block in queries:
        vertices.append(block.connectivity[:, : reference_element(block.cell_type).n_vertices])

    numbers = _number_by_vertices(vertices, n_nodes)
    number = np.concatenate(numbers[: len(cells)])
    n_facets = 1 + max((int(n.max()) for n in numbers if n.size), default=-1)
    first = np.full(n_facets, -1, dtype=np.int64)
    first[number[::-1]] = np.arange(len(number))[::-1]
    return FacetConnectivity(
        element=np.concatenate(element),
        local=np.concatenate(local),
        number=number,
        count=np.bincount(number, minlength=n_facets),
        first=first,
        queries=tuple(numbers[len(cells) :]),
    )


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
