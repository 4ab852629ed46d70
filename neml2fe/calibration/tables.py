"""Tables of a fit's report: in Markdown for people, as CSV for programs."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from neml2fe.calibration.channels import Array, Channel
from neml2fe.calibration.curves import with_unit
from neml2fe.calibration.display import at_bounds, ending
from neml2fe.io import replacing

if TYPE_CHECKING:
    from neml2fe.calibration.fit import FitResult
    from neml2fe.calibration.parameters import ParameterSet
    from neml2fe.calibration.specimens import Specimens

_CORRELATED_UP_TO = 8  # parameters for which the correlation matrix is also a table

PARAMETER_COLUMNS = (
    "parameter", "start", "fitted", "standard_error", "lower_limit", "upper_limit", "level",
    "lower_bound", "upper_bound", "flag",
)  # fmt: skip


def parameter_rows(result: FitResult, parameters: ParameterSet) -> list[list[object]]:
    """One row a parameter, of PARAMETER_COLUMNS; empty cells where nothing is known."""
    start = dict(zip(parameters.names, parameters.natural(parameters.x0).tolist(), strict=True))
    if result.history and result.history[0].number == 0:
        start = result.history[0].values  # of the best start, which need not be the first
    lower, upper = parameters.lower.tolist(), parameters.upper.tolist()
    known = result.uncertainty
    bounds = at_bounds(parameters, result.values)
    rows: list[list[object]] = []
    for k, name in enumerate(parameters.names):
        flags = [f"at {bounds[name]} bound"] if name in bounds else []
        spread: list[object] = ["", "", "", ""]
        if known is not None:
            j = known.names.index(name)
            spread = [known.standard_errors[j].item(), *known.intervals[j].tolist(), known.level]
            flags += ["not identifiable"] if name in known.not_identifiable else []
        value = result.values[name]
        rows.append([name, start[name], value, *spread, lower[k], upper[k], ", ".join(flags)])
    return rows


def parameter_section(result: FitResult, rows: Sequence[Sequence[object]]) -> list[str]:
    if result.uncertainty is None:
        header = ["parameter", "start", "fitted", "bounds", "flag"]
        shown = [[r[0], r[1], r[2], _span(r[7], r[8]), r[9]] for r in rows]
        note = "No uncertainty was computed."
    else:
        level = f"{100 * result.uncertainty.level:g} % interval"
        header = ["parameter", "start", "fitted", "standard error", level, "bounds", "flag"]
        shown = [[*r[:4], _span(r[4], r[5]), _span(r[7], r[8]), r[9]] for r in rows]
        note = (
            "Standard errors and intervals follow from the Gauss-Newton Hessian at the fitted "
            "values; they hold where the model is right and nearly linear over the interval."
        )
    return ["## Parameters", "", *markdown(header, shown, "lrrrrrl"[: len(header)]), "", note, ""]


def starts_section(result: FitResult) -> list[str]:
    if len(result.starts) < 2:
        return []
    rows = [
        [number, start.loss, len(start.history), ending(start)]
        for number, start in enumerate(result.starts, start=1)
    ]
    header = ("start", "loss", "points", "outcome")
    return ["## Starts", "", *markdown(header, rows, "rrrl"), ""]


def known_correlation(result: FitResult) -> torch.Tensor | None:
    """(P, P), NaN for parameters without a standard error; None if fewer than two have one."""
    known = result.uncertainty
    if known is None:
        return None
    free = known.standard_errors.isfinite()
    if int(free.sum()) < 2:
        return None
    return torch.where(free & free[:, None], known.correlation, torch.nan)


def correlation_section(result: FitResult) -> list[str]:
    correlation = known_correlation(result)
    names = result.uncertainty.names if result.uncertainty else []
    if correlation is None or len(names) > _CORRELATED_UP_TO:
        return []
    rows = [
        [name, *("-" if math.isnan(r) else f"{round(r, 3) + 0.0:.3f}" for r in row)]
        for name, row in zip(names, correlation.tolist(), strict=True)
    ]
    table = markdown(["", *names], rows, "l" + "r" * len(names))
    return ["## Correlation", "", *table, ""]


def misfit_section(
    specimens: Specimens, compared: Sequence[Channel], units: Mapping[str, str]
) -> list[str]:
    conditions = list(specimens.conditions)
    header = ["specimen", *(with_unit(name, units) for name in conditions)]
    for channel in compared:
        header += ["data", f"rms residual {with_unit(channel.label, units)}", "relative"]
    rows: list[list[object]] = []
    worst: tuple[float, str] = (0.0, "")
    for s, name in enumerate(specimens.names):
        if not any(channel.used[:, s].any() for channel in compared):
            continue
        row: list[object] = [name, *(specimens.conditions[c][s].item() for c in conditions)]
        for channel in compared:
            used = channel.used[:, s]
            if not used.any():
                row += [0, "-", "-"]
                continue
            misfit, size = _rms(channel.residual[used, s]), _rms(channel.measured[used, s])
            row += [int(used.sum()), misfit, f"{100 * misfit / size:.3g} %" if size > 0 else "-"]
            worst = max(worst, (misfit / size if size > 0 else 0.0, name))
        rows.append(row)
    aligned = "l" + "r" * (len(header) - 1)
    lines = ["## Specimens", "", *markdown(header, rows, aligned), ""]
    lines.append("Relative: by the root mean square of what was measured.")
    if len(rows) > 1 and worst[1]:
        lines[-1] += f" It is largest, {100 * worst[0]:.3g} %, for {worst[1]}."
    return [*lines, ""]


def _rms(values: Array) -> float:
    return float(np.sqrt((values**2).mean()))


FITTED_COLUMNS = (
    "specimen", "row", "time", "variable", "component", "measured", "fitted", "residual", "weight",
)  # fmt: skip


def fitted_rows(specimens: Specimens, compared: Sequence[Channel]) -> Iterable[Sequence[object]]:
    """One row a fitted value, of FITTED_COLUMNS."""
    for c in compared:
        columns = (c.time, c.measured, c.fitted, c.residual, c.weight)
        for s, name in enumerate(specimens.names):
            rows = np.flatnonzero(c.used[:, s])
            values = np.stack([column[rows, s] for column in columns], axis=-1).tolist()
            for row, (time, *numbers) in zip(rows.tolist(), values, strict=True):
                yield [name, row, time, c.variable, c.component, *numbers]


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    with replacing(path) as temporary, open(temporary, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def markdown(
    header: Sequence[str], rows: Iterable[Sequence[object]], aligned: str = ""
) -> list[str]:
    """A Markdown table; `aligned` has an l or r for each column."""
    marks = ["---:" if a == "r" else "---" for a in aligned.ljust(len(header), "l")]
    body = [[text(cell).replace("|", r"\|") for cell in row] for row in [header, *rows]]
    lines = ["| " + " | ".join(row) + " |" for row in body]
    return [lines[0], "| " + " | ".join(marks) + " |", *lines[1:]]


def text(cell: object) -> str:
    """A cell: six digits of a float, `-` for one that is not known."""
    if isinstance(cell, float):
        return "-" if math.isnan(cell) else f"{cell:.6g}"
    return str(cell)


def _span(lower: object, upper: object) -> str:
    return f"{text(lower)} to {text(upper)}"
