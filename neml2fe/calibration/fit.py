"""The driver of a fit: optimiser, starts, record on disk, uncertainty."""

from __future__ import annotations

import contextlib
import math
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

from torch import Tensor

from neml2fe.calibration import record as records
from neml2fe.calibration.gradient import first_order, lbfgs, torch_optimisers
from neml2fe.calibration.interface import Monitor, Outcome, Problem, Stopping
from neml2fe.calibration.least_squares import least_squares
from neml2fe.calibration.multistart import agreement, starting_points
from neml2fe.calibration.tao import tao
from neml2fe.calibration.uncertainty import Uncertainty, uncertainty
from neml2fe.errors import ConvergenceError, InputError, suggest


@dataclass(frozen=True)
class Iteration:
    """An accepted point; number 0 is the first of its start.

    `gradient_norm` is the largest component of the gradient in the unit box that does not point
    out of it; `values` are in natural units; `seconds` since the beginning of the fit, of all
    its runs together. A resumed fit goes on in number from the point that it begins with.
    """

    number: int
    start: int
    loss: float
    gradient_norm: float
    values: dict[str, float]
    seconds: float


@dataclass(frozen=True)
class FitResult:
    """The best point of a fit, at `x` `(P,)` in the unit box and `values` in natural units.

    `converged` means a minimum; `reason` says why the search ended. `history` is of the best
    start, iterations before a resume included; `starts` are all of them, a failed one with an
    infinite loss, where it began, and its error as the reason. `resumed_from` is the number of
    the iteration with which a resumed fit began.
    """

    values: dict[str, float]
    x: Tensor
    loss: float
    converged: bool
    reason: str
    history: list[Iteration]
    uncertainty: Uncertainty | None = None
    starts: list[FitResult] = field(default_factory=list)
    resumed_from: int | None = None


def optimisers() -> list[str]:
    """Names that `fit` takes."""
    return ["least_squares", "lbfgs", "tao", *torch_optimisers()]


def fit(
    problem: Problem,
    optimiser: str = "least_squares",
    *,
    starts: int = 1,
    seed: int = 0,
    max_iterations: int = 200,
    rel_improvement: float = 1e-8,
    patience: int = 20,
    gradient_tolerance: float = 1e-8,
    level: float | None = 0.95,
    record: str | os.PathLike[str] | None = None,
    resume: bool = False,
    on_iteration: Callable[[Iteration], None] | None = None,
    **options: Any,
) -> FitResult:
    """Minimise `problem.loss` over the box of its parameters.

    Args:
        optimiser: `least_squares` (bounded Levenberg-Marquardt on exact Jacobians), `lbfgs`
            (L-BFGS-B), `tao` (bounded quasi-Newton of PETSc, where petsc4py is installed), or a
            class of `torch.optim` in any case, such as `adam`.
        starts: The first begins at `problem.parameters.x0`, others at Sobol points of the box.
        max_iterations, rel_improvement, patience, gradient_tolerance: as in `Stopping`, for
            each start. Iterations before a resume do not count.
        level: Of the confidence intervals; None leaves out the uncertainty.
        record: File that keeps every iteration as soon as it is done (see `record`).
        resume: Begin at the best point in `record`, and append to it.
        on_iteration: Called with every iteration.
        options: Of the `torch.optim` class (`lr`, ...).

    Raises InputError for wrong arguments, OutputError for a record that cannot be read or
    written, ConvergenceError if every start fails.
    """
    if starts < 1:
        raise InputError("a fit needs at least one start")
    if seed < 0:
        raise InputError(f"the seed must be at least 0, got {seed}")
    if level is not None and not 0.0 < level < 1.0:
        raise InputError(f"the confidence level must lie between 0 and 1, got {level:g}")
    if resume and record is None:
        raise InputError("resume needs the record to go on from")
    stopping = Stopping(max_iterations, rel_improvement, patience, gradient_tolerance)
    search = _search(optimiser, options)
    _ = level is None or problem.noise_is_known  # some refuse: better before the search than after
    parameters = problem.parameters
    x0, began = parameters.x0, time.monotonic()
    earlier: list[Iteration] = []
    if resume and record is not None:
        recorded = records.best(record, parameters)
        x0 = x0 if recorded is None else recorded
        rows = records.read(record).iterations
        began -= max((row["seconds"] for row in rows), default=0.0)
        known = [f.name for f in fields(Iteration)]
        earlier = [Iteration(**{n: row[n] for n in known}) for row in records.trail(rows)]
    resumed_from = earlier[-1].number if earlier else None

    with contextlib.ExitStack() as stack:
        listeners = [on_iteration] if on_iteration else []
        if record is not None:
            writer = records.Record(
                record, parameters, seed=seed, optimiser=optimiser, resume=resume
            )
            # On disk before anything else sees it.
            listeners.insert(0, stack.enter_context(writer).append)

        def run(start: int, x: Tensor) -> FitResult:
            history = [] if start else earlier[:-1]  # the search repeats the last

            def report(number: int, x: Tensor, loss: float, gradient_norm: float) -> None:
                seconds = time.monotonic() - began
                values = parameters.values(x)
                history.append(Iteration(number, start, loss, gradient_norm, values, seconds))
                for listen in listeners:
                    listen(history[-1])

            try:
                first = 0 if start else resumed_from or 0
                steepest = max((row.gradient_norm for row in history), default=0.0)
                monitor = Monitor(stopping, report, first, steepest)
                end = search(problem, x, monitor, stopping)
            except ConvergenceError as error:
                end = Outcome(x, math.inf, False, error.message)
            return FitResult(parameters.values(end.x), *_fields(end), history)

        tried = [run(i, x) for i, x in enumerate(starting_points(x0, starts, seed))]

    best = min(tried, key=lambda result: result.loss)
    if not math.isfinite(best.loss):
        raise ConvergenceError(_all_failed(tried))
    reason = best.reason if starts == 1 else f"{best.reason}; {agreement(tried)}"
    reason += resumption(resumed_from)
    found = None if level is None else uncertainty(problem, best.x, level)
    return replace(best, reason=reason, uncertainty=found, starts=tried, resumed_from=resumed_from)


def resumption(resumed_from: int | None) -> str:
    """The end of the reason of a fit that was resumed."""
    return "" if resumed_from is None else f"; resumed from iteration {resumed_from}"


Search = Callable[[Problem, Tensor, Monitor, Stopping], Outcome]


def _search(optimiser: str, options: dict[str, Any]) -> Search:
    name = optimiser.lower()
    if name not in optimisers():
        raise InputError(f"there is no optimiser '{optimiser}'{suggest(name, optimisers())}")
    if name in torch_optimisers():
        return lambda problem, x, monitor, stopping: first_order(
            problem, x, monitor, stopping, name, **options
        )
    if options:
        raise InputError(f"the optimiser {name} has no option {', '.join(sorted(options))}")
    return {"least_squares": least_squares, "lbfgs": lbfgs, "tao": tao}[name]


def _fields(end: Outcome) -> tuple[Tensor, float, bool, str]:
    return end.x, end.loss, end.converged, end.reason


def _all_failed(tried: Sequence[FitResult]) -> str:
    if len(tried) == 1:
        return tried[0].reason
    lines = [f"\n  start {i}: {result.reason}" for i, result in enumerate(tried)]
    return f"all {len(tried)} starts failed:{''.join(lines)}"
