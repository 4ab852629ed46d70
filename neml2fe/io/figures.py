"""Figures for reports, by matplotlib (`pip install 'neml2fe[figures]'`).

The suffix of the path chooses the format: `.png`, `.pdf` or `.svg`.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neml2fe.errors import InputError
from neml2fe.io.canvas import WIDTH, figure
from neml2fe.io.field import field

__all__ = ["convergence", "field", "load_curve", "stress_strain"]


def stress_strain(
    path: str | os.PathLike[str],
    curves: Sequence[tuple[str, ArrayLike, ArrayLike]],
    xlabel: str = "strain",
    ylabel: str = "stress",
    title: str = "",
) -> Path:
    """Draw stress over strain, one curve (label, strain (n,), stress (n,)) a specimen.

    Up to ten curves are named in a legend; more share a colour scale by their number.

    Raises:
        InputError: if there is no curve or the two arrays of one differ in length.
        OutputError: if the file cannot be written.
    """
    if not curves:
        raise InputError(f"there is no curve to draw in {os.fspath(path)}")
    lines = [_curve(label, x, y) for label, x, y in curves]
    with figure(path, (WIDTH, 4.0)) as page:
        axes = page.add_subplot()
        axes.set(xlabel=xlabel, ylabel=ylabel, title=title)
        if len(lines) <= 10:
            for (label, _, _), line in zip(curves, lines, strict=True):
                axes.plot(*line.T, label=label)
            if len(lines) > 1 or curves[0][0]:
                axes.legend()
        else:
            _many(page, axes, lines)
    return Path(path)


def _many(page: Any, axes: Any, lines: list[NDArray[np.float64]]) -> None:
    from matplotlib.collections import LineCollection
    from matplotlib.ticker import MaxNLocator

    drawn = LineCollection(lines, linewidths=0.9, alpha=0.85, cmap="viridis")
    drawn.set_array(np.arange(1, len(lines) + 1))
    axes.add_collection(drawn)
    axes.autoscale_view()
    bar = page.colorbar(drawn, ax=axes, label="specimen", ticks=MaxNLocator(6, integer=True))
    bar.outline.set_visible(False)


def load_curve(
    path: str | os.PathLike[str],
    x: ArrayLike,
    y: ArrayLike,
    xlabel: str,
    ylabel: str,
    title: str = "",
) -> Path:
    """Draw one curve y (n,) over x (n,), such as reaction over displacement or time.

    Raises:
        InputError: if the arrays differ in length.
        OutputError: if the file cannot be written.
    """
    line = _curve(ylabel, x, y)
    with figure(path, (WIDTH, 3.6)) as page:
        axes = page.add_subplot()
        axes.set(xlabel=xlabel, ylabel=ylabel, title=title)
        # Marks show the steps as long as there are few enough to tell apart.
        axes.plot(*line.T, marker="o" if len(line) <= 60 else None, markersize=3)
    return Path(path)


def convergence(
    path: str | os.PathLike[str], norms: Sequence[Sequence[float]], title: str = ""
) -> Path:
    """Draw the residual norms of Newton's iterations, one line a step, coloured by its number.

    Raises:
        InputError: if there is no positive norm to draw.
        OutputError: if the file cannot be written.
    """
    lines = [np.array([(i, norm) for i, norm in enumerate(step) if norm > 0.0]) for step in norms]
    if not any(len(line) for line in lines):
        raise InputError(f"there is no residual norm to draw in {os.fspath(path)}")
    with figure(path, (WIDTH, 3.6)) as page:
        from matplotlib import colormaps
        from matplotlib.cm import ScalarMappable
        from matplotlib.colors import Normalize
        from matplotlib.ticker import MaxNLocator

        axes = page.add_subplot(yscale="log")
        axes.set(xlabel="Newton iteration", ylabel="norm of the residual forces", title=title)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        colour = ScalarMappable(Normalize(1, max(len(lines), 2)), colormaps["viridis"])
        rgba = colour.to_rgba(np.arange(1, len(lines) + 1))
        for line, own in zip(lines, rgba, strict=True):
            if len(line):
                axes.plot(*line.T, color=tuple(own), marker="o", markersize=2.5, lw=1)
        bar = page.colorbar(colour, ax=axes, label="step", ticks=MaxNLocator(6, integer=True))
        bar.outline.set_visible(False)
    return Path(path)


def _curve(label: str, x: ArrayLike, y: ArrayLike) -> NDArray[np.float64]:
    a, b = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    if a.ndim != 1 or a.shape != b.shape:
        raise InputError(f"curve '{label}': x has shape {a.shape} and y {b.shape}, not both (n,)")
    return np.stack([a, b], axis=-1)
