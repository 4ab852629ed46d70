"""The report of a fit to tests: a page as HTML and Markdown, its figures, numbers as CSV."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from neml2fe.calibration import curves, diagnostics
from neml2fe.calibration.channels import channels, unpredicted, with_rates
from neml2fe.calibration.display import ending
from neml2fe.calibration.report import warnings_of
from neml2fe.calibration.simulations.maps import images_to_draw, in_view, plot_maps
from neml2fe.calibration.simulations.measurements import FieldMeasurement, Measurement, Values
from neml2fe.calibration.simulations.outcome import (
    Simulated,
    curve_of,
    maps_of,
    misfit_of,
    outcomes,
    root_mean_square,
)
from neml2fe.calibration.simulations.plots import plot_convergence, plot_curves, plot_histograms
from neml2fe.calibration.tables import (
    PARAMETER_COLUMNS,
    known_correlation,
    parameter_rows,
    text,
    write_csv,
)
from neml2fe.io.document import Picture, Section, Table, Text, write_html, write_markdown

if TYPE_CHECKING:
    from neml2fe.calibration.fit import FitResult
    from neml2fe.calibration.parameters import ParameterSet
    from neml2fe.calibration.simulations.timed import TimedProblem
    from neml2fe.calibration.specimens import Specimens

Blocks = list[Text | Table | Picture]
_SERIES = ("test", "measurement", "time", "measured", "fitted")


def write_report(
    folder: Path,
    title: str,
    result: FitResult,
    problem: TimedProblem,
    tests: Mapping[str, Mapping[str, Measurement] | Specimens],
    *,
    flagged: Mapping[str, str] | None = None,
    root: bool = True,
) -> Path:
    """Write `report.html`, the same as `report.md` with its figures (PNG), `parameters.csv` and
    `series.csv` (curves over time). Collective: the tests are simulated once more; rank `root`
    writes.

    Args:
        folder: Where the files go; made if missing.
        title: Heading of the report.
        result: The fit.
        problem: What was fitted.
        tests: The measurements of each test, by name, or its specimens.
        flagged: Specimens that were left out, and why.

    Returns the path of `report.html`. Raises `OutputError` if a file cannot be written,
    `ConvergenceError` where a test cannot be simulated any more.
    """
    found = outcomes(problem, result.x)
    folder, parameters = Path(folder), problem.parameters
    path = folder / "report.html"
    if not root:
        return path
    folder.mkdir(parents=True, exist_ok=True)
    figures = find_spec("matplotlib") is not None
    rows = parameter_rows(result, parameters)
    write_csv(folder / "parameters.csv", PARAMETER_COLUMNS, rows)
    write_csv(folder / "series.csv", _SERIES, _series_rows(tests, found))
    sections = [
        _summary(result, problem, tests),
        _warnings(result, parameters, flagged or {}),
        _parameters(folder, result, rows, figures),
    ]
    for name, test in tests.items():
        if isinstance(test, Mapping):
            blocks = _simulated(folder, name, test, found[name], problem.noise_is_known, figures)
        else:
            blocks = _specimens(folder, name, test, found[name], figures)
        sections.append(Section(f"Test {name}", blocks))
    if not figures:
        sections.append(Section("Figures", [Text("They need `pip install 'neml2fe[figures]'`.")]))
    write_markdown(folder / "report.md", title, sections)
    return write_html(path, title, sections)


# --- the fit --------------------------------------------------------------------------
def _summary(
    result: FitResult,
    problem: TimedProblem,
    tests: Mapping[str, Mapping[str, Measurement] | Specimens],
) -> Section:
    rows = [
        ["Outcome", ending(result)],
        ["Loss", f"{result.loss:.6g}"],
        ["Iterations of the best start", str(result.history[-1].number if result.history else 0)],
        ["Simulations of all tests", str(problem.simulations)],
        ["Seconds for each, with derivatives", f"{problem.pace():.3g}"],
        ["Parameters", str(len(result.values))],
        ["Tests", ", ".join(tests)],
    ]
    return Section("Summary", [Table(("", ""), rows)])


def _warnings(result: FitResult, parameters: ParameterSet, flagged: Mapping[str, str]) -> Section:
    found = [line.replace("**", "") for line in warnings_of(result, parameters, flagged)]
    return Section("Warnings", [Text(f"{line.rstrip('.')}.") for line in found] or [Text("None.")])


def _parameters(
    folder: Path, result: FitResult, rows: Sequence[Sequence[object]], figures: bool
) -> Section:
    known = result.uncertainty
    header, shown = ["parameter", "start", "fitted", "bounds", "flag"], []
    for row in rows:
        name, start, fitted, error, lower, upper, _, low, high, flag = row
        cells = [text(name), text(start), text(fitted)]
        if known is not None:
            cells += [text(error), f"{text(lower)} to {text(upper)}", _relative(fitted, error)]
        shown.append([*cells, f"{text(low)} to {text(high)}", text(flag)])
    blocks: Blocks = []
    if known is not None:
        header[3:3] = ["standard error", f"{100 * known.level:g} % interval", "known to"]
        note = (
            "Standard errors and intervals follow from the Gauss-Newton Hessian at the fitted "
            "values; they hold where the model is right and nearly linear over the interval."
        )
        if not known.not_identifiable and not known.remarks:
            note += " Every parameter is identified by these data."
        blocks += [Table(header, shown), Text(note)]
    else:
        blocks += [Table(header, shown), Text("No uncertainty was computed.")]
    correlation = known_correlation(result)
    if figures and known is not None and correlation is not None:
        path = diagnostics.plot_correlation(folder / "correlation.png", known.names, correlation)
        blocks.append(Picture(path, "Correlation of the parameters' errors."))
    if figures and len(result.history) > 1:
        path = plot_convergence(folder / "convergence.png", result)
        blocks.append(Picture(path, "Loss and parameters, iteration by iteration."))
    return Section("Parameters", blocks)


def _relative(fitted: object, error: object) -> str:
    if not isinstance(fitted, float) or not isinstance(error, float) or fitted == 0.0:
        return "-"
    return f"{100.0 * abs(error / fitted):.2g} %" if np.isfinite(error) else "-"


# --- simulated tests ------------------------------------------------------------------
def _simulated(
    folder: Path,
    test: str,
    measurements: Mapping[str, Measurement],
    found: Simulated,
    known: bool,
    figures: bool,
) -> Blocks:
    rows = []
    whitened = {}
    for name, measurement in measurements.items():
        values, residuals = found[name]
        r = residuals.numpy()
        size = root_mean_square(r)
        whitened[name] = r if known or size == 0.0 else r / size
        for label, (misfit, real) in misfit_of(name, measurement, values).items():
            share = f"{100.0 * misfit / real:.3g} %" if real > 0.0 else "-"
            rows.append([label, f"{misfit:.4g}", share, f"{size:.4g}" if known else "-"])
    header = ("measurement", "rms fitted - measured", "of rms measured", "rms of all in sigmas")
    blocks: Blocks = [Table(header, rows)]
    if not figures:
        return blocks
    series = [
        curve
        for name, measurement in measurements.items()
        if (curve := curve_of(name, measurement, found[name][0]))
    ]
    if series:
        path = plot_curves(folder / f"{test}_curves.png", series)
        blocks.append(Picture(path, "Measured (points) and fitted (lines)."))
    for name, measurement in measurements.items():
        if isinstance(measurement, FieldMeasurement):
            blocks += _maps(folder, f"{test}_{name}", name, measurement, found[name][0])
    path = plot_histograms(folder / f"{test}_residuals.png", whitened)
    scaled = "the stated noise" if known else "their own spread, as the noise is not known"
    blocks.append(
        Picture(path, f"Residuals in units of {scaled}; the line is the normal distribution.")
    )
    return blocks


def _maps(
    folder: Path, stem: str, name: str, measurement: FieldMeasurement, values: Values
) -> Iterator[Picture]:
    for number, maps in enumerate(maps_of(measurement, values), start=1):
        images = images_to_draw(np.asarray(np.isfinite(maps.measured).any(axis=1)))
        points, axes = in_view(maps.points)
        path = plot_maps(
            folder / f"{stem}_{number}.png",
            points,
            maps.measured[images],
            maps.fitted[images],
            [f"time {measurement.times[k]:.6g}" for k in images],
            maps.label,
            axes,
        )
        yield Picture(path, f"{name}: {maps.label}.")


def _series_rows(
    tests: Mapping[str, Mapping[str, Measurement] | Specimens],
    found: Mapping[str, Any],
) -> Iterator[Sequence[object]]:
    """Of _SERIES."""
    for test, measurements in tests.items():
        if not isinstance(measurements, Mapping):
            continue
        for name, measurement in measurements.items():
            if curve := curve_of(name, measurement, found[test][name][0]):
                for row in zip(curve.times, curve.measured, curve.fitted, strict=True):
                    yield [test, name, *map(float, row)]


# --- specimens ------------------------------------------------------------------------
def _specimens(
    folder: Path,
    test: str,
    specimens: Specimens,
    predicted: Mapping[str, torch.Tensor],
    figures: bool,
) -> Blocks:
    specimens = with_rates(specimens)
    compared = channels(specimens, predicted, unpredicted(specimens, predicted))
    rows = []
    for channel in compared:
        misfit = root_mean_square(channel.residual[channel.used])
        real = root_mean_square(channel.measured[channel.used])
        share = f"{100.0 * misfit / real:.3g} %" if real > 0.0 else "-"
        rows.append([channel.label, str(int(channel.used.sum())), f"{misfit:.4g}", share])
    header = ("variable", "values", "rms fitted - measured", "of rms measured")
    blocks: Blocks = [Table(header, rows)]
    for channel in compared if figures else ():
        path = curves.plot_curves(folder / f"{test}_{channel.label}.png", specimens, channel)
        blocks.append(Picture(path, f"Measured (points) and fitted (lines) {channel.label}."))
    return blocks
