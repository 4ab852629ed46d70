"""Gradients along a surface by polynomials fitted to windows of scattered points.

For each centre, the displacements u of the points in its window are fitted by a polynomial in
coordinates along the surface (a plane, or the tangent plane of a curved one), by weighted least
squares: with the monomials V, its coefficients are N^-1 b, N = sum of w V V^T and b = sum of
w V u. Both sums are over the points that are there; b is one sparse matrix for all images, and
only N^-1 differs between those that lack other points.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.spatial import cKDTree

Array = NDArray[np.float64]
Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]

COEFFICIENTS = {1: 3, 2: 6}
SINGULAR = 1e-8
"""Ratio of eigenvalues of the normal matrix below which points lie on a line (or conic)."""
CHUNK = 200_000
"""Pairs of centre and neighbour that are worked on at once."""


@dataclass(frozen=True, eq=False)
class Windows:
    """Pairs of a centre and a point in its window, ordered by centre."""

    starts: Ints
    """`(n + 1,)`: the pairs of centre i are starts[i] to starts[i + 1]"""
    neighbours: Ints
    """`(pairs,)`"""
    monomials: Array
    """`(pairs, q)`: 1, s1, s2 (, s1^2, s1 s2, s2^2), s along the surface in half widths"""
    weights: Array
    """`(pairs,)`"""
    tangents: Array
    """`(n, dim, 2)`: unit vectors along the surface at each centre"""
    size: float
    """Half width or radius of the window"""

    @property
    def centres(self) -> Ints:
        """`(pairs,)`"""
        return np.repeat(np.arange(len(self.starts) - 1), np.diff(self.starts))

    def moments(self, m: int) -> sparse.csr_matrix:
        """`(n q, m)`: w V, which takes values at the m points to b of each centre."""
        return _blocks(self.centres, self.neighbours, self.weights[:, None] * self.monomials, m)

    def slopes(self, rows: Array, m: int) -> sparse.csr_matrix:
        """`(2 n, m)`: from values at the m points to both slopes of each centre, with `rows`
        `(n, 2, q)` of N^-1 and no point missing."""
        weighted = self.weights[:, None] * self.monomials
        values = np.einsum("pkq,pq->pk", rows[self.centres], weighted)
        return _blocks(self.centres, self.neighbours, values, m)

    def part(self, centres: Ints) -> Windows:
        """The windows of some centres, in this order."""
        counts = np.diff(self.starts)[centres]
        starts = np.concatenate([[0], np.cumsum(counts)])
        pairs = np.arange(starts[-1]) + np.repeat(self.starts[centres] - starts[:-1], counts)
        return Windows(
            starts,
            self.neighbours[pairs],
            self.monomials[pairs],
            self.weights[pairs],
            self.tangents[centres],
            self.size,
        )


def _blocks(rows: Ints, columns: Ints, values: Array, m: int) -> sparse.csr_matrix:
    """`(n k, m)`: the k values `(pairs, k)` of each pair below each other."""
    k = values.shape[1]
    at = (k * rows[:, None] + np.arange(k)).reshape(-1)
    shape = (k * (int(rows[-1]) + 1), m)
    return sparse.csr_matrix((values.reshape(-1), (at, np.repeat(columns, k))), shape=shape)


def find_windows(points: Array, size: float, order: int, square: bool, gaussian: bool) -> Windows:
    """Windows around all points: squares of half width, or balls of radius `size`. Gaussian
    weights fall to 10 % at that distance."""
    reach = size * (1.0 + 1e-6)
    near = cKDTree(points).query_ball_point(points, reach, np.inf if square else 2.0)
    counts = np.array([len(found) for found in near])
    starts = np.concatenate([[0], np.cumsum(counts)])
    neighbours = np.concatenate([np.asarray(found, dtype=np.int64) for found in near])
    offsets = (points[neighbours] - np.repeat(points, counts, axis=0)) / size
    tangents = np.broadcast_to(np.eye(2), (len(points), 2, 2))
    if points.shape[1] == 3:
        tangents = _tangents(points, offsets, starts)
    x, y = np.einsum("pd,pdk->kp", offsets, np.repeat(tangents, counts, axis=0))
    monomials = np.stack([np.ones(len(x)), x, y, x * x, x * y, y * y][: COEFFICIENTS[order]], 1)
    weights = 0.1 ** np.square(offsets).sum(axis=1) if gaussian else np.ones(len(offsets))
    return Windows(starts, neighbours, monomials, weights, tangents, size)


def _tangents(points: Array, offsets: Array, starts: Ints) -> Array:
    """`(n, 3, 2)`: unit vectors along the plane nearest to each window. The first is x projected
    onto it (z where the surface faces x), the second follows about the normal, and normals are on
    that side of the whole cloud's plane to which its largest component is positive."""
    squares = np.einsum("pi,pj->pij", offsets, offsets)
    normals = np.linalg.eigh(np.add.reduceat(squares, starts[:-1], axis=0))[1][:, :, 0]
    overall = np.linalg.eigh(np.cov(points.T))[1][:, 0]
    overall *= np.sign(overall[np.argmax(np.abs(overall))])
    normals *= np.where(normals @ overall < 0.0, -1.0, 1.0)[:, None]
    along = np.where(np.abs(normals[:, :1]) < 0.9, [[1.0, 0.0, 0.0]], [[0.0, 0.0, 1.0]])
    first = along - (along * normals).sum(axis=1, keepdims=True) * normals
    first /= np.linalg.norm(first, axis=1, keepdims=True)
    return np.stack([first, np.cross(normals, first)], axis=2)


