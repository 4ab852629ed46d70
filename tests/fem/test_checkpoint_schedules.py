"""Histories read backwards: the same states whatever is kept, recomputed as seldom as can be."""

from __future__ import annotations

import gc
import math
import os
import resource
import threading
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from neml2fe.errors import InputError, OutputError
from neml2fe.fem.adjoint.checkpoints import Checkpoints, Trail
from neml2fe.fem.adjoint.schedule import fewest_recomputations
from neml2fe.fem.adjoint.store import States, size_of, usable_memory

SHAPE = (3, 2, 5)  # of one tensor of each state, and of no other tensor


def initial() -> States:
    start = torch.arange(30, dtype=torch.float64).reshape(SHAPE) / 30.0
    return [{"stress": start, "hardening": start[:, 0, 0].clone()}, {}, {"gap": torch.ones(4, 3)}]


SIZE = size_of(initial())


class Law:
    """A non-linear recursion that depends on the step and counts how often it is called."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, n: int, states: States) -> States:
        self.calls += 1
        stress, hardening = states[0]["stress"], states[0]["hardening"]
        gap = states[2]["gap"]
        rate = torch.sin(3.0 * stress + 0.1 * n) * (1.0 + hardening[:, None, None])
        return [
            {"stress": stress + 0.3 * rate, "hardening": torch.cos(hardening * n + gap.sum())},
            {},
            {"gap": torch.sqrt(gap**2 + hardening.square().mean().to(gap.dtype))},
        ]


@cache
def history(steps: int) -> list[States]:
    """States 0, ..., steps."""
    found, law = [initial()], Law()
    for n in range(1, steps + 1):
        found.append(law(n, found[-1]))
    return found


def recorded(checkpoints: Checkpoints, steps: int, comm: Any = None) -> Trail:
    """A trail of the history, from a caller that uses its arrays again."""
    trail = Trail(checkpoints, comm)
    arrays = [{name: v.clone() for name, v in term.items()} for term in history(steps)[0]]
    for n, states in enumerate(history(steps)):
        for term, values in zip(arrays, states, strict=True):
            for name, value in values.items():
                term[name].copy_(value)
        trail.start(arrays) if n == 0 else trail.append(arrays)
    for term in arrays:
        for array in term.values():
            array.fill_(math.nan)
    return trail


def equal(a: States, b: States) -> bool:
    return len(a) == len(b) and all(
        s.keys() == t.keys() and all(torch.equal(s[name], t[name]) for name in s)
        for s, t in zip(a, b, strict=True)
    )


def read(trail: Trail, steps: int, way: str) -> int:
    """Check order and states of a reading; the number of steps that it recomputed."""
    law, expected = Law(), history(steps)
    numbers = range(1, steps + 1)
    left = list(numbers if way == "forward" else reversed(numbers))
    for n, states in getattr(trail, way)(law):
        assert n == left.pop(0)
        assert equal(states, expected[n - 1])
    assert not left
    return law.calls


@pytest.mark.parametrize("steps", [1, 2, 7, 50, 200])
@pytest.mark.parametrize(
    "checkpoints",
    [
        Checkpoints(),
        Checkpoints("all"),
        *(Checkpoints("every", every=k) for k in (1, 2, 3, 7, 300)),
        *(Checkpoints("revolve", snapshots=s) for s in (2, 3, 6, 20, 300)),
        Checkpoints("auto", memory=10.5 * SIZE),
        Checkpoints("revolve", memory=10.5 * SIZE),
    ],
    ids=lambda c: f"{c.schedule}-{c.every or c.snapshots or c.memory}",
)
def test_every_schedule_gives_the_states_of_the_history(
    checkpoints: Checkpoints, steps: int
) -> None:
    """To the bit, in order, as often as asked, with the recomputations that theory says."""
    trail = recorded(checkpoints, steps)
    backward, forward = 0, 0
    if checkpoints.every:
        backward = forward = steps - math.ceil(steps / checkpoints.every)
    elif checkpoints.schedule == "revolve" or (checkpoints.memory and steps + 1 > 10):
        backward = fewest_recomputations(steps, checkpoints.snapshots or 10 - 2)
        forward = steps - 1
    for _ in range(2):
        assert read(trail, steps, "backward") == backward
        assert read(trail, steps, "forward") == forward


def test_the_formula_is_the_optimum() -> None:
    """Against the recursion over every position of the next snapshot."""

    @cache
    def best(steps: int, snapshots: int) -> int:
        if snapshots == 1 or steps == 1:
            return steps * (steps - 1) // 2
        return min(m + best(steps - m, snapshots - 1) + best(m, snapshots) for m in range(1, steps))

    for snapshots in range(1, 8):
        for steps in range(1, 80):
            assert fewest_recomputations(steps, snapshots) == best(steps, snapshots)


@given(steps=st.integers(0, 80), snapshots=st.integers(1, 90))
@settings(max_examples=60, deadline=None)
def test_revolve_recomputes_no_more_than_the_optimum(steps: int, snapshots: int) -> None:
    trail = recorded(Checkpoints("revolve", snapshots=snapshots), steps)
    optimum = fewest_recomputations(steps, snapshots) if steps else 0
    assert read(trail, steps, "backward") == optimum


@given(steps=st.integers(0, 60), every=st.integers(1, 70))
@settings(max_examples=30, deadline=None)
def test_every_recomputes_what_was_not_kept_once(steps: int, every: int) -> None:
    trail = recorded(Checkpoints("every", every=every), steps)
    assert read(trail, steps, "backward") == steps - math.ceil(steps / every)


@pytest.mark.parametrize(
    ("checkpoints", "most"),
    [
        (Checkpoints("revolve", snapshots=1), 1),
        (Checkpoints("revolve", snapshots=4), 4),
        (Checkpoints("auto", memory=8 * SIZE), 6),
        (Checkpoints("every", every=6), 6 + 4),  # 0, 6, ..., 30, and all but one between two
    ],
    ids=["revolve-1", "revolve-4", "auto", "every"],
)
def test_no_more_states_are_alive_than_told(checkpoints: Checkpoints, most: int) -> None:
    """The snapshots, and the two states between which a step is recomputed."""
    steps, peak, law = 31, 0, Law()
    gc.collect()
    gc.freeze()  # what is alive now is not searched below

    def alive() -> int:
        return sum(type(o) is torch.Tensor and o.shape == SHAPE for o in gc.get_objects())

    def advance(n: int, states: States) -> States:
        nonlocal peak
        new = law(n, states)
        peak = max(peak, alive())
        return new

    try:
        trail = Trail(checkpoints)
        states = initial()
        trail.start(states)
        for n in range(1, steps + 1):
            states = law(n, states)
            trail.append(states)
        del states
        for _, found in trail.backward(advance):
            peak = max(peak, alive())
            del found
    finally:
        gc.unfreeze()
    assert peak == most + 2


def test_a_law_may_work_in_two_sets_of_arrays() -> None:
    """What `advance` gave is copied where it is kept."""
    steps, law = 40, Law()
    trail = recorded(Checkpoints("revolve", snapshots=3), steps)
    buffers = [initial(), initial()]

    def advance(n: int, states: States) -> States:
        target = buffers[0] if states is not buffers[0] else buffers[1]
        for term, values in zip(target, law(n, states), strict=True):
            for name, value in values.items():
                term[name].copy_(value)
        return target

    for n, states in trail.backward(advance):
        assert equal(states, history(steps)[n - 1])


def test_states_have_no_graph() -> None:
    trail = Trail(Checkpoints("all"))
    leaf = torch.ones(2, requires_grad=True)
    trail.start([{"x": leaf * 2.0}])
    trail.append([{"x": leaf * 3.0}])
    ((_, states),) = trail.backward(Law())
    assert not states[0]["x"].requires_grad


def test_auto_falls_back_when_memory_is_spent() -> None:
    fits = recorded(Checkpoints(memory=8 * SIZE), 7)
    assert fits.describe() == "all of 7 steps kept in memory, 2.5 kB"
    spent = recorded(Checkpoints(memory=8 * SIZE), 8)
    assert spent.describe() == "6 snapshots of 8 steps in memory, 1 recomputations a step, 1.87 kB"
    least = recorded(Checkpoints(memory=1.0), 20)
    assert least.describe() == (
        "2 snapshots of 20 steps in memory, 3.2 recomputations a step, 624 B, "
        "the least that works although only 1 B are allowed"
    )
    assert read(least, 20, "backward") == 65
    assert "all of 20 steps" in recorded(Checkpoints(), 20).describe()  # half of what is free


def test_descriptions() -> None:
    every = recorded(Checkpoints("every", every=5), 50).describe()
    assert every == "one state in 5 of 50 steps kept in memory, 0.8 recomputations a step, 4.37 kB"
    one = recorded(Checkpoints("revolve", snapshots=1), 3).describe()
    assert one == "1 snapshot of 3 steps in memory, 1 recomputations a step, 312 B"
    assert recorded(Checkpoints("all"), 0).describe() == "all of 0 steps kept in memory, 312 B"


def test_a_state_without_variables_takes_no_memory() -> None:
    trail = Trail(Checkpoints(memory=1.0))
    trail.start([{}])
    for _ in range(5):
        trail.append([{}])
    assert [n for n, _ in trail.backward(Law())] == [5, 4, 3, 2, 1]
    assert "all of 5 steps" in trail.describe()


def test_usable_memory_is_some_of_what_the_machine_has() -> None:
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert 1e6 < usable_memory(initial(), None) <= total / 2


@pytest.mark.parametrize(
    ("checkpoints", "most"),
    [
        ({"schedule": "auto"}, 31),
        ({"schedule": "revolve", "snapshots": 3}, 3),
        ({"schedule": "every", "every": 6}, 6 + 4),
    ],
    ids=["auto", "revolve", "every"],
)
def test_snapshots_in_files(checkpoints: dict[str, Any], most: int, tmp_path: Path) -> None:
    folder = tmp_path / "new" / "folder"
    trail = recorded(Checkpoints(folder=folder, **checkpoints), 30)
    assert "in files" in trail.describe()

    def files() -> int:
        return sum(len(names) for _, _, names in os.walk(folder))

    kept, peak, law = files(), 0, Law()
    for n, states in trail.backward(law):
        assert equal(states, history(30)[n - 1])
        peak = max(peak, files())
    assert peak == most
    assert files() == kept  # those of the reading are gone
    assert read(trail, 30, "forward") <= 29
    for n, _ in trail.backward(law):  # a reading that stops halfway
        if n == 20:
            break
    gc.collect()
    assert files() == kept
    trail.close()
    assert not list(folder.iterdir())


def test_files_go_with_their_trail(tmp_path: Path) -> None:
    trail = recorded(Checkpoints("all", folder=tmp_path), 3)
    assert len(list(tmp_path.iterdir())) == 1
    trail.start(initial())  # a new history
    assert len(list(tmp_path.glob("*/*"))) == 1
    del trail
    gc.collect()
    assert not list(tmp_path.iterdir())


def test_a_file_that_cannot_be_written_or_read(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot make a folder for checkpoints"):
        Trail(Checkpoints(folder=tmp_path / "file")).start(initial())

    trail = recorded(Checkpoints(folder=tmp_path / "full"), 3)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500, limits[1]))  # like a disk that is full
    try:
        with pytest.raises(OutputError, match=r"cannot write the checkpoint .*File too large"):
            trail.append(initial())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    gc.collect()
    assert read(trail, 3, "backward") == 0  # the history is as it was before

    for file in tmp_path.glob("full/*/*"):
        file.write_bytes(file.read_bytes()[:400])
    with pytest.raises(OutputError, match="cannot read the checkpoint"):
        list(trail.backward(Law()))


class Ranks:
    """Two threads that can gather like the ranks of a communicator."""

    def __init__(self) -> None:
        self._slots: list[Any] = [None, None]
        self._barrier = threading.Barrier(2, timeout=20.0)

    def run(self, function: Callable[[Any], Any]) -> list[Any]:
        """What each rank returned or raised."""
        results: list[Any] = [None, None]

        def work(rank: int) -> None:
            try:
                results[rank] = function(Rank(self, rank))
            except Exception as error:
                results[rank] = error

        threads = [threading.Thread(target=work, args=(rank,)) for rank in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return results

    def gather(self, rank: int, value: Any) -> list[Any]:
        self._slots[rank] = value
        self._barrier.wait()
        found = list(self._slots)
        self._barrier.wait()
        return found


class Rank:
    def __init__(self, ranks: Ranks, rank: int) -> None:
        self._ranks, self.rank, self.size = ranks, rank, 2

    def allgather(self, value: Any) -> list[Any]:
        return self._ranks.gather(self.rank, value)


def test_ranks_keep_the_same_states() -> None:
    """Rank 1 has no points, and yet keeps no more than rank 0 can."""

    def record(comm: Any) -> tuple[str, int]:
        trail = Trail(Checkpoints(memory=8 * SIZE), comm)
        law: Any = Law() if comm.rank == 0 else lambda n, states: [{}]
        states = initial() if comm.rank == 0 else [{}]
        trail.start(states)
        for n in range(1, 31):
            states = law(n, states)
            trail.append(states)
        calls = 0

        def advance(n: int, states: States) -> States:
            nonlocal calls
            calls += 1
            return law(n, states)

        assert [n for n, _ in trail.backward(advance)] == list(range(30, 0, -1))
        return trail.describe(), calls

    first, second = Ranks().run(record)
    assert first == second
    assert first[1] == fewest_recomputations(30, 6)
    assert first[0].endswith("1.87 kB a rank")


def test_ranks_fail_together(tmp_path: Path) -> None:
    """A rank that cannot write makes all raise, and nothing is left behind."""

    def record(comm: Any) -> None:
        trail = Trail(Checkpoints(folder=tmp_path), comm)
        trail.start(initial())
        if comm.rank == 1:
            assert trail._folder is not None
            trail._folder.close()
        trail.append(initial())

    results = Ranks().run(record)
    assert all(isinstance(result, OutputError) for result in results)
    assert all("cannot write the checkpoint" in str(result) for result in results)
    del results
    gc.collect()
    assert not list(tmp_path.iterdir())


def test_a_trail_must_be_started() -> None:
    trail = Trail(Checkpoints())
    for use in (lambda: trail.append(initial()), lambda: trail.backward(Law()), trail.describe):
        with pytest.raises(InputError, match="`start` was not called"):
            use()
    trail.start(initial())
    assert list(trail.backward(Law())) == []
    trail.close()
    with pytest.raises(InputError, match="closed"):
        trail.forward(Law())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"schedule": "revolv"}, "did you mean 'revolve'"),
        ({"schedule": "every"}, "`every`"),
        ({"every": 3}, "`every`"),
        ({"schedule": "every", "every": 0}, "integer from 1, not 0"),
        ({"schedule": "revolve", "snapshots": 2.5}, "integer from 1, not 2.5"),
        ({"snapshots": 3}, "only schedule 'revolve'"),
        ({"schedule": "revolve", "folder": "x"}, "give `snapshots`"),
        ({"memory": 0.0}, "positive bytes"),
        ({"memory": math.nan}, "positive bytes"),
        ({"schedule": "all", "memory": 1e9}, "only schedules 'auto' and 'revolve'"),
        ({"schedule": "revolve", "snapshots": 3, "memory": 1e9}, "not together with"),
        ({"memory": 1e9, "folder": "x"}, "not together with"),
    ],
)
def test_options_that_cannot_be(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Checkpoints(**options)
