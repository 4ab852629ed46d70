"""`fit_tests`: a fit of simulated tests with all that is known besides their data.

Priors make it the largest posterior; parameter fields have penalties, whose weight may be found
first; virtual fields may be weighed by the noise of the displacements, which needs a fit before.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from neml2fe.calibration import record as records
from neml2fe.calibration.fit import FitResult, Iteration, fit
from neml2fe.calibration.interface import Problem
from neml2fe.calibration.simulations.penalties import FieldPenalty, Penalty
from neml2fe.calibration.simulations.posterior import GaussianPrior, LaplacePosterior, laplace
from neml2fe.calibration.simulations.regularised import RegularisedProblem
from neml2fe.calibration.simulations.tradeoff import Tradeoff, by_discrepancy, corner, l_curve
from neml2fe.calibration.tables import write_csv
from neml2fe.errors import InputError

WEIGHING = ("given", "discrepancy", "l_curve")
_WORST = 5  # combinations of a posterior that are shown
_AGAIN = ("starts", "resume")  # options of the first of several fits only


@dataclass(frozen=True)
class Weighing:
    """How a penalty weighs: as `given`, by the `discrepancy` principle from its weight on, or where
    the `l_curve` of `weights` has its corner."""

    penalty: FieldPenalty
    by: str = "given"
    weights: Sequence[float] = ()

    def __post_init__(self) -> None:
        if self.by not in WEIGHING:
            raise InputError(f"a weight is {', '.join(WEIGHING)}, not '{self.by}'")


@dataclass(frozen=True)
class Weighed:
    """A penalised field at the end of a fit: see `FieldPenalty`, `Weighing` and `Tradeoff`; `curve`
    has the fits of an L-curve."""

    name: str
    kind: str
    of: str
    by: str
    weight: float
    misfit: float
    roughness: float
    curve: list[Tradeoff] = field(default_factory=list)

    def describe(self) -> str:
        how = {"given": "as given", "discrepancy": "by the noise", "l_curve": "by the L-curve"}
        return (
            f"{self.name}: {self.kind} of {self.of}, weight {self.weight:.4g} ({how[self.by]}), "
            f"data missed by {self.misfit:.4g} rms, roughness {self.roughness:.4g}"
        )


@dataclass(frozen=True)
class TestsFit(FitResult):
    """The last of the fits that were made, with the `history` of all, one after the other, each of
    its first start.

    - `posterior`: Laplace's, of the data and the priors, where it was asked for.
    - `prior`: mean and standard deviation by parameter.
    - `weighed`: the penalised fields.
    - `no_uncertainty`: why there is none.
    - `first`: the fit without the noise of displacements in virtual fields.
    """

    __test__ = False  # no test of pytest

    posterior: LaplacePosterior | None = None
    prior: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    weighed: list[Weighed] = field(default_factory=list)
    no_uncertainty: str = ""
    first: FitResult | None = None

    def describe(self) -> list[str]:
        """What it has besides other fits, in lines."""
        lines = [w.describe() for w in self.weighed]
        if self.first is not None:
            lines.append("virtual fields weigh by the noise of the displacements, too")
        lines += [f"prior: {n} = {mean:g} +- {size:g}" for n, (mean, size) in self.prior.items()]
        if self.posterior is not None:
            worst = self.posterior.combinations[:_WORST]
            lines += [f"posterior: {combination.words}" for combination in worst]
        return lines


def write_posterior(path: Path, posterior: LaplacePosterior) -> None:
    """CSV: a row for each parameter, its value, its deviation and the row of the covariance, in
    natural units to first order; nothing but the values where the data leave a combination open."""
    names, values = posterior.parameters.names, posterior.parameters.natural(posterior.x).tolist()
    columns: list[Sequence[object]] = [[name, v] for name, v in zip(names, values, strict=True)]
    if posterior.is_proper:
        covariance = posterior.covariance()
        columns = [
            [*c, row[k].sqrt().item(), *row.tolist()]
            for k, (c, row) in enumerate(zip(columns, covariance, strict=True))
        ]
    write_csv(path, ["parameter", "value", "deviation", *names], columns)


def fit_tests(
    problem: Problem,
    *,
    penalties: Sequence[Weighing] = (),
    prior: Mapping[str, tuple[float, float]] | None = None,
    weigh: Callable[[Tensor], None] | None = None,
    with_posterior: bool = False,
    level: float | None = 0.95,
    **options: Any,
) -> TestsFit:
    """Fit `problem`; its uncertainty is off where fields are penalised, and no Jacobian is formed
    by L-BFGS.

    Args:
        penalties: Of fields of elements or nodes; the weight of one of them may be found.
        prior: Mean and standard deviation by parameter (`GaussianPrior.of`), which count in the fit
            and in its uncertainty.
        weigh: Called with the x `(P,)` of a first fit, changes the weights of the problem, which is
            then fitted again from there. `starts` are of the first fit.
        with_posterior: Whether to find Laplace's posterior.
        level, options: As of `fit`. Of several fits, the record holds the last; `resume` begins the
            first of them at its best point.

    Raises `InputError` as `fit`, `laplace`, `by_discrepancy` and `corner` do, and for priors
    without a known noise, several weights to be found, and a posterior of penalised fields.
    """
    known: list[Penalty] = []
    if prior:
        if not problem.noise_is_known:
            raise InputError(
                "a prior needs the standard deviation of the noise, which its deviation is weighed "
                "against: give it for all measurements"
            )
        known.append(GaussianPrior.of(problem.parameters, prior))
    if sum(p.by != "given" for p in penalties) > 1:
        raise InputError("only one weight can be found in a fit; give the others")
    if penalties and with_posterior:
        raise InputError("penalised fields have no dense posterior; see `low_rank_laplace`")
    start = None
    staged = weigh is not None or any(p.by != "given" for p in penalties)
    if staged and options.get("resume"):
        start = records.best(Path(options["record"]), problem.parameters)
    history: list[Iteration] = []
    tell = options.get("on_iteration")

    def listen(iteration: Iteration) -> None:
        if iteration.start == 0:
            history.append(replace(iteration, number=len(history)))
        if tell is not None:
            tell(iteration)

    if staged:
        options = {**options, "resume": False, "on_iteration": listen}

    level = None if penalties else level
    first = None
    if weigh is not None:
        first, weighed = _fitted(problem, penalties, known, start, {**options, "level": None})
        weigh(first.x)
        start = first.x
        options = {name: value for name, value in options.items() if name not in _AGAIN}
    found, weighed = _fitted(problem, penalties, known, start, {**options, "level": level})
    posterior = laplace(RegularisedProblem(problem, known), found.x) if with_posterior else None
    why = ""
    if penalties:
        names = ", ".join(p.penalty.name for p in penalties)
        why = f"no uncertainty is found where fields are penalised ({names})"
    elif level is None:
        why = "no uncertainty was asked for"
    results = {f.name: getattr(found, f.name) for f in fields(FitResult)}
    results["history"] = history or found.history
    results["reason"] += f"; {why}" if why else ""
    return TestsFit(
        **results,
        posterior=posterior,
        prior=dict(prior or {}),
        weighed=weighed,
        no_uncertainty=why,
        first=first,
    )


def _fitted(
    problem: Problem,
    penalties: Sequence[Weighing],
    known: Sequence[Penalty],
    start: Tensor | None,
    options: dict[str, Any],
) -> tuple[FitResult, list[Weighed]]:
    """A fit, or those that find the weight of a penalty."""
    given: list[Penalty] = [*known, *(p.penalty for p in penalties if p.by == "given")]
    sought = next((p for p in penalties if p.by != "given"), None)
    curve: list[Tradeoff] = []
    if sought is None:
        whole = RegularisedProblem(problem, given, start) if given or start is not None else problem
        found, used = fit(whole, **options), {}
    else:
        how = {**options, "start": start, "others": given}
        if sought.by == "discrepancy":
            best = by_discrepancy(problem, sought.penalty, **how)
        else:
            curve = l_curve(problem, sought.penalty, sought.weights, **how)
            best = corner(curve)
        found, used = best.result, {sought.penalty.name: sought.penalty.weighing(best.weight)}
    with torch.no_grad():
        misfit = float(problem.residuals(found.x).square().mean().sqrt()) if penalties else 0.0
    weighed = []
    for p in penalties:
        penalty = used.get(p.penalty.name, p.penalty)
        roughness = float(RegularisedProblem(problem, [penalty]).penalty(found.x)) / penalty.weight
        kind, own = type(penalty).__name__, curve if p is sought else []
        weighed.append(
            Weighed(penalty.name, kind, penalty.of, p.by, penalty.weight, misfit, roughness, own)
        )
    return found, weighed
