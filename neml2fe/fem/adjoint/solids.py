"""`SolidAdjoint`: transposed derivatives of elements with a material."""

from __future__ import annotations

import torch

from neml2fe.fem.adjoint.gradients import Gradients, Rates
from neml2fe.fem.adjoint.shape import Shape
from neml2fe.fem.adjoint.terms import (
    Bars,
    HistoryAdjoint,
    add_parameters,
    parameter_rates,
    rates_of,
    require_converged,
    through,
)
from neml2fe.fem.integrals.block import ElementBlock
from neml2fe.fem.terms.solid import SolidTerm
from neml2fe.material import PointCotangents, State

Tensor = torch.Tensor


class SolidAdjoint(HistoryAdjoint):
    """Elements with a material, a part at a time as in `SolidTerm.update`."""

    term: SolidTerm

    def __init__(self, term: SolidTerm, shape: Shape | None = None) -> None:
        super().__init__(term)
        self._shape = shape

    def advance(self, u: Tensor, time: float, dt: float) -> State:
        term, block = self.term, self.term.block
        new = {n: torch.empty_like(v) for n, v in term.state.items()}
        for part in block.parts():
            points = block.points_of(part)
            old = {n: v[points] for n, v in term.state.items()}
            result = term.material.update(
                block.strain(u, part), old, time, dt, term.fields(time, part), tangent=False
            )
            require_converged(term.material, result.failed, time)
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
        moved = self._moved()
        for part in block.parts():
            strain = block.strain(u, part)  # before the virtual strain, which F-bar takes there
            work = block.volumes(part).flatten()
            virtual = block.virtual_strain(w, part)
            virtual = virtual * work.view(-1, *(1 for _ in virtual.shape[1:]))
            found = self._vjp(strain, part, time, dt, virtual, bars)
            points = block.points_of(part)
            for name, bar in found.state.items():
                old[name][points] = bar
            add_parameters(term.material, found, to)
            if found.fields:
                with torch.enable_grad():
                    given = term.fields(time, part)
                through(given, found.fields, to)
            if moved is not None:
                with torch.enable_grad():
                    product = (found.strain * moved.strain(u, part)).sum()
                    virtual = moved.virtual_strain(w, part) * term.trial_stress[points]
                    total = product + (moved.volumes(part).flatten() @ virtual.flatten(1)).sum()
                to.through(total, torch.ones_like(total))
        return old

    def _moved(self, rates: Rates | None = None) -> ElementBlock | None:
        """The elements as functions of the coordinates of nodes, if derivatives by these are asked
        for, or along `rates` of these."""
        shape = self._shape
        if shape is None or (rates is not None and rates.of(shape.coordinates) is None):
            return None
        return self.term.block.moved(shape.points())

    def _strain_rate(
        self, moved: ElementBlock | None, u: Tensor, part: slice, rates: Rates
    ) -> Tensor | None:
        """With the coordinates of nodes, at fixed displacements."""
        if moved is None:
            return None
        with torch.enable_grad():
            strain = moved.strain(u, part)
        return rates.through(strain)

    def push_forces(
        self, u: Tensor, time: float, dt: float, rates: Rates, old: State, forces: Tensor
    ) -> None:
        block, moved = self.term.block, self._moved(rates)
        for part in block.parts():
            strain = block.strain(u, part)
            change = self._strain_rate(moved, u, part, rates)
            fixed = torch.zeros_like(strain) if change is None else change
            stress, _ = self._jvp(strain, fixed, part, time, dt, rates, old)
            block.add_forces(stress.contiguous(), part, forces)
            if moved is not None:
                with torch.enable_grad():
                    held = torch.zeros_like(forces)
                    moved.add_forces(self.term.trial_stress[block.points_of(part)], part, held)
                rate = rates.through(held)
                if rate is not None:
                    forces += rate

    def push_end(
        self, u: Tensor, du: Tensor, time: float, dt: float, rates: Rates, old: State
    ) -> State:
        term, block = self.term, self.term.block
        new = {n: torch.empty_like(v) for n, v in term.state.items()}
        new[term.material.stress] = torch.empty_like(term.stress)
        moved = self._moved(rates)
        for part in block.parts():
            strain = block.strain(u, part)
            change = block.push_strain(du, part)
            own = self._strain_rate(moved, u, part, rates)
            change = change if own is None else change + own
            stress, state = self._jvp(strain, change, part, time, dt, rates, old)
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
        field_rate = rates_of(given, rates)
        fields = {n: v.detach() for n, v in given.items()}
        solution = None if term.solutions is None else term.solutions.get(part.start)
        return term.material.jvp(
            strain, state, time, dt, strain_rate, state_rate, fields, field_rate, solution,
            parameter_rates(term.material, rates),
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
