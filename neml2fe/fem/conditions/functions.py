"""Functions of time, or of time and place, for loads, prescribed displacements and fields."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from neml2fe.errors import InputError

Array = NDArray[np.float64]
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


class SpaceFunction:
    """A function of time and of the place in the undeformed body: `function(t, x)`, with x
    `(n, dim)`, gives `(n,)` values (or one number for all). Time steps end at its `breakpoints`.

    It must depend on nothing else: what it gives at a time may be used again.
    """

    def __init__(
        self, function: Callable[[float, Array], Any], breakpoints: Sequence[float] = ()
    ) -> None:
        self.function, self.breakpoints = function, [float(t) for t in breakpoints]

    def __call__(self, time: float, x: Array) -> Array:
        return self.function(time, x)


Function: TypeAlias = TimeFunction | SpaceFunction
"""What conditions take as values."""


def value_at(function: TimeFunction, time: float, what: str) -> float:
    """The value of a number or function at `time`. Raises `InputError` unless it is finite."""
    try:
        value = float(function(time)) if callable(function) else float(function)
    except (ArithmeticError, TypeError, ValueError) as error:
        raise InputError(f"{what} cannot be evaluated at time {time:g}: {error}") from None
    if not math.isfinite(value):
        raise InputError(f"{what} is {value} at time {time:g}; it must be a finite number")
    return value


def values_at(function: Function, time: float, x: Array, what: str) -> Array:
    """Values `(n,)` of a function at places `x` `(n, dim)`. Raises `InputError` unless they are
    finite numbers, one for each place."""
    if not isinstance(function, SpaceFunction):
        return np.full(len(x), value_at(function, time, what))
    try:
        values = np.asarray(function(time, x), dtype=np.float64)
    except (ArithmeticError, TypeError, ValueError, IndexError) as error:
        raise InputError(f"{what} cannot be evaluated at time {time:g}: {error}") from None
    if values.shape not in ((), (len(x),)):
        raise InputError(
            f"{what}: a function of time and place must give one value for each of {len(x)} "
            f"places; it gave an array of shape {values.shape}"
        )
    bad = np.flatnonzero(~np.isfinite(np.broadcast_to(values, len(x))))
    if bad.size:
        where = ", ".join(f"{c:g}" for c in x[bad[0]])
        raise InputError(f"{what} is not a finite number at time {time:g} and ({where})")
    return np.broadcast_to(values, len(x)).copy()


def breakpoints(function: Any) -> list[float]:
    """Times at which a function has a kink, as far as it tells."""
    return list(getattr(function, "breakpoints", []))
