"""`LocalError`: how far a time step is from the curved path that it replaces by a straight line."""

from __future__ import annotations

import math

import numpy as np

from neml2fe.fem.problem import Array, Problem

SAFETY = 0.9
WORST = 4.0
"""A step whose error is so many times the tolerance is repeated; smaller excesses only shorten
the next one."""


class LocalError:
    """The local error of backward Euler, dt^2/2 times the second derivative of displacements in
    time, from the rates of two successive steps (E. Hairer, S. P. Norsett, G. Wanner, Solving
    Ordinary Differential Equations I, section II.4).

    It is relative to the largest displacement component so far. No rate is compared across the
    `kinks` of loads.
    """

    def __init__(self, problem: Problem, tolerance: float, kinks: list[float]) -> None:
        self.problem, self.tolerance, self.kinks = problem, tolerance, kinks
        self.value = 0.0
        self._rate: Array | None = None
        self._largest = 0.0
        self._start = self._old()

    def _old(self) -> tuple[float, Array]:
        return self.problem.time, self.problem.q.copy()

    def refuses(self, time: float, x: Array) -> str:
        """Why a step to the unknowns `x` at `time` is too long, or nothing. Collective."""
        start, old = self._start
        dt = time - start
        rate = (x - old) / dt
        reduce = self.problem.algebra.allreduce
        self._largest = max(self._largest, reduce(float(np.abs(x).max(initial=0.0)), "max"))
        self.value = 0.0
        if self._rate is not None and self._largest > 0.0:
            change = reduce(float(np.abs(rate - self._rate).max(initial=0.0)), "max")
            self.value = 0.5 * dt * change / self._largest
        if self.value > WORST * self.tolerance:
            return f"the local error {self.value:.2g} is above the tolerance {self.tolerance:g}"
        self._next = rate
        return ""

    def accept(self) -> None:
        """The step was taken."""
        time = self.problem.time
        kink = any(abs(time - k) <= 1e-12 * max(abs(time), 1.0) for k in self.kinks)
        self._rate = None if kink else self._next
        self._start = self._old()

    def suggested(self, dt: float) -> float:
        """The size that would meet the tolerance, given the error of the last one, `dt`."""
        if self.value == 0.0:
            return math.inf
        return dt * SAFETY * math.sqrt(self.tolerance / self.value)
