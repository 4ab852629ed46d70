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
from scipy import stats
from torch import Tensor

from neml2fe.calibration.interface import Problem, weights_of
from neml2fe.errors import InputError

_AT_BOUND = 1e-9  # of the box
_NO_INFLUENCE = 1e-12  # of the largest column
_SINGULAR = 1e-8  # of the largest singular value; Jacobians of implicit updates are that exact
_INVOLVED = 1e-4  # least component in a singular direction
_CORRELATED = 0.99
_ASTRAY = 0.1  # standard errors that a further Gauss-Newton step may move


@dataclass(frozen=True)
class Uncertainty:
    """Standard errors and confidence intervals of P parameters, in natural units.

    `standard_errors` `(P,)` are infinite, `intervals` `(P, 2)` the bounds and correlations zero
    for a parameter without influence, one that only enters a combination with others, and one
    that stands at a bound. Intervals hold each for itself, at `level`; they are symmetric on the
    scale of the fit, so that those of a log scale stay positive.

    `singular_values` `(P,)` are of J with columns of unit length, from large to small, zero for
    parameters that are left out: small ones are combinations that the data hardly fix.
    `not_identifiable` gives a sentence by name; `remarks` are on bounds, correlated pairs, and a
    solution that is not the minimum.
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
    why: dict[str, str] = {}
    remarks: list[str] = []

    free = _free(problem, x, jacobian, why, remarks)
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
    scale, quantile = _scale(problem, r, len(r) - rank, level)
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
    standard, intervals = _natural(problem, x, errors, quantile)

    partners = _partners(names, correlation)
    _weak(problem, x, errors, standard, partners, why)
    remarks += [
        f"{a} and {b} are nearly interchangeable (correlation {c:.4f}): the data fix a "
        "combination better than each; tests under other conditions would separate them"
        for a, b, c in partners
    ]
    step = spread @ (u[: len(r), fixed].T @ _psi(problem, r))
    remarks += _astray([names[i] for i in free.tolist()], step.abs() / errors[free])
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


def _free(
    problem: Problem, x: Tensor, jacobian: Tensor, why: dict[str, str], remarks: list[str]
) -> Tensor:
    """Numbers of the parameters that are inside of their bounds and have any influence."""
    parameters, names = problem.parameters, problem.parameters.names
    lower, upper = x <= _AT_BOUND, x >= 1.0 - _AT_BOUND
    for i in (lower | upper).nonzero().flatten().tolist():
        side = "lower" if lower[i] else "upper"
        remarks.append(
            f"{names[i]} stands at its {side} bound {parameters.natural(x)[i]:g} and has no "
            "interval; if values beyond are possible, widen the bound"
        )
    norms = torch.linalg.vector_norm(jacobian, dim=0)
    idle = norms <= _NO_INFLUENCE * norms.max()
    for i in idle.nonzero().flatten().tolist():
        why[names[i]] = (
            f"{names[i]} has no influence on the measured values; fix it, or add tests that "
            "exercise its mechanism"
        )
    return (~(lower | upper | idle)).nonzero().flatten()


def _natural(problem: Problem, x: Tensor, errors: Tensor, quantile: float) -> tuple[Tensor, Tensor]:
    """Standard errors `(P,)` and intervals `(P, 2)`; the bounds where there are none."""
    parameters, known = problem.parameters, errors.isfinite()
    half = torch.where(known, quantile * errors, 0.0)
    ends = [parameters.natural(x - half), parameters.natural(x + half)]
    bounds = [parameters.lower, parameters.upper]
    intervals = [torch.where(known, e, b) for e, b in zip(ends, bounds, strict=True)]
    standard = torch.where(known, parameters.slopes(x) * errors, math.inf)
    return standard, torch.stack(intervals, dim=-1)


def _scale(problem: Problem, r: Tensor, freedom: int, level: float) -> tuple[float, float]:
    """s, and the quantile of both sides at `level`; infinite s if the noise cannot be told."""
    weights = weights_of(problem, r)
    robust = weights is not None and not bool((weights == 1.0).all())
    normal = float(stats.norm.ppf(0.5 + 0.5 * level))
    if problem.noise_is_known and not robust:
        return 1.0, normal
    if freedom <= 0:
        return math.inf, normal
    student = float(stats.t.ppf(0.5 + 0.5 * level, freedom))
    if not robust:
        return float((r @ r / freedom).sqrt()), student
    h = 1e-6 * (1.0 + r.abs())
    psi = _psi(problem, r)
    slope = (_psi(problem, r + h) - _psi(problem, r - h)) / (2.0 * h)
    return float((psi @ psi / freedom).sqrt() / slope.mean()), student


def _psi(problem: Problem, r: Tensor) -> Tensor:
    weights = weights_of(problem, r)
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
        if errors[i] > 0.5:
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


def _astray(names: Sequence[str], steps: Tensor) -> list[str]:
    """Says where a Gauss-Newton step, in standard errors, would still move a parameter by much."""
    steps = torch.where(steps.isfinite(), steps, 0.0)  # perfect data have no errors
    return [
        f"the fit did not end at the minimum: the next step would move {name} by {step:.2g} "
        "standard errors, so that the intervals are not centred"
        for name, step in zip(names, steps.tolist(), strict=True)
        if step > _ASTRAY and step == max(steps.tolist())
    ]
