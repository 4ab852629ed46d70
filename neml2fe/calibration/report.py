"""The report of a fit: a Markdown page with its figures, and the numbers as CSV."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from neml2fe.calibration import curves, diagnostics
from neml2fe.calibration.channels import Array, Channel, channels, unpredicted, with_rates
from neml2fe.calibration.display import at_bounds, ending
from neml2fe.calibration.tables import (
    FITTED_COLUMNS,
    PARAMETER_COLUMNS,
    correlation_section,
    fitted_rows,
    known_correlation,
    markdown,
    misfit_section,
    parameter_rows,
    parameter_section,
    starts_section,
    write_csv,
)
from neml2fe.io import replacing

if TYPE_CHECKING:
    from neml2fe.calibration.fit import FitResult
    from neml2fe.calibration.noise import Noise
    from neml2fe.calibration.parameters import ParameterSet
    from neml2fe.calibration.specimens import Specimens


def write_report(
    folder: Path,
    title: str,
    result: FitResult,
    specimens: Specimens,
    predicted: Mapping[str, torch.Tensor],
    parameters: ParameterSet,
    flagged: Mapping[str, str] | None = None,
    *,
    noise: Noise | None = None,
    units: Mapping[str, str] | None = None,
) -> Path:
    """Write `report.md`, its figures (PNG), `parameters.csv` and `fitted.csv`.

    Without matplotlib the report has no figures, and says so.

    Args:
        folder: Where the files go; made if missing.
        title: Heading of the report.
        result: The fit.
        specimens: What was fitted.
        predicted: The fitted model's values of the measured variables, (N, S, *base).
        parameters: What was adjusted, for starts and bounds.
        flagged: Specimens that were left out, and why. One whose prediction is not finite
            where there is data joins them, so that the report of a long fit is never lost.
        noise: What the fit assumed the measured values to scatter by.
        units: Units by name of variable, component or condition, for tables and figures.

    Returns:
        The path of `report.md`.

    Raises:
        InputError: if `predicted` lacks a measured variable or has another shape, or no
            specimen with data is left.
        OutputError: if a file cannot be written.
    """
    folder, units, specimens = Path(folder), units or {}, with_rates(specimens)
    flagged = {**unpredicted(specimens, predicted), **(flagged or {})}
    compared = channels(specimens, predicted, flagged)
    count = sum(int(channel.used.sum()) for channel in compared)
    # The parameters have bent the curves towards the data: the spread about the true curves
    # is larger than about the fitted ones.
    freedom = max(count - len(parameters.names), 1) / count
    spread = {c.label: _spread(c.whitened(None), freedom) for c in compared}
    known = noise if noise is not None and noise.is_known else None
    standard = {
        c.label: c.whitened(known) / (1.0 if known or not spread[c.label] else spread[c.label])
        for c in compared
    }
    rows = parameter_rows(result, parameters)
    write_csv(folder / "parameters.csv", PARAMETER_COLUMNS, rows)
    write_csv(folder / "fitted.csv", FITTED_COLUMNS, fitted_rows(specimens, compared))
    lines = [
        f"# {title}",
        "",
        *_summary(result, specimens, compared),
        *_noise(spread, standard if known else {}, freedom, units),
        *_warnings(warnings_of(result, parameters, flagged)),
        *parameter_section(result, rows),
        *starts_section(result),
        *correlation_section(result),
        *misfit_section(specimens, compared, units),
        *_figures(folder, result, specimens, compared, standard, units),
        *_files(),
    ]
    path = folder / "report.md"
    with replacing(path) as temporary:
        temporary.write_text("\n".join(lines), encoding="utf-8")
    return path


def _spread(whitened: Array, freedom: float) -> float:
    return float(np.sqrt((whitened**2).mean() / freedom))


def _summary(result: FitResult, specimens: Specimens, compared: Sequence[Channel]) -> list[str]:
    fitted = int(np.any([channel.used.any(axis=0) for channel in compared], axis=0).sum())
    rows = [
        ("Outcome", ending(result)),
        ("Loss", f"{result.loss:.6g}"),
        ("Iterations of the best start", str(result.history[-1].number if result.history else 0)),
        ("Parameters", str(len(result.values))),
        ("Specimens", f"{fitted} of {len(specimens.names)}"),
        ("Data", ", ".join(f"{c.used.sum()} values of {c.label}" for c in compared)),
    ]
    return ["## Summary", "", *markdown(("", ""), rows), ""]


def _noise(
    spread: Mapping[str, float],
    standard: Mapping[str, Array],
    freedom: float,
    units: Mapping[str, str],
) -> list[str]:
    """What the residuals say of the noise; `standard` is empty where none was assumed."""
    lines = ["## Noise", ""]
    for label, value in spread.items():
        unit = units.get(label) or units.get(label.rpartition("_")[0]) or ""
        lines.append(f"- {label}: estimated standard deviation {value:.6g} {unit}".rstrip() + ".")
    lines += [
        f"- {label}: the residuals are {_spread(values, freedom):.4g} standard deviations of the "
        "assumed noise (root mean square); much more than 1 means that the model is wrong or "
        "the noise larger."
        for label, values in standard.items()
    ]
    note = "Estimated from the residuals at weight 1, allowing for the parameters that were fitted."
    return [*lines, "", note, ""]


def warnings_of(
    result: FitResult, parameters: ParameterSet, flagged: Mapping[str, str]
) -> list[str]:
    """What a reader of the fit must be careful of, in sentences."""
    found = [] if result.converged else [f"**The fit did not converge**: {result.reason}"]
    known = result.uncertainty
    if known is not None:
        found += [
            f"**{name} is not identified**: {why}" for name, why in known.not_identifiable.items()
        ]
        found += known.remarks
    else:
        bounds = at_bounds(parameters, result.values).items()
        found += [
            f"{name} stands at its {side} bound {result.values[name]:g}" for name, side in bounds
        ]
    return found + [f"**Specimen {name} is left out**: {why}" for name, why in flagged.items()]


def _warnings(found: Sequence[str]) -> list[str]:
    bullets = [f"- {text.rstrip('.')}." for text in found] or ["None."]
    return ["## Warnings", "", *bullets, ""]


def _figures(
    folder: Path,
    result: FitResult,
    specimens: Specimens,
    compared: Sequence[Channel],
    standard: Mapping[str, Array],
    units: Mapping[str, str],
) -> list[str]:
    lines = ["## Figures", ""]
    if find_spec("matplotlib") is None:
        return [*lines, "There are none: they need `pip install 'neml2fe[figures]'`.", ""]
    for channel in compared:
        label = channel.label
        path = curves.plot_curves(folder / f"curves_{label}.png", specimens, channel, units)
        caption = f"Measured (points, at most {curves.POINTS} a curve) and fitted (lines) {label}."
        lines += _picture(path, caption)
        path = diagnostics.plot_residuals(
            folder / f"residuals_{label}.png", specimens, channel, standard[label], units
        )
        caption = (
            f"Residuals of {label}. Right: in standard deviations of the noise, over what "
            "normal noise would give (the diagonal)."
        )
        lines += _picture(path, caption)
    correlation = known_correlation(result)
    if result.uncertainty is not None and correlation is not None:
        path = folder / "correlation.png"
        diagnostics.plot_correlation(path, result.uncertainty.names, correlation)
        lines += _picture(path, "Correlation of the parameters' errors; grey: no standard error.")
    if len(result.history) > 1:
        path = diagnostics.plot_loss(folder / "loss.png", result)
        lines += _picture(path, "Loss over the iterations.")
    return lines


def _picture(path: Path, caption: str) -> list[str]:
    return [f"![{path.stem}]({path.name})", "", caption, ""]


def _files() -> list[str]:
    return [
        "## Files",
        "",
        "- `parameters.csv`: the table of parameters with all digits.",
        "- `fitted.csv`: every value that was fitted, with its residual (fitted minus measured) "
        "and weight. Components are Mandel's: shear times the square root of 2.",
        "",
    ]
