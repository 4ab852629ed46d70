"""A time series of fields for ParaView: one `.vtu` file a step and a `.pvd` list of the times.

Shapes decide how an array is written, one row a node or cell:

| shape of a row | meaning | components in the file |
|---|---|---|
| `()` | scalar | 1 |
| `(2,)` or `(3,)` | vector | X, Y, Z (Z = 0 is added in 2-D) |
| `(6,)` | symmetric tensor in Mandel form | XX, YY, ZZ, XY, YZ, XZ, the true components |
| `(3, 3)` | tensor | XX, XY, XZ, YX, ... by rows |
| `(k,)` otherwise | k values | as given |

XX, YY, ZZ, XY, YZ, XZ is the order in which ParaView labels six components. Mandel
shears are stored multiplied by sqrt(2), so they are divided by it here.
"""

from __future__ import annotations

import math
import os
import re
import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from pathlib import Path

import meshio
import numpy as np
from numpy.typing import ArrayLike, NDArray

from neml2fe.errors import InputError, OutputError
from neml2fe.io.paths import cannot_write, replacing

# Mandel order 11, 22, 33, 23, 13, 12 -> XX, YY, ZZ, XY, YZ, XZ
_PARAVIEW_ORDER = [0, 1, 2, 5, 3, 4]
_PARAVIEW_SCALE = np.array([1.0, 1.0, 1.0, math.sqrt(0.5), math.sqrt(0.5), math.sqrt(0.5)])


def symmetric_tensor(mandel: ArrayLike) -> NDArray[np.float64]:
    """True components XX, YY, ZZ, XY, YZ, XZ, shape (..., 6), of a Mandel array (..., 6)."""
    return np.asarray(mandel, dtype=np.float64)[..., _PARAVIEW_ORDER] * _PARAVIEW_SCALE


def mises(mandel: ArrayLike) -> NDArray[np.float64]:
    """Von Mises norm sqrt(3/2 s:s), shape (...), of a Mandel stress (..., 6), s its deviator."""
    stress = np.asarray(mandel, dtype=np.float64)
    deviator = stress.copy()
    deviator[..., :3] -= stress[..., :3].mean(axis=-1, keepdims=True)
    return np.sqrt(1.5 * np.square(deviator).sum(axis=-1))


