"""Places of wanted times among times of measurement."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neml2fe.errors import InputError

Array = NDArray[np.float64]
SLACK = 1e-9
"""Share of the whole duration by which a time may lie outside of it: round-off, not data."""


def checked_times(times: ArrayLike, what: str) -> Array:
    """Times `(n,)` as float64. Raises `InputError` unless they are finite and grow."""
    t = np.asarray(times, dtype=np.float64)
    if t.ndim != 1 or not len(t) or not np.isfinite(t).all():
        raise InputError(f"{what}: times must be finite numbers (n,), at least one; got {t.shape}")
    stuck = np.flatnonzero(np.diff(t) <= 0.0)
    if len(stuck):
        i = int(stuck[0])
        raise InputError(
            f"{what}: times must grow, but entry {i + 2} is {t[i + 1]:.9g} after {t[i]:.9g}"
        )
    return t


def between(times: Array, wanted: ArrayLike, what: str) -> tuple[NDArray[np.int64], Array]:
    """Index i and share f `(k,)` such that wanted = (1 - f) times[i] + f times[i + 1].

    f is 0 at the times themselves, but 1 at the last. Raises `InputError` for a time outside.
    """
    t = np.atleast_1d(np.asarray(wanted, dtype=np.float64))
    slack = SLACK * max(abs(times[0]), abs(times[-1]))
    outside = ~((t >= times[0] - slack) & (t <= times[-1] + slack))
    if outside.any():
        raise InputError(
            f"{what}: {int(outside.sum())} of {t.size} times lie outside of those measured, "
            f"{times[0]:.9g} to {times[-1]:.9g}; the first is {t[outside][0]:.9g}"
        )
    if len(times) == 1:
        return np.zeros(len(t), dtype=np.int64), np.zeros(len(t))
    left = np.clip(np.searchsorted(times, t, side="right") - 1, 0, len(times) - 2)
    share = (t - times[left]) / (times[left + 1] - times[left])
    return left, np.clip(share, 0.0, 1.0)


def mixed(values: Array, left: NDArray[np.int64], share: Array) -> Array:
    """Values `(k, ...)` between those `(n, ...)` at the times; NaN where a part of it is NaN."""
    right = np.minimum(left + 1, len(values) - 1)
    f = share.reshape(-1, *[1] * (values.ndim - 1))
    inner = (1.0 - f) * values[left] + f * values[right]
    return np.where(f == 0.0, values[left], np.where(f == 1.0, values[right], inner))


def mixed_deviation(deviation: Array, left: NDArray[np.int64], share: Array) -> Array:
    """Standard deviations `(k, ...)` of `mixed` values with independent noise of `deviation`,
    `(n, ...)` or, the same at all times, `(1, ...)`."""
    f = share.reshape(-1, *[1] * (deviation.ndim - 1))
    if len(deviation) == 1:
        return deviation * np.hypot(1.0 - f, f)
    right = np.minimum(left + 1, len(deviation) - 1)
    return np.hypot((1.0 - f) * deviation[left], f * deviation[right])
