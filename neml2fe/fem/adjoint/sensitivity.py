"""Forward sensitivities: how observations change along directions of a problem's tensors.

The tangent-linear problem of the steps that were taken. With the rate of the state at the beginning
of a step, K dq = - df, where df is the rate of forces at fixed displacements; then the rate of the
state at its end (direct differentiation; M. Kleiber et al., Parameter Sensitivity in Nonlinear
Mechanics, 1997). One factorisation a step serves all directions, and no state is kept but one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from neml2fe.errors import ConvergenceError, InputError, suggest
from neml2fe.fem.adjoint.gradients import Rates
from neml2fe.fem.adjoint.inputs import parameters_of, tensors_of_problem
from neml2fe.fem.adjoint.instants import zero_instant
from neml2fe.fem.adjoint.load_rates import LoadRates
from neml2fe.fem.adjoint.solids import SolidAdjoint
from neml2fe.fem.adjoint.step import TakenStep, kept, require_equilibrium
from neml2fe.fem.adjoint.sweep import RTOL
from neml2fe.fem.adjoint.tape import Tape
from neml2fe.fem.adjoint.terms import TermAdjoint
from neml2fe.fem.algebra import LinearResult
from neml2fe.fem.collective import collectively
from neml2fe.fem.observations import Instant
from neml2fe.fem.problem import Problem
from neml2fe.material import State

Array = NDArray[np.float64]
Direction: TypeAlias = Mapping[str, torch.Tensor]
"""Rates of tensors by the names of `tensors_of_problem`; what is missing has none."""


def push(
    tape: Tape, directions: Sequence[Direction], observed: Callable[[int, int, Instant], None]
) -> None:
    """March along `directions` through the steps of a tape. Collective.

    `observed(n, d, rates)` sees those of direction number d at the end of step n, from 1.
    Raises `Error` and `ConvergenceError` as `reverse` does, `InputError` for a direction that does
    not fit.
    """
    problem = tape.problem
    require_equilibrium(tape)
    along = [_rates(problem, direction) for direction in directions]
    loads = [LoadRates(problem, rates) for rates in along]
    with kept(tape), torch.no_grad():
        tape.first()
        starts = [
            [adjoint.push_start(problem.start_time, rates) for adjoint in tape.adjoints]
            for rates in along
        ]
        for n, taken in enumerate(tape.steps, 1):
            step = _TangentStep(tape, taken)
            for d, rates in enumerate(along):
                found, starts[d] = step.push(tape.adjoints, rates, loads[d], starts[d])
                observed(n, d, found)
            for term in problem.terms:
                term.accept()


class _TangentStep(TakenStep):
    """The derivatives of one step along directions."""

    _factored = False

    def _solve(self, rhs: Array) -> LinearResult:
        """With the tangent, which the algebra gets once."""
        if self._factored:
            return self.problem.algebra.solve_linear(rhs, RTOL)
        self._factored = True
        return self.problem.equations.solve_with_tangent(rhs, self.unbalanced, RTOL)

    def push(
        self, adjoints: Sequence[TermAdjoint], rates: Rates, loads: LoadRates, old: list[State]
    ) -> tuple[Instant, list[State]]:
        """Rates of the `Instant` and of the states at the end, from those at the beginning.
        Collective."""
        problem, equations, unknowns = self.problem, self.problem.equations, self.problem.unknowns
        fixed = equations.fixed
        found = zero_instant(problem)
        local = torch.zeros_like(self.u)

        def push_forces() -> None:
            for adjoint, rate in zip(adjoints, old, strict=True):
                adjoint.push_forces(self.u, self.time, self.dt, rates, rate, local)

        collectively(problem.comm, push_forces, every_rank=True)
        nodal = unknowns.sum_to_owners(local.cpu().numpy()) - loads.forces(self.time)
        forces = unknowns.reduced(nodal)
        found.q = given = loads.prescribed(self.time)
        push = equations.tangent_product(given) + unknowns.turning(given, self.unbalanced)
        rhs = np.where(fixed, 0.0, loads.control(self.time) - forces - push)
        if problem.algebra.norm(rhs) > 0.0:
            with problem.stopwatch("sensitivity solve"):
                linear = self._solve(rhs)
            if not linear.converged:
                raise ConvergenceError(f"sensitivities at time {self.time:g}: {linear.reason}")
            found.q = np.where(fixed, given, linear.x)
        du = unknowns.tangent(found.q)
        found.u = torch.as_tensor(du).to(self.u)
        moved = unknowns.sum_to_owners(equations.matrix.product(du))
        found.forces = forces + unknowns.reduced(moved) + unknowns.turning(found.q, self.unbalanced)

        def push_ends() -> list[State]:
            return [
                adjoint.push_end(self.u, found.u, self.time, self.dt, rates, rate)
                for adjoint, rate in zip(adjoints, old, strict=True)
            ]

        new = collectively(problem.comm, push_ends, every_rank=True)
        found.points = [
            end for adjoint, end in zip(adjoints, new, strict=True)
            if isinstance(adjoint, SolidAdjoint)
        ]  # fmt: skip
        return found, new


def _rates(problem: Problem, direction: Direction) -> Rates:
    tensors, parameters = tensors_of_problem(problem), parameters_of(problem)
    for name, rate in direction.items():
        if name not in tensors:
            raise InputError(f"the problem has no tensor '{name}'{suggest(name, tensors)}")
        if rate.shape != tensors[name].shape:
            raise InputError(
                f"the rate of '{name}' has shape {tuple(rate.shape)}; expected "
                f"{tuple(tensors[name].shape)}"
            )
        if name not in parameters and not tensors[name].requires_grad:
            raise InputError(f"'{name}' must require a gradient to have forward sensitivities")
    return Rates(list(tensors.values()), [direction.get(name) for name in tensors])
