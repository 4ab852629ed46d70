"""Nodal fields from files: tables of scattered points, and earlier results."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import meshio
import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import LinearNDInterpolator
from scipy.spatial import ConvexHull, QhullError, cKDTree

from neml2fe.errors import InputError, suggest
from neml2fe.fem.collective import collectively
from neml2fe.fem.conditions.field_place import BoundField, Place
from neml2fe.fem.conditions.fields import Field, FieldTable, NodalField
from neml2fe.io.vtu import read_pvd

Array = NDArray[np.float64]
METHODS = ("linear", "nearest")
OUTSIDE = ("error", "nearest")
CLOSE = 0.01
"""Distance outside of the points, as a share of their extent, that is none: meshes of one body
differ a little."""


@dataclass(frozen=True, eq=False)
class ScatteredField(Field):
    """Values `(n, ...)` at scattered `points` `(n, dim)`, taken over to the nodes of the mesh.

    `method`: "nearest", or "linear" between the points (on a Delaunay triangulation). `outside`:
    nodes outside of the convex hull of the points are an "error", or take the "nearest" value; up
    to 1 % of the extent of the points outside they always do.
    """

    points: Array
    values: Array
    method: str = "linear"
    outside: str = "error"

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise InputError(f"the method is 'linear' or 'nearest', not '{self.method}'")
        if self.outside not in OUTSIDE:
            raise InputError(f"outside is 'error' or 'nearest', not '{self.outside}'")
        if len(self.points) != len(self.values) or not len(self.points):
            raise InputError(
                f"scattered values need as many points as values, at least one; got "
                f"{len(self.points)} and {len(self.values)}"
            )

    def at(self, place: Place) -> BoundField:
        def nodal() -> Array:
            dim = place.local.dim
            if self.points.shape[1] < dim:
                raise InputError(
                    f"{place.what}: points of {self.points.shape[1]} coordinates for a {dim}-D mesh"
                )
            if self.outside == "error":
                self._check_inside(place)
            return self.interpolated(place.local.points)

        values = collectively(place.local.comm, nodal, every_rank=True)
        return NodalField(lambda _: values).at(place)

    def _check_inside(self, place: Place) -> None:
        """Raises `InputError` where nodes of the place's elements are outside of the points."""
        cells = place.local.cells[place.cells].connectivity[place.elements.cpu().numpy()]
        nodes = np.unique(cells)
        if not nodes.size:
            return
        distances = self.distances(place.local.points[nodes])
        extent = np.linalg.norm(np.ptp(self.points[:, : place.local.dim], axis=0))
        far = distances > CLOSE * extent
        if far.any():
            raise InputError(
                f"{place.what}: {int(far.sum())} of {len(nodes)} nodes are outside of the given "
                f"points, by up to {distances.max():.3g} where these extend over {extent:.3g}; "
                "check units and origin, or allow it by outside = 'nearest'"
            )

    def distances(self, x: Array) -> Array:
        """How far places `(m, dim)` are outside of the convex hull of the points, across its
        faces; from the nearest point where the points span no hull."""
        points = self.points[:, : x.shape[1]]
        try:
            planes = ConvexHull(points).equations
        except (QhullError, ValueError):  # too few, or all on a line or plane
            return np.asarray(cKDTree(points).query(x)[0])
        found = np.zeros(len(x))
        for *normal, offset in planes:
            np.maximum(found, x @ normal + offset, out=found)
        return found

    def interpolated(self, x: Array) -> Array:
        """Values at places `(m, dim)`, outside of the points the nearest; further coordinates of
        the points are left out."""
        points = self.points[:, : x.shape[1]]
        nearest = self.values[cKDTree(points).query(x)[1]]
        if self.method == "nearest" or len(points) <= x.shape[1]:
            return nearest
        try:
            found = LinearNDInterpolator(points, self.values)(x)
        except QhullError:
            raise InputError(
                f"the {len(points)} points are all on one line or plane; nothing is linear between "
                "them: take the method 'nearest'"
            ) from None
        outside = ~np.isfinite(found).all(axis=tuple(range(1, found.ndim)))
        found[outside] = nearest[outside]
        return found


def field_from_csv(
    path: str | os.PathLike[str], method: str = "linear", outside: str = "error"
) -> ScatteredField:
    """A scalar field from a table of x, y (, z) and the value, with one line of column names.

    Raises `InputError` for a file that is missing or no such table.
    """
    try:
        lines = Path(path).read_text().splitlines()
    except OSError as error:
        raise InputError(f"cannot read the field: {error.strerror}", os.fspath(path)) from error
    width = len(lines[0].split(",")) if lines else 0
    if width not in (3, 4):
        raise InputError("a table of a field has the columns x, y, value or x, y, z, value",
                         f"{os.fspath(path)}:1")  # fmt: skip
    rows = []
    for number, line in enumerate(lines[1:], 2):
        if not line.strip():
            continue
        try:
            row = [float(entry) for entry in line.split(",")]
        except ValueError as error:
            raise InputError(f"not a number: {error}", f"{os.fspath(path)}:{number}") from None
        if len(row) != width or not np.isfinite(row).all():
            raise InputError(f"{width} finite numbers are needed", f"{os.fspath(path)}:{number}")
        rows.append(row)
    if not rows:
        raise InputError("the table has no values", os.fspath(path))
    table = np.array(rows)
    return ScatteredField(table[:, :-1], table[:, -1], method, outside)


def field_from_result(
    path: str | os.PathLike[str], name: str, method: str = "linear", outside: str = "error"
) -> Field:
    """Point data `name` of an earlier result: of one `.vtu` file, or over time of the series of a
    `.pvd`. Nodes take the values of the place where they are.

    Raises `InputError` for files that are missing or damaged or hold no such data.
    """
    path = Path(path)
    if path.suffix != ".pvd":
        return _of_file(path, name, method, outside)
    times, files = read_pvd(path)
    return FieldTable(times, [_of_file(file, name, method, outside) for file in files])


def _of_file(path: Path, name: str, method: str, outside: str) -> ScatteredField:
    if not path.is_file():
        raise InputError("cannot read the result: there is no such file", str(path))
    try:
        mesh: Any = meshio.read(path)
    except (Exception, SystemExit) as error:  # meshio ends the process at some damaged files
        raise InputError(f"cannot read the result: {error}", str(path)) from error
    if name not in mesh.point_data:
        near = suggest(name, mesh.point_data)
        raise InputError(f"the result has no point data '{name}'{near}", str(path))
    values = np.asarray(mesh.point_data[name], dtype=np.float64)
    return ScatteredField(np.asarray(mesh.points, dtype=np.float64), values, method, outside)
