"""Displacements, point by point and image by image: what is held, checked and chosen."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from neml2fe.calibration.fullfield.correlation import Correlation, Matrix, checked_matrix
from neml2fe.calibration.fullfield.interpolation import checked_times
from neml2fe.errors import InputError

Array = NDArray[np.float64]
Index = NDArray[np.int64] | NDArray[np.bool_]
Self = TypeVar("Self", bound="Images")


@dataclass(frozen=True, eq=False)
class Images:
    """What a `FullField` holds, its checks, and the choice of points and images."""

    points: Array
    times: Array
    displacements: Array
    noise: float | Array | None = None
    correlation: Correlation | Matrix | None = None
    confidence: Array | None = None

    def __post_init__(self) -> None:
        put = object.__setattr__  # the way into a frozen dataclass
        points = np.asarray(self.points, dtype=np.float64)
        u = np.asarray(self.displacements, dtype=np.float64)
        times = checked_times(self.times, "full field")
        if points.ndim != 2 or points.shape[1] not in (2, 3) or not len(points):
            raise InputError(f"points are (m, 2) or (m, 3), at least one, not {points.shape}")
        if not np.isfinite(points).all():
            raise InputError("a point has a coordinate that is not finite; leave such points out")
        m, dim = points.shape
        if u.shape not in ((len(times), m, dim), (len(times), m, 3)):
            raise InputError(
                f"displacements of {len(times)} images and {m} points in {dim}-D are "
                f"({len(times)}, {m}, {dim}), not {u.shape}"
            )
        if np.isinf(u).any():
            raise InputError("a displacement is infinite; missing ones are NaN")
        put(self, "points", points)
        put(self, "times", times)
        put(self, "displacements", u)
        if self.noise is not None:
            put(self, "noise", self._checked_noise(np.asarray(self.noise, dtype=np.float64)))
        if self.correlation is not None:
            if self.noise is None:
                raise InputError(
                    "a correlation of noise needs its standard deviation: give noise, or noise = 1 "
                    "if the matrix is a covariance"
                )
            if not isinstance(self.correlation, Correlation):
                put(self, "correlation", checked_matrix(self.correlation, m))
        if self.confidence is not None:
            confidence = np.asarray(self.confidence, dtype=np.float64)
            if confidence.shape != u.shape[:2]:
                raise InputError(f"the confidence is {u.shape[:2]}, not {confidence.shape}")
            put(self, "confidence", confidence)

    def _checked_noise(self, noise: Array) -> Array:
        """In three dimensions, of size 1 where it does not change."""
        shape = self.displacements.shape
        full = noise.reshape((1,) * (3 - noise.ndim) + noise.shape) if noise.ndim < 4 else noise
        if full.ndim != 3 or any(n not in (1, k) for n, k in zip(full.shape, shape, strict=True)):
            raise InputError(
                f"noise is a number or an array of ({shape[2]},), {shape[1:]} or {shape}, with "
                f"ones for what does not change; got {noise.shape}"
            )
        there = np.broadcast_to(full, shape)[self.valid]
        if not (np.isfinite(there).all() and (there > 0.0).all()):
            raise InputError("noise must be a positive standard deviation wherever data are valid")
        return full

    # --- what is there ----------------------------------------------------------------
    @cached_property
    def valid(self) -> NDArray[np.bool_]:
        """`(T, m, c)`: where there is a displacement."""
        return np.isfinite(self.displacements)

    @property
    def positions(self) -> Array:
        """`(m, c)`: the points, with z = 0 where they are on a plane and move in space."""
        more = self.displacements.shape[2] - self.points.shape[1]
        return np.pad(self.points, ((0, 0), (0, more)))

    def describe(self) -> str:
        """Size and missing share, in words."""
        T, m, c = self.displacements.shape
        missing = 100.0 * (1.0 - self.valid.mean())
        return f"{m} points, {T} images, {c} components, {missing:.2g} % missing"

    # --- points and images to take ----------------------------------------------------
    def at_points(self: Self, which: Index) -> Self:
        """The points of these indices or where this mask `(m,)` is true."""
        at = np.arange(len(self.points))[which]
        if not len(at):
            low, high = (
                ", ".join(f"{x:.6g}" for x in f(self.points, axis=0)) for f in (np.min, np.max)
            )
            raise InputError(
                f"no point of the full field is left; its {len(self.points)} points lie between "
                f"({low}) and ({high})"
            )
        correlation = self.correlation
        if correlation is not None and not isinstance(correlation, Correlation):
            correlation = correlation[at][:, at]
        return replace(
            self,
            points=self.points[at],
            displacements=self.displacements[:, at],
            noise=_taken(self.noise, 1, at),
            correlation=correlation,
            confidence=_taken(self.confidence, 1, at),
        )

    def at_images(self: Self, which: Index | slice) -> Self:
        """The images of these indices, which must grow."""
        at = np.arange(len(self.times))[which]
        return replace(
            self,
            times=self.times[at],
            displacements=self.displacements[at],
            noise=_taken(self.noise, 0, at),
            confidence=_taken(self.confidence, 0, at),
        )


def _taken(array: float | Array | None, axis: int, at: NDArray[np.int64]) -> Array | None:
    """Entries along an axis, all of one that is of size 1 because it does not change."""
    if array is None:
        return None
    given = np.asarray(array)
    return given if given.shape[axis] == 1 else given.take(at, axis)
