"""Where points of space lie in the mesh: their elements and the positions in these."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain, combinations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.spatial import cKDTree

from neml2fe.errors import InputError
from neml2fe.fem.mesh.distribution import LocalMesh
from neml2fe.fem.mesh.elements import CellBlock, Index, ReferenceElement, reference_element
from neml2fe.fem.results.inverse_map import closest, inverse_map

Array = NDArray[np.float64]

NEARLY_INSIDE = 0.05
"""Tolerance for points outside of the mesh, as a fraction of an element's shortest edge."""

_INSIDE = 1e-6  # so far outside, in lengths of the reference element, a point is on the border
_NEAREST = 20  # elements tried for the distance of a point outside of the mesh
_PART = 50_000  # pairs of a point and an element that are worked on at a time


@dataclass(frozen=True)
class Location:
    """A point in an element of this rank.

    cells: number of the block of cells; element: number in it; xi: (dim,) reference position;
    weights: (k,) shape functions there.
    """

    cells: int
    element: int
    xi: Array
    weights: Array


@dataclass(frozen=True)
class Locations:
    """Where points lie in `blocks` of cells or facets. Each is on one rank, or on none.

    found: (m,) whether a point lies in a cell or within the tolerance of one, on any rank.
    mine: (n,) numbers of the points that this rank holds, with their block and element (n,),
        and reference position xi (n, dim of the cells).
    """

    blocks: Sequence[CellBlock]
    found: NDArray[np.bool_]
    mine: Index
    block: Index
    element: Index
    xi: Array

    def interpolation(self, n_nodes: int) -> csr_array:
        """Shape functions `(n, n_nodes)` at this rank's points, over its local nodes."""
        rows, columns, values = [], [], []
        for k, (cell_type, connectivity) in enumerate(self.blocks):
            at = np.flatnonzero(self.block == k)
            nodes = connectivity[self.element[at]]
            values.append(reference_element(cell_type).tabulate(self.xi[at])[0].ravel())
            rows.append(np.repeat(at, nodes.shape[1]))
            columns.append(nodes.ravel())
        entries = np.concatenate(values), (np.concatenate(rows), np.concatenate(columns))
        return csr_array(entries, shape=(len(self.mine), n_nodes))


def locate(local: LocalMesh, point: Sequence[float], what: str) -> Location | None:
    """The element that holds `point`, on one rank; None on the others. Collective.

    On a border, one of the elements that share it. Raises `InputError`, which begins with
    `what`, on every rank for a point outside of the mesh.
    """
    x = np.asarray(point, dtype=np.float64)
    if x.shape != (local.dim,) or not np.isfinite(x).all():
        raise InputError(f"{what}: a point of {local.dim} coordinates is needed, got {point!r}")
    at = locate_all(local, local.cells, x[None], tolerance=0.0)
    if not at.found[0]:
        _, distance = farthest(local, local.cells, x[None])
        place = ", ".join(f"{c:g}" for c in x)
        raise InputError(f"{what}: the point ({place}) is outside of the mesh, {distance:.4g} away")
    if not len(at.mine):
        return None
    k, e = int(at.block[0]), int(at.element[0])
    weights = reference_element(local.cells[k].cell_type).tabulate(at.xi)[0][0]
    return Location(k, e, at.xi[0], weights)


def locate_all(
    local: LocalMesh, blocks: Sequence[CellBlock], points: Array, tolerance: float | None = None
) -> Locations:
    """The elements of `blocks` that hold `points` `(m, space dim)`, the same on every rank, or
    are nearest to them, up to a distance `tolerance` (None: `NEARLY_INSIDE`). Collective.

    In cells of the dimension of space, a point outside gets the position where the element's map,
    extrapolated by less than a reference length, meets it; else, as on facets, that of the nearest
    place of the element.
    """
    m, size = len(points), max(reference_element(b.cell_type).dim for b in blocks)
    score, block, element = np.full(m, np.inf), np.zeros(m, np.int64), np.zeros(m, np.int64)
    xi = np.zeros((m, size))
    for k, cells in enumerate(blocks):
        if not len(cells.connectivity) or not m:
            continue
        p, e, at, value = _candidates(local.points, cells, points, tolerance, score < 0.0)
        order = np.lexsort((value, p))
        p, first = np.unique(p[order], return_index=True)
        best = order[first]
        better = value[best] < score[p]
        p, best = p[better], best[better]
        score[p], block[p], element[p], xi[p] = value[best], k, e[best], at[best]
    least = _least_of_ranks(local, score)
    owner = np.where(score == least, local.rank, local.size)
    found = np.isfinite(least)
    mine = np.flatnonzero(found & (_least_of_ranks(local, owner) == local.rank))
    return Locations(blocks, found, mine, block[mine], element[mine], xi[mine])


