"""`neml2fe calibrate` with finite-element simulations: images to a report, joint fits, ranks."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from e2e_runs import Ended, all_on_ranks, settings
from e2e_simulations import TRUTH, measured
from mpi_ranks import NEEDS_MPI

__all__ = ["measured"]
Cli = Callable[..., Ended]


@pytest.fixture
def plate(measured: Path, tmp_path: Path) -> Path:
    """A copy of the decks and data."""
    copy = tmp_path / "plate"
    shutil.copytree(measured, copy)
    return copy


def table(path: Path) -> dict[str, dict[str, float]]:
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    names = ("start", "fitted", "standard_error", "lower_limit", "upper_limit")
    return {row["parameter"]: {n: float(row[n]) for n in names} for row in rows}


def check_truth(folder: Path) -> None:
    """Within the intervals, which are a few per cent wide."""
    found = table(folder / "parameters.csv")
    assert set(found) == set(TRUTH)
    for name, true in TRUTH.items():
        row = found[name]
        assert row["lower_limit"] < true < row["upper_limit"], (name, row)
        assert row["upper_limit"] - row["lower_limit"] < 0.05 * true


def iterations(folder: Path) -> list[dict[str, Any]]:
    lines = (folder / "progress.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines[1:]]


def numbers(folder: Path) -> list[int]:
    return [row["number"] for row in iterations(folder)]


def test_a_fit_ends_in_a_report(plate: Path, neml2fe: Cli) -> None:
    ended = neml2fe("calibrate", plate / "fit.i")
    assert ended.code == 0
    for word in ("fit: 1 test, 3 parameters", "camera: 40 points, 3 images", "load: 3 values",
                 "simulation ", "converged: minimum", "95 % interval", "report.html"):  # fmt: skip
        assert word in ended.out, word
    results = plate / "results/fit"
    check_truth(results)
    report, page = ((results / f"report.{kind}").read_text() for kind in ("md", "html"))
    assert all(name in report and name in page for name in TRUTH)
    for name in ("convergence", "correlation", "plate_curves", "plate_load", "plate_camera_1",
                 "plate_camera_2", "plate_residuals"):  # fmt: skip
        assert f"({name}.png)" in report and (results / f"{name}.png").stat().st_size > 5000
    assert page.count("data:image/png;base64,") == 7
    with (results / "series.csv").open(newline="") as file:
        series = list(csv.DictReader(file))
    assert [float(row["time"]) for row in series] == [1, 2, 3]
    assert all(abs(float(row["fitted"]) - float(row["measured"])) < 2 for row in series)  # N
    assert numbers(results) == list(range(len(numbers(results))))


def test_a_stopped_fit_goes_on(plate: Path, neml2fe: Cli) -> None:
    ended = neml2fe("calibrate", plate / "fit.i", "--max-iterations", "1", "-q")
    ended.refused("did not converge", "limit of 1 iterations", code=1)
    assert "did not converge" in (plate / "results/fit/report.md").read_text()
    ended = neml2fe("calibrate", plate / "fit.i", "--resume", "-q")
    assert ended.code == 0 and "resumed from iteration 1" in ended.out
    check_truth(plate / "results/fit")
    assert numbers(plate / "results/fit")[:3] == [0, 1, 1]


def test_a_joint_fit_with_specimens(plate: Path, neml2fe: Cli) -> None:
    """One objective; the specimen alone tells less than both."""
    one = settings("Calibrations/both/parameters=yield_stress")
    ended = neml2fe("calibrate", plate / "joint.i", "both", "--check-gradient", *one)
    assert ended.code == 0 and "the gradient is right" in ended.out
    both, alone = plate / "both", plate / "alone"
    ended = neml2fe("calibrate", plate / "joint.i", "both", "-o", both)
    assert ended.code == 0 and "tension: 1 specimens with 10 measured values" in ended.out
    check_truth(both)
    assert "Test tension" in (both / "report.md").read_text()
    assert (both / "tension_stress_11.png").exists()
    only = settings("Calibrations/both/tests=tension")
    assert neml2fe("calibrate", plate / "joint.i", "both", "-q", "-o", alone, *only).code == 0
    errors = {path: table(path / "parameters.csv") for path in (both, alone)}
    for name in TRUTH:
        assert errors[both][name]["standard_error"] < 0.5 * errors[alone][name]["standard_error"]


def test_without_a_report(plate: Path, neml2fe: Cli) -> None:
    out = plate / "elsewhere"
    words = ("-q", "--no-report", "-o", out, *settings("Calibrations/fit/optimiser=lbfgs"))
    ended = neml2fe("calibrate", plate / "fit.i", *words, "--max-iterations", "2")
    assert ended.code == 1 and [path.name for path in out.iterdir()] == ["progress.jsonl"]


def test_refusals(plate: Path, neml2fe: Cli) -> None:
    deck = plate / "fit.i"

    def refused(override: str, *words: str) -> None:
        neml2fe("calibrate", deck, *settings(override)).refused(*words)

    refused("Parameters/modulus/parameter=elasticity.G", "no test has", "elasticity.G")
    refused("Parameters/modulus/initial=1", "initial value 1 is outside")
    refused("Measurements/load/reaction=push", "'push'", "pull")
    refused("Measurements/camera/times=1 2 4", "measured at time 4")
    refused("Measurements/camera/scale=0.1", "outside")
    refused("Drivers/plate/end_time=2", "measured at time 3")


@pytest.mark.parametrize("mark", [pytest.param(None, marks=NEEDS_MPI)])
def test_ranks_find_the_same(plate: Path, neml2fe: Cli, mark: None) -> None:
    """Both tests on both ranks, with a resumed fit, and each test on a rank of its own."""
    fit = ["calibrate", plate / "joint.i", "both", "-q"]
    out = {name: ["-o", plate / name] for name in ("serial", "ranks", "groups")}
    assert neml2fe(*fit, "--no-report", *out["serial"]).code == 0
    groups = settings("Calibrations/both/groups=2")
    ended = all_on_ranks(
        2,
        {
            "stopped": [*fit, *out["ranks"], "--no-report", "--max-iterations", "1"],
            "ranks": [*fit, *out["ranks"], "--no-report", "--resume"],
            "groups": [*fit, *out["groups"], *groups],
        },
        plate,
    )
    assert [ended[name].code for name in ("stopped", "ranks", "groups")] == [1, 0, 0], ended
    assert ended["groups"].out.count("95 % interval") == 1  # of rank 0 only
    wanted = iterations(plate / "serial")[-1]
    for name in ("ranks", "groups"):
        found = iterations(plate / name)[-1]
        assert found["loss"] == pytest.approx(wanted["loss"], rel=1e-9)
        assert found["values"] == {
            n: pytest.approx(v, rel=1e-6) for n, v in wanted["values"].items()
        }
    check_truth(plate / "groups")
    assert (plate / "groups/plate_camera_1.png").stat().st_size > 5000
