"""Scalars over time: load cell, clip gauge, machine stroke."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from neml2fe.calibration.csvtable import CSVTable
from neml2fe.calibration.fullfield.interpolation import (
    between,
    checked_times,
    mixed,
    mixed_deviation,
)
from neml2fe.errors import ConvergenceError, InputError

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Series:
    """Measured `values` `(n,)` at `times` `(n,)`, NaN where missing.

    `noise` is the standard deviation, one number or `(n,)`; None: not known, residuals are then
    plain differences. Raises `InputError` for shapes, times and deviations that cannot be.
    """

    times: Array
    values: Array
    noise: float | Array | None = None
    name: str = "series"

    def __post_init__(self) -> None:
        put = object.__setattr__  # the way into a frozen dataclass
        put(self, "times", checked_times(self.times, self.name))
        put(self, "values", np.asarray(self.values, dtype=np.float64))
        if self.values.shape != self.times.shape or np.isinf(self.values).any():
            raise InputError(
                f"{self.name}: finite values {self.times.shape} are needed, one at each time; got "
                f"{self.values.shape}"
            )
        if self.noise is not None:
            noise = np.atleast_1d(np.asarray(self.noise, dtype=np.float64))
            if noise.shape not in ((1,), self.times.shape) or not (
                np.isfinite(noise).all() and (noise > 0.0).all()
            ):
                raise InputError(
                    f"{self.name}: noise is a positive standard deviation, one or one at each time"
                )
            put(self, "noise", noise)

    @property
    def valid(self) -> NDArray[np.bool_]:
        """`(n,)`: where there is a value."""
        return np.isfinite(self.values)

    def at(self, times: ArrayLike) -> Series:
        """Values at other times, linear between those measured; their noise is that of the mean.

        Values that share a measured one are correlated: take few of many, not many of few. Raises
        `InputError` for times outside of those measured.
        """
        left, share = between(self.times, times, self.name)
        noise = None
        if self.noise is not None:
            noise = mixed_deviation(np.asarray(self.noise), left, share)
        wanted = np.atleast_1d(np.asarray(times, dtype=np.float64))
        return Series(wanted, mixed(self.values, left, share), noise, self.name)

    def whitened(self, predicted: Tensor) -> Tensor:
        """(predicted - measured) / standard deviation of the valid entries; predicted `(n,)`.

        Raises `InputError` for another shape, `ConvergenceError` for a prediction not finite.
        """
        if predicted.shape != self.values.shape:
            raise InputError(
                f"{self.name}: predictions of shape {tuple(predicted.shape)} for measured values "
                f"of shape {self.values.shape}"
            )
        at = torch.from_numpy(self.valid).to(predicted.device)
        values = predicted[at]
        if not bool(values.detach().isfinite().all()):
            raise ConvergenceError(f"{self.name}: a predicted value is not finite")
        residual = values - torch.from_numpy(self.values).to(predicted)[at]
        if self.noise is None:
            return residual
        noise = np.broadcast_to(self.noise, self.values.shape)[self.valid]
        return residual / torch.from_numpy(noise.copy()).to(predicted)


def read_series(
    file: str | os.PathLike[str],
    time: str,
    value: str,
    *,
    factor: float = 1.0,
    noise: float | None = None,
    name: str = "",
    **options: Any,
) -> Series:
    """The columns `time` and `value` of a CSV file; values times `factor` (1000 from kN to N).

    Empty cells of `value` and NaN are missing; a row of units below the header is skipped.
    `options` and what else is understood: `CSVTable`.
    Raises `InputError` with file, line and column.
    """
    if not math.isfinite(factor) or factor == 0.0:
        raise InputError(f"the factor must be a finite number other than 0, got {factor:g}")
    cells = CSVTable(file, **options).cells([time, value]).without_units()
    if not cells.lines:
        raise InputError("no rows of data below the header", str(file))
    times = cells.numbers(time).numpy()
    stuck = np.flatnonzero(np.diff(times) <= 0.0)
    if len(stuck):
        i = int(stuck[0])
        raise InputError(
            f"column '{time}': the time does not grow: {times[i + 1]:.9g} after {times[i]:.9g}",
            f"{file}:{cells.lines[i + 1]}",
        )
    values = factor * cells.numbers(value, optional=True).numpy()
    return Series(times, values, noise, name or value)
