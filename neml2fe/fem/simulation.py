"""The time loop of a finite-element run: steps, cutbacks, progress and files."""

from __future__ import annotations

import dataclasses
import os
import time as clock
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from neml2fe import io
from neml2fe.errors import ConvergenceError, Error, InputError
from neml2fe.fem.algebra.interface import SINGULAR
from neml2fe.fem.conditions.conditions import functions_of
from neml2fe.fem.conditions.functions import breakpoints
from neml2fe.fem.local_error import LocalError
from neml2fe.fem.problem import Problem, StepResult
from neml2fe.fem.results.recorder import Recorder
from neml2fe.fem.stepping import TimeStepping


@dataclass(frozen=True)
class StepRecord:
    """One accepted step."""

    step: int
    time: float
    dt: float
    result: StepResult


@dataclass
class Run:
    """What a simulation did: accepted steps, rejected attempts, files, seconds taken."""

    steps: list[StepRecord] = field(default_factory=list)
    rejected: int = 0
    files: list[tuple[Path, str]] = field(default_factory=list)
    wall: float = 0.0


class Listener(Protocol):
    """Is told of every step."""

    def before_step(self) -> None:
        """A step is about to be tried."""

    def after_step(self, dt: float, result: StepResult) -> None:
        """A step of size `dt` was accepted. Collective."""


def simulate(
    problem: Problem,
    stepping: TimeStepping,
    recorder: Recorder | None = None,
    *,
    resume: str | os.PathLike[str] | None = None,
    figure: str | None = None,
    quiet: bool = False,
    listener: Listener | None = None,
) -> Run:
    """March `problem` from its present time to `stepping.end`. Collective.

    Steps end at the breakpoints of the functions of conditions and fields as well. `resume`
    is a checkpoint to continue from (needs a `recorder`). Raises `ConvergenceError` when the
    smallest step fails, or the matrix is singular before anything has happened, `InputError` when
    a function of time gives no finite number; the files then hold everything up to the last good
    step. Also raises `InputError` for an end or output times that no step can reach.
    """
    run = Run()
    started = clock.perf_counter()
    step, dt = 0, stepping.dt
    asked = recorder.output_times if recorder else ()
    if problem.steps == 0:
        stepping.check_reach(problem.time, asked, resumed=resume is not None)
    if resume is not None:
        if recorder is None:
            raise InputError("resuming needs a recorder")
        step, dt = recorder.restore(resume)
        dt = stepping.within_limits(dt)
    kinks = sorted({t for f in functions_of_time(problem) for t in breakpoints(f)})
    stops = sorted({*stepping.stops, *asked, *kinks})
    stepping = dataclasses.replace(stepping, stops=stops)
    tolerance = stepping.error_tolerance
    error = None if tolerance is None else LocalError(problem, tolerance, kinks)
    watched = recorder.watched() if recorder else None
    column = f"{watched}_reaction" if watched else None
    table = io.StepTable(
        stepping.end,
        start_time=problem.time,
        extra=["reaction"] if column else [],
        silent=quiet or problem.local.rank != 0,
    )
    with table:
        table.event(_headline(problem), style="")
        if recorder is not None:
            recorder.start(resumed=resume is not None, figure=figure)
        if problem.time >= stepping.end:
            table.event(f"nothing to do: time {problem.time:g} is reached already")
        failed = 0
        while problem.time < stepping.end:
            time, size = stepping.limited(problem.time, dt)
            if listener is not None:
                listener.before_step()
            with _closing(table, recorder, step, dt, InputError):
                result = problem.advance(time, table.iteration, error.refuses if error else None)
            if not result.converged:
                run.rejected += 1
                failed += result.failed_points
                with _closing(table, recorder, step, size, ConvergenceError):
                    if _hopeless(problem, step, result):
                        raise ConvergenceError(f"no step can be taken at all: {result.reason}")
                    dt = stepping.after_failure(problem.time, size, result.reason)
                table.event(f"cutback: dt {size:.3g} -> {dt:.3g}: {result.reason}")
                if recorder is not None:
                    recorder.reject(size, result.reason)
                continue
            step += 1
            # A step shortened to hit a stop says nothing against the size before it.
            dt = stepping.after_success(max(size, dt), result.iterations)
            if error is not None:
                error.accept()
                dt = stepping.within_limits(min(dt, error.suggested(size)))
            run.steps.append(StepRecord(step, time, size, result))
            if listener is not None:
                listener.after_step(size, result)
            last = problem.time >= stepping.end
            row = problem.load_row()
            table.step(
                step,
                time,
                size,
                newton=result.iterations,
                residuals=result.residual_norms,
                linear=result.linear_iterations,
                failed=failed,
                extra={"reaction": row[column]} if column else None,
            )
            failed = 0
            if recorder is not None:
                recorder.record(step, size, result, last, dt)
        run.wall = clock.perf_counter() - started
        if recorder is not None:
            run.files = recorder.finish()
            table.finish(run.files)
    return run


def functions_of_time(problem: Problem) -> list[Any]:
    """All functions of time of a problem, whose kinks steps end at."""
    found = [f for c in problem.conditions for f in functions_of(c)]
    for body in problem.bodies:
        found += [*body.fields.values(), body.density]
    return [*found, *problem.fields.values()]


def _hopeless(problem: Problem, step: int, result: StepResult) -> bool:
    """Whether the matrix of the initial state is singular, which smaller steps do not change."""
    virgin = problem.steps == step == 0 and not result.residual_norms
    return virgin and SINGULAR in result.reason


@contextmanager
def _closing(
    table: io.StepTable, recorder: Recorder | None, step: int, dt: float, kind: type[Error]
) -> Iterator[None]:
    """At an error of this kind, which strikes every rank alike, write the last good step."""
    try:
        yield
    except kind:
        if recorder is not None:
            recorder.save_last(step, dt)
            table.finish(recorder.finish())
        raise


def _headline(problem: Problem) -> str:
    ranks = problem.local.size
    return (
        f"{problem.n_dofs} dofs, {sum(problem.local.n_elements)} elements, "
        f"{problem.n_points} quadrature points on {ranks} rank{'s' if ranks > 1 else ''}; "
        f"{problem.algebra.describe()}; material on {problem.device}"
    )
