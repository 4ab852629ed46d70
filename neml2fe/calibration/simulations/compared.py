"""What was measured beside what was simulated: curves, maps, misfits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from neml2fe.calibration.simulations.measurements import (
    FieldMeasurement,
    GaugeMeasurement,
    LoadMeasurement,
    Measurement,
    Values,
)
from neml2fe.calibration.simulations.outcome import Simulated
from neml2fe.calibration.simulations.virtual_fields import VirtualFieldsMeasurement

Array = NDArray[np.float64]
_STRAINS = ("strain 11", "strain 22", "strain 12 (Mandel)")


@dataclass(frozen=True, eq=False)
class Curve:
    """Measured and fitted values `(n,)` at `x` `(n,)`, which is the time, or at `x_fitted` where
    that has been simulated too; NaN where not measured."""

    label: str
    x: Array
    measured: Array
    fitted: Array
    over: str = "time"
    x_fitted: Array | None = None


@dataclass(frozen=True, eq=False)
class Maps:
    """`measured` and `fitted` `(T, m)` of one component at `points` `(m, dim)`; NaN is missing."""

    label: str
    points: Array
    measured: Array
    fitted: Array


def curves_of(name: str, measurement: Measurement, values: Values) -> list[Curve]:
    """Over time: a load, an elongation, or for each virtual field the work of the load (measured)
    and that of the stresses (fitted). None for full fields."""
    times = measurement.times
    if isinstance(measurement, VirtualFieldsMeasurement):
        internal = measurement.factor * torch.stack([values[f] for f in measurement.fields], dim=1)
        external = internal - measurement.unbalanced(values)
        columns = zip(measurement.fields, external.T.numpy(), internal.T.numpy(), strict=True)
        return [Curve(f"{name}, work of {f}", times, *works) for f, *works in columns]
    if isinstance(measurement, LoadMeasurement):
        fitted = measurement.factor * values["reaction"]
        return [Curve(name, times, measurement.data.values, fitted.numpy())]
    if isinstance(measurement, GaugeMeasurement):
        fitted = measurement.elongation(values["ends"])
        return [Curve(name, times, measurement.data.values, fitted.numpy())]
    return []


def load_curves(tested: Mapping[str, Measurement], found: Simulated) -> list[Curve]:
    """Each load over each elongation, or, where there is no gauge, over the displacement of the
    condition whose reaction it is."""
    gauges = {
        name: curves_of(name, measurement, found.values[name])[0]
        for name, measurement in tested.items()
        if isinstance(measurement, GaugeMeasurement)
    }
    curves = []
    for name, measurement in tested.items():
        if not isinstance(measurement, LoadMeasurement):
            continue
        (load,) = curves_of(name, measurement, found.values[name])
        for label, gauge in gauges.items():
            there = np.isfinite(gauge.measured)
            t = gauge.x[there]
            at = (load.x >= t.min()) & (load.x <= t.max()) if len(t) else np.zeros(0, dtype=bool)
            if at.sum() < 2:
                continue
            x, y = (np.interp(load.x[at], t, v[there]) for v in (gauge.measured, gauge.fitted))
            curves.append(Curve(name, x, load.measured[at], load.fitted[at], label, y))
        stroke = found.strokes[name]
        if not gauges and np.ptp(stroke) > 0.0:
            over = f"displacement of {measurement.reaction}"
            curves.append(Curve(name, stroke, load.measured, load.fitted, over))
    return curves


def maps_of(measurement: FieldMeasurement, values: Values) -> list[Maps]:
    """What is compared of a full field, by component: displacements, or strains of windows."""
    data, fitted = measurement.compared, measurement.comparable(values["field"])
    windows = measurement.windows
    if windows is None:
        real, found, points = data.displacements, fitted.numpy(), data.points
        labels: tuple[str, ...] = tuple(f"displacement {c}" for c in "xyz")
    else:
        real = measurement.measured_strain.numpy()
        found, points, labels = windows(fitted).numpy(), windows.points, _STRAINS
    return [Maps(labels[c], points, real[..., c], found[..., c]) for c in range(real.shape[2])]


def root_mean_square(values: Array) -> float:
    return float(np.sqrt(np.square(values).mean())) if values.size else 0.0


def misfit_of(
    name: str, measurement: Measurement, values: Values
) -> Mapping[str, tuple[float, float]]:
    """Root mean squares by component: fitted - measured, and measured."""
    parts = {c.label: (c.measured, c.fitted) for c in curves_of(name, measurement, values)}
    if isinstance(measurement, FieldMeasurement):
        parts = {f"{name}, {m.label}": (m.measured, m.fitted) for m in maps_of(measurement, values)}
    found = {}
    for label, (real, fitted) in parts.items():
        there = np.isfinite(real) & np.isfinite(fitted)
        found[label] = (root_mean_square((fitted - real)[there]), root_mean_square(real[there]))
    return found
