"""How much a penalty on a parameter field is to weigh.

By the noise (`by_discrepancy`, V. A. Morozov, 1966), or where less would fit the data hardly better
(`l_curve` and `corner`, P. C. Hansen, SIAM Review 34, 1992).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from neml2fe.calibration.fit import FitResult, fit
from neml2fe.calibration.interface import Problem
from neml2fe.calibration.simulations.penalties import FieldPenalty, Penalty
from neml2fe.calibration.simulations.regularised import RegularisedProblem
from neml2fe.errors import InputError


@dataclass(frozen=True)
class Tradeoff:
    """A fit with one weight: root mean square `misfit` of the residuals of the data, about 1 where
    noise alone is left, and `roughness`, the penalty over its weight."""

    weight: float
    misfit: float
    roughness: float
    result: FitResult


def regularised_fit(
    problem: Problem,
    penalty: FieldPenalty,
    start: Tensor | None = None,
    others: Sequence[Penalty] = (),
    **options: Any,
) -> Tradeoff:
    """Fit with the weight of `penalty`, and the `others` as they are; `options` as of `fit`
    (L-BFGS unless said otherwise)."""
    whole = RegularisedProblem(problem, [penalty, *others], start)
    result = fit(whole, **{"optimiser": "lbfgs", "level": None, **options})
    with torch.no_grad():
        r = problem.residuals(result.x)
    misfit = float(r.square().mean().sqrt())
    rough = RegularisedProblem(problem, [penalty]).penalty(result.x)
    return Tradeoff(penalty.weight, misfit, float(rough) / penalty.weight, result)


def l_curve(
    problem: Problem, penalty: FieldPenalty, weights: Sequence[float], **options: Any
) -> list[Tradeoff]:
    """Fits with decreasing weights, each from the solution before. `options` as of
    `regularised_fit`."""
    found: list[Tradeoff] = []
    start = options.pop("start", None)
    for weight in sorted(weights, reverse=True):
        found.append(regularised_fit(problem, penalty.weighing(weight), start, **options))
        start = found[-1].result.x
    return found


def corner(curve: Sequence[Tradeoff]) -> Tradeoff:
    """The corner of an L-curve: where roughness over misfit, both on logarithmic scales, turns most
    sharply. Raises `InputError` for less than three points."""
    if len(curve) < 3:
        raise InputError(f"the corner of an L-curve needs at least three fits, got {len(curve)}")
    at = np.log([[max(t.misfit, 1e-300), max(t.roughness, 1e-300)] for t in curve])
    at /= np.maximum(np.ptp(at, axis=0), 1e-300)
    before, after = at[1:-1] - at[:-2], at[2:] - at[1:-1]
    cross = before[:, 0] * after[:, 1] - before[:, 1] * after[:, 0]
    turns = np.arctan2(cross, (before * after).sum(axis=1))
    # With falling weights the misfit falls first, then the roughness rises: a turn to the right.
    return curve[1 + int(np.argmin(turns))]


def by_discrepancy(
    problem: Problem,
    penalty: FieldPenalty,
    *,
    misfit: float = 1.0,
    tolerance: float = 0.02,
    most: int = 12,
    start: Tensor | None = None,
    others: Sequence[Penalty] = (),
    **options: Any,
) -> Tradeoff:
    """The fit whose `misfit` is what noise alone leaves: no smoother than the data allow, and no
    rougher than they ask for.

    From the weight of `penalty` on, factors of 10 enclose the right one, which is then found
    between them, to a misfit within the relative `tolerance`, in at most `most` fits.
    `options` as of `regularised_fit`.

    The misfit 1 is that of the noise of all n data. A fit of g effective parameters takes some of
    the noise away and leaves sqrt(1 - g / n), so that the result is too smooth by that, which
    matters where g is no small part of n. It is left so on purpose: as the weight falls, the wanted
    misfit would fall along with the misfit itself, down to a weight of zero, and where noise
    happens to be small nothing would stop the search. (Of 40 blurred data with g = 7, over 40
    random noises, the error was 1.17 times that of the best weight in the median and 2.0 times at
    most; with the misfit corrected for g, 1.15 times and 96 times.) Give a lower `misfit` where g
    is known.

    Raises `InputError` where the noise is not known, and where no weight gives this misfit: the
    model cannot explain the data, or the field is not needed to.
    """
    if not problem.noise_is_known:
        raise InputError("the discrepancy principle needs the standard deviation of the noise")
    sides: dict[bool, Tradeoff] = {}  # too rough, too smooth
    weight = penalty.weight
    for _ in range(most):
        found = regularised_fit(problem, penalty.weighing(weight), start, others, **options)
        if abs(found.misfit - misfit) <= tolerance * misfit:
            return found
        sides[found.misfit > misfit] = found
        start = found.result.x
        if len(sides) == 1:
            weight *= 0.1 if found.misfit > misfit else 10.0
            continue
        logs = [(math.log(t.weight), math.log(t.misfit / misfit)) for t in sides.values()]
        (a, below), (b, above) = sorted(logs)
        share = min(max(-below / (above - below), 0.2), 0.8)  # to come nearer in any case
        weight = math.exp(a + share * (b - a))
    tried = sorted((t.misfit, t.weight) for t in sides.values())
    raise InputError(
        f"no weight of the penalty on '{penalty.name}' was found with the misfit {misfit:g}; "
        + ", ".join(f"{m:.4g} with {w:.3g}" for m, w in tried)
    )
