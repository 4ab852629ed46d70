"""Maps of a full field: measured, fitted, and their difference, image by image."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neml2fe.io.canvas import WIDTH, figure

Array = NDArray[np.float64]
IMAGES = 3  # of a field, at most
_FEW = 150  # points: a map shows each of them as a dot
_LEVELS = 20
_LONG = 2.5  # edges of triangles, over the distance of neighbours: beyond is a hole
_DOTS = 60000.0  # dots cover an area of so many square points, together


def images_to_draw(valid: NDArray[np.bool_]) -> list[int]:
    """Up to 3 images of those where something is valid `(T,)`, evenly up to the last."""
    there = np.flatnonzero(valid)
    n = min(len(there), IMAGES)
    return [int(there[-(-len(there) * k // n) - 1]) for k in range(1, n + 1)]


def plot_maps(
    path: Path,
    points: Array,
    measured: Array,
    fitted: Array,
    titles: list[str],
    label: str,
    axes_labels: tuple[str, str] = ("x", "y"),
) -> Path:
    """Draw k images, one a row: `measured` and `fitted` `(k, m)` of `label` at `points` `(m, 2)`,
    with one colour bar for both, and their difference with its own. NaN is left out."""
    span = np.maximum(np.ptp(points, axis=0), 1e-300)
    width = 0.21 * WIDTH
    height = float(np.clip(width * span[1] / span[0], 0.5 * width, 3.0 * width))
    with figure(path, (WIDTH, 0.45 + len(measured) * (height + 0.45))) as page:
        grid = page.subplots(len(measured), 3, sharex=True, sharey=True, squeeze=False)
        for row, real, found, title in zip(grid, measured, fitted, titles, strict=True):
            there = np.isfinite(real) & np.isfinite(found)
            x, both = points[there], np.concatenate([real[there], found[there]])
            spread = _limits(both.min(), both.max())
            _draw(row[0], x, real[there], spread, "viridis")
            image = _draw(row[1], x, found[there], spread, "viridis")
            _bar(page, image, list(row[:2]), label)
            difference = (found - real)[there]
            most = max(float(np.quantile(abs(difference), 0.995)), 1e-12 * abs(both).max(), 1e-300)
            image = _draw(row[2], x, difference.clip(-most, most), (-most, most), "RdBu_r")
            _bar(page, image, [row[2]], "difference")
            row[0].set_ylabel(axes_labels[1])
            row[0].set_title(f"measured, {title}", fontsize="small")
            row[1].set_title("fitted", fontsize="small")
            row[2].set_title("fitted - measured", fontsize="small")
        for axes in grid[-1]:
            axes.set_xlabel(axes_labels[0])
        for axes in grid.ravel():
            axes.set_aspect("equal")
            axes.margins(0.06)
            axes.grid(False)
            axes.locator_params(nbins=4)
            axes.tick_params(labelsize="x-small")
    return path


def in_view(points: Array) -> tuple[Array, tuple[str, str]]:
    """Points `(m, 2 or 3)` along the two axes in which they extend most, and their names."""
    if points.shape[1] == 2:
        return points, ("x", "y")
    first, second = sorted(np.argsort(np.ptp(points, axis=0))[1:].tolist())
    return points[:, [first, second]], ("xyz"[first], "xyz"[second])


def _limits(low: float, high: float) -> tuple[float, float]:
    return (low, high) if high > low else (low - 1e-12 - abs(low), high + 1e-12 + abs(high))


def _draw(axes: Any, x: Array, values: Array, limits: tuple[float, float], colours: str) -> Any:
    low, high = limits
    triangles = _triangles(x) if len(x) >= _FEW else None
    if triangles is None:
        size = np.clip(_DOTS / 9.0 / len(x), 4.0, 40.0)
        return axes.scatter(
            *x.T, c=values, s=size, cmap=colours, vmin=low, vmax=high, linewidths=0, clip_on=False
        )
    round_off = 1e-9 * (high - low)
    levels = np.linspace(low - round_off, high + round_off, _LEVELS + 1)
    return axes.tricontourf(triangles, values, levels=levels, cmap=colours)


def _triangles(x: Array) -> Any:
    """Triangles between neighbours; None for points on a line."""
    from matplotlib.tri import Triangulation
    from scipy.spatial import cKDTree

    if np.linalg.matrix_rank(x - x.mean(axis=0)) < 2:
        return None
    found = Triangulation(*x.T)
    gap = np.median(cKDTree(x).query(x, k=2)[0][:, 1])
    corners = x[found.triangles]
    edges = np.linalg.norm(corners - np.roll(corners, 1, axis=1), axis=2)
    found.set_mask((edges > _LONG * gap).any(axis=1))
    return found


def _bar(page: Any, image: Any, axes: list[Any], label: str) -> None:
    bar = page.colorbar(image, ax=axes, label=label, pad=0.02, aspect=18, shrink=0.95)
    bar.outline.set_visible(False)
    bar.locator = _locator()
    bar.formatter.set_powerlimits((-3, 4))
    bar.ax.tick_params(labelsize="x-small")
    bar.ax.yaxis.label.set_size("small")
    bar.ax.yaxis.get_offset_text().set_size("x-small")
    bar.update_ticks()


def _locator() -> Any:
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(nbins=5)
