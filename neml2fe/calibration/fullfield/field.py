"""`FullField`: displacements that cameras measured at many points, image by image."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from neml2fe.calibration.fullfield.correlation import Correlation, Whitening
from neml2fe.calibration.fullfield.data import Array, Images, Index
from neml2fe.calibration.fullfield.interpolation import (
    between,
    checked_times,
    mixed,
    mixed_deviation,
)
from neml2fe.calibration.fullfield.masks import in_box, in_polygon, spread_out
from neml2fe.calibration.fullfield.rigid import RigidMotion, RigidMotionRemoval
from neml2fe.errors import ConvergenceError, InputError


@dataclass(frozen=True, eq=False)
class FullField(Images):
    """Displacements `(T, m, c)` of m `points` `(m, dim)` at the `times` `(T,)` of T images.

    Points are where they were in the undeformed body. NaN displacements are missing ones. c is
    dim, or 3 where points on a plane are seen to move in space. Units are those of the mesh
    (`in_frame` brings pixels there).

    `noise` is the standard deviation of a displacement: a number, or an array of `(c,)`, `(m, c)`
    or `(T, m, c)` with ones for what does not change; None: not known, residuals are then plain
    differences. `correlation` is that of the noise at two points, as a function of their distance
    or a matrix `(m, m)`, dense or sparse; with noise = 1 the matrix is the covariance of each
    component. `confidence` `(T, m)` is what the software says of the quality of a point.

    Raises `InputError` for shapes and values that cannot be.
    """

    # --- points and images to take ----------------------------------------------------
    def masked(
        self,
        where: ArrayLike | None = None,
        *,
        polygon: ArrayLike | None = None,
        box: tuple[ArrayLike, ArrayLike] | None = None,
        outside: bool = False,
        confidence: tuple[float, float] | None = None,
    ) -> FullField:
        """Only what fulfils all of: `where` `(m,)` or `(T, m)`; within a `polygon` `(k, 2)` of x
        and y and a `box` of two corners (not within, if `outside`); `confidence` in a range.

        Points of which no image is left are taken out. Raises `InputError` if none remain.
        """
        keep = np.ones(self.displacements.shape[:2], dtype=bool)
        if where is not None:
            given = np.asarray(where)
            if given.dtype != bool or given.shape not in (keep.shape, keep.shape[1:]):
                raise InputError(f"a mask is of bool and {keep.shape[1:]} or {keep.shape}")
            keep &= given
        if polygon is not None:
            keep &= in_polygon(self.points, polygon) != outside
        if box is not None:
            keep &= in_box(self.points, box) != outside
        if confidence is not None:
            if self.confidence is None:
                raise InputError("the full field has no confidence to mask by")
            keep &= (self.confidence >= confidence[0]) & (self.confidence <= confidence[1])
        u = np.where(keep[..., None], self.displacements, np.nan)
        return replace(self, displacements=u).at_points(
            np.flatnonzero(np.isfinite(u).any(axis=(0, 2)))
        )

    def complete(self) -> FullField:
        """The points that no image lacks."""
        return self.at_points(np.flatnonzero(self.valid.all(axis=(0, 2))))

    def thinned(self, *, step: int | None = None, count: int | None = None) -> FullField:
        """Each `step`-th point in the order of the data, or `count` points far from each other."""
        if (step is None) == (count is None):
            raise InputError("thin by a step or by a count, one of them")
        if (step or count or 0) < 1:
            raise InputError("the step and the count of thinning are at least 1")
        if step is not None:
            return self.at_points(np.arange(0, len(self.points), step))
        assert count is not None
        return self.at_points(spread_out(self.points, min(count, len(self.points))))

    def at_times(
        self, times: ArrayLike, method: str = "linear", within: float | None = None
    ) -> FullField:
        """Images at other times, as those of a load cell.

        `linear`: between the images before and after; missing where one of them is; the noise is
        that of the mean of independent images. `nearest`: the image itself, no farther off than
        `within` (by default half of the median interval), each for one time at the most. Raises
        `InputError` for times that no image can serve.
        """
        wanted = checked_times(np.atleast_1d(np.asarray(times, dtype=np.float64)), "at_times")
        if method == "nearest":
            return replace(self.at_images(self._nearest(wanted, within)), times=wanted)
        if method != "linear":
            raise InputError(f"the method is 'linear' or 'nearest', not '{method}'")
        left, share = between(self.times, wanted, "full field")
        noise, confidence = self.noise, self.confidence
        return replace(
            self,
            times=wanted,
            displacements=mixed(self.displacements, left, share),
            noise=None if noise is None else mixed_deviation(np.asarray(noise), left, share),
            confidence=None if confidence is None else mixed(confidence, left, share),
        )

    def _nearest(self, wanted: Array, within: float | None) -> Index:
        if within is None:
            within = 0.5 * float(np.median(np.diff(self.times))) if len(self.times) > 1 else 0.0
        right = np.clip(np.searchsorted(self.times, wanted), 1, max(len(self.times) - 1, 1))
        sides = np.minimum(np.stack([right - 1, right]), len(self.times) - 1)
        gaps = np.abs(self.times[sides] - wanted)
        found = np.where(gaps[1] < gaps[0], sides[1], sides[0])
        far = gaps.min(axis=0) > within * (1.0 + 1e-9)
        if far.any():
            t = wanted[far][0]
            raise InputError(
                f"{int(far.sum())} of {len(wanted)} times have no image within {within:.6g}; the "
                f"first is {t:.9g}, the image nearest to it at {self.times[found[far][0]]:.9g}"
            )
        if (np.diff(found) == 0).any():
            t = wanted[:-1][np.diff(found) == 0][0]
            raise InputError(
                f"one image would serve two times, {t:.9g} and the next: take fewer, or 'linear'"
            )
        return found

    # --- motion and axes --------------------------------------------------------------
    def relative_to(self, image: int = 0) -> FullField:
        """With the image of this index as the undeformed state: points move to where they are in
        it, its displacements are subtracted from all. Points that it lacks are left out.

        The variance of the noise becomes the sum of both images'. What all images then have in
        common, the noise of the first, is not known to `whitened`: one error of a point counts in
        each image as if it were another, so that intervals from many images are too narrow. The
        mean of several images at rest is the better reference."""
        first = self.displacements[image]
        there = np.isfinite(first).all(axis=1)
        moved = self.points + first[:, : self.points.shape[1]]
        noise = None if self.noise is None else np.asarray(self.noise)
        if noise is not None:
            noise = np.hypot(noise, noise[image if len(noise) > 1 else 0])
            noise = np.where(there[:, None], noise, 1.0)  # of points to be left out
        return replace(
            self,
            points=np.where(there[:, None], moved, 0.0),
            displacements=self.displacements - first,
            noise=noise,
        ).at_points(there)

    def rigid_motion_removal(self, points: ArrayLike | None = None) -> RigidMotionRemoval:
        """The function that takes rigid motion out, for simulated displacements `(T, m, c)` too.

        The motion is fitted to the `points` of this mask `(m,)` (None: all) in each image where
        they are valid, each weighted by 1 / the mean variance of its components. Raises
        `InputError` where they are too few.
        """
        used = self.valid.all(axis=2)
        if points is not None:
            chosen = np.asarray(points)
            if chosen.dtype != bool or chosen.shape != used.shape[1:]:
                raise InputError(f"the points of a rigid motion are a mask {used.shape[1:]}")
            used = used & chosen
        weights = None
        if self.noise is not None:
            variance = np.square(np.asarray(self.noise)).mean(axis=2)
            share = np.broadcast_to(variance.mean() if variance.size == 1 else variance, used.shape)
            weights = torch.from_numpy(np.where(used, 1.0 / np.where(used, share, 1.0), 0.0))
        return RigidMotionRemoval(torch.from_numpy(self.positions), torch.from_numpy(used), weights)

    def without_rigid_motion(
        self, points: ArrayLike | None = None
    ) -> tuple[FullField, RigidMotion]:
        """What is left of each image without its rigid motion, and the motions."""
        removal = self.rigid_motion_removal(points)
        u = torch.from_numpy(self.displacements)
        motion = removal.motion(u)
        left = motion.removed_from(u, removal.points)
        return replace(self, displacements=left.numpy()), motion

    def in_frame(
        self,
        origin: ArrayLike | None = None,
        axes: ArrayLike | None = None,
        scale: float = 1.0,
    ) -> FullField:
        """In the axes and the unit of the mesh: x' = scale * axes (x - origin).

        `origin` `(dim,)` is the mesh's in coordinates of the data, `axes` `(dim, dim)` has the
        directions of the mesh's axes in its rows ([[1, 0], [0, -1]] where the y of an image goes
        down), `scale` is the size of one unit of the data (mm per pixel). Noise goes along; where
        its deviations differ by component, correlations that axes at a slant bring are left out.
        Raises `InputError` for axes that are not orthonormal.
        """
        dim, c = self.points.shape[1], self.displacements.shape[2]
        x0 = np.zeros(dim) if origin is None else np.asarray(origin, dtype=np.float64)
        rows = np.eye(dim) if axes is None else np.asarray(axes, dtype=np.float64)
        if x0.shape != (dim,) or not np.isfinite(x0).all():
            raise InputError(f"the origin has {dim} finite coordinates, got {x0.tolist()}")
        if rows.shape != (dim, dim) or not np.allclose(rows @ rows.T, np.eye(dim), atol=1e-6):
            raise InputError(
                f"the axes are {dim} orthonormal rows of {dim} components, got {rows.tolist()}"
            )
        if not 0.0 < scale < np.inf:
            raise InputError(f"the scale must be a positive number, got {scale:g}")
        all_rows = np.eye(c)
        all_rows[:dim, :dim] = rows
        noise, correlation = self.noise, self.correlation
        if noise is not None:
            noise = scale * np.asarray(noise)
            if noise.shape[2] > 1:
                noise = np.sqrt(np.square(noise) @ np.square(all_rows).T)
        if isinstance(correlation, Correlation):
            correlation = correlation.scaled(scale)
        return replace(
            self,
            points=scale * (self.points - x0) @ rows.T,
            displacements=scale * self.displacements @ all_rows.T,
            noise=noise,
            correlation=correlation,
        )

    def in_plane(self) -> FullField:
        """Without z and the displacement along it: for a mesh in two dimensions."""
        noise = None if self.noise is None else np.asarray(self.noise)[..., :2]
        u = self.displacements[..., :2]
        return replace(self, points=self.points[:, :2], displacements=u, noise=noise)

    # --- noise ------------------------------------------------------------------------
    def noise_floor(self, images: slice | NDArray[np.int64]) -> Array:
        """`(c,)`: the standard deviation in at least two images of the body at rest, about the
        mean of each point and without rigid motion."""
        rest = self.at_images(images)
        if len(rest.times) < 2:
            raise InputError("the noise floor needs at least two images of the body at rest")
        still, _ = rest.without_rigid_motion()
        u = still.displacements[:, still.valid.all(axis=(0, 2))]
        if not u.shape[1]:
            raise InputError("no point is valid in all images of the body at rest")
        return np.sqrt(u.var(axis=0, ddof=1).mean(axis=0))

    @cached_property
    def _whitening(self) -> Whitening:
        given = self.correlation
        assert given is not None
        matrix = given.matrix(self.points) if isinstance(given, Correlation) else given
        return Whitening(self.valid, matrix)

    def whitened(self, predicted: Tensor) -> Tensor:
        """`(k,)`: predicted - measured of the k valid entries, in standard deviations and made
        independent; differentiable by predicted `(T, m, c)`, which may be anything elsewhere.

        Without correlation by image, point and component; with it, each entry is a combination of
        one image and component. Raises `InputError` for another shape, `ConvergenceError` for a
        prediction that is not finite.
        """
        u = self.displacements
        if predicted.shape != u.shape:
            raise InputError(
                f"predicted displacements of shape {tuple(predicted.shape)} for measured ones of "
                f"shape {u.shape}"
            )
        at = torch.from_numpy(self.valid).to(predicted.device)
        bad = at & ~predicted.detach().isfinite()
        if bool(bad.any()):
            image, point, component = (int(i) for i in bad.nonzero()[0])
            raise ConvergenceError(
                f"{int(bad.sum())} predicted displacements that are compared with data are not "
                f"finite; the first is component {component + 1} of point {point + 1} in image "
                f"{image + 1}"
            )
        deviation = 1.0 if self.noise is None else self.noise
        scale = torch.from_numpy(np.broadcast_to(deviation, u.shape)[self.valid]).to(predicted)
        residual = (predicted[at] - torch.from_numpy(u).to(predicted)[at]) / scale
        if self.correlation is None:
            return residual
        return self._whitening(torch.zeros_like(predicted).masked_scatter(at, residual))
