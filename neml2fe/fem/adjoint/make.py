"""The adjoint of each kind of term; here those of terms without history."""

from __future__ import annotations

import torch

from neml2fe.fem.adjoint.gradients import Gradients
from neml2fe.fem.adjoint.interfaces import CohesiveAdjoint
from neml2fe.fem.adjoint.solids import SolidAdjoint
from neml2fe.fem.adjoint.terms import Bars, TermAdjoint
from neml2fe.fem.terms.cohesive import CohesiveTerm
from neml2fe.fem.terms.pressure import FollowerPressure
from neml2fe.fem.terms.solid import SolidTerm
from neml2fe.fem.terms.term import Term

Tensor = torch.Tensor


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
