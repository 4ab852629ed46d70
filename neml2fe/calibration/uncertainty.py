"""Error bars of fitted parameters, and which of them the data cannot identify.

Linear approximation at the solution (Bates and Watts 1988, Nonlinear Regression Analysis, ch. 2):
with the Jacobian J of the whitened residuals the covariance of x is s^2 (J^T J)^-1, where
s^2 = r^T r / (m - P), or 1 if the noise is known; the slopes of the scales carry it to natural
units. With reweighted residuals psi = w r it is Huber's (1981, Robust Statistics, eq. 7.6.5):
s^2 = (sum psi^2 / (m - P)) / (mean psi')^2.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from scipy import special
from torch import Tensor

from neml2fe.calibration.interface import Problem, weights_of
from neml2fe.errors import InputError

_AT_BOUND = 1e-9  # of the box
_NO_INFLUENCE = 1e-12  # of the largest column
_SINGULAR = 1e-8  # of the largest singular value; Jacobians of implicit updates are that exact
_INVOLVED = 1e-4  # least component in a singular direction
_CORRELATED = 0.99
_COVERS = 0.5  # of the box: a larger standard error leaves the value open
_ASTRAY, _LOST = 0.1, 1.0  # standard errors that a further Gauss-Newton step moves
_STILL = 1e-7  # of the box; of data without noise, such a step is round-off
_MISFIT, _UNLIKELY = 1.25, 1e-3  # residuals over the noise, and the chance of as many


@dataclass(frozen=True)
class Uncertainty:
    """Standard errors and confidence intervals of P parameters, in natural units.

    `standard_errors` `(P,)` are infinite, `intervals` `(P, 2)` the bounds and correlations zero
    for a parameter without influence, one that only enters a combination with others, and one
    that stands at a bound. Far from the minimum there are none: standard errors and intervals are
    NaN. Intervals hold each for itself, at `level`; they are symmetric on the scale of the fit, so
    that those of a log scale stay positive.

    `singular_values` `(P,)` are of J with columns of unit length, from large to small, zero for
    parameters that are left out: small ones are combinations that the data hardly fix.
    `not_identifiable` gives a sentence by name; `remarks` are on bounds, correlated pairs, a
    solution that is not the minimum, and residuals that contradict a known Gaussian noise.
    """

    names: list[str]
    values: Tensor
    standard_errors: Tensor
    intervals: Tensor
    level: float
    correlation: Tensor
    not_identifiable: dict[str, str]
    singular_values: Tensor
    remarks: list[str] = field(default_factory=list)


def uncertainty(problem: Problem, x: Tensor, level: float = 0.95) -> Uncertainty:
    """The uncertainty of a fit that ended at `x` `(P,)`.

    Quantiles are of Student's t-distribution where the noise is estimated from the residuals,
    else of the normal one. Raises InputError for a level that is not in (0, 1), ConvergenceError
    if the simulation fails at `x`.
    """
    if not 0.0 < level < 1.0:
        raise InputError(f"the confidence level must lie between 0 and 1, got {level:g}")
    names, x = problem.parameters.names, x.detach()
    r, jacobian = (t.detach().cpu() for t in problem.linearised(x))
    used = (r != 0.0) | (jacobian != 0.0).any(-1)  # the others are masked or padded
    r, jacobian = r[used], jacobian[used]
    rows = _Rows(problem, used)
    why: dict[str, str] = {}

    lower, upper = x <= _AT_BOUND, x >= 1.0 - _AT_BOUND
    idle = _idle(names, jacobian, why)
    free = (~(lower | upper | idle)).nonzero().flatten()
    norms = torch.linalg.vector_norm(jacobian[:, free], dim=0)
    unit = jacobian[:, free] / norms
    # Zero rows, so that there are P directions with fewer data too.
    unit = torch.cat([unit, unit.new_zeros(max(len(free) - len(r), 0), len(free))])
    u, singular, directions = torch.linalg.svd(unit, full_matrices=False)
    fixed = singular > _SINGULAR * singular.max() if len(free) else singular > 0.0
    for direction in directions[~fixed]:
        involved = (direction.abs() > _INVOLVED).nonzero().flatten()
        group = [names[i] for i in free[involved].tolist()]
        for name in group:
            why[name] = (
                f"the data fix only a combination of {', '.join(group)}; fix all but one of them, "
                "or add tests that tell them apart"
            )
    rank = int(fixed.sum())
    scale, quantile = _scale(rows, r, len(r) - rank, level)
    if math.isinf(scale):
        for i in free.tolist():
            why.setdefault(
                names[i],
                f"{len(r)} data cannot tell {rank} parameters and the noise; add data or give the "
                "standard deviation of the noise",
            )
    known = torch.tensor([name not in why for name in names])
    known &= torch.isin(torch.arange(len(names)), free)

    spread = directions[fixed].T / singular[fixed] / norms[:, None]
    unscaled = torch.zeros(len(x), len(x), dtype=x.dtype)  # covariance over s^2
    unscaled[free[:, None], free] = spread @ spread.T
    deviations = unscaled.diagonal().sqrt()
    both = known[:, None] & known
    correlation = torch.where(both, unscaled / torch.outer(deviations, deviations), 0.0)
    correlation.fill_diagonal_(1.0)
    errors = torch.where(known, scale * deviations, math.inf)
    step = spread @ (u[: len(r), fixed].T @ _psi(rows, r))
    moves = torch.where(step.abs() > _STILL, step.abs() / errors[free], 0.0)
    remarks = _at_bounds(problem, x, (lower | upper) & ~idle, scale, jacobian, why)
    remarks += _astray([names[i] for i in free.tolist()], moves.tolist())
    if bool((moves > _LOST).any()):
        errors, correlation = torch.full_like(errors, math.nan), torch.eye(len(x), dtype=x.dtype)
    else:
        remarks += _misfit(rows, r, len(r) - rank)
    standard, intervals = _natural(problem, x, errors, quantile)

    partners = _partners(names, correlation)
    _weak(problem, x, errors, standard, partners, why)
    remarks += [
        f"{a} and {b} are nearly interchangeable (correlation {c:.4f}): the data fix a "
        "combination better than each; tests under other conditions would separate them"
        for a, b, c in partners
    ]
    return Uncertainty(
        names=names,
        values=problem.parameters.natural(x),
        standard_errors=standard,
        intervals=intervals,
        level=level,
        correlation=correlation,
        not_identifiable=why,
        singular_values=torch.cat([singular, singular.new_zeros(len(x) - len(free))]),
        remarks=remarks,
    )


def _idle(names: Sequence[str], jacobian: Tensor, why: dict[str, str]) -> Tensor:
    """Which parameters `(P,)` have no influence at all."""
    norms = torch.linalg.vector_norm(jacobian, dim=0)
    idle = norms <= _NO_INFLUENCE * norms.max()
    for i in idle.nonzero().flatten().tolist():
        why[names[i]] = (
            f"{names[i]} has no influence on the measured values; fix it, or add tests that "
            "exercise its mechanism"
        )
    return idle


def _at_bounds(
    problem: Problem, x: Tensor, held: Tensor, scale: float, jacobian: Tensor, why: dict[str, str]
) -> list[str]:
    """Remarks on the parameters that are `held` `(P,)` by a bound; it is not to blame for those
    that have next to no influence there."""
    parameters, remarks = problem.parameters, []
    for i in held.nonzero().flatten().tolist():
        name, side = parameters.names[i], "lower" if x[i] < 0.5 else "upper"
        where = f"{name} stands at its {side} bound {parameters.natural(x)[i]:g}"
        alone = scale / float(torch.linalg.vector_norm(jacobian[:, i]))
        if _COVERS < alone < math.inf:
            why[name] = (
                f"{where} and has next to no influence there: if all others were known, its "
                f"standard error covers the whole range {parameters.lower[i]:g} to "
                f"{parameters.upper[i]:g}; fix it, or add tests that exercise its mechanism"
            )
        else:
            remarks.append(
                f"{where} and has no interval; if values beyond are possible, widen the bound"
            )
    return remarks


def _misfit(problem: _Rows, r: Tensor, freedom: int) -> list[str]:
    """Whether known Gaussian noise explains the residuals: a chi-square test."""
    if not problem.noise_is_known or _is_robust(problem, r) or freedom <= 0:
        return []
    squares = float(r @ r)
    ratio = math.sqrt(squares / freedom)
    if ratio > _MISFIT and special.chdtrc(freedom, squares) < _UNLIKELY:
        return [
            f"residuals are {ratio:.2g} times the stated noise: the model or the noise is wrong, "
            "and intervals are too short"
        ]
    if ratio < 1.0 / _MISFIT and special.chdtr(freedom, squares) < _UNLIKELY:
        return [
            f"residuals are only {ratio:.2g} times the stated noise: the noise is smaller than "
            "stated, and intervals are too long"
        ]
    return []


class _Rows:
    """A problem with some of its residuals only."""

    def __init__(self, problem: Problem, used: Tensor) -> None:
        self._problem, self._used = problem, used
        self.parameters, self.noise_is_known = problem.parameters, problem.noise_is_known

    def curvature_weights(self, r: Tensor) -> Tensor | None:
        whole = torch.zeros(len(self._used), dtype=r.dtype)
        whole[self._used] = r
        weights = weights_of(self._problem, whole)
        return None if weights is None else weights[self._used]


def _natural(problem: Problem, x: Tensor, errors: Tensor, quantile: float) -> tuple[Tensor, Tensor]:
    """Standard errors `(P,)` and intervals `(P, 2)`: the bounds for an infinite error, and NaN
    for one that is NaN."""
    parameters, known = problem.parameters, errors.isfinite()
    half = torch.where(known, quantile * errors, 0.0)
    ends = [parameters.natural(x - half), parameters.natural(x + half)]
    bounds = [parameters.lower, parameters.upper]
    intervals = [torch.where(known, e, b) for e, b in zip(ends, bounds, strict=True)]
    standard = torch.where(known, parameters.slopes(x) * errors, errors)
    none = errors.isnan()[:, None]
    return standard, torch.where(none, math.nan, torch.stack(intervals, dim=-1))


def _scale(problem: _Rows, r: Tensor, freedom: int, level: float) -> tuple[float, float]:
    """s, and the quantile of both sides at `level`; infinite s if the noise cannot be told."""
    robust = _is_robust(problem, r)
    normal = float(special.ndtri(0.5 + 0.5 * level))
    if problem.noise_is_known and not robust:
        return 1.0, normal
    if freedom <= 0:
        return math.inf, normal
    student = float(special.stdtrit(freedom, 0.5 + 0.5 * level))
    if not robust:
        return float((r @ r / freedom).sqrt()), student
    h = 1e-6 * (1.0 + r.abs())
    psi = _psi(problem, r)
    slope = (_psi(problem, r + h) - _psi(problem, r - h)) / (2.0 * h)
    return float((psi @ psi / freedom).sqrt() / slope.mean()), student


def _is_robust(problem: _Rows, r: Tensor) -> bool:
    weights = problem.curvature_weights(r)
    return weights is not None and not bool((weights == 1.0).all())


def _psi(problem: _Rows, r: Tensor) -> Tensor:
    weights = problem.curvature_weights(r)
    return r if weights is None else weights * r


def _partners(names: Sequence[str], correlation: Tensor) -> list[tuple[str, str, float]]:
    pairs = (correlation.triu(1).abs() > _CORRELATED).nonzero().tolist()
    return [(names[i], names[j], float(correlation[i, j])) for i, j in pairs]


def _weak(
    problem: Problem,
    x: Tensor,
    errors: Tensor,
    standard: Tensor,
    partners: Sequence[tuple[str, str, float]],
    why: dict[str, str],
) -> None:
    """Add those whose standard error covers the range, or the value of a positive parameter."""
    parameters = problem.parameters
    natural = parameters.natural(x)
    for i, name in enumerate(parameters.names):
        if not bool(errors[i].isfinite()):
            continue
        if errors[i] > _COVERS:
            what = f"the whole range {parameters.lower[i]:g} to {parameters.upper[i]:g}"
        elif parameters.lower[i] > 0.0 and standard[i] > natural[i]:
            what = f"more than its value {natural[i]:g}"
        else:
            continue
        others = [b if a == name else a for a, b, _ in partners if name in (a, b)]
        cure = (
            f"it trades off with {', '.join(others)}: fix one of them, or add tests that tell "
            "them apart"
            if others
            else "fix it, or add tests on which it has more influence"
        )
        why[name] = f"the standard error {standard[i]:.3g} of {name} covers {what}; {cure}"


def _astray(names: Sequence[str], moves: Sequence[float]) -> list[str]:
    """Says how far, in standard errors, a Gauss-Newton step would still move a parameter."""
    farthest = max(moves, default=0.0)
    if farthest <= _ASTRAY:
        return []
    so = "there are no intervals" if farthest > _LOST else "the intervals are not centred"
    return [
        "the fit did not end at the minimum: the next step would move "
        f"{names[moves.index(farthest)]} by {farthest:.2g} standard errors, so that {so}"
    ]