class VtuSeries:
    """Writes `directory/stem_0000.vtu`, `stem_0001.vtu`, ... and the series `stem.pvd`.

    `stem.pvd` is renewed after each step and lists complete files only, so the series
    can be opened while the run goes on and after it was killed. The first step of a new
    series removes the numbered files that an earlier run left under the same stem.
    """

    def __init__(self, directory: str | os.PathLike[str], stem: str) -> None:
        self.directory = Path(directory)
        self.stem = stem
        self._entries: list[tuple[float, str]] = []

    @property
    def path(self) -> Path:
        """The `.pvd` file, the one to open in ParaView."""
        return self.directory / f"{self.stem}.pvd"

    def resume(self, time: float) -> int:
        """Continue the series on disk after `time`; later steps are dropped.

        Returns:
            The number of steps kept; 0 where no series was written before.

        Raises:
            OutputError: if the `.pvd` file is damaged or cannot be renewed.
        """
        if not self.path.exists():
            return 0
        try:
            listed = ET.parse(self.path).getroot().iterfind("Collection/DataSet")
            entries = [(float(item.attrib["timestep"]), item.attrib["file"]) for item in listed]
        except (ET.ParseError, KeyError, ValueError, OSError) as error:
            raise OutputError(f"cannot continue the series {self.path}: {error}") from error
        self._entries = [entry for entry in entries if entry[0] <= time]
        self._write_list()
        self._remove_unlisted()
        return len(self._entries)

    def write(
        self,
        time: float,
        points: ArrayLike,
        cells: Sequence[tuple[str, ArrayLike]],
        point_data: Mapping[str, ArrayLike] | None = None,
        cell_data: Mapping[str, Sequence[ArrayLike]] | None = None,
    ) -> Path:
        """Write the fields at `time`, which must be later than the step before.

        Args:
            points: Coordinates, (n, 2) or (n, 3).
            cells: Blocks of meshio cell type and connectivity (cells, nodes).
            point_data: Fields by name, n rows each.
            cell_data: Fields by name, one array a block, one row a cell.

        Raises:
            InputError: if a field does not fit the mesh or time does not advance.
            OutputError: if the file cannot be written; earlier steps stay readable.
        """
        last = self._entries[-1][0] if self._entries else -math.inf
        if not (math.isfinite(time) and time > last):
            raise InputError(f"time {time} of series {self.path} must be later than {last}")
        mesh = _mesh(points, cells, point_data or {}, cell_data or {})
        path = self.directory / f"{self.stem}_{len(self._entries):04d}.vtu"
        with replacing(path) as temporary:
            meshio.vtu.write(str(temporary), mesh, binary=True, compression="zlib")
        self._entries.append((float(time), path.name))
        self._write_list()
        if len(self._entries) == 1:
            self._remove_unlisted()
        return path

    def _write_list(self) -> None:
        root = ET.Element("VTKFile", type="Collection", version="0.1")
        collection = ET.SubElement(root, "Collection")
        for time, name in self._entries:
            ET.SubElement(collection, "DataSet", timestep=repr(time), part="0", file=name)
        ET.indent(root)
        with replacing(self.path) as temporary:
            ET.ElementTree(root).write(temporary, encoding="utf-8", xml_declaration=True)

    def _remove_unlisted(self) -> None:
        listed = {name for _, name in self._entries}
        numbered = re.compile(re.escape(self.stem) + r"_\d{4,}\.vtu")
        for path in self.directory.iterdir():
            if numbered.fullmatch(path.name) and path.name not in listed:
                try:
                    path.unlink()
                except OSError as error:
                    raise cannot_write(path, error) from error


def _mesh(
    points: ArrayLike,
    cells: Sequence[tuple[str, ArrayLike]],
    point_data: Mapping[str, ArrayLike],
    cell_data: Mapping[str, Sequence[ArrayLike]],
) -> meshio.Mesh:
    x = np.asarray(points, dtype=np.float64)
    if x.ndim != 2 or x.shape[1] not in (2, 3):
        raise InputError(f"points must have shape (n, 2) or (n, 3), not {x.shape}")
    blocks = [(kind, np.asarray(nodes, dtype=np.int64)) for kind, nodes in cells]
    for name, parts in cell_data.items():
        if len(parts) != len(blocks):
            raise InputError(
                f"cell field '{name}' has {len(parts)} arrays; the mesh has {len(blocks)} blocks"
            )
    return meshio.Mesh(
        _vectors(x),
        blocks,
        point_data={name: _field(name, data, len(x)) for name, data in point_data.items()},
        cell_data={
            name: [
                _field(name, part, len(nodes))
                for part, (_, nodes) in zip(parts, blocks, strict=True)
            ]
            for name, parts in cell_data.items()
        },
    )


def _vectors(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n, 2) or (n, 3) -> (n, 3)."""
    return np.pad(x, ((0, 0), (0, 3 - x.shape[1])))


def _field(name: str, data: ArrayLike, rows: int) -> NDArray[np.generic]:
    """Bring a field to the components that the table at the top of this file lists."""
    x = np.asarray(data)
    if x.dtype.kind not in "biuf":
        raise InputError(f"field '{name}' holds {x.dtype}, which is not a real number")
    if x.ndim == 0 or len(x) != rows:
        raise InputError(f"field '{name}' has shape {x.shape}; {rows} rows are needed")
    x = x.astype(np.float64 if x.dtype.kind == "f" else np.int64)
    if x.ndim == 1:
        return x
    if x.shape[1:] == (1,):
        return x[:, 0]
    if x.shape[1:] in ((2,), (3,)):
        return _vectors(x)
    if x.shape[1:] == (6,):
        return symmetric_tensor(x)
    return x.reshape(rows, -1)
