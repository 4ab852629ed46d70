"""Figures of measured curves: with the fitted ones, or with bands of predictions.

Few specimens share one panel, each with its own colour. Many are spread over panels by a
condition of the tests, such as the temperature, and coloured by another, such as the rate.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from neml2fe.calibration.channels import Array, Channel, channels, unpredicted, with_rates
from neml2fe.errors import InputError
from neml2fe.io.canvas import WIDTH, figure

if TYPE_CHECKING:
    from neml2fe.calibration.specimens import Specimens

POINTS = 30  # measured points drawn of one curve
_FEW = 6  # specimens that one panel can name
_PANELS = 9
_NAMED = 8  # values of a condition that a legend can name
_UNKNOWN = "#888888"
_CYCLE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00")  # Okabe and Ito


def with_unit(label: str, units: Mapping[str, str]) -> str:
    """`stress_11 (MPa)`; the unit is that of the label or of the variable before the `_`."""
    unit = units.get(label) or units.get(label.rpartition("_")[0])
    words = label.replace("_rate", " rate")
    return f"{words} ({unit})" if unit else words


def plot_curves(
    path: Path, specimens: Specimens, channel: Channel, units: Mapping[str, str] | None = None
) -> Path:
    """Draw the fitted curves as lines over the measured points.

    Of a curve with more than 30 measured points, 30 are drawn. Raises `OutputError` when the
    file cannot be written, `InputError` without matplotlib.
    """
    name, x = channel.abscissa

    def draw(axes: Any, s: int, colour: Any) -> None:
        _points(axes, x, channel, s, colour)
        end = channel.lengths[s]
        axes.plot(x[:end, s], channel.fitted[:end, s], color=colour, linewidth=1.3, zorder=3)

    return _page(path, specimens, channel, name, draw, units or {}, "fitted")


def plot_bands(
    folder: Path,
    specimens: Specimens,
    samples: Mapping[str, torch.Tensor],
    level: float = 0.95,
    units: Mapping[str, str] | None = None,
) -> list[Path]:
    """Draw predictive bands over the measured points, a file `bands_<component>.png` each.

    Args:
        folder: Where the files go.
        specimens: The tests.
        samples: K predictions by measured variable, (K, N, S, *base).
        level: Probability that the band holds, between its lower and upper quantile; the
            line is the median.
        units: Units by name of variable or condition.

    Raises:
        InputError: if `level` is not between 0 and 1, the samples do not match the specimens,
            a sample is not finite where there is data, or matplotlib is missing.
        OutputError: if a file cannot be written.
    """
    if not 0 < level < 1:
        raise InputError(f"the level of a band lies between 0 and 1, got {level}")
    for name, reason in unpredicted(specimens, samples).items():
        raise InputError(f"specimen '{name}': {reason}")
    specimens = with_rates(specimens)
    return [
        _bands(folder / f"bands_{channel.label}.png", specimens, channel, level, units or {})
        for channel in channels(specimens, samples)
    ]


def _bands(
    path: Path, specimens: Specimens, channel: Channel, level: float, units: Mapping[str, str]
) -> Path:
    name, x = channel.abscissa
    if (np.diff(x, axis=0) < 0)[channel.used[1:]].any():  # a band cannot turn back
        name, x = "time", channel.time
    quantiles = [0.5 - level / 2, 0.5, 0.5 + level / 2]
    lower, median, upper = np.quantile(channel.predictions, quantiles, axis=0)

    def draw(axes: Any, s: int, colour: Any) -> None:
        _points(axes, x, channel, s, colour)
        end = channel.lengths[s]
        rows = slice(0, end)
        axes.fill_between(
            x[rows, s], lower[rows, s], upper[rows, s], color=colour, alpha=0.25, linewidth=0
        )
        axes.plot(x[rows, s], median[rows, s], color=colour, linewidth=1.1, zorder=3)

    return _page(path, specimens, channel, name, draw, units, f"median, {100 * level:g} % band")


def _points(axes: Any, x: Array, channel: Channel, s: int, colour: Any) -> None:
    rows = np.flatnonzero(channel.used[:, s])
    rows = rows[np.linspace(0, len(rows) - 1, min(len(rows), POINTS)).round().astype(int)]
    axes.plot(
        x[rows, s], channel.measured[rows, s], "o", markersize=3.2, markeredgewidth=0.7,
        markerfacecolor="none", markeredgecolor=colour, alpha=0.8,
    )  # fmt: skip


def _page(
    path: Path,
    specimens: Specimens,
    channel: Channel,
    x_name: str,
    draw: Callable[[Any, int, Any], None],
    units: Mapping[str, str],
    line: str,
) -> Path:
    drawn = np.flatnonzero(channel.used.any(axis=0))
    panels = _panels(specimens, drawn, units)
    n_columns = min(len(panels), 3)
    n_rows = -(-len(panels) // n_columns)
    size = (WIDTH, 4.0) if len(panels) == 1 else (WIDTH, 0.5 + 2.0 * n_rows + 0.4 * (n_rows == 1))
    with figure(path, size) as page:
        from matplotlib.lines import Line2D

        shades = colours(specimens, drawn, units)
        grid = page.subplots(n_rows, n_columns, sharex=True, sharey=True, squeeze=False).ravel()
        for axes, (title, members) in zip(grid, panels.items(), strict=False):
            axes.set_title(title, fontsize="medium" if len(title) < 22 else "small")
            for s in members:
                draw(axes, s, shades.of[s])
        spare = grid[len(panels) :]
        for unused in spare:
            unused.set_axis_off()
        # The panel above a gap has no neighbour below that would show its numbers.
        for above in grid[max(len(panels) - n_columns, 0) : len(panels)]:
            above.tick_params(labelbottom=True)
            above.set_xlabel(with_unit(x_name, units))
        for left in grid[: len(panels) : n_columns]:
            left.set_ylabel(with_unit(channel.label, units))
        style: Any = {"color": "#555555", "linewidth": 1.3}
        marks = [
            Line2D([], [], **{**style, "linewidth": 0}, marker="o", markersize=3.5,
                   markerfacecolor="none", label="measured"),
            Line2D([], [], **style, label=line),
        ]  # fmt: skip
        shades.explain(page, list(grid[: len(panels)]), marks, list(spare))
    return path


def _varying(specimens: Specimens, drawn: NDArray[np.intp]) -> dict[str, Array]:
    """Conditions with more than one value, to three digits: what tells the tests apart."""
    found = {}
    for name, tensor in specimens.conditions.items():
        values = np.array([float(f"{v:.4g}") for v in tensor.double().tolist()])
        if len(_known(values[drawn])) > 1:
            found[name] = values
    return found


def _known(values: Array) -> Array:
    return np.unique(values[np.isfinite(values)])


def _panel_condition(varying: Mapping[str, Array]) -> str | None:
    others = [name for name in varying if "rate" not in name]
    return next((name for name in others if "temperature" in name), others[0] if others else None)


def _panels(
    specimens: Specimens, drawn: NDArray[np.intp], units: Mapping[str, str]
) -> dict[str, list[int]]:
    """Title of each panel and the specimens in it."""
    varying = _varying(specimens, drawn)
    by = _panel_condition(varying)
    if len(drawn) <= _FEW or by is None:
        return {"": drawn.tolist()}
    known = _known(varying[by][drawn])
    panels = {}
    for group in np.array_split(known, min(len(known), _PANELS)):
        span = f"{group[0]:g}" if len(group) == 1 else f"{group[0]:g} to {group[-1]:g}"
        title = f"{by} {span} {units.get(by, '')}".rstrip()
        panels[title] = [s for s in drawn.tolist() if varying[by][s] in group]
    unknown = [s for s in drawn.tolist() if np.isnan(varying[by][s])]
    return {**panels, f"{by} not known": unknown} if unknown else panels


@dataclass(frozen=True)
class Shades:
    """Colour of each specimen, and what it stands for."""

    of: dict[int, Any]
    title: str
    names: dict[str, Any]  # label -> colour; empty where a colour bar explains more values
    scale: Any = None

    def explain(self, page: Any, axes: list[Any], marks: list[Any], spare: list[Any]) -> None:
        """Add the colour bar, and the legend: in a spare panel, the only one, or below all."""
        from matplotlib.lines import Line2D

        if self.scale is not None:
            bar = page.colorbar(self.scale, ax=axes, label=self.title, pad=0.02)
            bar.outline.set_visible(False)
        handles = list(marks)
        if self.names and self.title:
            handles.append(Line2D([], [], linewidth=0, label=self.title))
        handles += [
            Line2D([], [], color=colour, linewidth=4, label=name)
            for name, colour in self.names.items()
        ]
        if spare:
            spare[0].legend(handles=handles, loc="upper left", fontsize="small")
        elif len(axes) == 1 and marks:
            axes[0].legend(handles=handles, fontsize="small")
        elif handles:
            style: Any = {"columnspacing": 1.2, "handlelength": 1.5, "fontsize": "small"}
            n = min(len(handles), 8 if self.title else 4)
            page.legend(handles=handles, loc="outside lower center", ncols=n, **style)


def colours(specimens: Specimens, drawn: NDArray[np.intp], units: Mapping[str, str]) -> Shades:
    """By specimen where they are few; else by the rate, or what the panels do not tell."""
    from matplotlib import colormaps
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import LogNorm, Normalize

    if len(drawn) <= _FEW:
        of = {int(s): _CYCLE[k] for k, s in enumerate(drawn)}
        return Shades(of, "", {specimens.names[s]: of[s] for s in of} if len(of) > 1 else {})
    varying = _varying(specimens, drawn)
    panel = _panel_condition(varying)
    rest = [name for name in varying if name != panel]
    by = next((name for name in rest if "rate" in name), rest[0] if rest else "specimen")
    if not rest and panel and len(_known(varying[panel][drawn])) > _PANELS:
        by = panel  # each panel shows a range of it
    values = varying.get(by, np.arange(1.0, len(specimens.names) + 1.0))
    known = _known(values[drawn])
    map_ = colormaps["viridis"].with_extremes(bad=_UNKNOWN)
    title = with_unit(by, units)
    if by != "specimen" and len(known) <= _NAMED:
        tones = dict(zip(known, map_(np.linspace(0.0, 0.88, len(known))), strict=True))
        of = {int(s): tones.get(values[s], _UNKNOWN) for s in drawn}
        return Shades(of, title, {f"{v:g}": tone for v, tone in tones.items()})
    wide = by != "specimen" and known[0] > 0 and known[-1] > 20 * known[0]
    scale = ScalarMappable((LogNorm if wide else Normalize)(known[0], known[-1]), map_)
    return Shades({int(s): scale.to_rgba(values[s]) for s in drawn}, title, {}, scale)
