"""Time stepping: sizes of steps from the effort that the last one took."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from neml2fe.errors import ConvergenceError, InputError


@dataclass
class TimeStepping:
    """Adaptive steps up to the time `end`, ending exactly at each of the `stops`.

    A step that fails is repeated with `dt * cutback`, down to `dt_min`. After a step of at
    most `easy_iterations` Newton iterations the next grows by `growth`, up to `dt_max`. With an
    `error_tolerance`, steps are also as small as the local error of displacements asks for,
    relative to the largest displacement so far (`LocalError`).
    Raises `InputError` for sizes that make no sense.
    """

    end: float
    dt: float
    dt_min: float | None = None
    dt_max: float | None = None
    growth: float = 1.5
    cutback: float = 0.5
    easy_iterations: int = 5
    stops: Sequence[float] = field(default_factory=tuple)
    error_tolerance: float | None = None

    def __post_init__(self) -> None:
        self.dt_min = self.dt * 1e-4 if self.dt_min is None else self.dt_min
        self.dt_max = self.dt if self.dt_max is None else self.dt_max
        for name in ("end", "dt", "dt_min", "dt_max", "growth", "cutback"):
            if not math.isfinite(getattr(self, name)):
                raise InputError(f"time stepping: {name} must be finite")
        if not 0.0 < self.dt_min <= self.dt <= self.dt_max:
            raise InputError(
                "time stepping: 0 < dt_min <= dt <= dt_max must hold, got "
                f"{self.dt_min:g}, {self.dt:g}, {self.dt_max:g}"
            )
        if not 0.0 < self.cutback < 1.0 <= self.growth:
            raise InputError("time stepping: cutback must be in (0, 1), growth at least 1")
        if self.error_tolerance is not None and not 0.0 < self.error_tolerance < 1.0:
            raise InputError("time stepping: error_tolerance must be in (0, 1)")

    def check_reach(self, start: float, outputs: Sequence[float], resumed: bool) -> None:
        """Raise `InputError` unless a run from `start` gets somewhere, and to all `outputs`. One
        that is resumed may be at its end already."""
        if start >= self.end and not resumed:
            raise InputError(
                f"time stepping: the run must end after it starts; start_time = {start:g}, "
                f"end_time = {self.end:g}"
            )
        beyond = [t for t in outputs if not start <= t <= self.end]
        if beyond:
            raise InputError(
                f"the output times {', '.join(f'{t:g}' for t in beyond)} are outside of the run, "
                f"after {start:g} and up to {self.end:g}"
            )

    def next_stop(self, time: float) -> float:
        """The next time, after `time`, at which a step must end."""
        tiny = 1e-12 * max(abs(time), abs(self.end))
        return min([s for s in (*self.stops, self.end) if s > time + tiny], default=self.end)

    def limited(self, time: float, dt: float) -> tuple[float, float]:
        """End and size of a step of about `dt` from `time`: no stop is passed, and no sliver
        shorter than half a step is left before one."""
        stop = self.next_stop(time)
        left = stop - time
        if dt >= left * (1.0 - 1e-9):
            return stop, left
        if dt > 0.5 * left:
            dt = 0.5 * left
        return time + dt, dt

    def within_limits(self, dt: float) -> float:
        """`dt`, such as that of a checkpoint, brought between `dt_min` and `dt_max`."""
        assert self.dt_min is not None and self.dt_max is not None
        return min(max(dt, self.dt_min), self.dt_max)

    def after_success(self, dt: float, iterations: int) -> float:
        assert self.dt_max is not None
        return min(dt * self.growth, self.dt_max) if iterations <= self.easy_iterations else dt

    def after_failure(self, time: float, dt: float, reason: str) -> float:
        """The size to try next. Raises `ConvergenceError` when `dt_min` itself has failed."""
        assert self.dt_min is not None
        if dt <= self.dt_min * (1.0 + 1e-9):
            raise ConvergenceError(
                f"no convergence at time {time:g} with the smallest step {dt:g} "
                f"(dt_min = {self.dt_min:g}): {reason}"
            )
        return max(dt * self.cutback, self.dt_min)
