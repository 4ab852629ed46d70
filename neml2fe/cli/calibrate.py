"""`neml2fe calibrate`: fit the parameters of a deck's models to tests."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neml2fe.cli import launch
from neml2fe.cli.interrupt import noticed_interrupts
from neml2fe.errors import ConvergenceError, InputError, OutputError, suggest

if TYPE_CHECKING:
    from neml2fe.calibration.fit import FitResult, Iteration
    from neml2fe.calibration.interface import Problem
    from neml2fe.cli.fittings import Fitting
    from neml2fe.input import Input
    from neml2fe.input.search import Search

RECORD = "progress.jsonl"
_ROWS = 40  # of the table of parameters; all are in parameters.csv


def calibrate(given: argparse.Namespace, comm: Any) -> int:
    """Fit, or check the gradient; the exit code."""
    from neml2fe.cli.fittings import simulations, specimens
    from neml2fe.input import load_input
    from neml2fe.input.calibration import Calibration
    from neml2fe.input.simulation import parse_petsc_options
    from neml2fe.input.simulationcalibration import SimulationCalibration

    if comm is not None:
        launch.plain_output()
    launch.share_threads(comm)
    root = comm is None or comm.rank == 0
    source = load_input(given.deck, given.set, given.trust)
    calibration: Search = source.get("Calibrations", _chosen(source, given))
    if given.max_iterations is not None:
        calibration = dataclasses.replace(calibration, max_iterations=given.max_iterations)
    folder = Path(given.output or Path(given.deck).parent / "results" / calibration.name)
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"the folder for the results, {folder}, is a file")

    def say(line: str) -> None:
        if root and not given.quiet:
            print(line, flush=True)

    if isinstance(calibration, SimulationCalibration):
        opened = simulations(calibration, comm, parse_petsc_options(given.petsc), say)
    else:
        assert isinstance(calibration, Calibration)
        opened = specimens(calibration, comm, say)
    with opened as fitting:
        if given.check_gradient:
            return _check_gradient(fitting)
        return _fit(fitting, folder, given)


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


# -- the fit --------------------------------------------------------------------------------
def _fit(fitting: Fitting, folder: Path, given: argparse.Namespace) -> int:
    """A fit that is interrupted or fails leaves a report of its best point all the same (on
    several ranks, one that is interrupted leaves its record)."""
    from neml2fe.calibration.display import FitDisplay

    calibration, problem = fitting.calibration, fitting.problem
    seen: list[Iteration] = []
    stopped: KeyboardInterrupt | ConvergenceError | None = None
    maximum, starts = calibration.max_iterations, calibration.starts
    try:
        silent = given.quiet or not fitting.root
        with (
            fitting.record(folder / RECORD, given.resume) as record,
            FitDisplay(
                problem.parameters, maximum, starts, silent=silent, pace=fitting.pace
            ) as display,
            noticed_interrupts() as require_none,
        ):

            def listen(iteration: Iteration) -> None:
                if iteration.number == 0 and iteration.start == 0:
                    seen.clear()  # the fit before this one had another loss
                seen.append(iteration)
                require_none()
                if fitting.root:
                    display(iteration)

            result = calibration.fit(problem, record, given.resume, listen)
    except (KeyboardInterrupt, ConvergenceError) as error:
        if not seen or (fitting.comm is not None and isinstance(error, KeyboardInterrupt)):
            raise
        stopped = error
        whole, level = calibration.minimised(problem), calibration.options["level"]
        result = _best_so_far(whole, seen, level, _reason(error))
    if fitting.root:
        _print_result(problem, result)
    files = [(folder / RECORD, "every iteration; --resume goes on from the best")]
    if not given.no_report:
        files.insert(0, (fitting.report(folder, result), "report with figures"))
    if fitting.root and not given.quiet:
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
    problem: Problem, seen: Sequence[Iteration], level: float | None, reason: str
) -> FitResult:
    import torch

    from neml2fe.calibration.fit import FitResult
    from neml2fe.calibration.uncertainty import uncertainty

    best = min(seen, key=lambda iteration: iteration.loss)
    parameters = problem.parameters
    values = torch.tensor([best.values[n] for n in parameters.names], dtype=torch.float64)
    x = parameters.scaled(values).clamp(0.0, 1.0)
    try:
        found = None if level is None else uncertainty(problem, x, level)
    except ConvergenceError:
        found = None
    history = [iteration for iteration in seen if iteration.start == best.start]
    return FitResult(best.values, x, best.loss, False, reason, history, found)


def _print_result(problem: Problem, result: FitResult) -> None:
    """The table of the parameters, how the fit ended, and what to be careful of."""
    from neml2fe.calibration.display import ending
    from neml2fe.calibration.scatter import ScatteredFit
    from neml2fe.calibration.simulations.tests_fit import TestsFit
    from neml2fe.calibration.tables import parameter_rows, text
    from neml2fe.io.aligned import aligned

    known = result.uncertainty
    level = f"{100 * known.level:g} % interval" if known is not None else "interval"
    header = ("parameter", "start", "fitted", "standard error", level, "")
    rows = [
        [*map(text, row[:4]), f"{text(row[4])} to {text(row[5])}" if known else "", text(row[9])]
        for row in parameter_rows(result, problem.parameters)
    ]
    if len(rows) > _ROWS:
        rows = [*rows[:_ROWS], [f"and {len(rows) - _ROWS} more", "", "", "", "", ""]]
    print("\n".join(["", *aligned(rows, header, right=".rrrr"), ""]))
    if isinstance(result, ScatteredFit) and result.estimate is not None:
        for name, size in result.estimate.scatter.items():
            print(f"scatter of {name} between specimens: {size:.2g} of its value")
    print(f"loss {result.loss:.6g}, {ending(result)}")
    if isinstance(result, TestsFit):
        for line in result.describe():
            print(line)
    if known is not None:
        for name, why in known.not_identifiable.items():
            print(f"warning: {name} is not identified by the data: {why}")
        for remark in known.remarks:
            print(f"warning: {remark}")


# -- the gradient ---------------------------------------------------------------------------
def _check_gradient(fitting: Fitting) -> int:
    from neml2fe.calibration.gradient_check import check_gradient
    from neml2fe.io.aligned import aligned

    found = check_gradient(fitting.problem)
    if fitting.root:
        print(f"gradient of the loss at {fitting.problem.parameters.describe(found.x)}")
        rows = [[f"{d.step:.0e}", f"{d.error:.1e}", d.parameter] for d in found.differences]
        print("\n".join(aligned(rows, ("step", "relative error", "largest for"), right="rr")))
        print(f"against J^T r: {found.sensitivities:.1e}")
        print("the gradient is right" if found.passed else "the gradient is wrong")
    return 0 if found.passed else 1
