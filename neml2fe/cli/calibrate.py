"""`neml2fe calibrate`: fit the parameters of a deck's model to measured histories."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neml2fe.errors import ConvergenceError, InputError, OutputError, suggest

if TYPE_CHECKING:
    from neml2fe.calibration.fit import FitResult, Iteration
    from neml2fe.calibration.problem import CalibrationProblem
    from neml2fe.calibration.specimens import Specimens
    from neml2fe.input import Input
    from neml2fe.input.calibration import Calibration

RECORD = "progress.jsonl"
_NAMED = 3  # specimens of a group; more are counted


def calibrate(given: argparse.Namespace, comm: Any) -> int:
    """Fit, or check the gradient; the exit code."""
    from neml2fe.input import load_input

    if comm is not None:
        raise InputError("calibrate runs in one process; start it without an MPI launcher")
    source = load_input(given.deck, given.set, given.trust)
    calibration: Calibration = source.get("Calibrations", _chosen(source, given))
    if given.max_iterations is not None:
        calibration = dataclasses.replace(calibration, max_iterations=given.max_iterations)
    folder = Path(given.output or Path(given.deck).parent / "results" / calibration.name)
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"the folder for the results, {folder}, is a file")
    specimens = calibration.specimens
    if not given.quiet:
        print(
            f"{calibration.name}: {_count(len(specimens.names), 'specimen')} with "
            f"{_count(int(specimens.n_values.sum()), 'measured value')}",
            flush=True,
        )
        for line in _groups(specimens):
            print(f"  {line}", flush=True)
    problem = calibration.problem()
    if not given.quiet:
        how = problem.solver.outcome
        print(
            f"{_count(len(problem.parameters.names), 'parameter')}; "
            f"backend {how.backend}: {how.reason}"
        )
    for name, why in problem.flagged.items():
        print(f"warning: specimen {name} is left out: {why}", flush=True)
    if given.check_gradient:
        return _check_gradient(problem)
    return _fit(calibration, problem, folder, given)


def _chosen(source: Input, given: argparse.Namespace) -> str:
    known = [block.name for block in source.deck.blocks("Calibrations")]
    if given.calibration is not None:
        if given.calibration not in known:
            name = given.calibration
            raise InputError(f"no calibration '{name}'{suggest(name, known)}", given.deck)
        return str(given.calibration)
    if len(known) != 1:
        what = f"has the calibrations {', '.join(known)}; name one"
        raise InputError(f"the deck {what if known else 'has no [Calibrations]'}", given.deck)
    return known[0]


def _groups(specimens: Specimens) -> list[str]:
    """What drives and what is compared, with the specimens for which it holds."""
    from neml2fe.calibration.channels import drives_and_compared

    lines = []
    for words, names in drives_and_compared(specimens).items():
        more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        lines.append(f"{', '.join(names[:_NAMED])}{more}: {words}")
    return lines


def _count(n: int, what: str) -> str:
    return f"{n} {what}{'' if n == 1 else 's'}"


# -- the fit --------------------------------------------------------------------------------
def _fit(
    calibration: Calibration, problem: CalibrationProblem, folder: Path, given: argparse.Namespace
) -> int:
    """A fit that is interrupted or fails leaves a report of its best point all the same."""
    from neml2fe.calibration.display import FitDisplay

    seen: list[Iteration] = []
    stopped: KeyboardInterrupt | ConvergenceError | None = None
    maximum, starts = calibration.max_iterations, calibration.starts
    try:
        with FitDisplay(problem.parameters, maximum, starts, silent=given.quiet) as display:

            def listen(iteration: Iteration) -> None:
                seen.append(iteration)
                display(iteration)

            result = calibration.fit(problem, folder / RECORD, given.resume, listen)
    except (KeyboardInterrupt, ConvergenceError) as error:
        if not seen:
            raise
        stopped = error
        result = _best_so_far(problem, seen, calibration.level, _reason(error))
    _print_result(problem, result)
    files = [(folder / RECORD, "every iteration; --resume goes on from the best")]
    if not given.no_report:
        files.insert(0, (_report(calibration, problem, folder, result), "report with figures"))
    if not given.quiet:
        print("\nFiles written:")
        for path, what in files:
            print(f"  {path}  {what}")
    if stopped is not None:
        raise stopped
    if result.converged or result.reason.startswith("stopped early"):
        return 0
    raise ConvergenceError(f"the fit did not converge: {result.reason}")


def _reason(error: KeyboardInterrupt | ConvergenceError) -> str:
    return error.message if isinstance(error, ConvergenceError) else "interrupted"


def _best_so_far(
    problem: CalibrationProblem, seen: Sequence[Iteration], level: float, reason: str
) -> FitResult:
    import torch

    from neml2fe.calibration.fit import FitResult
    from neml2fe.calibration.uncertainty import uncertainty

    best = min(seen, key=lambda iteration: iteration.loss)
    parameters = problem.parameters
    values = torch.tensor([best.values[n] for n in parameters.names], dtype=torch.float64)
    x = parameters.scaled(values).clamp(0.0, 1.0)
    try:
        found = uncertainty(problem, x, level)
    except ConvergenceError:
        found = None
    history = [iteration for iteration in seen if iteration.start == best.start]
    return FitResult(best.values, x, best.loss, False, reason, history, found)


def _report(
    calibration: Calibration, problem: CalibrationProblem, folder: Path, result: FitResult
) -> Path:
    from neml2fe.calibration.report import write_report

    return write_report(
        folder,
        f"Calibration {calibration.name}",
        result,
        problem.specimens,
        problem.predict(result.x),
        problem.parameters,
        problem.flagged,
        noise=calibration.noise,
        units=calibration.units,
    )


def _print_result(problem: CalibrationProblem, result: FitResult) -> None:
    """The table of the parameters, how the fit ended, and what to be careful of."""
    from neml2fe.calibration.display import ending
    from neml2fe.calibration.scatter import ScatteredFit
    from neml2fe.calibration.tables import parameter_rows, text
    from neml2fe.io.aligned import aligned

    known = result.uncertainty
    level = f"{100 * known.level:g} % interval" if known is not None else "interval"
    header = ("parameter", "start", "fitted", "standard error", level, "")
    rows = [
        [*map(text, row[:4]), f"{text(row[4])} to {text(row[5])}" if known else "", text(row[9])]
        for row in parameter_rows(result, problem.parameters)
    ]
    print("\n".join(["", *aligned(rows, header, right=".rrrr"), ""]))
    if isinstance(result, ScatteredFit) and result.estimate is not None:
        for name, size in result.estimate.scatter.items():
            print(f"scatter of {name} between specimens: {size:.2g} of its value")
    print(f"loss {result.loss:.6g}, {ending(result)}")
    if known is not None:
        for name, why in known.not_identifiable.items():
            print(f"warning: {name} is not identified by the data: {why}")
        for remark in known.remarks:
            print(f"warning: {remark}")


# -- the gradient ---------------------------------------------------------------------------
def _check_gradient(problem: CalibrationProblem) -> int:
    from neml2fe.calibration.gradient_check import check_gradient
    from neml2fe.io.aligned import aligned

    found = check_gradient(problem)
    print(f"gradient of the loss at {problem.parameters.describe(found.x)}")
    rows = [[f"{d.step:.0e}", f"{d.error:.1e}", d.parameter] for d in found.differences]
    print("\n".join(aligned(rows, ("step", "relative error", "largest for"), right="rr")))
    print(f"against J^T r: {found.sensitivities:.1e}")
    print("the gradient is right" if found.passed else "the gradient is wrong")
    return 0 if found.passed else 1
