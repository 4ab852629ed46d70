"""Virtual strain gauges: strains of full fields through the same filter, measured or simulated."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from scipy.spatial import cKDTree
from torch import Tensor

from neml2fe.calibration.fullfield.field import FullField
from neml2fe.calibration.fullfield.linear import linear
from neml2fe.calibration.fullfield.measures import MEASURES, mandel
from neml2fe.calibration.fullfield.windows import (
    COEFFICIENTS,
    Ints,
    Mask,
    Windows,
    find_windows,
    slope_rows,
)
from neml2fe.errors import InputError, suggest

Array = NDArray[np.float64]


@dataclass(frozen=True)
class StrainGauge:
    """How strain is found from displacement: a polynomial of `order` 1 or 2, fitted by least
    squares to the points of a window around each one.

    The window is a square of `window` points a side (odd; for grids in the plane), or all points
    within a `radius` (clouds, and surfaces in space). `weights` are uniform, or gaussian: 10 % at
    half the window's width. `measure`: small, green_lagrange or logarithmic. A window counts if
    `least` of its points are valid; by default twice as many as the polynomial has coefficients.
    The virtual gauge is as long as the window plus one subset.

    Raises `InputError` for options that cannot be.
    """

    window: int | None = None
    radius: float | None = None
    order: int = 1
    weights: str = "uniform"
    measure: str = "green_lagrange"
    least: int | None = None

    def __post_init__(self) -> None:
        if (self.window is None) == (self.radius is None):
            raise InputError("a strain gauge needs a window or a radius, one of them")
        if self.window is not None and (self.window < 3 or self.window % 2 == 0):
            raise InputError(f"a window is an odd number of points from 3 on, got {self.window}")
        if self.radius is not None and not 0.0 < self.radius < math.inf:
            raise InputError(f"the radius must be positive, got {self.radius:g}")
        if self.order not in COEFFICIENTS:
            raise InputError(f"the order of a strain gauge is 1 or 2, got {self.order}")
        if self.weights not in ("uniform", "gaussian"):
            raise InputError(f"weights are 'uniform' or 'gaussian', not '{self.weights}'")
        if self.measure not in MEASURES:
            near = suggest(self.measure, MEASURES)
            raise InputError(f"there is no strain measure '{self.measure}'{near}")
        if self.least is not None and self.least < COEFFICIENTS[self.order]:
            raise InputError(
                f"a polynomial of order {self.order} needs at least {COEFFICIENTS[self.order]} "
                f"points, least is {self.least}"
            )

    @property
    def least_points(self) -> int:
        """Fewer valid points in a window give no strain."""
        return self.least or 2 * COEFFICIENTS[self.order]

    def on(self, field: FullField) -> StrainWindows:
        """The gauges at all points of a field. Raises `InputError` where no window has points
        enough, and for square windows on a surface in space."""
        points = field.points
        if self.window is not None and points.shape[1] == 3:
            raise InputError("square windows are for points in a plane; give a radius")
        if self.radius is not None:
            size = self.radius
        else:
            assert self.window is not None
            if len(points) < 2:
                raise InputError("a strain window needs more than one point")
            step = float(np.median(cKDTree(points).query(points, k=2)[0][:, 1]))
            size = 0.5 * (self.window - 1) * step
        windows = find_windows(
            points, size, self.order, self.window is not None, self.weights == "gaussian"
        )
        there: Mask = np.all(field.valid, axis=2)
        ever = np.any(there, axis=0)
        patterns, which = np.unique(there, axis=0, return_inverse=True)
        rows, good = slope_rows(windows, np.concatenate([ever[None], patterns]), self.least_points)
        centres = np.flatnonzero(good[0] & ever)
        if not len(centres):
            raise InputError(
                f"no strain window has {self.least_points} points that are not on a line, the "
                f"fullest has {np.diff(windows.starts).max()}: take a larger one"
            )
        valid = good[1 + which.reshape(-1)] & there
        return StrainWindows(
            self, field, centres, windows.part(centres), rows[:, centres],
            1 + which.reshape(-1), valid[:, centres],
        )  # fmt: skip


class StrainWindows:
    """Strain `(T, n, 3)` at n of the points, as a function of displacements `(T, m, c)`.

    Components are those of Mandel's notation along the surface: 11, 22 and sqrt(2) times 12. In
    the plane these are x and y. On a surface in space 1 is x projected onto it (z where it faces
    x), and 2 follows about the normal.

    Points that are missing in the measured field are left out of its windows, for simulated
    displacements as well. `centres` `(n,)` are the indices of the points with a strain, `valid`
    `(T, n)` is where it is: the point itself is there, and enough others in its window.
    """

    def __init__(
        self,
        gauge: StrainGauge,
        field: FullField,
        centres: Ints,
        windows: Windows,
        rows: Array,
        which: Ints,
        valid: Mask,
    ) -> None:
        """`rows` `(P, n, 2, q)` of `slope_rows`, the first for all points that are ever there;
        `which` `(T,)` of them are those of each image. Made by `StrainGauge.on`."""
        self.gauge, self.field, self.centres, self.valid = gauge, field, centres, valid
        m, dim = field.points.shape
        self._windows, self._rows = windows, rows
        self.patterns = which
        """`(T,)`: equal for images that lack the same points"""
        used = rows[which] if len(rows) > 2 else rows[1:]
        self._inverse = torch.from_numpy(used)
        self._moments = windows.moments(m)
        self._there = torch.from_numpy(np.all(field.valid, axis=2))
        tangents = np.zeros((len(centres), field.displacements.shape[2], 2))
        tangents[:, :dim] = windows.tangents
        self._tangents = torch.from_numpy(tangents)

    @property
    def points(self) -> Array:
        """`(n, dim)`: where the strains are."""
        return self.field.points[self.centres]

    def describe(self) -> str:
        """How many points have a strain, and why others have none."""
        m, n = len(self.field.points), len(self.centres)
        least = self.gauge.least_points
        text = f"strain at {n} of {m} points"
        if n < m:
            text += f"; the windows of {m - n} have fewer than {least} points, or on a line"
        missing = 100.0 * (1.0 - self.valid.mean())
        return text + f"; {missing:.2g} % missing over the images"

    def gradients(self, displacements: Tensor) -> Tensor:
        """`(T, n, c, 2)`: derivatives of displacements `(T, m, c)` along the surface, zero where
        there is none. What is given at missing points has no influence."""
        T, m, c = displacements.shape
        if (T, m, c) != self.field.displacements.shape:
            raise InputError(
                f"displacements of shape {(T, m, c)} for strain windows on a field of shape "
                f"{self.field.displacements.shape}"
            )
        u = torch.where(self._there.to(displacements.device)[..., None], displacements, 0.0)
        M = self._moments
        b = linear(u.transpose(0, 1), lambda x: M @ x, lambda x: M.T @ x)
        b = b.reshape(len(self.centres), -1, T, c)
        inverse = self._inverse.to(displacements).expand(T, -1, -1, -1)
        return torch.einsum("tnkq,nqtc->tnck", inverse, b)

    def __call__(self, displacements: Tensor) -> Tensor:
        """Strain `(T, n, 3)` of displacements `(T, m, c)`; NaN where not `valid`."""
        measure = MEASURES[self.gauge.measure]
        strain = mandel(measure(self._tangents.to(displacements), self.gradients(displacements)))
        valid = torch.from_numpy(self.valid).to(displacements.device)
        return torch.where(valid[..., None], strain, torch.nan)

    def small_strain(self, image: int) -> list[sparse.csr_matrix]:
        """For each component of displacement `(3 n, m)`, from its values at the points of an image
        to its part of the strain `(n, 3)`, at small strains; not to be used where not `valid`."""
        pattern = self.patterns[image]
        m = len(self.field.points)
        there = sparse.diags(self._there[image].numpy().astype(np.float64))
        slopes = self._windows.slopes(self._rows[pattern], m) @ there
        D1, D2 = slopes[::2], slopes[1::2]
        n = len(self.centres)
        order = np.arange(3 * n).reshape(3, n).T.reshape(-1)
        found = []
        for t1, t2 in self._tangents.numpy().transpose(1, 2, 0):  # of each component
            T1, T2 = sparse.diags(t1), sparse.diags(t2)
            parts = [T1 @ D1, T2 @ D2, math.sqrt(0.5) * (T1 @ D2 + T2 @ D1)]
            found.append(sparse.vstack(parts).tocsr()[order])
        return found
