"""What a person sees of a running fit: a live table on a terminal, a few lines anywhere else."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING

import torch
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from neml2fe.io.aligned import aligned
from neml2fe.io.progress import duration

if TYPE_CHECKING:
    from neml2fe.calibration.fit import FitResult, Iteration
    from neml2fe.calibration.parameters import ParameterSet

_NEAR = 1e-6  # of the scaled distance between the bounds
_LINES = 10  # of a log, evenly over the iterations; some more at the beginning
_BARS, _ASCII = "▁▂▃▄▅▆▇█", "_.-=+*%#"
_WIDTH = 32
_ROWS = 40  # of parameters in the table at the end
_HEADER = ("parameter", "start", "value", "lower", "upper", "")


def at_bounds(parameters: ParameterSet, values: Mapping[str, float]) -> dict[str, str]:
    """`lower` or `upper` by name, for the parameters that stand at a bound."""
    x = parameters.scaled(torch.tensor([values[n] for n in parameters.names], dtype=torch.float64))
    return {
        name: "lower" if position < 0.5 else "upper"
        for name, position in zip(parameters.names, x.tolist(), strict=True)
        if position <= _NEAR or position >= 1 - _NEAR
    }


def ending(result: FitResult) -> str:
    """`converged: <reason>` or `not converged: <reason>`."""
    return f"{'converged' if result.converged else 'not converged'}: {result.reason}"


def spark_line(losses: Sequence[float], width: int = _WIDTH, levels: str = _BARS) -> str:
    """Losses as bars, of log10 where all are positive; `!` is one that is not finite.

    More losses than `width` are thinned evenly, keeping the first and the last.
    """
    n = len(losses)
    if n > width:
        losses = [losses[round(k * (n - 1) / (width - 1))] for k in range(width)]
    finite = [x for x in losses if math.isfinite(x)]
    positive = min(finite, default=0.0) > 0
    heights = [math.log10(x) if positive and math.isfinite(x) else x for x in losses]
    known = [h for h in heights if math.isfinite(h)]
    low, span = min(known, default=0.0), max(known, default=0.0) - min(known, default=0.0)
    top = len(levels) - 1
    return "".join(
        levels[round(top * (h - low) / span) if span > 0 else 0] if math.isfinite(h) else "!"
        for h in heights
    )


class FitDisplay:
    """Shows each iteration of a fit; a context manager, called with every `Iteration`.

    On a terminal: a live table of the parameters, below it loss, gradient, a spark line of the
    loss history and the time left at most. Elsewhere: about 20 plain lines, denser at the
    beginning. Both end with the best parameters so far, also when the fit is interrupted.

    Args:
        parameters: What is adjusted.
        maximum: Iterations of a start at most.
        starts: Number of starts.
        silent: Show nothing.
        pace: Gives the seconds of a simulation, to be shown as well.
        console: Where to show it; standard output by default.
    """

    def __init__(
        self,
        parameters: ParameterSet,
        maximum: int,
        starts: int = 1,
        *,
        silent: bool = False,
        pace: Callable[[], float] | None = None,
        console: Console | None = None,
    ) -> None:
        self._pace = pace
        self._parameters = parameters
        self._names = list(parameters.names)
        self._lower, self._upper = parameters.lower.tolist(), parameters.upper.tolist()
        self._initial = dict(
            zip(self._names, parameters.natural(parameters.x0).tolist(), strict=True)
        )
        self._maximum, self._starts = maximum, starts
        self._silent = silent
        self._console = console or Console(highlight=False)
        self._on_terminal = self._console.is_terminal and not self._console.is_dumb_terminal
        self._begun = time.perf_counter()
        self._iteration: Iteration | None = None
        self._history: dict[int, list[Iteration]] = {}  # by start
        self._logged: Iteration | None = None  # the last one that has a line
        self._calls, self._next_line = 0, 1
        self._before = 0  # iterations of the run that is resumed
        self._best: Iteration | None = None
        self._live = Live(
            get_renderable=self._frame,
            console=self._console,
            refresh_per_second=4,
        )

    def __enter__(self) -> FitDisplay:
        self._begun = time.perf_counter()
        if self._on_terminal and not self._silent:
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        last, self._iteration = self._iteration, self._best
        if self._live.is_started:
            self._live.stop()  # draws once more and gives the cursor back
        elif last is not None and not self._on_terminal:
            if last is not self._logged:
                self._log(last)
            rows = self._rows()
            more = [f"and {len(rows) - _ROWS} more"] if len(rows) > _ROWS else []
            self._print(*aligned(rows[:_ROWS], _HEADER, right=".rrrr"), *more)

    def __call__(self, iteration: Iteration) -> None:
        """Show an iteration; made to be passed as `on_iteration`. The first of a start that was
        seen before begins another fit, whose loss is another one."""
        if iteration.number == iteration.start == 0:
            self._history.clear()
            self._best = None
        self._history.setdefault(iteration.start, []).append(iteration)
        if self._best is None or iteration.loss < self._best.loss:
            self._best = iteration
        self._iteration = iteration
        if not self._calls:
            self._before = iteration.number
        self._calls += 1
        if not self._on_terminal and self._calls >= self._next_line:
            self._log(iteration)

    def _status(self, shown: Iteration | None) -> list[tuple[str, str]]:
        """Name and value of what there is to say besides the parameters."""
        spent = time.perf_counter() - self._begun
        if shown is None or self._best is None:
            return [("elapsed", duration(spent))]
        return [
            ("start", f"{shown.start + 1} of {self._starts}"),
            ("iteration", f"{shown.number} of {self._end(shown)}"),
            ("loss", f"{shown.loss:.6g}"),
            ("best", f"{self._best.loss:.6g}"),
            ("gradient", f"{shown.gradient_norm:.2e}"),
            ("elapsed", duration(spent)),
            *([("simulation", f"{self._pace():.3g} s")] if self._pace else []),
            ("left", f"at most {duration(self._left(shown, spent))}"),
        ]

    def _end(self, shown: Iteration) -> int:
        """The last number that this start may come to."""
        return self._maximum + (self._before if shown.start == 0 else 0)

    def _left(self, last: Iteration, spent: float) -> float:
        to_do = self._end(last) - last.number + (self._starts - last.start - 1) * self._maximum
        return max(to_do, 0) * spent / self._calls

    def _log(self, iteration: Iteration) -> None:
        every = max(1, -(-self._maximum * self._starts // _LINES))
        self._next_line = self._calls + min(self._calls, every)
        bounds = at_bounds(self._parameters, iteration.values)
        text = ", ".join(f"{name} {value}" for name, value in self._status(iteration))
        self._print(text + (f", at a bound: {' '.join(bounds)}" if bounds else ""))
        self._logged = iteration

    def _print(self, *lines: str) -> None:
        if not self._silent:
            for line in lines:
                print(line, file=self._console.file, flush=True)

    def _rows(self) -> list[list[str]]:
        now, begun = self._initial, self._initial
        if self._iteration is not None:
            now, begun = self._iteration.values, self._history[self._iteration.start][0].values
        bounds = at_bounds(self._parameters, now)
        return [
            [name, *(f"{x:.6g}" for x in (begun[name], now[name], low, high)),
             f"at {bounds[name]} bound" if name in bounds else ""]
            for name, low, high in zip(self._names, self._lower, self._upper, strict=True)
        ]  # fmt: skip

    def _frame(self) -> RenderableType:
        table = Table(box=None, pad_edge=False, header_style="bold")
        for title in _HEADER:
            table.add_column(
                title, justify="right" if title in ("start", "value") else "left", no_wrap=True
            )
        rows = self._rows()
        room = max(self._console.height - 6, 1)  # a frame higher than the terminal cannot be live
        for row in rows[:room]:
            table.add_row(*(Text(cell) for cell in row), style="yellow" if row[-1] else "")
        more = [Text(f"and {len(rows) - room} more", "dim")] if len(rows) > room else []
        levels = _ASCII if self._console.options.ascii_only else _BARS
        status = "   ".join(f"{name} {value}" for name, value in self._status(self._iteration))
        shown = self._iteration
        losses = [i.loss for i in self._history[shown.start]] if shown is not None else []
        return Group(table, *more, Text(status), Text(spark_line(losses, levels=levels)))
