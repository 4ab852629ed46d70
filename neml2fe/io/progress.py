"""What a person sees while a run goes on.

On a terminal, finished steps scroll by as the rows of a table above one live line with
the state of the current step and a bar. Anywhere else (a log, a pipe) the same rows come
out as plain text, without control characters and without the live line.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from types import TracebackType
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, TaskProgressColumn, TextColumn
from rich.progress import Progress as Bar
from rich.text import Text

from neml2fe.errors import InputError

_Self = TypeVar("_Self", bound="_Report")


def duration(seconds: float) -> str:
    """`3.2 s`, `4:05` or `2:04:05`."""
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


class _Report:
    """Lines and one live status line, to a terminal, a plain stream or nowhere."""

    def __init__(self, total: float, silent: bool, console: Console | None) -> None:
        self._console = console or Console(highlight=False)
        self._silent = silent
        self._live = self._console.is_terminal and not self._console.is_dumb_terminal
        self._start = time.perf_counter()
        self._bar = Bar(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TaskProgressColumn(),
            TextColumn("{task.fields[left]}", markup=False),
            console=self._console,
            transient=True,
            disable=silent or not self._live,
        )
        self._task = self._bar.add_task("", total=total, left="")

    @property
    def wall(self) -> float:
        """Seconds since the run began."""
        return time.perf_counter() - self._start

    def _line(self, text: str, style: str = "") -> None:
        if self._silent:
            return
        if self._live:
            self._console.print(Text(text, style))
        else:
            print(text, file=self._console.file, flush=True)

    def _status(self, text: str) -> None:
        self._bar.update(self._task, description=text)

    def _completed(self, amount: float, left: float) -> None:
        self._bar.update(self._task, completed=amount, left=f"{duration(left)} left")

    def __enter__(self: _Self) -> _Self:
        self._start = time.perf_counter()
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.stop()


class StepTable(_Report):
    """The table of a finite-element run, one row a time step.

    Args:
        end_time: Time at which the run ends, for the estimate of the time left.
        start_time: Time at which it starts (later than 0 when it continues a checkpoint).
        extra: Names of further columns, such as a reaction, that each step reports.
        silent: Show nothing; for the ranks other than 0.
        console: Where to show it; standard output by default.

    A terminal too narrow for all columns shows those on the left; a log gets them all.
    """

    _COLUMNS = [
        ("step", 4),
        ("time", 8),
        ("dt", 8),
        ("newton", 6),
        ("residual", 18),
        ("linear", 6),
        ("failed", 6),
    ]

    def __init__(
        self,
        end_time: float,
        start_time: float = 0.0,
        extra: Sequence[str] = (),
        silent: bool = False,
        console: Console | None = None,
    ) -> None:
        super().__init__(end_time - start_time, silent, console)
        self._start_time = start_time
        self._end_time = end_time
        self._extra = list(extra)
        self._columns = self._COLUMNS + [(name, max(10, len(name))) for name in extra]
        self._columns += [("wall", 7), ("left", 7)]
        if self._live:
            self._columns = self._fitting(self._console.width)
        self._steps = 0
        # Recent (wall, time) pairs: the estimate follows changes of the step size.
        self._recent: deque[tuple[float, float]] = deque([(0.0, start_time)], maxlen=11)

    def _fitting(self, width: int) -> list[tuple[str, int]]:
        used = 0
        fitting: list[tuple[str, int]] = []
        for title, size in self._columns:
            used += size + (2 if fitting else 0)
            if used <= width:
                fitting.append((title, size))
        return fitting

    def iteration(self, number: int, norm: float) -> None:
        """Show Newton iteration `number` of the step under way and its residual norm."""
        self._status(f"Newton iteration {number}, residual {norm:.2e}")

    def event(self, text: str, style: str = "yellow") -> None:
        """Show a line between the rows, such as a cutback and its reason."""
        self._line(f"      {text}", style)

    def step(
        self,
        step: int,
        time: float,
        dt: float,
        *,
        newton: int,
        residuals: Sequence[float],
        linear: int,
        failed: int = 0,
        extra: Mapping[str, float] | None = None,
    ) -> None:
        """Add the row of a finished step.

        Args:
            step, time, dt: Number of the step, time at its end, its size.
            newton: Newton iterations of the step.
            residuals: Residual norms of its iterations; the first and last are shown.
            linear: Linear-solver iterations of the step.
            failed: Quadrature points that failed in it before it succeeded.
            extra: Values of the extra columns.
        """
        extra = extra or {}
        if extra.keys() != set(self._extra):
            raise InputError(
                f"a step must report the columns {self._extra}, as declared; given: {list(extra)}"
            )
        wall = self.wall
        first_wall, first_time = self._recent[0]
        self._recent.append((wall, time))
        advance = time - first_time
        left = (self._end_time - time) * (wall - first_wall) / advance if advance > 0 else 0.0
        left = max(left, 0.0)  # the last step may end a rounding error late
        cells = {
            "step": str(step),
            "time": f"{time:.5g}",
            "dt": f"{dt:.3g}",
            "newton": str(newton),
            "residual": f"{residuals[0]:.1e} -> {residuals[-1]:.1e}" if residuals else "-",
            "linear": str(linear),
            "failed": str(failed),
            "wall": duration(wall),
            "left": duration(left),
            **{name: f"{value:.4g}" for name, value in extra.items()},
        }
        if self._steps == 0:
            self._line("  ".join(title.rjust(size) for title, size in self._columns), "bold")
        self._line(
            "  ".join(cells[title].rjust(size) for title, size in self._columns),
            "yellow" if failed else "",
        )
        self._steps += 1
        self._completed(time - self._start_time, left)

    def finish(self, files: Iterable[tuple[str | os.PathLike[str], str]]) -> None:
        """End the table and name the files written, each with what it is."""
        self._bar.stop()
        self._line("")
        self._line(f"{self._steps} steps in {duration(self.wall)}", "bold")
        listed = [(os.fspath(path), what) for path, what in files]
        if listed:
            width = max(len(path) for path, _ in listed)
            self._line("Files written:")
            for path, what in listed:
                self._line(f"  {path.ljust(width)}  {what}")


class Progress(_Report):
    """Progress of a run of `total` steps, such as a material driver's.

    A log gets a line every ten seconds and one at the end.
    """

    _LOG_EVERY = 10.0

    def __init__(
        self, total: int, title: str, silent: bool = False, console: Console | None = None
    ) -> None:
        super().__init__(total, silent, console)
        self._title = title
        self._total = total
        self._done = 0
        self._last_line = 0.0

    def advance(self, steps: int = 1) -> None:
        """Count `steps` more as done."""
        self._done += steps
        wall = self.wall
        left = wall * (self._total - self._done) / self._done
        text = f"{self._title}: step {self._done} of {self._total}, {duration(wall)}"
        self._status(text)
        self._completed(self._done, left)
        if not self._live and wall - self._last_line >= self._LOG_EVERY:
            self._last_line = wall
            self._line(f"{text}, about {duration(left)} left")

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        super().__exit__(kind, error, trace)
        self._line(f"{self._title}: {self._done} of {self._total} steps in {duration(self.wall)}")
