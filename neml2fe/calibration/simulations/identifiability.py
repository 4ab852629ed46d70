"""What the data of a fit tell, from one Jacobian at its solution: which combinations of parameters
they know, and how many of them each measurement fixes."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from neml2fe.calibration.interface import Problem, weights_of
from neml2fe.calibration.simulations.outcome import Outcomes, Simulated
from neml2fe.calibration.simulations.posterior import Combination, laplace
from neml2fe.errors import InputError
from neml2fe.io.document import Section, Table, Text

_OPEN = 0.5  # of the range between the bounds: what a combination is not known to
_FEW, _MANY = 3, 8  # combinations in words: the worst known, and as many as are hardly known
_HARDLY = 0.05  # of the range
_LISTED = 6  # parameters of a combination that are all named
_INVOLVED = 0.1  # of the largest share: what counts as a part of a combination
_TABLED = 8  # parameters for which the eigenvectors are a table
_AT_BOUND = 1e-9  # of the range
_SINGULAR = 1e-8  # of the largest singular value


class Linearised:
    """A problem at one point, with its residuals and Jacobian there. Collective to make."""

    def __init__(self, problem: Problem, x: Tensor) -> None:
        self.parameters, self.noise_is_known = problem.parameters, problem.noise_is_known
        self.loss, self.x = problem.loss, x.detach()
        self._r, self._jacobian = (t.detach().cpu() for t in problem.linearised(self.x))
        self._weights = weights_of(problem, self._r)

    def residuals(self, x: Tensor) -> Tensor:
        return self.linearised(x)[0]

    def linearised(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """At the one point only."""
        assert torch.equal(x, self.x)
        return self._r, self._jacobian

    def curvature_weights(self, residuals: Tensor) -> Tensor | None:
        return self._weights

    def leverages(self) -> Tensor:
        """`(m,)`: the diagonal of J (J^T J)^-1 J^T, how much of a parameter each datum fixes. Their
        sum is the number of parameters, without those at a bound or without influence."""
        free = (self.x > _AT_BOUND) & (self.x < 1.0 - _AT_BOUND)
        rows = self._jacobian[:, free]
        if self._weights is not None:
            rows = self._weights.clamp(min=0.0).sqrt()[:, None] * rows
        scale = torch.linalg.vector_norm(rows, dim=0).clamp(min=1e-300)
        u, singular, _ = torch.linalg.svd(rows / scale, full_matrices=False)
        if not len(singular):
            return torch.zeros_like(self._r)
        return u[:, singular > _SINGULAR * singular[0]].square().sum(dim=1)


def shares_of(leverages: Tensor, found: Outcomes) -> dict[tuple[str, str], float]:
    """How many parameters each measurement fixes, by test and name. The residuals of tests follow
    each other, as those of the measurements in each do."""
    shares, start = {}, 0
    for test, outcome in found.items():
        at = start
        if isinstance(outcome, Simulated):
            for name, residuals in outcome.residuals.items():
                shares[test, name] = float(leverages[at : at + len(residuals)].sum())
                at += len(residuals)
        start += outcome.rows
    return shares


def identifiability(point: Linearised) -> Section:
    """Eigenvectors of the Gauss-Newton Hessian in words, from the worst known."""
    try:
        found = laplace(point, point.x).combinations
    except InputError as error:
        return Section("Identifiability", [Text(f"It cannot be told: {error.message}.")])
    worst = [c for c in found if c.deviation > _OPEN]
    if not worst:
        verdict = "These data fix every combination of the parameters."
    elif len(worst) == 1:
        verdict = "These data leave one combination of the parameters open."
    else:
        verdict = f"These data leave {len(worst)} combinations of the parameters open."
    verdict += (
        " From the eigenvectors of the Gauss-Newton Hessian on the scale of the fit, which goes "
        "from 0 to 1 between the bounds (of the data alone, without priors), the worst known first:"
    )
    blocks: list[Text | Table] = [Text(verdict)]
    shown = [c for k, c in enumerate(found) if k < _FEW or c.deviation > _HARDLY][:_MANY]
    blocks += [Text(f"{k}. {_words(c)}.") for k, c in enumerate(shown, start=1)]
    if more := len(found) - len(shown):
        blocks.append(Text(f"{more} more {'is' if more == 1 else 'are'} known better than these."))
    if 1 < len(found) <= _TABLED:
        blocks.append(_table(point.parameters.names, found))
    return Section("Identifiability", blocks)


def _words(combination: Combination) -> str:
    """Those of the combination, in short where very many parameters are in it, as in fields."""
    shares = sorted(combination.shares.items(), key=lambda item: -abs(item[1]))
    involved = [name for name, share in shares if abs(share) > _INVOLVED * abs(shares[0][1])]
    if len(involved) <= _LISTED:
        return combination.words
    known = f"known to {_percent(combination.deviation)} of the range between the bounds"
    return (
        f"A combination of {len(involved)} parameters, most of all {', '.join(involved[:3])}, is "
        + ("not fixed" if math.isinf(combination.deviation) else known)
    )


def _table(names: list[str], found: list[Combination]) -> Table:
    rows = [
        [str(k), _percent(c.deviation), *(f"{c.shares[name]:.2f}" for name in names)]
        for k, c in enumerate(found, start=1)
    ]
    caption = "The eigenvectors; deviations in parts of the range between the bounds"
    return Table(("", "deviation", *names), rows, caption, folded=True)


def _percent(deviation: float) -> str:
    return "not fixed" if math.isinf(deviation) else f"{100.0 * deviation:.2g} %"
