"""The picture of a scalar field on a deformed mesh, plane or solid.

Everything is painted as flat polygons, which any matplotlib back end draws: a plane mesh
as it is, a solid one as the visible faces of its surface, seen orthographically, the
farthest first.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neml2fe.errors import InputError
from neml2fe.io import faces
from neml2fe.io.canvas import INK, WIDTH, figure


def field(
    path: str | os.PathLike[str],
    points: ArrayLike,
    cells: Sequence[tuple[str, ArrayLike]],
    values: ArrayLike | Sequence[ArrayLike],
    displacement: ArrayLike | None = None,
    scale: float | str = "auto",
    label: str = "",
    title: str = "",
) -> Path:
    """Draw a scalar field on the deformed mesh, with the undeformed outline.

    Plane meshes are seen from above; of solid ones, the outer surface from a corner.

    Args:
        points: Coordinates, (n, 2) or (n, 3).
        cells: Blocks of meshio cell type and connectivity: triangles, quadrilaterals,
            tetrahedra or hexahedra of order 1 or 2.
        values: An array (n,) of nodal values, or a list of arrays (cells,), one a block.
        displacement: (n, 2) or (n, 3); none draws the mesh as it is.
        scale: Factor on the displacement; "auto" makes small ones visible.
        label: Name and unit of the field, beside the colour bar.

    Raises:
        InputError: if shapes do not fit or a cell type cannot be drawn.
        OutputError: if the file cannot be written.
    """
    x = _three(points, "points")
    u = np.zeros_like(x) if displacement is None else _three(displacement, "displacement")
    if u.shape != x.shape:
        raise InputError(f"{len(u)} displacements are given for {len(x)} points")
    factor = _auto_scale(x, u) if scale == "auto" else float(scale)
    found, solid = faces.polygons(cells)
    nodal, data = _values(values, cells, len(x))

    turn = _VIEW if solid else np.eye(3)
    rest, deformed = x @ turn.T, (x + factor * u) @ turn.T
    outline = faces.outline(x, found, creases=solid)
    corners = np.concatenate([rest[outline], deformed[outline]])[..., :2].reshape(-1, 2)
    size = np.ptp(corners, axis=0)

    with figure(path, _field_size(size)) as page:
        from matplotlib import colormaps
        from matplotlib.cm import ScalarMappable
        from matplotlib.collections import LineCollection, PolyCollection
        from matplotlib.colors import Normalize

        axes = page.add_subplot(aspect="equal")
        low, high = np.nanmin(data), np.nanmax(data)
        note = f"{low:.4g} to {high:.4g}"
        spread = 0.0 if high > low else 0.5 * abs(low) or 1.0  # a constant field is mid-scale
        colour = ScalarMappable(
            Normalize(low - spread, high + spread),
            colormaps["viridis"].with_extremes(bad="#c4c4c4"),
        )
        items = _painted(found, deformed, data, nodal, solid, colour)
        axes.add_collection(PolyCollection(**items, joinstyle="round", snap=False, rasterized=True))
        if factor * np.abs(u).max() > 0:
            note += f"; displacement × {factor:g} (grey: undeformed)"
            lines = LineCollection(list(rest[outline][..., :2]), colors="#8a8a8a", linewidths=0.9)
            lines.set_zorder(0.5 if solid else 2.5)
            axes.add_collection(lines)
        if solid:
            axes.set_axis_off()
            _triad(axes)
        else:
            edges = list(deformed[outline][..., :2])
            axes.add_collection(LineCollection(edges, colors=INK, linewidths=0.8, zorder=3))
            axes.set(xlabel="x", ylabel="y")
        axes.grid(False)
        margin = 0.03 * size.max()
        left, bottom = corners.min(axis=0) - margin
        right, top = corners.max(axis=0) + margin
        axes.set(xlim=(left, right), ylim=(bottom, top))
        axes.set_title(title, pad=20)
        axes.annotate(
            note, (0, 1), (0, 7), "axes fraction", "offset points", fontsize=8, color="#666666"
        )
        if size[0] > 1.8 * size[1]:
            bar = page.colorbar(colour, ax=axes, location="bottom", aspect=40, shrink=0.7)
        else:
            bar = page.colorbar(colour, cax=axes.inset_axes([1.04, 0.0, 0.035, 1.0]))
        bar.set_label(label)
        bar.outline.set_visible(False)
    return Path(path)


def _view(azimuth: float, elevation: float) -> NDArray[np.float64]:
    """Rows: the directions to the right, up and towards the viewer (angles in degrees)."""
    a, e = np.radians([azimuth, elevation])
    towards = np.array([np.cos(e) * np.cos(a), np.cos(e) * np.sin(a), np.sin(e)])
    right = np.array([-np.sin(a), np.cos(a), 0.0])
    return np.stack([right, np.cross(towards, right), towards])


_VIEW = _view(-55.0, 25.0)
_LIGHT = np.array([-0.35, 0.45, 0.82])  # in the axes of the view
_MESH_LINES = 6000  # more faces than this would be black with lines
_SHADES = 100  # steps of colour that look continuous
_TRIANGLES = 40_000  # beyond this many, a nodal field is smooth enough as it is


def _painted(
    found: list[faces.Polygons],
    x: NDArray[np.float64],
    data: NDArray[np.float64],
    nodal: bool,
    solid: bool,
    colour: Any,
) -> dict[str, Any]:
    """Filled and outlined polygons, from the farthest to the nearest (painter's algorithm)."""
    shown = []
    for p in found:
        normal = faces.normals(x, p.nodes)
        keep = normal[:, 2] > 0 if solid else slice(None)
        shown.append((faces.Polygons(p.nodes[keep], p.cell[keep]), normal[keep]))
    count = sum(len(p.nodes) for p, _ in shown)
    verts: list[NDArray[np.float64]] = []
    face, edge, depth = [], [], []
    for p, normal in shown:
        if nodal:
            corners, values, owner = _smooth(p, x, data)
        else:
            corners, values, owner = x[p.nodes], data[p.cell], np.arange(len(p.nodes))
        rgba = colour.to_rgba(values)
        if solid:
            rgba[:, :3] *= 0.75 + 0.25 * np.clip(normal[owner] @ _LIGHT, 0, 1)[:, None]
        distance = x[p.nodes][..., 2].mean(axis=1) if solid else np.zeros(len(p.nodes))
        verts.extend(corners[..., :2])
        face.append(rgba)
        edge.append(rgba)
        depth.append(distance[owner])
        if count <= _MESH_LINES:
            verts.extend(x[p.nodes][..., :2])
            face.append(np.zeros((len(p.nodes), 4)))
            edge.append(np.tile([0.0, 0.0, 0.0, 0.35], (len(p.nodes), 1)))
            depth.append(distance)
    faced, edged = np.concatenate(face), np.concatenate(edge)
    order = np.lexsort((faced[:, 3] == 0, np.concatenate(depth)))
    return {
        "verts": [verts[i] for i in order],
        "facecolors": faced[order],
        "edgecolors": edged[order],
        "linewidths": 0.35,
    }


def _smooth(
    p: faces.Polygons, x: NDArray[np.float64], data: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """Triangles (t, 3, 3), one value each (t,) and their polygons (t,).

    Triangles are quartered until the field varies by less than a shade over each.
    """
    nodes, owner = faces.triangles(p)
    corners, values = x[nodes], data[nodes]
    shade = (np.nanmax(data) - np.nanmin(data)) / _SHADES
    while len(owner) < _TRIANGLES:
        coarse = np.ptp(values, axis=1) > shade
        if not coarse.any():
            break
        c, v = corners[coarse], values[coarse]
        c_mid, v_mid = (c + np.roll(c, -1, axis=1)) / 2, (v + np.roll(v, -1, axis=1)) / 2
        c_new = [np.stack([c[:, i], c_mid[:, i], c_mid[:, i - 1]], axis=1) for i in range(3)]
        v_new = [np.stack([v[:, i], v_mid[:, i], v_mid[:, i - 1]], axis=1) for i in range(3)]
        corners = np.concatenate([corners[~coarse], *c_new, c_mid])
        values = np.concatenate([values[~coarse], *v_new, v_mid])
        owner = np.concatenate([owner[~coarse], np.tile(owner[coarse], 4)])
    return corners, values.mean(axis=1), owner


def _triad(axes: Any) -> None:
    """Directions of x, y and z in the corner of a view of a solid."""
    for name, direction in zip("xyz", _VIEW[:2].T, strict=True):
        tip = 26 + 22 * direction
        axes.annotate(
            "",
            xy=tip,
            xytext=(26, 26),
            xycoords="axes points",
            textcoords="axes points",
            arrowprops={"arrowstyle": "-|>", "shrinkA": 0, "shrinkB": 0, "color": INK, "lw": 0.9},
        )
        at = 26 + 29 * direction
        axes.annotate(name, xy=at, xycoords="axes points", ha="center", va="center", fontsize=8.5)


def _field_size(size: NDArray[np.float64]) -> tuple[float, float]:
    """Inches of a figure whose axes hold a drawing of this width and height."""
    ratio = size[1] / max(size[0], 1e-300)
    if ratio < 1 / 1.8:
        return WIDTH, float(np.clip(WIDTH * ratio + 1.6, 2.2, 6.0))
    height = min(5.0 * ratio, 6.0)
    return float(np.clip(height / ratio + 1.5, 3.6, WIDTH)), height + 0.7


def _three(data: ArrayLike, name: str) -> NDArray[np.float64]:
    """(n, 2) or (n, 3) -> finite (n, 3)."""
    x = np.asarray(data, dtype=np.float64)
    if x.ndim != 2 or x.shape[1] not in (2, 3) or not len(x):
        raise InputError(f"{name} must have shape (n, 2) or (n, 3), not {x.shape}")
    if not np.isfinite(x).all():
        raise InputError(f"{name} must be finite; node {np.argwhere(~np.isfinite(x))[0, 0]} is not")
    return np.pad(x, ((0, 0), (0, 3 - x.shape[1])))


def _values(
    values: ArrayLike | Sequence[ArrayLike], cells: Sequence[tuple[str, ArrayLike]], n: int
) -> tuple[bool, NDArray[np.float64]]:
    """Whether the values are nodal, and all of them; NaN if not finite or at a node of no cell."""
    nodal = isinstance(values, np.ndarray)
    given: Any = [values] if nodal else values
    wanted = [(n,)] if nodal else [(len(np.asarray(block)),) for _, block in cells]
    parts = [np.asarray(part, dtype=np.float64) for part in given]
    if [part.shape for part in parts] != wanted:
        raise InputError(
            f"the {'nodal' if nodal else 'cell'} values to draw have shapes "
            f"{[part.shape for part in parts]}; the mesh needs {wanted}"
        )
    data = np.concatenate(parts)
    data[~np.isfinite(data)] = np.nan
    if nodal:
        used = [np.ravel(np.asarray(nodes)) for _, nodes in cells]
        data[np.setdiff1d(np.arange(n), np.concatenate(used))] = np.nan
    if np.isnan(data).all():
        raise InputError("the field to draw has no finite value")
    return nodal, data


def _auto_scale(x: NDArray[np.float64], u: NDArray[np.float64]) -> float:
    """1, 2 or 5 times a power of ten: the largest displacement shows at up to 8 % of the size."""
    largest = np.linalg.norm(u, axis=1).max()
    wanted = 0.08 * np.linalg.norm(np.ptp(x, axis=0)) / largest if largest > 0 else 1.0
    if wanted <= 1:
        return 1.0
    power = 10.0 ** np.floor(np.log10(wanted))
    return float(max(step for step in (1, 2, 5) if step * power <= wanted) * power)
