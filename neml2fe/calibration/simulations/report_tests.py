"""The sections of a report on the tests of a fit: what was measured beside what was simulated."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from neml2fe.calibration import curves
from neml2fe.calibration.channels import channels, unpredicted, with_rates
from neml2fe.calibration.simulations.compared import (
    curves_of,
    load_curves,
    maps_of,
    misfit_of,
    root_mean_square,
)
from neml2fe.calibration.simulations.described import measurement_table
from neml2fe.calibration.simulations.maps import images_to_draw, in_view, plot_maps
from neml2fe.calibration.simulations.measurements import FieldMeasurement, Measurement, Values
from neml2fe.calibration.simulations.outcome import Outcomes, Predicted, Simulated
from neml2fe.calibration.simulations.plots import plot_curves, plot_histograms
from neml2fe.calibration.simulations.virtual_fields import VirtualFieldsMeasurement
from neml2fe.calibration.specimens import Specimens
from neml2fe.io.document import Picture, Table, Text

Blocks = list[Text | Table | Picture]
Tests = Mapping[str, Mapping[str, Measurement] | Specimens]
SERIES = ("test", "measurement", "time", "measured", "fitted")


def simulated_section(
    folder: Path,
    test: str,
    measurements: Mapping[str, Measurement],
    found: Simulated,
    shares: Mapping[str, float],
    known: bool,
    figures: bool,
) -> Blocks:
    """Tables of the measurements and of their misfits, curves, maps and residuals.

    `shares`: how many parameters each measurement fixes; empty where that is not known. `known`:
    whether residuals are in units of the noise.
    """
    blocks: Blocks = [*measurement_table(measurements, found, shares, known)]
    rows, whitened = [], {}
    for name, measurement in measurements.items():
        r = found.residuals[name]
        size = root_mean_square(r)
        whitened[name] = r if known or size == 0.0 else r / size
        for label, (misfit, real) in misfit_of(name, measurement, found.values[name]).items():
            share = f"{100.0 * misfit / real:.3g} %" if real > 0.0 else "-"
            rows.append([label, f"{misfit:.4g}", share, f"{size:.4g}" if known else "-"])
    header = ("measurement", "rms fitted - measured", "of rms measured", "rms of all in sigmas")
    blocks.append(Table(header, rows))
    if not figures:
        return blocks
    series = [
        curve
        for name, measurement in measurements.items()
        for curve in curves_of(name, measurement, found.values[name])
    ]
    if series:
        path = plot_curves(folder / f"{test}_curves.png", series)
        caption = "Measured (points) and fitted (lines) over time."
        if any(isinstance(m, VirtualFieldsMeasurement) for m in measurements.values()):
            caption += " Of virtual fields: the work of the load, and that of the stresses."
        blocks.append(Picture(path, caption))
    if loads := load_curves(measurements, found):
        path = plot_curves(folder / f"{test}_load.png", loads)
        blocks.append(Picture(path, "Measured (points) and fitted (lines) loads over elongation."))
    for name, measurement in measurements.items():
        if isinstance(measurement, FieldMeasurement):
            blocks += _maps(folder, f"{test}_{name}", name, measurement, found.values[name])
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
        if not images:  # such as a component that is prescribed everywhere
            continue
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


def series_rows(tests: Tests, found: Outcomes) -> Iterator[Sequence[object]]:
    """Of SERIES."""
    for test, measurements in tests.items():
        outcome = found[test]
        if not isinstance(measurements, Mapping) or not isinstance(outcome, Simulated):
            continue
        for name, measurement in measurements.items():
            for curve in curves_of(name, measurement, outcome.values[name]):
                for row in zip(curve.x, curve.measured, curve.fitted, strict=True):
                    yield [test, curve.label, *map(float, row)]


def specimen_section(
    folder: Path, test: str, specimens: Specimens, found: Predicted, figures: bool
) -> Blocks:
    """A table of misfits, and curves."""
    specimens, predicted = with_rates(specimens), found.values
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
