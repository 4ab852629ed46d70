"""`Tape`: what a run leaves behind for its reverse sweep."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neml2fe.errors import Error
from neml2fe.fem.adjoint.checkpoints import Checkpoints, States, Trail
from neml2fe.fem.adjoint.make import adjoint_of
from neml2fe.fem.adjoint.shape import Shape
from neml2fe.fem.problem import Problem, StepResult

Array = NDArray[np.float64]

LOOSEST = 1e-6
"""Out-of-balance forces, as a fraction of the forces of a step, above which there is no gradient:
the adjoint is that of equilibrium, and its error is of the size of this fraction."""


@dataclass(frozen=True)
class TapedStep:
    """One accepted step: owned unknowns `q` at its end, norms of the forces out of balance, which
    must not be above `limit` there, and of these with all reactions, `forces`."""

    time: float
    dt: float
    q: Array
    residual: float
    limit: float
    forces: float


class Tape:
    """The steps of a run of `problem` from its present state on, and a trail of its states.

    Collective. Raises `Error` where something other than steps has changed the problem in between.
    """

    def __init__(self, problem: Problem, checkpoints: Checkpoints) -> None:
        self.problem = problem
        self.shape = Shape.of(problem)
        self.adjoints = [adjoint_of(term, self.shape) for term in problem.terms]
        self.steps: list[TapedStep] = []
        self.trail = Trail(checkpoints, problem.comm)
        self.trail.start(self.states())
        self._mark()

    def states(self) -> States:
        """The present states of the terms."""
        return [adjoint.state() for adjoint in self.adjoints]

    def first(self) -> States:
        """The states at the beginning, made anew. Collective."""
        problem = self.problem
        for term in problem.terms:
            term.reset(problem.start_time)
        return self.states()

    def _mark(self) -> None:
        """Remember the arrays that the next step must begin with."""
        arrays = [value for state in self.states() for value in state.values()]
        self._arrays = [(value, value._version) for value in arrays]
        self._end = self.problem.time, self.problem.q.copy()

    def before_step(self) -> None:
        """Raises `Error` where the state is not that of the end of the last step."""
        arrays = [value for state in self.states() for value in state.values()]
        same = len(arrays) == len(self._arrays) and all(
            now is then and now._version == version
            for now, (then, version) in zip(arrays, self._arrays, strict=True)
        )
        time, q = self._end
        if not same or time != self.problem.time or not np.array_equal(q, self.problem.q):
            raise Error(
                f"the state was replaced between two steps, at time {self.problem.time:g}: "
                "gradients would miss how it came about; give it as the initial_state of a body"
            )

    def record(self, dt: float, result: StepResult) -> None:
        """The step just taken. Collective."""
        problem = self.problem
        residual = result.residual_norms[-1] if result.residual_norms else 0.0
        limit = max(LOOSEST * result.force_scale, 10.0 * result.round_off)
        forces = problem.algebra.norm(problem.unbalanced)
        self.steps.append(TapedStep(problem.time, dt, problem.q.copy(), residual, limit, forces))
        self.trail.append(self.states())
        self._mark()