def farthest(local: LocalMesh, blocks: Sequence[CellBlock], points: Array) -> tuple[int, float]:
    """Which of `points` is farthest from the nodes of `blocks`, and its distance from the
    elements. Collective."""
    used = np.unique(np.concatenate([block.connectivity.ravel() for block in blocks]))
    distance = np.full(len(points), np.inf)
    if len(used):
        distance = cKDTree(local.points[used]).query(points)[0]
    number = int(np.argmax(_least_of_ranks(local, distance)))
    mine = np.array([_distance(local.points, blocks, points[number])])
    return number, float(_least_of_ranks(local, mine)[0])


def _least_of_ranks(local: LocalMesh, values: NDArray) -> NDArray:
    if local.comm is None:
        return values
    from mpi4py import MPI

    least = np.empty_like(values)
    local.comm.Allreduce(values, least, op=MPI.MIN)
    return least


def _candidates(
    nodes: Array, cells: CellBlock, points: Array, tolerance: float | None, held: NDArray[np.bool_]
) -> tuple[Index, Index, Array, Array]:
    """Pairs of a point and an element near it, the reference position, and a score to compare
    elements by: inside, how near the border, from -2 to -1; outside, the distance, or infinite
    beyond the tolerance. Points that another element has `held` are not tried outside."""
    element = reference_element(cells.cell_type)
    connectivity = cells.connectivity
    corners = nodes[connectivity]
    low, high = corners.min(axis=1), corners.max(axis=1)
    size = (high - low).max(axis=1)
    shortest = _shortest_edges(corners[:, : element.n_vertices])
    limit = NEARLY_INSIDE * shortest if tolerance is None else np.full(len(size), tolerance)
    bulge = 0.1 if element.degree > 1 else 2.0 * _INSIDE
    margin = (bulge * size + limit)[:, None]
    e, p = _in_boxes(low - margin, high + margin, points)
    xi, score = np.full((len(p), element.dim), np.nan), np.full(len(p), np.inf)
    if element.dim == points.shape[1]:
        xi, outside = _by_parts(inverse_map, element, corners, e, points, p)
        score = np.where(outside <= _INSIDE, outside - 1.0, np.inf)
        held = held.copy()
        held[p[score < 0.0]] = True
    rest = np.flatnonzero(~held[p])
    nearest, distance = _by_parts(closest, element, corners, e[rest], points, p[rest])
    score[rest] = np.where(distance <= limit[e[rest]], distance, np.inf)
    # Newton's method may have found another root of a distorted map, or none.
    doubtful = ~(np.abs(xi[rest] - nearest).max(axis=1) < 1.0)
    xi[rest[doubtful]] = nearest[doubtful]
    return p, e, xi, score


def _shortest_edges(vertices: Array) -> Array:
    """Least distance `(n,)` of two of the `vertices` `(n, k, d)` of each element."""
    pairs = combinations(range(vertices.shape[1]), 2)
    return np.min([np.linalg.norm(vertices[:, i] - vertices[:, j], axis=1) for i, j in pairs], 0)


def _in_boxes(low: Array, high: Array, points: Array) -> tuple[Index, Index]:
    """Pairs (box, point) of a point in a box."""
    unit = np.median(high - low, axis=0)  # thin boxes are then no thin part of their cubes
    radius = (0.5 * (high - low) / unit).max(axis=1)
    found = cKDTree(points / unit).query_ball_point(0.5 * (low + high) / unit, radius, p=np.inf)
    box = np.repeat(np.arange(len(low)), [len(some) for some in found])
    point = np.fromiter(chain.from_iterable(found), np.int64, len(box))
    inside = ((points[point] >= low[box]) & (points[point] <= high[box])).all(axis=1)
    return box[inside], point[inside]


def _by_parts(
    function: Callable[[ReferenceElement, Array, Array], tuple[Array, ...]],
    element: ReferenceElement,
    corners: Array,
    e: Index,
    points: Array,
    p: Index,
) -> tuple[Array, ...]:
    """`function` of pairs of an element and a point, some at a time."""
    parts = [slice(start, start + _PART) for start in range(0, max(len(e), 1), _PART)]
    found = [function(element, corners[e[part]], points[p[part]]) for part in parts]
    return tuple(np.concatenate(some) for some in zip(*found, strict=True))


def _distance(nodes: Array, blocks: Sequence[CellBlock], x: Array) -> float:
    """From `x` to this rank's elements: to the nearest point of those with the nearest nodes."""
    least = np.inf
    for cell_type, connectivity in blocks:
        if len(connectivity):
            nearest = np.linalg.norm(nodes[connectivity] - x, axis=2).min(axis=1)
            corners = nodes[connectivity[np.argsort(nearest)[:_NEAREST]]]
            at = np.tile(x, (len(corners), 1))
            least = min(least, float(closest(reference_element(cell_type), corners, at)[1].min()))
    return least
