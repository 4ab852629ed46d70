"""The quick calibration example as tests use it."""

from __future__ import annotations

import shutil
import warnings
from pathlib import Path

import pytest
import torch

QUICK = Path(__file__).parents[2] / "examples" / "calibration_quick"
# Only the fast tension test, which alone fixes no more than the yield stress and the saturation.
ONE = """
[Specimens]
  [fast]
    type = CSVSpecimen
    file = 'data/fast.csv'
    variables = 'time strain_11 stress_11'
    columns = 'Time; Strain; Stress'
    units = 's % MPa'
  []
[]
[Calibrations]
  [fit]
    model = 'steel'
    specimens = 'fast'
    sigma = 2
    parameters = 'yield_stress saturation'
  []
[]
"""


@pytest.fixture
def quick(tmp_path: Path) -> Path:
    """A copy of the example, and beside its deck `one.i`, which fits two parameters only."""
    with warnings.catch_warnings():  # torch's own, of its first forward derivative in a process
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.func.jvp(torch.sin, (torch.ones(1),), (torch.ones(1),))
    copy = tmp_path / "quick"
    shutil.copytree(QUICK, copy, ignore=shutil.ignore_patterns("results"))
    deck = (copy / "fit.i").read_text()
    (copy / "one.i").write_text(deck[: deck.index("[Calibrations]")] + ONE)
    return copy
