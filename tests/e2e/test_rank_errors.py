"""Errors that arise on one of several ranks: one message, an exit code, no rank left waiting."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest
from e2e_runs import Ended, finished, has_mpi, on_ranks, settings

from neml2fe.io import read_table

HERE = Path(__file__).parent
pytestmark = [
    pytest.mark.mpi,
    pytest.mark.skipif(not has_mpi(), reason="mpi4py, petsc4py or mpiexec is not installed"),
]


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


@pytest.mark.parametrize("when", FIELDS)
def test_a_field_that_is_wrong_on_one_rank_ends_all(when: str, tmp_path: Path) -> None:
    change = settings(f"Functions/warm/expr=300 + torch.{FIELDS[when]}")
    ended = on_ranks(2, "run", HERE / "rank_errors.i", "-q", "-o", tmp_path, *change, timeout=60)
    assert ended.code == 2
    assert len(own(ended)) == 1 and own(ended)[0].startswith("neml2fe: error: "), ended.err
    at = "0" if when == "at the start" else "0.5"
    assert f"field 'temperature' is not a finite number at time {at} and (" in own(ended)[0]
    if when == "later":  # what was reached is kept
        assert read_table(tmp_path / "run.csv")["time"].tolist() == [0.0]
