"""Figures of a fit to simulated tests: curves over time, residuals, convergence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from neml2fe.io.canvas import WIDTH, figure

if TYPE_CHECKING:
    from neml2fe.calibration.fit import FitResult

Array = NDArray[np.float64]
_MEASURED, _FITTED = "#555555", "#0072b2"
_CYCLE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00")  # Okabe and Ito
_NAMED = 6  # parameters that the figure of convergence can name
_REACH = 5.0  # standard deviations that a histogram shows


@dataclass(frozen=True, eq=False)
class Curve:
    """Measured and fitted values `(n,)` at times `(n,)`; NaN where not measured."""

    label: str
    times: Array
    measured: Array
    fitted: Array


def plot_curves(path: Path, curves: Sequence[Curve]) -> Path:
    """Draw the fitted values as lines over the measured points, a panel for each curve."""
    columns = min(len(curves), 2)
    rows = -(-len(curves) // columns)
    with figure(path, (WIDTH, 0.4 + 2.5 * rows)) as page:
        grid = page.subplots(rows, columns, squeeze=False).ravel()
        for axes, curve in zip(grid, curves, strict=False):
            axes.plot(
                curve.times, curve.measured, "o", markersize=3.5, markerfacecolor="none",
                markeredgecolor=_MEASURED, label="measured",
            )  # fmt: skip
            axes.plot(curve.times, curve.fitted, color=_FITTED, zorder=3, label="fitted")
            axes.set(xlabel="time", ylabel=curve.label)
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


def plot_convergence(path: Path, result: FitResult) -> Path:
    """Draw the loss, and the parameters over their fitted values, iteration by iteration."""
    numbers = [i.number for i in result.history]
    losses = [i.loss for i in result.history]
    marker = "o" if len(numbers) <= 60 else None
    with figure(path, (WIDTH, 2.9)) as page:
        left, right = page.subplots(1, 2)
        left.plot(numbers, losses, color=_CYCLE[0], marker=marker, markersize=3)
        if min(losses) > 0:
            left.set_yscale("log")
        left.set(xlabel="iteration", ylabel="loss")
        names = [name for name, value in result.values.items() if value != 0.0]
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
