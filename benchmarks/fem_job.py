"""What both sides of `fem.py` share: the job, its repetitions and the peak memory (Linux)."""

from __future__ import annotations

import ctypes
import gc
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import torch

MOST, SECONDS = 3, 10.0
"""A run is repeated until this number or this time is reached, whichever comes first."""

T = TypeVar("T")


def read_job() -> tuple[Path, dict[str, Any]]:
    folder = Path(sys.argv[1])
    job: dict[str, Any] = json.loads((folder / "job.json").read_text())
    torch.set_num_threads(job["threads"])
    torch.set_default_dtype(torch.float64)
    return folder, job


def enough(seconds: list[float]) -> bool:
    return len(seconds) >= MOST or sum(seconds) >= SECONDS


def timed(call: Callable[[], T]) -> tuple[T, float]:
    start = time.perf_counter()
    found = call()
    return found, time.perf_counter() - start


def peak(process: int | str = "self") -> float:
    """The most memory that a process has held since the last `forgotten`, MB; 0 once it ended."""
    for line in Path(f"/proc/{process}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024 / 1e6
    return 0.0


def forgotten() -> None:
    """Makes what is held now the peak of this process, with no freed memory kept by."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")
