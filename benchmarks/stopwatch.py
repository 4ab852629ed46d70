"""Repeated timings of a call; for the environments of both codes."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch

SECONDS = 1.0  # of repetitions, at least, where they are not too many
LEAST, MOST = 3, 200


def waited(call: Callable[[], object], device: str) -> float:
    """Seconds that one call takes, the device's work included."""
    start = time.perf_counter()
    call()
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def measure(call: Callable[[], object], device: str) -> dict[str, float]:
    """Best, median and worst seconds of repeated calls, after one that does not count."""
    waited(call, device)
    found: list[float] = []
    while len(found) < LEAST or (sum(found) < SECONDS and len(found) < MOST):
        found.append(waited(call, device))
    found.sort()
    return {
        "best": found[0],
        "median": found[len(found) // 2],
        "worst": found[-1],
        "repetitions": len(found),
    }


def interleaved(*calls: Callable[[], object], rounds: int = 40) -> list[float]:
    """Best seconds of each of several calls, in turns, so that all see the same machine."""
    for call in calls:
        call()
    return [
        min(times)
        for times in zip(*([waited(c, "cpu") for c in calls] for _ in range(rounds)), strict=True)
    ]
