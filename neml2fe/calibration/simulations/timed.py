"""`TimedProblem`: the tests of a fit under the deck's names of parameters, and what they cost."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from torch import Tensor

from neml2fe.calibration.interface import Problem, weights_of
from neml2fe.calibration.parameters import FitParameter, ParameterSet
from neml2fe.calibration.simulations.joint import JointProblem
from neml2fe.calibration.simulations.problem import SimulationProblem

T = TypeVar("T")


class Renamed:
    """A `problem` whose parameters have other names, by which tests share them."""

    def __init__(
        self, problem: Problem, parameters: Sequence[FitParameter], known: Sequence[str] = ()
    ) -> None:
        """`parameters`: those of the problem in its order, with the other names; `known`: all
        that could be fitted."""
        tensors = {
            p.name: tensor.detach().clone().requires_grad_()
            for p, tensor in zip(parameters, problem.parameters.initial.values(), strict=True)
        }
        self.problem, self.known = problem, list(known)
        self.parameters = ParameterSet.of(tensors, parameters)

    @property
    def noise_is_known(self) -> bool:
        return self.problem.noise_is_known

    def residuals(self, x: Tensor) -> Tensor:
        return self.problem.residuals(x)

    def linearised(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.problem.linearised(x)

    def loss(self, x: Tensor) -> Tensor:
        return self.problem.loss(x)

    def curvature_weights(self, residuals: Tensor) -> Tensor | None:
        return weights_of(self.problem, residuals)


class TimedProblem(JointProblem):
    """A `JointProblem` that counts `simulations`, each of all tests, and times them."""

    def __init__(self, members: Mapping[str, Problem | None], comm: Any = None) -> None:
        self._seconds: list[float] = []
        super().__init__(members, comm)

    def of_each(self, what: Callable[[Any, Tensor], T], x: Tensor) -> dict[str, T]:
        """`what` of every member at its part of x, on every rank. Collective."""
        return self._shared(what, x)

    @property
    def simulations(self) -> int:
        """Those done so far."""
        return len(self._seconds)

    def pace(self) -> float:
        """Seconds of a simulation with its derivatives, the median of all."""
        return statistics.median(self._seconds) if self._seconds else 0.0

    def close(self) -> None:
        """Give back what solvers of simulations hold. Collective."""
        for member in self.members.values():
            if isinstance(member, Renamed) and isinstance(member.problem, SimulationProblem):
                member.problem.simulation.close()

    def residuals(self, x: Tensor) -> Tensor:
        with self._clock(True):
            return super().residuals(x)

    def linearised(self, x: Tensor) -> tuple[Tensor, Tensor]:
        with self._clock(False):  # as a rule of the simulation before
            return super().linearised(x)

    def gradient(self, x: Tensor) -> tuple[Tensor, Tensor]:
        with self._clock(True):
            return super().gradient(x)

    def value(self, x: Tensor) -> Tensor:
        with self._clock(True):
            return super().value(x)

    @contextmanager
    def _clock(self, simulates: bool) -> Iterator[None]:
        started = time.perf_counter()
        try:
            yield
        finally:
            if simulates or not self._seconds:
                self._seconds.append(0.0)
            self._seconds[-1] += time.perf_counter() - started
