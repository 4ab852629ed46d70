"""Errors that arise on one of several ranks: one message, an exit code, no rank left waiting."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from e2e_runs import Ended, all_on_ranks, finished, settings
from mpi_ranks import NEEDS_MPI

from neml2fe.io import read_table

HERE = Path(__file__).parent
pytestmark = NEEDS_MPI


def own(ended: Ended) -> list[str]:
    """The lines on stderr that are ours, not those of mpiexec."""
    return [line for line in ended.err.splitlines() if "neml2fe: error" in line]


def test_a_rank_that_waits_in_an_operation_is_stopped() -> None:
    began = time.monotonic()
    script = str(HERE / "error_on_a_rank.py")
    ended = finished(["mpiexec", "-n", "2", sys.executable, script], timeout=60)
    assert ended.code != 0 and time.monotonic() - began < 30.0
    assert own(ended) == ["neml2fe: error on rank 1: only rank 1 knows"]


# Numbers on the half of one rank, none on that of the other: from the start, or later on.
FIELDS = {"at the start": "sqrt(4 - x)", "later": "sqrt(9.5 - x - 4 * t)"}


def test_a_field_that_is_wrong_on_one_rank_ends_all(tmp_path: Path) -> None:
    change = {k: settings(f"Functions/warm/expr=300 + torch.{f}") for k, f in FIELDS.items()}
    run = ["run", HERE / "rank_errors.i", "-q", "-o"]
    found = all_on_ranks(2, {k: [*run, tmp_path / k, *change[k]] for k in FIELDS}, tmp_path)
    for when, ended in found.items():
        at = "0" if when == "at the start" else "0.5"
        ended.refused(f"field 'temperature' is not a finite number at time {at} and (")
    # What was reached is kept.
    assert read_table(tmp_path / "later" / "run.csv")["time"].tolist() == [0.0]
