"""Functions of time for loads and prescribed displacements."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np

from neml2fe.errors import InputError

TimeFunction: TypeAlias = float | Callable[[float], float]


class PiecewiseLinear:
    """Straight lines through `(times, values)`, constant before the first and after the last.

    Time steps end exactly at its `breakpoints`.
    """

    def __init__(self, times: Sequence[float], values: Sequence[float]) -> None:
        self.times, self.values = np.asarray(times, float), np.asarray(values, float)
        if self.times.shape != self.values.shape or self.times.ndim != 1 or not len(self.times):
            raise InputError(
                f"a piecewise linear function needs as many times as values, at least one; "
                f"got {self.times.size} and {self.values.size}"
            )
        if not (np.isfinite(self.times).all() and np.isfinite(self.values).all()):
            raise InputError("the times and values of a piecewise linear function must be finite")
        if np.any(np.diff(self.times) <= 0):
            raise InputError("the times of a piecewise linear function must increase")

    @property
    def breakpoints(self) -> list[float]:
        return [float(t) for t in self.times]

    def __call__(self, time: float) -> float:
        return float(np.interp(time, self.times, self.values))


def value_at(function: TimeFunction, time: float, what: str) -> float:
    """The value of a number or function at `time`. Raises `InputError` unless it is finite."""
    try:
        value = float(function(time)) if callable(function) else float(function)
    except (ArithmeticError, TypeError, ValueError) as error:
        raise InputError(f"{what} cannot be evaluated at time {time:g}: {error}") from None
    if not math.isfinite(value):
        raise InputError(f"{what} is {value} at time {time:g}; it must be a finite number")
    return value


def breakpoints(function: Any) -> list[float]:
    """Times at which a function has a kink, as far as it tells."""
    return list(getattr(function, "breakpoints", []))
