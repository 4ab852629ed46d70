"""How an array of field values becomes the components in a file, by the shape of its rows.

| shape of a row | meaning | components in the file |
|---|---|---|
| `()` | scalar | 1 |
| `(2,)` or `(3,)` | vector | X, Y, Z (Z = 0 is added in 2-D) |
| `(6,)` | symmetric tensor in Mandel form | XX, YY, ZZ, XY, YZ, XZ, the true components |
| `(3, 3)` | tensor | XX, XY, XZ, YX, ... by rows |
| any other | k values | as given |

XX, YY, ZZ, XY, YZ, XZ is the order in which ParaView labels six components. Mandel
shears are stored multiplied by sqrt(2), so they are divided by it here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import meshio
import numpy as np
from numpy.typing import ArrayLike, NDArray

from neml2fe.errors import InputError

# Mandel order 11, 22, 33, 23, 13, 12 -> XX, YY, ZZ, XY, YZ, XZ
_PARAVIEW_ORDER = [0, 1, 2, 5, 3, 4]
_PARAVIEW_SCALE = np.array([1.0, 1.0, 1.0, math.sqrt(0.5), math.sqrt(0.5), math.sqrt(0.5)])
# XX, YY, ZZ, XY, YZ, XZ -> XX, XY, XZ, YX, ..., ZZ
_FULL = [0, 3, 5, 3, 1, 4, 5, 4, 2]


def symmetric_tensor(mandel: ArrayLike) -> NDArray[np.float64]:
    """True components XX, YY, ZZ, XY, YZ, XZ, shape (..., 6), of a Mandel array (..., 6)."""
    return np.asarray(mandel, dtype=np.float64)[..., _PARAVIEW_ORDER] * _PARAVIEW_SCALE


def mises(mandel: ArrayLike) -> NDArray[np.float64]:
    """Von Mises norm sqrt(3/2 s:s), shape (...), of a Mandel stress (..., 6), s its deviator."""
    stress = np.asarray(mandel, dtype=np.float64)
    deviator = stress.copy()
    deviator[..., :3] -= stress[..., :3].mean(axis=-1, keepdims=True)
    return np.sqrt(1.5 * np.square(deviator).sum(axis=-1))


@dataclass(frozen=True)
class Fields:
    """A mesh (of one rank) and the fields on it.

    - `points`: coordinates, (n, 2) or (n, 3).
    - `cells`: blocks of meshio cell type and connectivity (cells, nodes).
    - `point_data`: by name, n rows each.
    - `cell_data`: by name, one array a block, one row a cell.
    """

    points: ArrayLike
    cells: Sequence[tuple[str, ArrayLike]]
    point_data: Mapping[str, ArrayLike]
    cell_data: Mapping[str, Sequence[ArrayLike]]

    def mesh(self, full_tensors: bool = False) -> meshio.Mesh:
        """The same in components; blocks without cells are left out.

        `full_tensors` writes symmetric tensors as XX, XY, XZ, YX, ... by rows. Raises
        `InputError` where a field does not fit the mesh.
        """
        x = np.asarray(self.points, dtype=np.float64)
        if x.ndim != 2 or x.shape[1] not in (2, 3):
            raise InputError(f"points must have shape (n, 2) or (n, 3), not {x.shape}")
        blocks = [(kind, np.asarray(nodes, dtype=np.int64)) for kind, nodes in self.cells]
        kept = [k for k, (_, nodes) in enumerate(blocks) if len(nodes)]
        cell_data = {}
        for name, parts in self.cell_data.items():
            if len(parts) != len(blocks):
                raise InputError(
                    f"cell field '{name}' has {len(parts)} arrays; the mesh has "
                    f"{len(blocks)} blocks"
                )
            converted = [
                components(name, part, len(nodes), full_tensors)
                for part, (_, nodes) in zip(parts, blocks, strict=True)
            ]
            cell_data[name] = [converted[k] for k in kept]
        point_data = {
            name: components(name, data, len(x), full_tensors)
            for name, data in self.point_data.items()
        }
        return meshio.Mesh(
            _vectors(x), [blocks[k] for k in kept], point_data=point_data, cell_data=cell_data
        )


def _vectors(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n, 2) or (n, 3) -> (n, 3)."""
    return np.pad(x, ((0, 0), (0, 3 - x.shape[1])))


def components(
    name: str, data: ArrayLike, rows: int, full_tensors: bool = False
) -> NDArray[np.generic]:
    """A field in the components that the table at the top of this file lists.

    Raises `InputError` for anything but `rows` rows of real numbers.
    """
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
        true = symmetric_tensor(x)
        return true[:, _FULL] if full_tensors else true
    return x.reshape(rows, int(np.prod(x.shape[1:])))
