"""What a fit came to, test by test: measured and fitted values, for tables and figures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from neml2fe.calibration.simulations.measurements import (
    FieldMeasurement,
    GaugeMeasurement,
    LoadMeasurement,
    Measurement,
    Values,
)
from neml2fe.calibration.simulations.plots import Curve
from neml2fe.calibration.simulations.problem import SimulationProblem
from neml2fe.calibration.simulations.timed import Renamed, TimedProblem
from neml2fe.calibration.specimens import Specimens

Array = NDArray[np.float64]
Simulated: TypeAlias = Mapping[str, tuple[Values, Tensor]]
"""What each measurement of a test observes, and its residuals"""
_STRAINS = ("strain 11", "strain 22", "strain 12 (Mandel)")


@dataclass(frozen=True, eq=False)
class Tested:
    """What a test is compared with: measurements by name, or specimens; in words; and specimens
    that are left out, with the reason."""

    compared: dict[str, Measurement] | Specimens
    words: list[str]
    flagged: dict[str, str]


def tested(problem: TimedProblem) -> dict[str, Tested]:
    """By test, on every rank. Collective."""
    return problem.of_each(_tested, problem.parameters.x0)


def _tested(member: Any, x: Tensor) -> Tested:
    inner: Any = member.problem if isinstance(member, Renamed) else member
    if isinstance(inner, SimulationProblem):
        words = [f"{name}: {_words(m)}" for name, m in inner.measurements.items()]
        words.append(f"a step ends at each of {len(inner.times)} measured times")
        return Tested(inner.measurements, words, {})
    kept = inner.specimens
    words = [f"{len(kept.names)} specimens with {int(kept.n_values.sum())} measured values"]
    return Tested(kept, words, inner.flagged)


def _words(measurement: Measurement) -> str:
    if isinstance(measurement, FieldMeasurement):
        return measurement.data.describe()
    return f"{len(measurement.times)} values"


def outcomes(problem: TimedProblem, x: Tensor) -> dict[str, Any]:
    """By test, on every rank: `Simulated`, or what is predicted of specimens `(N, S, *base)`.
    Collective."""
    return problem.of_each(_outcome, x)


def _outcome(member: Any, x: Tensor) -> Any:
    inner: Any = member.problem if isinstance(member, Renamed) else member
    if not isinstance(inner, SimulationProblem):
        return inner.predict(x)
    with torch.no_grad():
        values = inner.simulated(x)
        return {
            name: (dict(inner.values_of(name, values)), inner.residuals_of(name, values))
            for name in inner.measurements
        }


def curve_of(name: str, measurement: Measurement, values: Values) -> Curve | None:
    """Of a load cell or gauge; None for other measurements."""
    if isinstance(measurement, LoadMeasurement):
        fitted = measurement.factor * values["reaction"]
    elif isinstance(measurement, GaugeMeasurement):
        fitted = measurement.elongation(values["ends"])
    else:
        return None
    data = measurement.data
    return Curve(name, data.times, data.values, fitted.numpy())


@dataclass(frozen=True, eq=False)
class Maps:
    """`measured` and `fitted` `(T, m)` of one component at `points` `(m, dim)`; NaN is missing."""

    label: str
    points: Array
    measured: Array
    fitted: Array


def maps_of(measurement: FieldMeasurement, values: Values) -> list[Maps]:
    """What is compared of a full field, by component: displacements, or strains of windows."""
    data, fitted = measurement.compared, measurement.comparable(values["field"])
    if measurement.strain is None:
        real, found, points = data.displacements, fitted.numpy(), data.points
        labels: tuple[str, ...] = tuple(f"displacement {c}" for c in "xyz")
    else:
        windows = measurement.strain.on(data)
        real = windows(torch.from_numpy(data.displacements)).numpy()
        found, points, labels = windows(fitted).numpy(), windows.points, _STRAINS
    return [Maps(labels[c], points, real[..., c], found[..., c]) for c in range(real.shape[2])]


def root_mean_square(values: Array) -> float:
    return float(np.sqrt(np.square(values).mean())) if values.size else 0.0


def misfit_of(
    name: str, measurement: Measurement, values: Values
) -> Mapping[str, tuple[float, float]]:
    """Root mean squares by component: fitted - measured, and measured."""
    curve = curve_of(name, measurement, values)
    if curve is not None:
        parts = {name: (curve.measured, curve.fitted)}
    elif isinstance(measurement, FieldMeasurement):
        parts = {f"{name}, {m.label}": (m.measured, m.fitted) for m in maps_of(measurement, values)}
    else:
        return {}
    found = {}
    for label, (real, fitted) in parts.items():
        there = np.isfinite(real) & np.isfinite(fitted)
        found[label] = (
            root_mean_square((fitted - real)[there]),
            root_mean_square(real[there]),
        )
    return found
