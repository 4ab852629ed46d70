"""Figures that tell whether a fit can be trusted: residuals, correlation, loss, posterior."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from neml2fe.calibration.channels import Array, Channel
from neml2fe.calibration.curves import colours, with_unit
from neml2fe.errors import InputError
from neml2fe.io.canvas import WIDTH, figure

if TYPE_CHECKING:
    from neml2fe.calibration.fit import FitResult
    from neml2fe.calibration.specimens import Specimens

_DOTS = 4000  # more would hide one another and make the file large
_ACCENT = "#0072b2"
_WARM = "#d55e00"


def plot_residuals(
    path: Path,
    specimens: Specimens,
    channel: Channel,
    whitened: Array,
    units: Mapping[str, str] | None = None,
) -> Path:
    """Draw residuals over strain or time, and their normal quantile-quantile plot.

    `whitened` (m,) are the residuals in standard deviations of the noise: if it is normal, they
    lie on the diagonal. At most 4000 points are drawn.
    """
    units = units or {}
    name, x = channel.abscissa
    with figure(path, (WIDTH, 3.0)) as page:
        left, right = page.subplots(1, 2, width_ratios=(1.35, 1.0))
        shades = colours(specimens, np.flatnonzero(channel.used.any(axis=0)), units)
        rows, columns = np.nonzero(channel.used)
        stride = -(-len(rows) // _DOTS)
        rows, columns = rows[::stride], columns[::stride]
        tones = [shades.of[s] for s in columns.tolist()]
        left.axhline(0.0, color="#666666", linewidth=0.8)
        left.scatter(x[rows, columns], channel.residual[rows, columns], s=4, c=tones, linewidths=0)
        left.set(
            xlabel=with_unit(name, units),
            ylabel=with_unit(f"{channel.label}: fitted - measured", _residual_unit(channel, units)),
        )
        _quantiles(right, np.sort(whitened))
        right.locator_params(nbins=5, integer=True)
        right.set(xlabel="standard normal quantile", ylabel="residual / standard deviation")
        shades.explain(page, [left], [], [])
    return path


def _residual_unit(channel: Channel, units: Mapping[str, str]) -> dict[str, str]:
    unit = units.get(channel.label) or units.get(channel.variable)
    return {f"{channel.label}: fitted - measured": unit} if unit else {}


def _quantiles(axes: Any, ordered: Array) -> None:
    n = len(ordered)
    ranks = torch.arange(1, n + 1, dtype=torch.float64)
    levels = torch.special.ndtri((ranks - 0.5) / n).numpy()
    chosen = np.linspace(0, n - 1, min(n, _DOTS)).round().astype(int)
    end = 1.1 * max(abs(levels[0]), 1.0)
    axes.plot([-end, end], [-end, end], color="#666666", linewidth=0.8)
    axes.plot(levels[chosen], ordered[chosen], ".", markersize=3.5, color=_ACCENT)


def plot_correlation(path: Path, names: Sequence[str], correlation: torch.Tensor) -> Path:
    """Draw the correlation matrix (P, P) as a heat map; what is not finite stays grey.

    Up to 14 parameters, each field has its number.
    """
    values = np.ma.masked_invalid(correlation.detach().cpu().double().numpy())
    n = len(names)
    if values.shape != (n, n):
        raise InputError(f"{n} names need a correlation matrix ({n}, {n}), not {values.shape}")
    side = min(1.9 + 0.42 * n, WIDTH)
    with figure(path, (side + 0.7, side)) as page:
        from matplotlib import colormaps

        axes = page.add_subplot()
        map_ = colormaps["RdBu_r"].with_extremes(bad="#d0d0d0")
        image = axes.imshow(values, cmap=map_, vmin=-1, vmax=1)
        axes.grid(False)
        axes.spines[:].set_visible(False)
        axes.set_xticks(range(n), names, rotation=45, ha="right", rotation_mode="anchor")
        axes.set_yticks(range(n), names)
        axes.tick_params(length=0, labelsize="small")
        for (i, j), value in np.ndenumerate(values.filled(np.nan)):
            if n <= 14 and np.isfinite(value):
                ink = "white" if abs(value) > 0.6 else "#222222"
                text = f"{value:.2f}".replace("-0.00", "0.00")
                axes.text(j, i, text, ha="center", va="center", color=ink, fontsize=6.5)
        bar = page.colorbar(image, ax=axes, label="correlation", shrink=0.8)
        bar.outline.set_visible(False)
    return path


def plot_loss(path: Path, result: FitResult) -> Path:
    """Draw the loss over the iterations, of the best start and of the others."""
    histories = [(start.history, False) for start in result.starts] + [(result.history, True)]
    losses = [[i.loss for i in history] for history, _ in histories]
    with figure(path, (WIDTH, 3.0)) as page:
        axes = page.add_subplot()
        for (history, best), loss in zip(histories, losses, strict=True):
            numbers = [i.number for i in history]
            marker = "o" if best and len(numbers) <= 60 else None
            style: Any = {"color": _ACCENT, "zorder": 3} if best else {"color": "#b8b8b8"}
            axes.plot(
                numbers, loss, linewidth=1.6 if best else 1.0, marker=marker, markersize=3, **style
            )
        if min((x for loss in losses for x in loss), default=0.0) > 0:
            axes.set_yscale("log")
        axes.set(xlabel="iteration", ylabel="loss")
        axes.xaxis.get_major_locator().set_params(integer=True)
        if len(result.starts) > 1:
            axes.plot([], [], color=_ACCENT, marker="o", markersize=3, label="best start")
            axes.plot([], [], color="#b8b8b8", linewidth=1.0, label="other starts")
            axes.legend()
    return path


def plot_posterior(
    path: Path,
    samples: Mapping[str, torch.Tensor],
    truth: Mapping[str, float] | None = None,
    level: float = 0.95,
) -> Path:
    """Draw a histogram of each parameter's posterior samples (K,), its interval shaded.

    The interval holds the middle `level` of the samples; a vertical line is the true value
    where `truth` has it. Raises `InputError` for no samples or ones that are not finite.
    """
    if not samples:
        raise InputError("there are no posterior samples to draw")
    if not 0 < level < 1:
        raise InputError(f"the level of an interval lies between 0 and 1, got {level}")
    truth = truth or {}
    columns = min(len(samples), 3)
    rows = -(-len(samples) // columns)
    with figure(path, (max(WIDTH / 3 * columns, WIDTH / 2), 0.6 + 1.7 * rows)) as page:
        grid = page.subplots(rows, columns, squeeze=False).ravel()
        for axes, (name, tensor) in zip(grid, samples.items(), strict=False):
            values = tensor.detach().cpu().double().numpy()
            if values.ndim != 1 or not len(values) or not np.isfinite(values).all():
                raise InputError(f"the samples of '{name}' must be finite numbers of shape (K,)")
            low, high = np.quantile(values, [0.5 - level / 2, 0.5 + level / 2])
            axes.axvspan(low, high, color=_ACCENT, alpha=0.12, linewidth=0)
            axes.hist(values, bins="auto", density=True, color=_ACCENT, alpha=0.75)
            if name in truth:
                axes.axvline(truth[name], color=_WARM, linewidth=1.6)
            axes.set_title(name, fontsize="small")
            axes.set_yticks([])
            axes.spines["left"].set_visible(False)
            axes.grid(False)
            axes.locator_params(axis="x", nbins=4)
        for unused in grid[len(samples) :]:
            unused.remove()
        _posterior_legend(page, level, bool(truth.keys() & samples.keys()))
    return path


def _posterior_legend(page: Any, level: float, true_values: bool) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles: list[Any] = [
        Patch(color=_ACCENT, alpha=0.75, label="posterior"),
        Patch(color=_ACCENT, alpha=0.12, label=f"middle {100 * level:g} %"),
    ]
    if true_values:
        handles.append(Line2D([], [], color=_WARM, label="true value"))
    page.legend(handles=handles, loc="outside lower center", ncols=3, fontsize="small")
