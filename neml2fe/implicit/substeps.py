"""Halving the step of those points whose solve fails, and only of those."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch

from neml2fe.errors import ModelError
from neml2fe.implicit.newton import Status
from neml2fe.implicit.points import Points

if TYPE_CHECKING:
    from neml2fe.implicit.update import ImplicitUpdate


@dataclass
class Outcome:
    """Unknowns `(N, n)`, NaN where `status` `(N,)` is not CONVERGED, and iterations `(N,)`."""

    u: torch.Tensor
    status: torch.Tensor
    iterations: torch.Tensor


def advance(update: ImplicitUpdate, points: Points, level: int) -> Outcome:
    """Solve at all points; where that fails, in two halves of the step down to `level`."""
    whole = update.solve(points)
    failed = whole.status != Status.CONVERGED
    if not level or not bool(failed.any()):
        return whole
    if len(whole.status) != points.number:
        raise ModelError(f"'{update.label}': substeps do not work under torch.func.vmap")
    good, bad = (~failed).nonzero().squeeze(-1), failed.nonzero().squeeze(-1)
    # Solved once more, alone: the NaN of failed points must not reach these derivatives.
    rest = update.solve(points.only(good), whole.u[good].detach())
    first, second = _halves(update, points.only(bad))
    middle = advance(update, first, level - 1)
    reached = first.restored(middle.u)
    old = {f"{n}~1": v.data for n, v in reached.items() if f"{n}~1" in second.values}
    end = advance(update, replace(second, values={**second.values, **old}), level - 1)
    order = torch.cat([good, bad]).argsort()
    status = torch.maximum(middle.status, end.status)
    return Outcome(
        torch.cat([rest.u, end.u])[order],
        torch.cat([rest.status, status])[order],
        torch.cat([whole.iterations[good], middle.iterations + end.iterations])[order],
    )


def _halves(update: ImplicitUpdate, points: Points) -> tuple[Points, Points]:
    """The points half way, and the rest of the way, along their given variables."""
    first, second = dict(points.values), dict(points.values)
    for name in update.equation_system.given:
        old = f"{name}~1"
        if old in points.values:
            middle = 0.5 * (points.values[name] + points.values[old])
            first[name], second[old] = middle, middle
    return replace(points, values=first, guess={}), replace(points, values=second, guess={})
