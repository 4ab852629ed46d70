"""Images with points of their own, put together over the union of their points."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from neml2fe.errors import InputError

Array = NDArray[np.float64]
CLOSE = 1e-6
"""Distance of equal points as a share of the extent of the cloud, where none is given."""


@dataclass(frozen=True, eq=False)
class Image:
    """The points `(k, dim)` of one image, their displacements `(k, c)`, confidence `(k,)` or
    None, and where it is from."""

    points: Array
    displacements: Array
    confidence: Array | None
    source: str


def merged(
    images: Sequence[Image], tolerance: float | None = None
) -> tuple[Array, Array, Array | None]:
    """Points `(m, dim)` of all images, displacements `(T, m, c)` and confidence `(T, m)` or None,
    NaN where an image lacks a point.

    Points closer than `tolerance` are one; without it, than 1e-6 of the extent. Raises
    `InputError` for an image without points, with two points in one place, or with points that
    are mostly others than before, as of a deformed state.
    """
    for image in images:
        if not len(image.points):
            raise InputError("no point of this image is correlated", image.source)
    if tolerance is None:
        corners = np.array([f(i.points, axis=0) for i in images for f in (np.min, np.max)])
        tolerance = CLOSE * float(np.linalg.norm(np.ptp(corners, axis=0)))
    union = images[0].points
    places = [np.arange(len(union))]
    _require_apart(images[0], tolerance)
    for image in images[1:]:
        place = _places(image, union, tolerance)
        new = place < 0
        if 2 * (~new).sum() < min(len(union), len(place)):
            raise InputError(
                f"only {(~new).sum()} of {len(new)} points are also in the images before (within "
                f"{tolerance:.3g}): coordinates must be those of the undeformed body, the same in "
                "all images; if they are but for round-off, give a tolerance",
                image.source,
            )
        place[new] = len(union) + np.arange(new.sum())
        union = np.concatenate([union, image.points[new]])
        places.append(place)
    c = images[0].displacements.shape[1]
    u = np.full((len(images), len(union), c), np.nan)
    confidence = np.full(u.shape[:2], np.nan) if images[0].confidence is not None else None
    for t, (image, place) in enumerate(zip(images, places, strict=True)):
        u[t, place] = image.displacements
        if confidence is not None:
            confidence[t, place] = image.confidence
    return union, u, confidence


def _places(image: Image, union: Array, tolerance: float) -> NDArray[np.int64]:
    """`(k,)`: indices in the union, -1 for new points."""
    same = image.points.shape == union.shape and np.abs(image.points - union).max() <= tolerance
    if same:  # as a rule all images have one list
        return np.arange(len(union))
    _require_apart(image, tolerance)
    gaps, place = cKDTree(union).query(image.points)
    return np.where(gaps <= tolerance, place, -1).astype(np.int64)


def _require_apart(image: Image, tolerance: float) -> None:
    pairs = cKDTree(image.points).query_pairs(2.0 * tolerance, output_type="ndarray")
    if len(pairs):
        i, j = pairs[0]
        x = ", ".join(f"{value:.9g}" for value in image.points[i])
        raise InputError(
            f"rows {i + 1} and {j + 1} of the {len(image.points)} points are both at ({x}); each "
            f"point may be there once (points closer than {2.0 * tolerance:.3g} are not told "
            "apart)",
            image.source,
        )
