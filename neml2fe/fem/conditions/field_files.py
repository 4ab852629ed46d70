"""Nodal fields from files: tables of scattered points, and earlier results."""

from __future__ import annotations

import os
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import meshio
import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import LinearNDInterpolator
from scipy.spatial import cKDTree

from neml2fe.errors import InputError, suggest
from neml2fe.fem.collective import collectively
from neml2fe.fem.conditions.field_place import BoundField, Place
from neml2fe.fem.conditions.fields import Field, FieldTable, NodalField

Array = NDArray[np.float64]
METHODS = ("linear", "nearest")


@dataclass(frozen=True, eq=False)
class ScatteredField(Field):
    """Values `(n, ...)` at scattered `points` `(n, dim)`, taken over to the nodes of the mesh.

    `method`: "nearest", or "linear" between the points (on a Delaunay triangulation) and nearest
    outside of their hull.
    """

    points: Array
    values: Array
    method: str = "linear"

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise InputError(f"the method is 'linear' or 'nearest', not '{self.method}'")
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
            return self.interpolated(place.local.points)

        values = collectively(place.local.comm, nodal, every_rank=True)
        return NodalField(lambda _: values).at(place)

    def interpolated(self, x: Array) -> Array:
        """Values at places `(m, dim)`; further coordinates of the points are left out."""
        points = self.points[:, : x.shape[1]]
        nearest = self.values[cKDTree(points).query(x)[1]]
        if self.method == "nearest" or len(points) <= x.shape[1]:
            return nearest
        found = LinearNDInterpolator(points, self.values)(x)
        outside = ~np.isfinite(found).all(axis=tuple(range(1, found.ndim)))
        found[outside] = nearest[outside]
        return found


def field_from_csv(path: str | os.PathLike[str], method: str = "linear") -> ScatteredField:
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
    return ScatteredField(table[:, :-1], table[:, -1], method)


def field_from_result(path: str | os.PathLike[str], name: str, method: str = "linear") -> Field:
    """Point data `name` of an earlier result: of one `.vtu` file, or over time of the series of a
    `.pvd`. Nodes take the values of the place where they are.

    Raises `InputError` for files that are missing or damaged or hold no such data.
    """
    path = Path(path)
    if path.suffix != ".pvd":
        return _of_file(path, name, method)
    times, files = _series(path)
    return FieldTable(times, [_of_file(file, name, method) for file in files])


def _series(path: Path) -> tuple[list[float], list[Path]]:
    try:
        sets = ElementTree.parse(path).getroot().iter("DataSet")
        entries = sorted((float(s.attrib["timestep"]), s.attrib["file"]) for s in sets)
    except (OSError, ElementTree.ParseError, KeyError, ValueError) as error:
        raise InputError(f"cannot read the series: {error}", str(path)) from error
    if not entries:
        raise InputError("the series is empty", str(path))
    return [time for time, _ in entries], [path.parent / file for _, file in entries]


def _of_file(path: Path, name: str, method: str) -> ScatteredField:
    try:
        mesh: Any = meshio.read(path)
    except (Exception, SystemExit) as error:  # meshio ends the process at some damaged files
        raise InputError(f"cannot read the result: {error}", str(path)) from error
    if name not in mesh.point_data:
        near = suggest(name, mesh.point_data)
        raise InputError(f"the result has no point data '{name}'{near}", str(path))
    values = np.asarray(mesh.point_data[name], dtype=np.float64)
    return ScatteredField(np.asarray(mesh.points, dtype=np.float64), values, method)
