"""`LoadRates`: how loads and prescribed displacements change along a direction."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from neml2fe.fem.adjoint.gradients import Rates
from neml2fe.fem.adjoint.shape import Shape
from neml2fe.fem.collective import collectively
from neml2fe.fem.conditions.conditions import ControlForce, PeriodicCell
from neml2fe.fem.conditions.constraints import Prescribed
from neml2fe.fem.conditions.functions import Function, SpaceFunction, tensor_at, tensors_at
from neml2fe.fem.conditions.loads import Load
from neml2fe.fem.conditions.tensors import condition_tensors, tensors_of
from neml2fe.fem.problem import Problem

Array = NDArray[np.float64]


class LoadRates:
    """Rates of what a problem prescribes. Forces and prescribed displacements are linear in their
    functions: their rates are those of the rates of these."""

    def __init__(self, problem: Problem, rates: Rates) -> None:
        self._problem, self._rates = problem, rates
        self._loads = [
            Load(load.name, self._rate(load), load.integral, load.unknowns, load.pattern)
            for load in problem.loads.loads
            if self._any(tensors_of(load.function))
        ]
        self._shape = Shape.of(problem) if self._any([problem.coordinates]) else None
        self._prescribed = [
            replace(entry, function=self._rate(entry)) for entry in problem.constraints.prescribed
        ]
        self._control = any(
            isinstance(c, (ControlForce, PeriodicCell)) and self._any(condition_tensors(c).values())
            for c in problem.conditions
        )

    def _any(self, tensors: Iterable[torch.Tensor | None]) -> bool:
        return any(t is not None and self._rates.of(t) is not None for t in tensors)

    def _rate(self, given: Load | Prescribed) -> Function:
        if not self._any(tensors_of(given.function)):
            return 0.0
        return rate_of(given.function, self._rates, f"condition '{given.name}'")

    def forces(self, time: float) -> Array:
        """Of owned external forces on the nodes of the mesh, `(n_owned * dim,)`. Collective."""
        total = np.zeros_like(self._problem.unbalanced)
        for load in self._loads:
            total += load.forces(time)
        if self._shape is not None:
            total += self._with_shape(self._shape, time)
        return total

    def _with_shape(self, shape: Shape, time: float) -> Array:
        """Of the same forces, with the coordinates of nodes. Collective."""

        @torch.enable_grad()
        def rate() -> torch.Tensor:
            w = torch.zeros_like(self._problem.points).flatten().requires_grad_()
            work = shape.external_work(w, time)
            if not work.requires_grad:  # no loads that depend on it
                return torch.zeros_like(w)
            (forces,) = torch.autograd.grad(work, w, create_graph=True, materialize_grads=True)
            found = self._rates.through(forces)
            return torch.zeros_like(w) if found is None else found

        local = collectively(self._problem.comm, rate, every_rank=True)
        return self._problem.unknowns.sum_to_owners(local.cpu().numpy())

    def prescribed(self, time: float) -> Array:
        """Of the owned unknowns that are prescribed, zero of the others. Collective."""
        found = np.zeros_like(self._problem.q)

        def put() -> None:
            for entry in self._prescribed:  # of two that share an unknown, the last has set it
                found[entry.dofs] = entry.values(time)

        collectively(self._problem.comm, put, every_rank=True)
        return found

    def control(self, time: float) -> Array:
        """Of the forces on the owned unknowns of control nodes: the transpose of their
        cotangents, one of the few unknowns at a time. Collective."""
        problem = self._problem
        found = np.zeros_like(problem.q)
        if not self._control:
            return found
        for number in range(problem.unknowns.n_control * problem.local.dim):
            own = problem.unknowns.own(number)
            unit = np.zeros_like(found)
            unit[own] = 1.0
            total = 0.0

            def through(value: torch.Tensor, bar: torch.Tensor) -> None:
                nonlocal total
                rate = self._rates.through(value)
                if rate is not None:
                    total += float((rate * bar).sum())

            problem.constraints.pull_control(unit, time, through)
            found[own] = total
        return found


def rate_of(function: Function, rates: Rates, what: str) -> Function:
    """The rate of a function of time, or of time and place, as such a function."""
    if isinstance(function, SpaceFunction):

        def in_space(time: float, x: Array) -> torch.Tensor:
            value = tensors_at(function, time, x, what)
            rate = rates.through(value)
            return torch.zeros_like(value) if rate is None else rate

        return SpaceFunction(in_space)

    def in_time(time: float) -> torch.Tensor:
        value = tensor_at(function, time, what)
        rate = rates.through(value)
        return torch.zeros_like(value) if rate is None else rate

    return in_time
