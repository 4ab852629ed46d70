"""`Recorder`: the files of a finite-element run."""

from __future__ import annotations

import math
import os
import time as clock
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from neml2fe import io
from neml2fe.errors import InputError
from neml2fe.fem.collective import collectively
from neml2fe.fem.conditions.conditions import Dirichlet
from neml2fe.fem.problem import Problem, StepResult
from neml2fe.fem.results import checkpoint, pictures
from neml2fe.fem.results.energies import BALANCE, Energies
from neml2fe.fem.results.nodal import Averages
from neml2fe.fem.results.probes import Probe, Probes
from neml2fe.fem.results.report import Log, sections
from neml2fe.fem.results.writer import FieldWriter
from neml2fe.io.paths import remove, remove_temporaries

_ENDS = ("", "_points", "_load", "_convergence", "_report")  # of the stems of its files


class Recorder:
    """Writes fields, `<stem>.csv`, `<stem>.checkpoint` and, at the end, figures and a report into
    `directory`. Every method is collective.

    - `every`: steps between field outputs (the first and last are always written).
    - `checkpoint_every`: steps between checkpoints; 0 for only one at the end.
    - `format`: "vtu" (`<stem>.pvd`) or "xdmf" (`<stem>.xdmf` and HDF5); each rank writes its part.
    - `output`: where fields are written, words of "cells nodes bodies points" (see
      `FieldWriter`).
    - `probes`: further columns of the table.
    - `report`: write `<stem>_report.html` and `.md` at the end.
    - `output_times`: times of field outputs, in place of `every`. `simulate` ends steps there.

    Raises `InputError` for options that cannot be.
    """

    def __init__(
        self,
        problem: Problem,
        directory: str | os.PathLike[str],
        stem: str,
        every: int = 1,
        checkpoint_every: int = 10,
        *,
        format: str = "vtu",
        output: str = "cells nodes",
        probes: Sequence[Probe] = (),
        report: bool = False,
        output_times: Sequence[float] = (),
    ) -> None:
        if every < 1 or checkpoint_every < 0:
            raise InputError("output: 'every' must be at least 1, 'checkpoint_every' at least 0")
        if not all(map(math.isfinite, output_times)):
            raise InputError("output: the output times must be finite")
        self.problem, self.every, self.checkpoint_every = problem, every, checkpoint_every
        self.directory, self.stem = Path(directory), stem
        self.output_times = sorted(output_times)
        averages = Averages(problem)
        self._averages = averages
        self._writer = FieldWriter(problem, averages, directory, stem, format, output)
        self._probes = Probes(problem, probes, averages)
        self.energies = Energies(problem, averages)
        self._report = report
        self._root = problem.local.rank == 0
        self._table: io.TableWriter | None = None
        self._figure = ""
        self._began = clock.perf_counter()
        self._written = self._saved = -math.inf  # times of the last fields and checkpoint
        self._anew = False  # whether fields were written since the start
        self.log = Log()
        self.files: list[tuple[Path, str]] = []

    def _path(self, suffix: str) -> Path:
        return self.directory / f"{self.stem}{suffix}"

    @property
    def checkpoint_path(self) -> Path:
        return self._path(".checkpoint")

    # --- during the run ----------------------------------------------------------------
    def start(self, resumed: bool, figure: str | None = None) -> None:
        """Open the table and the series: anew with the initial state, or where `Problem.time`
        says that a checkpoint was taken.

        A new run removes all that an earlier one of the same stem left, which would not fit it.
        `figure` is the scalar field to draw at the end; by default the equivalent plastic
        strain, or else the von Mises stress. Raises `InputError` if there is no such field.
        """
        problem = self.problem
        self._figure = pictures.choose(problem, figure)
        self._began = clock.perf_counter()
        self.log.resumed = resumed
        row = self._row()
        if resumed:
            self._written = self._saved = problem.time

        def open_files() -> None:
            remove_temporaries(self.directory, [self.stem + end for end in _ENDS])
            if not resumed:
                self._remove_earlier()
            columns = ["step", "time", "dt", "newton_iterations", *row]
            resume_at = problem.time if resumed else None
            self._table = io.TableWriter(self._path(".csv"), columns, resume_at=resume_at)
            if resumed:
                self._writer.resume()

        self._on_root(open_files)
        if not resumed:
            self._write_row(0, 0.0, 0)
            self._write_fields()

    def _remove_earlier(self) -> None:
        self._writer.remove_earlier()
        for suffix in (
            *(".csv", ".checkpoint", ".png", "_load.png", "_convergence.png"),
            *("_report.html", "_report.md", "_failed_point.i"),
        ):
            remove(self._path(suffix))

    def reject(self, dt: float, reason: str) -> None:
        """Note, for the report, an attempt at a step of size `dt` that failed."""
        self.log.cutbacks.append((dt, reason))

    def record(self, step: int, dt: float, result: StepResult, last: bool, next_dt: float) -> None:
        """Write what is due after step number `step`; `next_dt` goes into the checkpoint."""
        with self.problem.stopwatch("output"):
            self.energies.update()
            self.log.step(step, self.problem.time, dt, result)
            self._write_row(step, dt, result.iterations)
            if last or self._is_due(step):
                self._write_fields()
            if last or (self.checkpoint_every and step % self.checkpoint_every == 0):
                self.save_checkpoint(step, next_dt)

    def _is_due(self, step: int) -> bool:
        if not self.output_times:
            return step % self.every == 0
        time = self.problem.time
        return any(math.isclose(time, t, rel_tol=1e-9, abs_tol=1e-12) for t in self.output_times)

    def save_last(self, step: int, next_dt: float) -> None:
        """Write fields and checkpoint of the last good step, number `step`, where not yet done."""
        if self._written < self.problem.time:
            self._write_fields()
        if self._saved < self.problem.time and step > 0:
            self.save_checkpoint(step, next_dt)

    def _on_root(self, action: Callable[[], Any]) -> None:
        """Call `action` on rank 0; its errors are raised on every rank."""
        nothing: Callable[[], Any] = lambda: None  # noqa: E731
        collectively(self.problem.comm, action if self._root else nothing, every_rank=True)

    def _row(self) -> dict[str, float]:
        row = {**self.problem.load_row(), **self.energies.row()}
        for name, value in self._probes.read().items():
            if name in row:
                raise InputError(f"probe '{name}': the table has a column of that name already")
            row[name] = value
        return row

    def _write_row(self, step: int, dt: float, iterations: int) -> None:
        head = {"step": step, "time": self.problem.time, "dt": dt, "newton_iterations": iterations}
        row = {**head, **self._row()}

        def write() -> None:
            assert self._table is not None
            self._table.write(row)

        self._on_root(write)

    def _write_fields(self) -> None:
        self._written, self._anew = self.problem.time, True
        self._writer.write()

    def save_checkpoint(self, step: int, next_dt: float) -> None:
        """Write the state after step number `step`, to go on from on any number of ranks."""
        self._saved = self.problem.time
        checkpoint.save(self.checkpoint_path, self.problem, step, next_dt, self.energies)
        self.problem.renew()

    def restore(self, path: str | os.PathLike[str]) -> tuple[int, float]:
        """Put the problem into the state of a checkpoint; the step number and next step size.

        Raises `OutputError` when the checkpoint is damaged or of another mesh or material.
        """
        return checkpoint.restore(path, self.problem, self.energies)

    # --- the end -----------------------------------------------------------------------
    def finish(self) -> list[tuple[Path, str]]:
        """Close the files, draw the figures, write the report, and list what was written."""
        self.log.wall = clock.perf_counter() - self._began
        self.log.energies = self.energies.row() if self.log.steps else {}
        draw = None
        if self._anew and pictures.can_draw():
            title = f"{self.stem}, time {self.problem.time:g}"
            path = self._path(".png")
            draw = pictures.field_drawing(self.problem, self._averages, self._figure, path, title)

        def close() -> None:
            assert self._table is not None
            self._table.close()
            files = [
                *self._writer.paths(),
                (self._table.path, f"load table{self._balance()}"),
                (self.checkpoint_path, "checkpoint to continue from"),
            ]
            self.files = [(path, what) for path, what in files if path.exists()]
            self.files += self._figures(draw)

        self._on_root(close)
        if self._report:
            self._write_report()
        return self.files

    def _balance(self) -> str:
        if not self.log.energies:
            return ""
        return f"; its energies balance to {abs(self.log.energies[BALANCE]):.1e} of the largest"

    def _figures(self, draw: Callable[[], pictures.Listed] | None) -> pictures.Listed:
        if not pictures.can_draw():
            return [(Path("-"), pictures.NO_FIGURES)]
        drawn = draw() if draw is not None else []
        watched = self.watched()
        if watched is not None:
            drawn += pictures.load_curve(self._path(".csv"), watched, self._path("_load.png"))
        if self._report:
            norms = [step.result.residual_norms for step in self.log.steps]
            drawn += pictures.convergence(norms, self._path("_convergence.png"))
        return drawn

    def _write_report(self) -> None:
        pages = [self._path("_report.html"), self._path("_report.md")]
        files = [*self.files, (pages[0], "report"), (pages[1], "report as Markdown")]
        shown = [(path, what) for path, what in self.files if path.suffix == ".png"]
        content = sections(self.problem, self.log, shown, files)

        def write() -> None:
            io.document.write_html(pages[0], self.stem, content)
            io.document.write_markdown(pages[1], self.stem, content)
            self.files = files

        self._on_root(write)

    def watched(self) -> str | None:
        """The first displacement that is driven in time: its reaction is shown and drawn."""
        for condition in self.problem.conditions:
            if isinstance(condition, Dirichlet) and callable(condition.value):
                return condition.name
        return None
