"""What a fit came to, test by test, on every rank: for the tables and figures of its report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from neml2fe.calibration.fullfield.edge import is_measured
from neml2fe.calibration.simulations.fitted_fields import FittedField, fitted_fields
from neml2fe.calibration.simulations.measurements import (
    FieldMeasurement,
    LoadMeasurement,
    Measurement,
    Values,
)
from neml2fe.calibration.simulations.problem import SimulationProblem
from neml2fe.calibration.simulations.regularised import RegularisedProblem
from neml2fe.calibration.simulations.timed import Renamed, TimedProblem
from neml2fe.calibration.specimens import Specimens

Array = NDArray[np.float64]


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
    inner = _inside(member)
    if isinstance(inner, SimulationProblem):
        words = [f"{name}: {_words(m)}" for name, m in inner.measurements.items()]
        words.append(f"a step ends at each of {len(inner.times)} measured times")
        return Tested(inner.measurements, words, {})
    kept = inner.specimens
    words = [f"{len(kept.names)} specimens with {int(kept.n_values.sum())} measured values"]
    return Tested(kept, words, inner.flagged)


def _inside(member: Any) -> Any:
    """The problem of a test without what is around it."""
    while isinstance(member, (Renamed, RegularisedProblem)):
        member = member.problem
    return member


def _words(measurement: Measurement) -> str:
    if isinstance(measurement, FieldMeasurement):
        words = measurement.data.describe()
        if n := measurement.prescribed_points:
            words += f", {n} points left out as the simulation prescribes them"
        return words
    return f"{len(measurement.times)} values"


@dataclass(frozen=True, eq=False)
class Simulated:
    """A simulated test at the fitted parameters.

    - `values`, `residuals`: of each measurement, by name.
    - `rows`: how many residuals the test has in all.
    - `strokes`: for each load cell `(T,)` the displacement (the mean over its place) of the
      condition that the load is the reaction of.
    - `measured_edges`: conditions that prescribe what a camera measured.
    - `fields`: the parameter fields among what is fitted, by the names of the fit.
    """

    values: dict[str, Values]
    residuals: dict[str, Array]
    rows: int
    strokes: dict[str, Array]
    measured_edges: list[str]
    fields: dict[str, FittedField]


@dataclass(frozen=True, eq=False)
class Predicted:
    """Tested specimens: the variables that are predicted of them `(N, S, *base)`, and how many
    residuals the test has."""

    values: dict[str, Tensor]
    rows: int


Outcomes: TypeAlias = Mapping[str, Simulated | Predicted]
"""By test"""


def outcomes(problem: TimedProblem, x: Tensor) -> Outcomes:
    """By test, on every rank. Collective."""
    return problem.of_each(_outcome, x)


def _outcome(member: Any, x: Tensor) -> Simulated | Predicted:
    inner = _inside(member)
    with torch.no_grad():
        if not isinstance(inner, SimulationProblem):
            return Predicted(inner.predict(x), len(member.residuals(x)))
        found = inner.simulated(x)
        rows = len(member.residuals(x))  # of the same simulation
        values: dict[str, Values] = {n: dict(inner.values_of(n, found)) for n in inner.measurements}
        residuals = {n: inner.residuals_of(n, found).numpy() for n in inner.measurements}
    strokes = {
        name: _stroke(inner, measurement)
        for name, measurement in inner.measurements.items()
        if isinstance(measurement, LoadMeasurement)
    }
    with inner.at(x):
        fields = fitted_fields(inner, member.parameters.tensor_names)
    edges = [c.name for c in inner.simulation.conditions if is_measured(getattr(c, "value", None))]
    return Simulated(values, residuals, rows, strokes, edges, fields)


def _stroke(problem: SimulationProblem, measurement: LoadMeasurement) -> Array:
    """Collective."""
    simulation = problem.simulation
    known = {e.name: e for e in simulation.constraints.prescribed if e.reported}
    entry = known[measurement.reaction]
    sums = [
        [float((entry.signs * entry.values(float(t))).sum()), float(len(entry.dofs))]
        for t in measurement.times
    ]
    total, count = simulation.algebra.allreduce(np.array(sums)).T
    return np.asarray(total / count)
