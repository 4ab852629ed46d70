"""`edge_motion`: displacements that a camera measured along an edge, as a boundary condition."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from neml2fe.calibration.fullfield.field import FullField
from neml2fe.errors import InputError
from neml2fe.fem.conditions.functions import SpaceFunction

Array = NDArray[np.float64]
_BEYOND = 2.0  # of the largest gap between points: how far outside of them a place may lie
_FLAT = 1e-6  # of the spread along: what is no spread across
_SAME = 1e-9  # of the extent of the points: one point in two sets
AXES = "xyz"


def edge_motion(
    field: FullField, component: str, degree: int | None = None, start_time: float = 0.0
) -> SpaceFunction:
    """The displacement `component` (x, y or z) along an edge as a function of time and place, for
    the `value` of a `Dirichlet` condition.

    `field` has the points along the edge only (`masked`). In space: straight lines from point to
    point along the edge, constant beyond the first and the last, or, with a `degree`, the
    polynomial along the edge that fits the points best, linear across it, which averages their
    noise. In time: straight lines from image to image, from zero at `start_time` where the first
    image is later.

    A fit takes what is prescribed for exact, and leaves it out of its data (`prescribed_by`): its
    noise is in no interval. Average it by a `degree`.

    Raises `InputError` for a component or degree that the data do not give, and, when called, at
    times after the last image and at places off the ends of the edge.
    """
    c = field.displacements.shape[2]
    if component not in AXES[:c]:
        raise InputError(f"the component is one of {', '.join(AXES[:c])}, not '{component}'")
    if degree is not None and degree < 0:
        raise InputError(f"the degree along an edge is at least 0, got {degree}")
    edge = _Edge(field.points, degree)
    u = field.displacements[:, :, AXES.index(component)]
    images = [edge.checked(row, image) for image, row in enumerate(u)]
    times = np.asarray(field.times)
    if times[0] > start_time:
        times, images = np.concatenate([[start_time], times]), [np.zeros(u.shape[1]), *images]
    motion = _Motion(edge, times, np.array(images), AXES.index(component))
    return SpaceFunction(motion, [float(t) for t in times])


def prescribed_by(values: Iterable[Any], points: Array, components: int) -> NDArray[np.bool_]:
    """Which displacements `(m, components)` at `points` `(m, dim)` some of these `values` of
    conditions were made from by `edge_motion`."""
    found = np.zeros((len(points), components), dtype=bool)
    extent = max(float(np.ptp(points, axis=0).max()), 1e-300)
    for value in values:
        motion = _motion_of(value)
        if motion is not None and motion.edge.points.shape[1] == points.shape[1]:
            distance, _ = cKDTree(motion.edge.points).query(points)
            found[:, motion.component] |= distance <= _SAME * extent
    return found


def is_measured(value: Any) -> bool:
    """Whether the value of a condition is a motion made by `edge_motion`."""
    return _motion_of(value) is not None


def _motion_of(value: Any) -> _Motion | None:
    motion = getattr(value, "function", None)
    return motion if isinstance(motion, _Motion) else None


class _Edge:
    """Points `(m, dim)` along the direction in which they spread most, and how to go between."""

    def __init__(self, points: Array, degree: int | None) -> None:
        if len(points) < 2:
            raise InputError("an edge needs at least two points")
        self.points, self.degree = points, degree
        self._middle = points.mean(axis=0)
        _, spread, self._directions = np.linalg.svd(points - self._middle, full_matrices=False)
        self._half = float(spread[0]) / np.sqrt(len(points))
        if not self._half > 0.0:
            raise InputError("the points of an edge are all in one place")
        self._across = np.flatnonzero(spread > _FLAT * spread[0])[1:]
        s = self._along(points)
        self._order = np.argsort(s, kind="stable")
        beyond = _BEYOND * float(np.diff(s[self._order]).max())
        self._ends = s.min() - beyond, s.max() + beyond

    def checked(self, values: Array, image: int) -> Array:
        """The values `(m,)` of an image, if those that are there are enough."""
        there = np.isfinite(values)
        if self.degree is None:
            enough, needed = there.sum() >= 2, 2
        else:
            rows = self._rows(self.points[there])
            needed = rows.shape[1]
            enough = len(rows) >= needed and np.linalg.matrix_rank(rows) == needed
        if not enough:
            raise InputError(
                f"image {image + 1} has {there.sum()} valid points along the edge; at least "
                f"{needed} in different places are needed"
            )
        return values

    def at(self, x: Array, values: Array) -> Array:
        """Values `(n,)` at places `x` `(n, dim)`, from those at the points, NaN where missing."""
        s = self._along(x)
        far = np.flatnonzero((s < self._ends[0]) | (s > self._ends[1]))
        if len(far):
            where = ", ".join(f"{value:g}" for value in x[far[0]])
            raise InputError(
                f"the place ({where}) lies off the ends of the edge whose displacement was measured"
            )
        there = np.isfinite(values)
        if self.degree is not None:
            rows = self._rows(self.points[there])
            found, *_ = np.linalg.lstsq(rows, values[there], rcond=None)
            return np.asarray(self._rows(x) @ found)
        kept = self._order[there[self._order]]
        return np.asarray(np.interp(s, self._along(self.points[kept]), values[kept]))

    def _along(self, x: Array) -> Array:
        return np.asarray((x - self._middle) @ self._directions[0])

    def _rows(self, x: Array) -> Array:
        """Powers along the edge, and distances across it if the points spread there."""
        assert self.degree is not None
        local = (x - self._middle) @ self._directions.T / self._half
        powers = [local[:, 0] ** k for k in range(self.degree + 1)]
        return np.stack([*powers, *local[:, self._across].T], axis=1)


@dataclass(frozen=True, eq=False)
class _Motion:
    """What was measured of a component in images `(T, m)` at `times` `(T,)`, by time and place."""

    edge: _Edge
    times: Array
    images: Array
    component: int

    def __call__(self, time: float, x: Array) -> Array:
        times = self.times
        if not times[0] <= time <= times[-1] * (1.0 + 1e-12):
            raise InputError(
                f"the displacement of the edge is measured from time {times[0]:g} to "
                f"{times[-1]:g}, not at {time:g}"
            )
        if len(times) == 1:
            return self.edge.at(x, self.images[0])
        k = int(np.clip(np.searchsorted(times, time, side="right"), 1, len(times) - 1))
        share = (time - times[k - 1]) / (times[k] - times[k - 1])
        before, after = (self.edge.at(x, self.images[i]) for i in (k - 1, k))
        return (1.0 - share) * before + share * after
