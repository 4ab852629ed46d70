"""`Checkpoints`: how the states of a history are kept. `Trail`: the states, read backwards."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from neml2fe.errors import InputError, suggest
from neml2fe.fem.adjoint.schedule import fewest_recomputations, split
from neml2fe.fem.adjoint.store import (
    Folder,
    InFile,
    InMemory,
    Snapshot,
    States,
    size_of,
    usable_memory,
)
from neml2fe.fem.collective import Comm, collectively

Advance = Callable[[int, States], States]
SCHEDULES = ("auto", "all", "every", "revolve")
LEAST_SNAPSHOTS = 2  # with one, recomputations grow with the square of the number of steps
WORKING = 2  # states beside the snapshots: those from which and to which a step is recomputed


@dataclass(frozen=True)
class Checkpoints:
    """Which states of a history are kept, and where; the others are recomputed in reverse.

    - schedule: "all" keeps every state; "every" each so many, and recomputes an interval between
      two at a time; "revolve" the first, from which the binomial schedule goes on in reverse,
      with the fewest recomputations; "auto" all while they fit in `memory`, "revolve" with what
      fits from then on.
    - every: an interval of schedule "every", in steps.
    - snapshots: the most that "revolve" holds at a time, the first state included; None: as many
      as fit in `memory`, but 2 at least. Two more states are at work at a time.
    - memory: bytes that a rank may use for "auto" and for "revolve" without `snapshots`. None:
      half of what is free where the states are, over the machine's ranks. Limits of a container
      or of a batch job are not seen: where they are lower, give it.
    - folder: snapshots go to files in a folder of a rank's own in this one, removed in the end;
      "auto" keeps all of them.

    Raises `InputError` for values that cannot be, or that the schedule does not use.
    """

    schedule: Literal["auto", "all", "every", "revolve"] = "auto"
    every: int | None = None
    snapshots: int | None = None
    memory: float | None = None
    folder: str | os.PathLike[str] | None = None

    def __post_init__(self) -> None:
        if self.schedule not in SCHEDULES:
            raise InputError(
                f"no schedule of checkpoints is named '{self.schedule}'"
                + suggest(str(self.schedule), SCHEDULES)
            )
        for name in ("every", "snapshots"):
            value = getattr(self, name)
            if value is not None and not (isinstance(value, int) and value >= 1):
                raise InputError(f"`{name}` of checkpoints must be an integer from 1, not {value}")
        if self.memory is not None and not 0.0 < self.memory < math.inf:
            raise InputError(f"`memory` of checkpoints must be positive bytes, not {self.memory}")
        if (self.every is not None) != (self.schedule == "every"):
            raise InputError("`every` of checkpoints: schedule 'every' needs it, no other uses it")
        if self.snapshots is not None and self.schedule != "revolve":
            raise InputError("`snapshots` of checkpoints: only schedule 'revolve' uses it")
        if self.schedule == "revolve" and self.folder is not None and self.snapshots is None:
            raise InputError("give `snapshots`: how many checkpoints the `folder` shall hold")
        if self.memory is not None and not self.by_memory:
            raise InputError(
                "`memory` of checkpoints: only schedules 'auto' and 'revolve' use it, and not "
                "together with `folder` or `snapshots`"
            )

    @property
    def by_memory(self) -> bool:
        """Whether the memory decides how many states are kept."""
        chosen = self.schedule in ("all", "every") or self.snapshots is not None
        return not chosen and self.folder is None


class Trail:
    """The states at the beginning and after each step of one history, kept or recomputed.

    With the same options all ranks keep the same states. `start` is collective; with a folder,
    `append` and reading are too, and raise `OutputError` on every rank if a file cannot be
    written or read. What is read is bit-equal whatever the schedule, if `advance` always gives
    the same for the same states.
    """

    def __init__(self, checkpoints: Checkpoints, comm: Comm = None) -> None:
        self._options, self._comm = checkpoints, comm
        self._schedule: str = checkpoints.schedule
        self._folder: Folder | None = None
        self._kept: dict[int, Snapshot] = {}  # by number of steps before, ascending
        self._steps = 0

    def start(self, states: States) -> None:
        """Begin a history with copies of these states; what was kept before is dropped."""
        self.close()
        options, comm = self._options, self._comm
        size, memory = size_of(states), math.inf
        if options.by_memory:
            memory = usable_memory(states, comm) if options.memory is None else options.memory
        here = (size, memory, memory / size if size else math.inf)
        sizes, memories, fits = zip(
            *([here] if comm is None else comm.allgather(here)), strict=True
        )
        self._size, self._memory, self._fit = max(sizes), min(memories), min(fits)
        self._schedule = options.schedule
        folder = options.folder
        if folder is not None:
            self._folder = collectively(comm, lambda: Folder(folder), every_rank=True)
        self._steps, self._kept = 0, {0: self._snapshot(states)}

    def append(self, states: States) -> None:
        """The states after the next step, of which a copy is kept if the schedule says so."""
        kept, n = self._started(), self._steps + 1
        if self._schedule == "auto" and len(kept) + 1 > self._fit:
            self._schedule, self._kept = "revolve", {0: kept[0]}
        if self._schedule in ("auto", "all") or n % (self._options.every or n + 1) == 0:
            self._kept[n] = self._snapshot(states)
        self._steps = n

    def forward(self, advance: Advance) -> Iterator[tuple[int, States]]:
        """Steps n = 1, ..., N, each with the states at its beginning.

        advance(n, states): from the states at the beginning of step n those at its end, in
        arrays that stay as they are until the next call but one.

        What is handed out and given to `advance` must not be modified. A state is freed when the
        next is asked for, unless the caller still holds it.
        """
        return self._forward(advance, self._started(), self._steps)

    def backward(self, advance: Advance) -> Iterator[tuple[int, States]]:
        """Steps n = N, ..., 1, each with the states at its beginning; the rest as `forward`."""
        return self._backward(advance, self._started(), self._steps, self._room)

    def close(self) -> None:
        """Drop all states and remove their files; only `start` can follow."""
        self._kept = {}
        if self._folder is not None:
            self._folder.close()
            self._folder = None

    def describe(self) -> str:
        """What is kept, how many steps are recomputed in reverse, and the bytes of the states
        kept at a time, of the rank that has most."""
        n, held, recomputed = self._steps, len(self._started()), 0
        if self._schedule == "revolve":
            held = min(self._snapshots, max(n, 1))
            recomputed = fewest_recomputations(n, held)
            text = f"{held} snapshot{'s' if held > 1 else ''} of {n} steps"
        elif self._schedule == "every":
            every = self._options.every or 1
            recomputed = n - math.ceil(n / every)
            held += min(self._room, n)
            text = f"one state in {every} of {n} steps kept"
        else:
            text = f"all of {n} steps kept"
        text += " in memory" if self._folder is None else " in files"
        if recomputed:
            text += f", {recomputed / n:.2g} recomputations a step"
        text += f", {_in_words(held * self._size)}{'' if self._comm is None else ' a rank'}"
        if recomputed and (held + WORKING) * self._size > self._memory:
            text += f", the least that works although only {_in_words(self._memory)} are allowed"
        return text

    def _started(self) -> dict[int, Snapshot]:
        if not self._kept:
            raise InputError("the trail has no states: it is closed, or `start` was not called")
        return self._kept

    def _snapshot(self, states: States) -> Snapshot:
        return (
            InMemory(states) if self._folder is None else InFile(states, self._folder, self._comm)
        )

    @property
    def _snapshots(self) -> int:
        """That "revolve" may hold."""
        return self._options.snapshots or max(LEAST_SNAPSHOTS, int(self._fit) - WORKING)

    @property
    def _room(self) -> int:
        """Snapshots that may be held in reverse beside those kept for good."""
        if self._schedule == "revolve":
            return self._snapshots - 1
        return max((self._options.every or 1) - 2, 0)  # all between two that are kept, but the last

    def _forward(
        self, advance: Advance, kept: dict[int, Snapshot], steps: int
    ) -> Iterator[tuple[int, States]]:
        states: States = []
        for n in range(1, steps + 1):
            snapshot = kept.get(n - 1)
            states = advance(n - 1, states) if snapshot is None else snapshot.read()
            yield n, states

    def _backward(
        self, advance: Advance, kept: dict[int, Snapshot], steps: int, room: int
    ) -> Iterator[tuple[int, States]]:
        last = list(kept)
        extra: list[tuple[int, Snapshot]] = []  # beyond the last that is kept and still wanted
        for n in range(steps, 0, -1):
            while last[-1] >= n:
                last.pop()
            while extra and extra[-1][0] >= n:
                extra.pop()
            at, snapshot = extra[-1] if extra else (last[-1], kept[last[-1]])
            states = snapshot.read()
            while at < n - 1:
                to = at + split(n - at, room - len(extra) + 1)
                for k in range(at + 1, to + 1):
                    states = advance(k, states)
                at = to
                if at < n - 1:
                    extra.append((at, self._snapshot(states)))
            yield n, states


def _in_words(size: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if size < 999.5:
            return f"{size:.3g} {unit}"
        size /= 1000.0
    return f"{size:.3g} TB"