def slope_rows(windows: Windows, there: Mask, least: int) -> tuple[Array, Mask]:
    """The rows of N^-1 `(P, n, 2, q)` that give slopes, and which centres `(P, n)` have any, for P
    sets `(P, m)` of points that are there; the first set contains the others.

    A centre needs `least` points in its window, not on a line. Rows of others are zeros.
    """
    n, q = len(windows.starts) - 1, windows.monomials.shape[1]
    upper = np.triu_indices(q)
    rows = np.zeros((len(there), n, 2, q))
    good = np.zeros((len(there), n), dtype=bool)
    steps = np.searchsorted(windows.starts, np.arange(CHUNK, windows.starts[-1], CHUNK))
    for first, last in pairwise(np.unique([0, *steps, n])):
        pairs = slice(windows.starts[first], windows.starts[last])
        V = windows.monomials[pairs]
        wVV = windows.weights[pairs, None] * V[:, upper[0]] * V[:, upper[1]]
        values = np.column_stack([wVV, np.ones(len(V))])  # the last counts points
        sums = _blocks(windows.centres[pairs] - first, windows.neighbours[pairs], values,
                       there.shape[1]) @ there.T.astype(np.float64)  # fmt: skip
        sums = sums.reshape(last - first, -1, len(there)).transpose(2, 0, 1)  # (P, centres, ...)
        counts = sums[:, :, -1]
        todo = counts != counts[:1]
        todo[0] = True
        N = np.empty((int(todo.sum()), q, q))
        N[:, upper[0], upper[1]] = N[:, upper[1], upper[0]] = sums[todo][:, :-1]
        spread, axes = np.linalg.eigh(N)
        ok = (counts[todo] >= least) & (spread[:, 0] > SINGULAR * spread[:, -1])
        inverse = (axes[:, 1:3] / np.where(ok[:, None], spread, np.inf)[:, None]) @ axes.transpose(
            0, 2, 1
        )
        here = np.s_[:, first:last]
        block, sound = rows[here], good[here]
        block[todo], sound[todo] = inverse / windows.size, ok
        same = ~todo
        block[same] = np.broadcast_to(block[:1], block.shape)[same]
        sound[same] = np.broadcast_to(sound[:1], sound.shape)[same]
    return rows, good
