"""Tests over groups of MPI ranks, and distributed themselves: what one process finds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from mpi_ranks import NEEDS_MPI, script_on_ranks
from simulations_on_ranks import load, plate, results

from neml2fe.calibration.simulations import JointProblem

pytestmark = NEEDS_MPI

SCRIPT = Path(__file__).parent / "simulations_on_ranks.py"


def test_groups_of_ranks_find_what_one_process_finds(tmp_path: Path) -> None:
    script_on_ranks(4, SCRIPT, tmp_path)
    with np.load(tmp_path / "found.npz") as data:
        found = dict(data)
    expected = results(JointProblem({"plate": plate(), "load": load()}))
    for way in ("halves", "all"):  # tests on two and on four ranks
        for name, value in expected.items():
            difference = np.linalg.norm(found[f"{way} {name}"] - value)
            print(way, name, difference / np.linalg.norm(value))
            assert difference <= 1e-9 * np.linalg.norm(value), f"{way} {name}"
    for way in ("halves", "mixed"):
        messages = set(found[f"{way} told"])
        assert len(messages) == 1 and "test 'load': no convergence" in messages.pop()
