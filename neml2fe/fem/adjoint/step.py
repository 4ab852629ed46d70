"""A step that was taken, linearised where it ended."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray

from neml2fe.errors import Error
from neml2fe.fem.adjoint.checkpoints import States
from neml2fe.fem.adjoint.tape import LOOSEST, Tape, TapedStep
from neml2fe.fem.collective import collectively
from neml2fe.fem.terms.cohesive import CohesiveTerm

Array = NDArray[np.float64]

SAME = 1e-9
"""Forces of a step that is evaluated again differ by round-off only."""


class TakenStep:
    """A step of a tape: its tangent, local displacements `u` `(n_local_dofs,)` and owned forces
    out of balance at its end. The terms stand at its beginning. Collective.

    Raises `Error` where it is not in equilibrium any more.
    """

    def __init__(self, tape: Tape, step: TapedStep) -> None:
        self.problem = problem = tape.problem
        self.time, self.dt = step.time, step.dt
        internal = problem.equations.evaluate(step.q, step.time, step.dt)
        self.unbalanced = internal - problem.loads.forces(step.time)
        self.u = torch.as_tensor(problem.unknowns.displacements(step.q)).to(problem.points)
        self._require_same(step)

    def _require_same(self, step: TapedStep) -> None:
        problem = self.problem
        forces = problem.unknowns.reduced(self.unbalanced)
        forces = forces - problem.constraints.control_forces(step.time)
        residual = problem.algebra.norm(np.where(problem.equations.fixed, 0.0, forces))
        failed = problem.algebra.allreduce(problem.equations.failed)
        change = abs(problem.algebra.norm(self.unbalanced) - step.forces)
        same = change <= max(SAME * step.forces, step.limit / LOOSEST * SAME)
        if failed or not same or not residual <= max(10.0 * step.residual, step.limit):
            raise Error(
                f"the step to time {step.time:g} is no longer what it was (forces out of balance "
                f"{residual:.3g}, {step.residual:.3g} when it was taken; all forces have changed "
                f"by {change:.3g}): a parameter, a load or the mesh was changed between the run "
                "and its derivatives"
            )


def take(tape: Tape, states: States) -> None:
    """Let the terms stand at `states`."""
    for adjoint, state in zip(tape.adjoints, states, strict=True):
        adjoint.take(state)


def advance(tape: Tape, n: int, states: States) -> States:
    """The states at the end of step n, from 1, given those at its beginning. Collective."""
    problem, step = tape.problem, tape.steps[n - 1]
    u = torch.as_tensor(problem.unknowns.displacements(step.q)).to(problem.points)

    def again() -> States:
        take(tape, states)
        return [adjoint.advance(u, step.time, step.dt) for adjoint in tape.adjoints]

    return collectively(problem.comm, again, every_rank=True)


def require_equilibrium(tape: Tape) -> None:
    """Raises `Error` where a step was not solved well enough to have derivatives."""
    for step in tape.steps:
        if not step.residual <= step.limit:
            raise Error(
                f"the step to time {step.time:g} ended with forces out of balance of "
                f"{step.residual:.3g}, above {step.limit:.3g} ({LOOSEST:g} of the forces of the "
                "step); its gradient would be as wrong: solve with a smaller tolerance"
            )


@contextmanager
def kept(tape: Tape) -> Iterator[None]:
    """The problem as it was, after. Inside, updates keep their local solutions. Collective."""
    problem = tape.problem
    q, time, states = problem.q, problem.time, tape.states()
    stresses = [(solid, solid.stress) for solid in problem.solids]
    tractions = [(term, term.traction) for term in problem.terms if isinstance(term, CohesiveTerm)]
    for solid in problem.solids:
        solid.solutions = {}
    try:
        yield
    finally:
        take(tape, states)
        for solid, stress in stresses:
            solid.solutions, solid.stress = None, stress
        for term, traction in tractions:
            term.traction = traction
        problem.restore(q, time)
        problem.holds_tangent = False
