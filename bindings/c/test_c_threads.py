"""Several threads, and several libraries in one process."""

from __future__ import annotations

import ctypes
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from c_calls import Library, Update
from c_reference import close, strains, temperatures


def test_several_threads(library: Library) -> None:
    """ctypes gives Python's lock back during a call."""
    law = library.material("steel")

    def work(seed: int) -> Update:
        n = 50 + seed
        state, fields = law.initial_state(n), temperatures(law, n)
        for k in range(5):
            found = law.update(strains(law, n, seed + k), state, 0.1 * (k + 1), 0.1, fields)
            state = found.state
            wrong = library.update(None, seed, 0.0, 0.0, *[None] * 9)
            assert wrong == -1 and b"no material" in library.last_error()
        return found

    alone = [work(seed) for seed in range(8)]
    with ThreadPoolExecutor(4) as threads:
        together = list(threads.map(work, range(8)))
    for one, another in zip(alone, together, strict=True):
        assert one.failed == another.failed == 0
        assert (one.stress == another.stress).all() and (one.tangent == another.tangent).all()


def test_threads_of_one_update(library: Library) -> None:
    law = library.material("steel")
    strain, state, fields = strains(law, 999, 1), law.initial_state(999), temperatures(law, 999)
    one = law.update(strain, state, 0.1, 0.1, fields)
    library.set_threads(4)
    try:
        four = law.update(strain, state, 0.1, 0.1, fields)
    finally:
        library.set_threads(0)  # one
    assert (one.stress == four.stress).all() and (one.tangent == four.tangent).all()


@pytest.mark.parametrize("mode", [ctypes.RTLD_LOCAL, ctypes.RTLD_GLOBAL])
def test_two_libraries(library: Library, other: Path, mode: int) -> None:
    """Each has its own tables and errors; each may load the other's materials."""
    second = Library(other, mode)
    stress = {}
    for loader in (library, second):
        for path in (library.path, other):
            law = loader.material("elastic", path)
            stress[loader.path, path] = law.update(np.eye(6), np.zeros((6, 0)), 1.0, 1.0).stress
    for E, nu, path in ((2e5, 0.3, library.path), (7e4, 0.33, other)):
        lame = E * nu / (1 + nu) / (1 - 2 * nu)
        expected = E / (1 + nu) * np.eye(6)
        expected[:3, :3] += lame
        for loader in (library, second):
            close(stress[loader.path, path], expected)
    assert second.names() == ["elastic"] and len(library.names()) == 5
    assert second.load(None, None) == second.material("elastic").handle  # the only one
    assert library.load(None, b"nothing") is None
    assert b"nothing" not in second.last_error()
