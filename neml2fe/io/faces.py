"""From cells to what a picture shows: polygons, the outer surface, outlines, triangles.

Node numbering is meshio's (VTK's). A polygon runs around the element through its corner
and mid-side nodes; a node at the middle of a face is not part of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neml2fe.errors import InputError, suggest

Index = NDArray[np.int64]

# Walk around each plane element, corners and mid-sides in turn.
_PLANE: dict[str, list[int]] = {
    "triangle": [0, 1, 2],
    "triangle6": [0, 3, 1, 4, 2, 5],
    "quad": [0, 1, 2, 3],
    "quad8": [0, 4, 1, 5, 2, 6, 3, 7],
    "quad9": [0, 4, 1, 5, 2, 6, 3, 7],
}

# Faces of each solid element, walked so that the normal points outwards.
_TETRA = [[0, 2, 1], [0, 1, 3], [1, 2, 3], [0, 3, 2]]
_TETRA10 = [
    [0, 6, 2, 5, 1, 4],
    [0, 4, 1, 8, 3, 7],
    [1, 5, 2, 9, 3, 8],
    [0, 7, 3, 9, 2, 6],
]
_HEX = [[0, 3, 2, 1], [4, 5, 6, 7], [0, 1, 5, 4], [1, 2, 6, 5], [2, 3, 7, 6], [3, 0, 4, 7]]
_HEX20 = [
    [0, 11, 3, 10, 2, 9, 1, 8],
    [4, 12, 5, 13, 6, 14, 7, 15],
    [0, 8, 1, 17, 5, 12, 4, 16],
    [1, 9, 2, 18, 6, 13, 5, 17],
    [2, 10, 3, 19, 7, 14, 6, 18],
    [3, 11, 0, 16, 4, 15, 7, 19],
]
_WEDGE = [[0, 2, 1], [3, 4, 5], [0, 1, 4, 3], [1, 2, 5, 4], [2, 0, 3, 5]]
_SOLID: dict[str, list[list[int]]] = {
    "tetra": _TETRA,
    "tetra10": _TETRA10,
    "wedge": _WEDGE,
    "hexahedron": _HEX,
    "hexahedron20": _HEX20,
    "hexahedron27": _HEX20,
}


@dataclass(frozen=True)
class Polygons:
    """Polygons with the same number of nodes. nodes: (m, k); cell: (m,) their cells' numbers."""

    nodes: Index
    cell: Index

    @property
    def order(self) -> int:
        """1 where the polygon has corners only, 2 where mid-side nodes alternate with them."""
        return 1 if self.nodes.shape[1] <= 4 else 2


def polygons(cells: Sequence[tuple[str, ArrayLike]]) -> tuple[list[Polygons], bool]:
    """The polygons to draw, and whether the mesh is solid.

    Plane elements are their own polygon; of solid ones, the faces that belong to one
    element only. Cells are numbered through all blocks.

    Raises:
        InputError: for a cell type that is neither, or a mixture of both.
    """
    kinds = [kind for kind, _ in cells]
    for kind in kinds:
        if kind not in _PLANE and kind not in _SOLID:
            raise InputError(
                f"cells of type '{kind}' cannot be drawn{suggest(kind, [*_PLANE, *_SOLID])}"
            )
    solid = any(kind in _SOLID for kind in kinds)
    if solid and any(kind in _PLANE for kind in kinds):
        raise InputError(f"plane and solid cells cannot be drawn together: {', '.join(kinds)}")
    found: list[Polygons] = []
    first = 0
    for kind, connectivity in cells:
        nodes = np.asarray(connectivity, dtype=np.int64)
        cell = np.arange(first, first + len(nodes))
        first += len(nodes)
        for walk in _SOLID[kind] if solid else [_PLANE[kind]]:
            found.append(Polygons(nodes[:, walk], cell))
    return (_outer(found) if solid else found), solid


def _outer(faces: list[Polygons]) -> list[Polygons]:
    """The faces whose set of corner nodes occurs once."""
    keys = np.full((sum(len(f.nodes) for f in faces), 4), -1, dtype=np.int64)
    row = 0
    for f in faces:
        corners = np.sort(f.nodes[:, :: f.order], axis=1)
        keys[row : row + len(corners), : corners.shape[1]] = corners
        row += len(corners)
    _, which, count = np.unique(keys, axis=0, return_inverse=True, return_counts=True)
    single = np.split(count[which.ravel()] == 1, np.cumsum([len(f.nodes) for f in faces])[:-1])
    return [Polygons(f.nodes[keep], f.cell[keep]) for f, keep in zip(faces, single, strict=True)]


def normals(points: NDArray[np.float64], nodes: Index) -> NDArray[np.float64]:
    """Unit normals (m, 3) of polygons nodes (m, k) at points (n, 3), from their vector area."""
    x = points[nodes]
    area = np.cross(x, np.roll(x, -1, axis=1)).sum(axis=1)
    length = np.linalg.norm(area, axis=1, keepdims=True)
    return area / np.where(length > 0, length, 1.0)


def outline(points: NDArray[np.float64], found: list[Polygons], creases: bool) -> Index:
    """Segments (s, 2) of the boundary and, if asked, creases where normals turn by 40 degrees."""
    segments, facing = [], []
    for p in found:
        segments.append(np.stack([p.nodes, np.roll(p.nodes, -1, axis=1)], axis=-1).reshape(-1, 2))
        facing.append(np.repeat(normals(points, p.nodes), p.nodes.shape[1], axis=0))
    ends = np.sort(np.concatenate(segments), axis=1)
    normal = np.concatenate(facing)
    unique, which, count = np.unique(ends, axis=0, return_inverse=True, return_counts=True)
    if not creases:
        return unique[count == 1]
    # |sum of two unit normals| = 2 cos(half the angle between them)
    total = np.stack([np.bincount(which.ravel(), normal[:, i]) for i in range(3)], axis=-1)
    turned = np.linalg.norm(total, axis=1) < 2 * np.cos(np.radians(20.0))
    return unique[(count == 1) | ((count == 2) & turned)]


def triangles(p: Polygons) -> tuple[Index, Index]:
    """Triangles (t, 3) that fill the polygons, and the polygon (t,) that each one fills."""
    k = p.nodes.shape[1]
    split = {
        3: [[0, 1, 2]],
        4: [[0, 1, 2], [0, 2, 3]],
        6: [[0, 1, 5], [1, 2, 3], [3, 4, 5], [1, 3, 5]],
        8: [[0, 1, 7], [1, 2, 3], [3, 4, 5], [5, 6, 7], [1, 3, 5], [1, 5, 7]],
    }[k]
    filled = p.nodes[:, split].reshape(-1, 3)
    return filled, np.repeat(np.arange(len(p.nodes)), len(split))
