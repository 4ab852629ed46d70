"""The table of measurements in the report of a fit: what was measured, and how it was compared."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from neml2fe.calibration.fullfield import FullField, Series
from neml2fe.calibration.fullfield.correlation import Correlation
from neml2fe.calibration.simulations.measurements import (
    FieldMeasurement,
    GaugeMeasurement,
    LoadMeasurement,
    Measurement,
)
from neml2fe.calibration.simulations.outcome import Simulated
from neml2fe.calibration.simulations.virtual_fields import VirtualFieldsMeasurement
from neml2fe.io.document import Table, Text

_FREE = 0.01  # degrees of freedom below which data are not tested
HEADER = ("measurement", "kind", "data", "times", "noise", "misfit / dof", "fixes parameters")


def measurement_table(
    measurements: Mapping[str, Measurement],
    found: Simulated,
    shares: Mapping[str, float],
    known: bool,
) -> list[Table | Text]:
    """A row for each measurement, and what was done to full fields.

    `shares`: how many parameters each fixes; empty where that is not known.
    """
    rows = []
    for name, measurement in measurements.items():
        r = found.residuals[name]
        freedom = len(r) - shares.get(name, 0.0)
        spread = math.sqrt(float(r @ r) / freedom) if freedom > _FREE else math.nan
        rows.append(
            [
                name,
                _kind(measurement),
                str(len(r)),
                str(len(measurement.times)),
                _noise(measurement, None if known else spread),
                f"{spread**2:.4g}" if known and freedom > _FREE else "-",
                f"{shares[name]:.2f}" if name in shares else "-",
            ]
        )
    blocks: list[Table | Text] = [Table(HEADER, rows)]
    note = (
        "Misfit / dof: the sum of squared residuals, in units of the noise, over the degrees of "
        "freedom, about 1 where noise alone is left."
    )
    if shares:
        note += (
            " These are the data less the parameters that they fix: the sum of their leverages, "
            "the diagonal of J (JᵀJ)⁻¹ Jᵀ."
        )
    if not known:
        note = "Noise is estimated from the residuals, and the misfit is then no test of the model."
    blocks.append(Text(note))
    fields = {n: m for n, m in measurements.items() if isinstance(m, FieldMeasurement)}
    if fields:
        blocks.append(_fields(fields))
    return blocks


def _kind(measurement: Measurement) -> str:
    if isinstance(measurement, LoadMeasurement):
        factor = "" if measurement.factor == 1.0 else f"{measurement.factor:g} times the "
        return f"load: {factor}reaction of {measurement.reaction}"
    if isinstance(measurement, GaugeMeasurement):
        ends = " and ".join(f"({', '.join(f'{c:g}' for c in x)})" for x in measurement.points)
        return f"elongation between {ends}"
    if isinstance(measurement, VirtualFieldsMeasurement):
        return f"virtual work of {', '.join(measurement.fields)}"
    if isinstance(measurement, FieldMeasurement):
        what = "displacements" if measurement.strain is None else "strains"
        where = f" on {measurement.boundary}" if measurement.boundary else ""
        return f"full field of {what}{where}"
    return type(measurement).__name__


def _noise(measurement: Measurement, estimated: float | None) -> str:
    strains = isinstance(measurement, FieldMeasurement) and measurement.strain is not None
    works = isinstance(measurement, VirtualFieldsMeasurement)
    if isinstance(measurement, VirtualFieldsMeasurement) and measurement.covariance is not None:
        return "given by load and displacements, correlated (covariance of the works)"
    data: Series | FullField = getattr(measurement, "load" if works else "data")
    if data.noise is None:
        if estimated is None:
            return "not known"
        return f"{estimated:.3g} (estimated{', of a displacement' if strains else ''})"
    words = f"{_span(np.asarray(data.noise))} (given), "
    correlation = getattr(data, "correlation", None)
    if isinstance(correlation, Correlation):
        kind = type(correlation).__name__.lower()
        words += f"correlated ({kind}, length {correlation.length:.4g})"
    elif correlation is not None:
        words += "correlated (matrix)"
    else:
        words += "not correlated"
    if works:
        return f"{words}; of the load alone"
    return f"{words}; strains of windows that overlap are correlated" if strains else words


def _span(values: np.ndarray) -> str:
    low, high = np.nanmin(values), np.nanmax(values)
    return f"{low:.4g}" if low == high else f"{low:.4g} to {high:.4g}"


def _fields(fields: Mapping[str, FieldMeasurement]) -> Table:
    """A column for each camera."""
    columns = [_properties(m) for m in fields.values()]
    rows = [[label, *(c[label] for c in columns)] for label in columns[0]]
    return Table(("full field", *fields), rows)


def _properties(measurement: FieldMeasurement) -> dict[str, str]:
    data = measurement.data
    low, high = data.points.min(axis=0), data.points.max(axis=0)
    missing = 1.0 - data.valid.mean()
    gauge, windows = measurement.strain, measurement.windows
    strain = "no strains"
    if gauge is not None and windows is not None:
        size = f"{gauge.window} points a side" if gauge.window else f"radius {gauge.radius:.4g}"
        strain = (
            f"{size}, order {gauge.order}, {gauge.weights} weights, {gauge.measure} strain; at "
            f"least {gauge.least_points} points; {windows.describe()}"
        )
    motion = "kept"
    if measurement.without_rigid_motion:
        chosen = measurement.rigid_motion_points
        some = "all points" if chosen is None else f"{int(np.sum(chosen))} points"
        motion = f"removed from each image, fitted to {some}, on both sides"
    left_out = str(measurement.prescribed_points)
    if measurement.compare_prescribed:
        left_out = "none, compare_prescribed is set"
    return {
        "points": str(len(data.points)),
        "images": str(len(data.times)),
        "components": str(data.displacements.shape[2]),
        "region": " × ".join(f"{a:.4g} to {b:.4g}" for a, b in zip(low, high, strict=True)),
        "masks": measurement.masks or "-",
        "missing": f"{100.0 * missing:.2g} %",
        "prescribed points left out": left_out,
        "rigid motion": motion,
        "strain windows": strain,
    }
