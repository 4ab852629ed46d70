"""Figures of a fit to simulated tests: curves, residuals, convergence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from neml2fe.calibration.simulations.compared import Curve
from neml2fe.io.canvas import WIDTH, figure

if TYPE_CHECKING:
    from neml2fe.calibration.fit import FitResult

Array = NDArray[np.float64]
_MEASURED, _FITTED = "#555555", "#0072b2"
_CYCLE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00")  # Okabe and Ito
_NAMED = 6  # parameters that the figure of convergence can name
_LINES = 60  # parameters that it shows
_REACH = 5.0  # standard deviations that a histogram shows


def plot_curves(path: Path, curves: Sequence[Curve]) -> Path:
    """Draw the fitted values as lines over the measured points, a panel for each curve."""
    columns = min(len(curves), 2)
    rows = -(-len(curves) // columns)
    with figure(path, (WIDTH, 0.4 + 2.5 * rows)) as page:
        grid = page.subplots(rows, columns, squeeze=False).ravel()
        for axes, curve in zip(grid, curves, strict=False):
            axes.plot(
                curve.x, curve.measured, "o", markersize=3.5, markerfacecolor="none",
                markeredgecolor=_MEASURED, label="measured",
            )  # fmt: skip
            x = curve.x if curve.x_fitted is None else curve.x_fitted
            axes.plot(x, curve.fitted, color=_FITTED, zorder=3, label="fitted")
            axes.set(xlabel=curve.over, ylabel=curve.label)
            axes.legend(fontsize="small")
        for unused in grid[len(curves) :]:
            unused.set_axis_off()
    return path


def plot_histograms(path: Path, residuals: Mapping[str, Array]) -> Path:
    """Draw the share of residuals `(m,)`, in standard deviations of the noise, with the density
    of the normal distribution; those farther out than 5 are counted."""
    columns = min(len(residuals), 3)
    rows = -(-len(residuals) // columns)
    normal = np.linspace(-_REACH, _REACH, 201)
    with figure(path, (WIDTH, 0.3 + 2.3 * rows)) as page:
        grid = page.subplots(rows, columns, squeeze=False).ravel()
        for axes, (name, values) in zip(grid, residuals.items(), strict=False):
            inside = values[abs(values) <= _REACH]
            bins = np.linspace(-_REACH, _REACH, int(np.clip(2 * len(values) ** 0.5, 11, 61)) | 1)
            share = np.full(len(inside), 1.0 / (len(values) * (bins[1] - bins[0])))
            axes.hist(inside, bins=bins, weights=share, color=_FITTED, alpha=0.6)
            density = np.exp(-0.5 * normal**2) / np.sqrt(2.0 * np.pi)
            axes.plot(normal, density, color="#222222", linewidth=1.2)
            far = len(values) - len(inside)
            axes.set_title(name + (f" ({far} farther out)" if far else ""), fontsize="small")
            axes.set_yticks([])
            axes.set_xlabel("residual / standard deviation", fontsize="small")
        for unused in grid[len(residuals) :]:
            unused.set_axis_off()
    return path


def plot_l_curve(path: Path, points: Sequence[tuple[float, float, float]], chosen: float) -> Path:
    """Draw roughness over misfit for each (misfit, roughness, weight), with the `chosen` weight."""
    misfit, roughness, weight = np.maximum(np.array(points), 1e-300).T
    at = int(np.argmin(abs(np.log(weight / chosen))))
    with figure(path, (0.7 * WIDTH, 3.2)) as page:
        axes = page.add_subplot()
        axes.loglog(misfit, roughness, color=_FITTED, marker="o", markersize=4)
        axes.loglog(misfit[at], roughness[at], "o", markersize=9, color=_CYCLE[1], zorder=3)
        for x, y, w in zip(misfit, roughness, weight, strict=True):
            axes.annotate(f"{w:.3g}", (x, y), (6, 4), textcoords="offset points", fontsize="small")
        axes.set(xlabel="misfit", ylabel="roughness")
    return path


def plot_convergence(path: Path, result: FitResult) -> Path:
    """Draw the loss, and the parameters over their fitted values, iteration by iteration."""
    numbers = [i.number for i in result.history]
    losses = [i.loss for i in result.history]
    marker = "o" if len(numbers) <= 60 else None
    with figure(path, (WIDTH, 2.9)) as page:
        left, right = page.subplots(1, 2)
        for start in result.starts:
            if len(result.starts) > 1 and start.history != result.history:
                tried = [(i.number, i.loss) for i in start.history]
                left.plot(*zip(*tried, strict=True), color="#b8b8b8", linewidth=1.0)
        left.plot(numbers, losses, color=_CYCLE[0], marker=marker, markersize=3)
        if min(losses) > 0:
            left.set_yscale("log")
        left.set(xlabel="iteration", ylabel="loss")
        names = [name for name, value in result.values.items() if value != 0.0]
        names = names[:: -(-len(names) // _LINES) or 1]
        for k, name in enumerate(names):
            path_of = [i.values[name] / result.values[name] for i in result.history]
            named = len(names) <= _NAMED
            right.plot(
                numbers, path_of, color=_CYCLE[k % len(_CYCLE)] if named else "#888888",
                linewidth=1.3, marker=marker, markersize=2.5, label=name if named else None,
            )  # fmt: skip
        right.set(xlabel="iteration", ylabel="parameter / fitted value")
        if names and len(names) <= _NAMED:
            right.legend(fontsize="x-small")
        for axes in (left, right):
            axes.xaxis.get_major_locator().set_params(integer=True)
    return path
