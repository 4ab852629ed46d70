"""Transposed derivatives of the terms of a problem, for one step of its history.

A term maps local displacements u and its state at the beginning of the step to nodal forces f and
its state and stress at the end. Given virtual displacements w, cotangents of f, and those of the
end, its adjoint gives cotangents of u, of the old state and of the tensors that the term is made
of: one batched `material.vjp`, which solves one transposed local system for each point.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TypeAlias

import torch

from neml2fe.errors import ConvergenceError
from neml2fe.fem.adjoint.gradients import Gradients, Rates
from neml2fe.fem.terms.cohesive import CohesiveTerm
from neml2fe.fem.terms.pressure import FollowerPressure
from neml2fe.fem.terms.solid import SolidTerm
from neml2fe.fem.terms.term import Term
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


class SolidAdjoint(TermAdjoint):
    """Elements with a material, a part at a time as in `SolidTerm.update`."""

    def __init__(self, term: SolidTerm) -> None:
        self.term = term

    def state(self) -> State:
        return self.term.state

    def take(self, state: State) -> None:
        self.term.take(state)

    def advance(self, u: Tensor, time: float, dt: float) -> State:
        term, block = self.term, self.term.block
        new = {n: torch.empty_like(v) for n, v in term.state.items()}
        for part in block.parts():
            points = block.points_of(part)
            old = {n: v[points] for n, v in term.state.items()}
            result = term.material.update(
                block.strain(u, part), old, time, dt, term.fields(time, part), tangent=False
            )
            _require_converged(term.material, result.failed, time)
            for name, value in new.items():
                value[points] = result.state[name]
        return new

    def pull_end(self, u: Tensor, time: float, dt: float, bars: Bars, nodal: Tensor) -> None:
        if not bars:
            return
        block = self.term.block
        for part in block.parts():
            strain = block.strain(u, part)
            found = self._vjp(strain, part, time, dt, None, bars)
            block.pull_strain(found.strain, part, nodal)

    def pull(self, u: Tensor, w: Tensor, time: float, dt: float, bars: Bars, to: Gradients) -> Bars:
        term, block = self.term, self.term.block
        old = {n: torch.empty_like(v) for n, v in term.state.items()}
        for part in block.parts():
            strain = block.strain(u, part)  # before the virtual strain, which F-bar takes there
            work = block.volumes(part).flatten()
            virtual = block.virtual_strain(w, part)
            virtual = virtual * work.view(-1, *(1 for _ in virtual.shape[1:]))
            found = self._vjp(strain, part, time, dt, virtual, bars)
            points = block.points_of(part)
            for name, bar in found.state.items():
                old[name][points] = bar
            _add(term.material, found, to)
            if found.fields:
                with torch.enable_grad():
                    given = term.fields(time, part)
                _through(given, found.fields, to)
        return old

    def pull_start(self, time: float, bars: Bars, to: Gradients) -> None:
        with torch.enable_grad():
            state = self.term.initial_state(time)
        _through(state, bars, to)

    def push_start(self, time: float, rates: Rates) -> State:
        with torch.enable_grad():
            state = self.term.initial_state(time)
        return _rates_of(state, rates, zeros=True)

    def push_forces(
        self, u: Tensor, time: float, dt: float, rates: Rates, old: State, forces: Tensor
    ) -> None:
        block = self.term.block
        for part in block.parts():
            strain = block.strain(u, part)
            fixed = torch.zeros_like(strain)
            stress, _ = self._jvp(strain, fixed, part, time, dt, rates, old)
            block.add_forces(stress.contiguous(), part, forces)

    def push_end(
        self, u: Tensor, du: Tensor, time: float, dt: float, rates: Rates, old: State
    ) -> State:
        term, block = self.term, self.term.block
        new = {n: torch.empty_like(v) for n, v in term.state.items()}
        new[term.material.stress] = torch.empty_like(term.stress)
        for part in block.parts():
            strain = block.strain(u, part)
            moved = block.push_strain(du, part)
            stress, state = self._jvp(strain, moved, part, time, dt, rates, old)
            for name, rate in {**state, term.material.stress: stress}.items():
                new[name][block.points_of(part)] = rate
        return new

    def _jvp(
        self,
        strain: Tensor,
        strain_rate: Tensor,
        part: slice,
        time: float,
        dt: float,
        rates: Rates,
        old: State,
    ) -> tuple[Tensor, State]:
        """Rates of stress and state of one part."""
        term, points = self.term, self.term.block.points_of(part)
        state = {n: v[points] for n, v in term.state.items()}
        state_rate = {n: old[n][points] for n in state}
        with torch.enable_grad():
            given = term.fields(time, part)
        field_rate = _rates_of(given, rates)
        fields = {n: v.detach() for n, v in given.items()}
        solution = None if term.solutions is None else term.solutions.get(part.start)
        return term.material.jvp(
            strain, state, time, dt, strain_rate, state_rate, fields, field_rate, solution,
            _parameter_rates(term.material, rates),
        )  # fmt: skip

    def _vjp(
        self,
        strain: Tensor,
        part: slice,
        time: float,
        dt: float,
        stress_bar: Tensor | None,
        bars: Bars,
    ) -> PointCotangents:
        """Of one part; `stress_bar` is added to what `bars` have of the stress."""
        term, points = self.term, self.term.block.points_of(part)
        stress = term.material.stress
        here = {n: v[points] for n, v in bars.items()}
        own = here.pop(stress, None)
        if stress_bar is None:
            stress_bar = torch.zeros_like(term.stress[points]) if own is None else own
        elif own is not None:
            stress_bar = stress_bar + own
        old = {n: v[points] for n, v in term.state.items()}
        solution = None if term.solutions is None else term.solutions.get(part.start)
        fields = term.fields(time, part)
        return term.material.vjp(strain, old, time, dt, stress_bar, here, fields, solution)


class CohesiveAdjoint(TermAdjoint):
    """An interface with a traction-separation law."""

    def __init__(self, term: CohesiveTerm) -> None:
        self.term = term

    def state(self) -> State:
        return self.term.state

    def take(self, state: State) -> None:
        self.term.take(state)

    def advance(self, u: Tensor, time: float, dt: float) -> State:
        term = self.term
        fields = term.fields(time)
        result = term.material.update(term.jump(u), term.state, time, dt, fields, tangent=False)
        _require_converged(term.material, result.failed, time)
        return {n: v.clone() for n, v in result.state.items()}

    def pull_end(self, u: Tensor, time: float, dt: float, bars: Bars, nodal: Tensor) -> None:
        if bars:
            found = self._vjp(u, torch.zeros_like(self.term.traction), time, dt, bars)
            self.term.pull_jump(found.strain, nodal)

    def pull(self, u: Tensor, w: Tensor, time: float, dt: float, bars: Bars, to: Gradients) -> Bars:
        term = self.term
        found = self._vjp(u, term.jump(w) * term.areas[:, None], time, dt, bars)
        _add(term.material, found, to)
        with torch.enable_grad():
            given = term.fields(time)
        _through(given, found.fields, to)
        return found.state

    def pull_start(self, time: float, bars: Bars, to: Gradients) -> None:
        with torch.enable_grad():
            state = self.term.initial_state(time)
        _through(state, bars, to)

    def push_start(self, time: float, rates: Rates) -> State:
        with torch.enable_grad():
            state = self.term.initial_state(time)
        return _rates_of(state, rates, zeros=True)

    def push_forces(
        self, u: Tensor, time: float, dt: float, rates: Rates, old: State, forces: Tensor
    ) -> None:
        term = self.term
        traction, _ = self._jvp(u, torch.zeros_like(u), time, dt, rates, old)
        term.pull_jump(traction * term.areas[:, None], forces)

    def push_end(
        self, u: Tensor, du: Tensor, time: float, dt: float, rates: Rates, old: State
    ) -> State:
        traction, state = self._jvp(u, du, time, dt, rates, old)
        return {**state, self.term.material.stress: traction}

    def _jvp(
        self, u: Tensor, du: Tensor, time: float, dt: float, rates: Rates, old: State
    ) -> tuple[Tensor, State]:
        term = self.term
        with torch.enable_grad():
            given = term.fields(time)
        return term.material.jvp(
            term.jump(u), term.state, time, dt, term.jump(du), {n: old[n] for n in term.state},
            {n: v.detach() for n, v in given.items()}, _rates_of(given, rates),
            parameter_rate=_parameter_rates(term.material, rates),
        )  # fmt: skip

    def _vjp(
        self, u: Tensor, traction_bar: Tensor, time: float, dt: float, bars: Bars
    ) -> PointCotangents:
        term = self.term
        fields = term.fields(time)
        return term.material.vjp(term.jump(u), term.state, time, dt, traction_bar, bars, fields)


class PressureAdjoint(TermAdjoint):
    """A follower pressure, which has no history."""

    def __init__(self, term: FollowerPressure) -> None:
        self.term = term

    def pull(self, u: Tensor, w: Tensor, time: float, dt: float, bars: Bars, to: Gradients) -> Bars:
        with torch.enable_grad():
            work = self.term.virtual_work(u, w, time)
        to.through(work, torch.ones_like(work))
        return {}


class WithoutTensors(TermAdjoint):
    """A term with neither history nor tensors, such as springs."""

    def pull(self, u: Tensor, w: Tensor, time: float, dt: float, bars: Bars, to: Gradients) -> Bars:
        return {}


def adjoint_of(term: Term) -> TermAdjoint:
    """The adjoint of a term."""
    if isinstance(term, SolidTerm):
        return SolidAdjoint(term)
    if isinstance(term, CohesiveTerm):
        return CohesiveAdjoint(term)
    if isinstance(term, FollowerPressure):
        return PressureAdjoint(term)
    return WithoutTensors()


def _add(material: PointMaterial, found: PointCotangents, to: Gradients) -> None:
    """Cotangents of the parameters."""
    for name, bar in found.parameters.items():
        to.add(material.parameters[name], bar)


def _through(values: Mapping[str, Tensor], bars: Bars, to: Gradients) -> None:
    for name, value in values.items():
        if name in bars:
            to.through(value, bars[name])


def _rates_of(values: Mapping[str, Tensor], rates: Rates, zeros: bool = False) -> State:
    """Rates of torch's functions of the tensors; of those without one, zero or nothing."""
    found = {}
    for name, value in values.items():
        rate = rates.through(value)
        if rate is not None:
            found[name] = rate
        elif zeros:
            found[name] = torch.zeros_like(value)
    return found


def _parameter_rates(material: PointMaterial, rates: Rates) -> State:
    known = {n: rates.of(p) for n, p in material.parameters.items()}
    return {n: rate for n, rate in known.items() if rate is not None}


def _require_converged(material: PointMaterial, failed: Tensor, time: float) -> None:
    if len(failed):
        raise ConvergenceError(
            f"'{material.label}' does not converge at {len(failed)} points at time {time:g}, "
            "where it did in the forward run: was a parameter changed since?"
        )
