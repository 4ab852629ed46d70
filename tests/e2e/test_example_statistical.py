"""The statistical calibration example at reduced size: nine short tests."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

pytest.importorskip("pyro")
pytest.importorskip("matplotlib")

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples/calibration/statistical.py"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("statistical")
    words = "--temperatures 3 --rates 3 --steps 12 --largest 0.05 --svi-steps 100 --draws 100"
    done = subprocess.run(
        [sys.executable, str(EXAMPLE), str(folder), *words.split()],
        capture_output=True,
        text=True,
        timeout=250,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stderr
    assert "of 27 true values lie inside of their 95% intervals" in done.stdout
    assert "100 steps" in done.stdout
    return folder


def test_what_nine_short_tests_tell(folder: Path) -> None:
    with (folder / "statistical.csv").open() as stream:
        rows = {row.pop("unknown"): row for row in csv.DictReader(stream)}
    assert len(rows) == 27
    # 27 true values and intervals of 95 %: more than five outside have a chance of 0.2 %.
    assert sum(row["inside"] == "no" for row in rows.values()) <= 5

    def width(name: str) -> float:
        """Of the interval, as a share of that of the prior."""
        low, high, true = (float(rows[name][key]) for key in ("lower", "upper", "true"))
        return (high - low) / (2 * 1.96 * 0.1 * abs(true))

    assert width("C") < 0.1
    assert width("A") < 0.6
    # No test at these temperatures: what is known is the prior.
    for name in ("saturation[1]", "saturation[3]", "hardening_rate[1]", "hardening_rate[3]"):
        assert 0.7 < width(name) < 1.4
    assert float(rows["noise"]["median"]) == pytest.approx(2.0, rel=0.25)


def test_draws_and_figures(folder: Path) -> None:
    draws = torch.load(folder / "statistical.pt", weights_only=True)
    assert draws["steel.C_value"].shape == (100, 9)
    assert draws["steel.saturation_ordinate_scale"].shape == (100, 5)
    assert bool((draws["steel.saturation_ordinate_scale"] > 0).all())
    for name in ("means", "scatter", "bands"):
        assert (folder / f"statistical_{name}.png").stat().st_size > 10_000
