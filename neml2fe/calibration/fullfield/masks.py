"""Which points of a cloud to take."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neml2fe.errors import InputError

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]


def in_polygon(points: Array, corners: ArrayLike) -> Mask:
    """`(m,)`: whether points `(m, 2 or 3)` are within a polygon `(k, 2)` of x and y, which may be
    concave; by the number of edges that a ray along x crosses. Points on edges may be either."""
    p = np.asarray(corners, dtype=np.float64)
    if p.ndim != 2 or p.shape[1] != 2 or len(p) < 3 or not np.isfinite(p).all():
        raise InputError(f"a polygon is at least three finite corners (k, 2), not {p.shape}")
    x, y = points[:, 0], points[:, 1]
    inside = np.zeros(len(points), dtype=bool)
    for (x0, y0), (x1, y1) in zip(p, np.roll(p, -1, axis=0), strict=True):
        spans = (y0 > y) != (y1 > y)
        with np.errstate(divide="ignore", invalid="ignore"):
            crosses = x < x0 + (y - y0) / (y1 - y0) * (x1 - x0)
        inside ^= spans & crosses
    return inside


def in_box(points: Array, box: tuple[ArrayLike, ArrayLike]) -> Mask:
    """`(m,)`: whether points `(m, dim)` are within lower and upper corner, borders included."""
    lower, upper = (np.asarray(corner, dtype=np.float64) for corner in box)
    dim = points.shape[1]
    if lower.shape != (dim,) or upper.shape != (dim,) or not (lower <= upper).all():
        raise InputError(
            f"a box is a lower and an upper corner of {dim} coordinates each, got {lower.tolist()} "
            f"and {upper.tolist()}"
        )
    return np.all((points >= lower) & (points <= upper), axis=1)


def spread_out(points: Array, count: int) -> NDArray[np.int64]:
    """`(count,)`: indices in order of points far from each other, each time the farthest from
    those taken before (Gonzalez 1985, Theor. Comput. Sci. 38, 293)."""
    taken = np.zeros(count, dtype=np.int64)
    gaps = np.full(len(points), np.inf)
    taken[0] = np.argmin(np.linalg.norm(points - points.mean(axis=0), axis=1))
    for i in range(1, count):
        np.minimum(gaps, np.square(points - points[taken[i - 1]]).sum(axis=1), out=gaps)
        taken[i] = np.argmax(gaps)
    return np.sort(taken)
