"""Gradients by tensors in fields and conditions on two MPI ranks: those of one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from mpi_ranks import NEEDS_MPI, script_on_ranks
from tensors_on_ranks import gradients

pytestmark = NEEDS_MPI

SCRIPT = Path(__file__).parent / "tensors_on_ranks.py"


def test_two_ranks_sum_up_to_the_gradients_of_one(tmp_path: Path) -> None:
    script_on_ranks(2, SCRIPT, tmp_path)
    with np.load(tmp_path / "gradients.npz") as data:
        found = dict(data)
    refusals = found.pop("refusals")
    expected = gradients("scipy")
    assert set(found) == set(expected)
    for name, value in expected.items():
        size = np.linalg.norm(value)
        assert size > 0.0, name
        assert np.linalg.norm(found[name] - value) <= 1e-12 * size, name
    for ranks, message in zip(refusals.T, ("would not reach", "tensors that differ"), strict=True):
        assert len(set(ranks)) == 1 and message in ranks[0]
