"""`CohesiveAdjoint`: transposed derivatives of a cohesive interface."""

from __future__ import annotations

import torch

from neml2fe.fem.adjoint.gradients import Gradients, Rates
from neml2fe.fem.adjoint.terms import (
    Bars,
    HistoryAdjoint,
    add_parameters,
    parameter_rates,
    rates_of,
    require_converged,
    through,
)
from neml2fe.fem.terms.cohesive import CohesiveTerm
from neml2fe.material import PointCotangents, State

Tensor = torch.Tensor


class CohesiveAdjoint(HistoryAdjoint):
    """An interface with a traction-separation law."""

    term: CohesiveTerm

    def advance(self, u: Tensor, time: float, dt: float) -> State:
        term = self.term
        fields = term.fields(time)
        result = term.material.update(term.jump(u), term.state, time, dt, fields, tangent=False)
        require_converged(term.material, result.failed, time)
        return {n: v.clone() for n, v in result.state.items()}

    def pull_end(self, u: Tensor, time: float, dt: float, bars: Bars, nodal: Tensor) -> None:
        if bars:
            found = self._vjp(u, torch.zeros_like(self.term.traction), time, dt, bars)
            self.term.pull_jump(found.strain, nodal)

    def pull(self, u: Tensor, w: Tensor, time: float, dt: float, bars: Bars, to: Gradients) -> Bars:
        term = self.term
        found = self._vjp(u, term.jump(w) * term.areas[:, None], time, dt, bars)
        add_parameters(term.material, found, to)
        with torch.enable_grad():
            given = term.fields(time)
        through(given, found.fields, to)
        return found.state

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
            {n: v.detach() for n, v in given.items()}, rates_of(given, rates),
            parameter_rate=parameter_rates(term.material, rates),
        )  # fmt: skip

    def _vjp(
        self, u: Tensor, traction_bar: Tensor, time: float, dt: float, bars: Bars
    ) -> PointCotangents:
        term = self.term
        fields = term.fields(time)
        return term.material.vjp(term.jump(u), term.state, time, dt, traction_bar, bars, fields)
