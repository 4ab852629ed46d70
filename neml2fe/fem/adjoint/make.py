"""The adjoint of each kind of term; here those of terms without history."""

from __future__ import annotations

import torch

from neml2fe.fem.adjoint.gradients import Gradients, Rates
from neml2fe.fem.adjoint.interfaces import CohesiveAdjoint
from neml2fe.fem.adjoint.shape import Shape
from neml2fe.fem.adjoint.solids import SolidAdjoint
from neml2fe.fem.adjoint.terms import Bars, TermAdjoint
from neml2fe.fem.terms.cohesive import CohesiveTerm
from neml2fe.fem.terms.pressure import FollowerPressure
from neml2fe.fem.terms.solid import SolidTerm
from neml2fe.fem.terms.term import Term
from neml2fe.material import State

Tensor = torch.Tensor


class PressureAdjoint(TermAdjoint):
    """A follower pressure, which has no history."""

    def __init__(self, term: FollowerPressure, shape: Shape | None) -> None:
        self.term, self._shape = term, shape

    def _work(self, u: Tensor, w: Tensor, time: float) -> Tensor:
        return self.term.virtual_work(u if self._shape is None else self._shape.moved(u), w, time)

    def pull(self, u: Tensor, w: Tensor, time: float, dt: float, bars: Bars, to: Gradients) -> Bars:
        with torch.enable_grad():
            work = self._work(u, w, time)
        to.through(work, torch.ones_like(work))
        return {}

    def push_forces(
        self, u: Tensor, time: float, dt: float, rates: Rates, old: State, forces: Tensor
    ) -> None:
        w = torch.zeros_like(u, requires_grad=True)
        with torch.enable_grad():
            work = self._work(u, w, time)
            (applied,) = torch.autograd.grad(work, w, create_graph=True)
        rate = rates.through(applied)
        if rate is not None:
            forces += rate


class WithoutTensors(TermAdjoint):
    """A term with neither history nor tensors, such as springs."""

    def pull(self, u: Tensor, w: Tensor, time: float, dt: float, bars: Bars, to: Gradients) -> Bars:
        return {}


def adjoint_of(term: Term, shape: Shape | None) -> TermAdjoint:
    """The adjoint of a term; `shape` where a gradient by coordinates is asked for."""
    if isinstance(term, SolidTerm):
        return SolidAdjoint(term, shape)
    if isinstance(term, CohesiveTerm):
        return CohesiveAdjoint(term)
    if isinstance(term, FollowerPressure):
        return PressureAdjoint(term, shape)
    return WithoutTensors()
