"""Sizes of time steps: stops, cutbacks, growth, slivers, and sizes that make no sense."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neml2fe.errors import ConvergenceError, InputError
from neml2fe.fem.stepping import TimeStepping


def march(stepping: TimeStepping, start: float = 0.0, iterations: int = 3) -> list[float]:
    """The times of all steps when each of them succeeds after so many iterations."""
    times, dt = [start], stepping.dt
    while times[-1] < stepping.end:
        time, size = stepping.limited(times[-1], dt)
        times.append(time)
        dt = stepping.after_success(max(size, dt), iterations)
        assert len(times) < 10_000
    return times


def test_stops_are_hit_exactly() -> None:
    stops = (0.1 + 0.2, 1 / 3, 0.7)
    times = march(TimeStepping(end=1.1, dt=0.13, dt_max=0.2, stops=stops))
    assert {*stops, 1.1} <= set(times)
    assert times == sorted(set(times))


def test_late_start_and_large_times() -> None:
    stepping = TimeStepping(end=1e6 + 1.0, dt=0.1, stops=(5.0, 1e6 + 0.25, 2e6))
    times = march(stepping, start=1e6)
    assert 1e6 + 0.25 in times and times[-1] == 1e6 + 1.0


@given(
    dt=st.floats(1e-2, 2.0),
    stops=st.lists(st.floats(0.0, 3.0), max_size=4),
    growth=st.floats(1.0, 2.0),
)
def test_no_slivers_before_a_stop(dt: float, stops: list[float], growth: float) -> None:
    """No step is longer than dt_max, and the last before a stop is no sliver."""
    stepping = TimeStepping(end=3.0, dt=dt, dt_max=2 * dt, growth=growth, stops=stops)
    times = march(stepping)
    sizes = [b - a for a, b in pairwise(times)]
    assert max(sizes) <= 2 * dt * (1 + 1e-9)
    ends = {*stops, 3.0, 0.0}
    for k in range(1, len(sizes)):
        if times[k] not in ends:  # the step before did not end at a stop
            assert sizes[k] >= 0.5 * sizes[k - 1] * (1 - 1e-6)


def test_growth_after_easy_steps_only() -> None:
    stepping = TimeStepping(end=10.0, dt=0.1, dt_max=0.4, growth=2.0, easy_iterations=4)
    assert stepping.after_success(0.1, 4) == 0.2
    assert stepping.after_success(0.1, 5) == 0.1
    assert stepping.after_success(0.3, 1) == 0.4


def test_the_first_size_is_the_largest_by_default() -> None:
    assert TimeStepping(end=1.0, dt=0.1).after_success(0.1, 1) == 0.1


def test_cutback_ends_with_an_error() -> None:
    stepping = TimeStepping(end=1.0, dt=0.1, dt_min=0.02)
    dt = stepping.after_failure(0.3, 0.1, "some reason")
    assert dt == 0.05
    dt = stepping.after_failure(0.3, dt, "some reason")
    assert dt == 0.025
    dt = stepping.after_failure(0.3, dt, "some reason")
    assert dt == 0.02  # not 0.0125: the smallest step allowed is tried as well
    with pytest.raises(ConvergenceError, match=r"time 0\.3 .*0\.02 .*dt_min = 0\.02.*some reason"):
        stepping.after_failure(0.3, dt, "some reason")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"end": math.nan}, "end must be finite"),
        ({"dt": math.inf}, "must be finite"),
        ({"dt": 0.0}, "0 < dt_min <= dt <= dt_max"),
        ({"dt": -0.1}, "0 < dt_min <= dt <= dt_max"),
        ({"dt_min": 0.2}, "0 < dt_min <= dt <= dt_max"),
        ({"dt_max": 0.05}, "0 < dt_min <= dt <= dt_max"),
        ({"cutback": 1.0}, "cutback"),
        ({"growth": 0.9}, "growth"),
    ],
)
def test_senseless_sizes_are_refused(changes: dict[str, float], message: str) -> None:
    with pytest.raises(InputError, match=message):
        TimeStepping(**({"end": 1.0, "dt": 0.1} | changes))
