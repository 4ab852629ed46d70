"""Transposed derivatives of the terms of a problem, for one step of its history.

A term maps local displacements u and its state at the beginning of the step to nodal forces f and
its state and stress at the end. Given virtual displacements w, cotangents of f, and those of the
end, its adjoint gives cotangents of u, of the old state and of the tensors that the term is made
of: one batched `material.vjp`, which solves one transposed local system for each point.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Protocol, TypeAlias

import torch

from neml2fe.errors import ConvergenceError
from neml2fe.fem.adjoint.gradients import Gradients, Rates
from neml2fe.material import PointCotangents, PointMaterial, State

Tensor = torch.Tensor
Bars: TypeAlias = State
"""Cotangents by the name of a state variable, or of the stress; what is missing is zero."""


class TermAdjoint(ABC):
    """Of one step, whose `Term.update` came last, from the state of its beginning."""

    def state(self) -> State:
        """The state that the term stands at."""
        return {}

    def take(self, state: State) -> None:  # noqa: B027 - terms without history have nothing to do
        """Stand at `state`, which is not written into."""

    def advance(self, u: Tensor, time: float, dt: float) -> State:
        """The state at the end of a step with displacements u, in new arrays."""
        return {}

    def pull_end(  # noqa: B027
        self, u: Tensor, time: float, dt: float, bars: Bars, nodal: Tensor
    ) -> None:
        """Add to `nodal`, cotangents of u `(n_local_dofs,)`, those through the end of the step."""

    @abstractmethod
    def pull(self, u: Tensor, w: Tensor, time: float, dt: float, bars: Bars, to: Gradients) -> Bars:
        """Cotangents of the old state; those of tensors are added `to` their gradients."""

    def pull_start(self, time: float, bars: Bars, to: Gradients) -> None:  # noqa: B027
        """Add what cotangents of the state at the start make of those of the tensors."""

    def push_start(self, time: float, rates: Rates) -> State:
        """Rates of the state at the start."""
        return {}

    def push_forces(  # noqa: B027
        self, u: Tensor, time: float, dt: float, rates: Rates, old: State, forces: Tensor
    ) -> None:
        """Add the rates of forces `(n_local_dofs,)` at fixed displacements, given those `old` of
        the state at the beginning."""

    def push_end(
        self, u: Tensor, du: Tensor, time: float, dt: float, rates: Rates, old: State
    ) -> State:
        """Rates of state and stress at the end, given those of displacements."""
        return {}


class HasHistory(Protocol):
    """A term with a state."""

    state: State

    def take(self, state: State) -> None: ...

    def initial_state(self, time: float) -> State: ...


class HistoryAdjoint(TermAdjoint):
    """Of a `term` with a history."""

    term: HasHistory

    def __init__(self, term: HasHistory) -> None:
        self.term = term

    def state(self) -> State:
        return self.term.state

    def take(self, state: State) -> None:
        self.term.take(state)

    def pull_start(self, time: float, bars: Bars, to: Gradients) -> None:
        with torch.enable_grad():
            state = self.term.initial_state(time)
        through(state, bars, to)

    def push_start(self, time: float, rates: Rates) -> State:
        with torch.enable_grad():
            state = self.term.initial_state(time)
        return rates_of(state, rates, zeros=True)


def add_parameters(material: PointMaterial, found: PointCotangents, to: Gradients) -> None:
    """Add the cotangents of the parameters to their gradients."""
    for name, bar in found.parameters.items():
        to.add(material.parameters[name], bar)


def through(values: Mapping[str, Tensor], bars: Bars, to: Gradients) -> None:
    """Add what cotangents of torch's functions of the tensors make of those of the tensors."""
    for name, value in values.items():
        if name in bars:
            to.through(value, bars[name])


def rates_of(values: Mapping[str, Tensor], rates: Rates, zeros: bool = False) -> State:
    """Rates of torch's functions of the tensors; of those without one, zero or nothing."""
    found = {}
    for name, value in values.items():
        rate = rates.through(value)
        if rate is not None:
            found[name] = rate
        elif zeros:
            found[name] = torch.zeros_like(value)
    return found


def parameter_rates(material: PointMaterial, rates: Rates) -> State:
    """Rates of the parameters that have one."""
    known = {n: rates.of(p) for n, p in material.parameters.items()}
    return {n: rate for n, rate in known.items() if rate is not None}


def require_converged(material: PointMaterial, failed: Tensor, time: float) -> None:
    """Raises `ConvergenceError` where points of a recomputed step failed."""
    if len(failed):
        raise ConvergenceError(
            f"'{material.label}' does not converge at {len(failed)} points at time {time:g}, "
            "where it did in the forward run: was a parameter changed since?"
        )
