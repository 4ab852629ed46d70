"""`neml2fe calibrate`: a fit from files to a report, and what may go wrong on the way."""

from __future__ import annotations

import csv
import json
import os
import runpy
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from e2e_calibrations import QUICK
from e2e_runs import Ended, settings
from mpi_ranks import ENVIRONMENT

Cli = Callable[..., Ended]
TRUTH = {
    "yield_surface.sy": 180.0,
    "isotropic_hardening.R": 110.0,
    "isotropic_hardening.d": 40.0,
    "flow_rate.eta": 250.0,
    "flow_rate.n": 4.0,
}
LONG = settings(
    "Calibrations/fit/optimiser=adam", "Calibrations/fit/patience=1000000",
    "Calibrations/fit/max_iterations=1000000", "Calibrations/fit/learning_rate=1e-4",
)  # fmt: skip


def table(path: Path) -> dict[str, dict[str, str]]:
    with path.open(newline="") as file:
        return {row["parameter"]: row for row in csv.DictReader(file)}


def iterations(path: Path) -> list[dict[str, Any]]:
    """Complete lines of a record but its first."""
    text = path.read_text()
    return [json.loads(line) for line in text[: text.rfind("\n")].splitlines()[1:]]


# --- fits ------------------------------------------------------------------------------
def check_truth(quick: Path) -> None:
    found = table(quick / "parameters.csv")
    assert set(found) == set(TRUTH)
    for name, true in TRUTH.items():
        row = {k: float(found[name][k]) for k in ("fitted", "lower_limit", "upper_limit")}
        assert row["lower_limit"] < true < row["upper_limit"], (name, row)
        assert row["upper_limit"] - row["lower_limit"] < 0.05 * true  # and the data tell much


def test_the_example_recovers_the_truth(quick: Path, neml2fe: Cli) -> None:
    ended = neml2fe("calibrate", quick / "fit.i")
    assert ended.code == 0 and not ended.err
    results = quick / "results" / "fit"
    check_truth(results)
    for word in ("4 specimens", "200 measured values", "5 parameters", "95 % interval",
                 "converged: minimum", "nearly interchangeable", "report.md",
                 ": strain_11 drives, other stresses are zero; stress_11 is compared",
                 "creep: stress_11 drives", "strain_11 is compared"):  # fmt: skip
        assert word in ended.out
    report = (results / "report.md").read_text()
    assert all(name in report for name in TRUTH) and "converged" in report
    history = iterations(results / "progress.jsonl")
    assert [row["number"] for row in history] == list(range(len(history)))
    assert history[-1]["values"] == {
        name: pytest.approx(float(row["fitted"]))
        for name, row in table(results / "parameters.csv").items()
    }


def test_the_data_are_what_the_script_makes(tmp_path: Path) -> None:
    """So that the truth is the truth."""
    runpy.run_path(str(QUICK / "synthetic.py"))["main"](tmp_path)
    for path in (QUICK / "data").iterdir():
        old, new = (x.read_text().splitlines() for x in (path, tmp_path / path.name))
        assert old[0] == new[0] and len(old) == len(new)
        if path.stem != "tension":
            values = [
                [[float(x) for x in row.split(",")] for row in rows[1:]] for rows in (old, new)
            ]
            torch.testing.assert_close(*map(torch.tensor, values), rtol=1e-5, atol=1e-5)


def test_bad_start(quick: Path, neml2fe: Cli) -> None:
    """Starts at the far ends of the bounds; others find the way where the first does not."""
    bad = settings(
        "Parameters/yield_stress/initial=395", "Parameters/saturation/initial=21",
        "Parameters/hardening_rate/initial=199", "Parameters/viscosity/initial=1990",
        "Parameters/exponent/initial=1.05", "Calibrations/fit/starts=2",
        "Calibrations/fit/seed=1",
    )  # fmt: skip
    ended = neml2fe("calibrate", quick / "fit.i", "-o", quick / "out", *bad)
    assert ended.code == 0, ended
    check_truth(quick / "out")
    assert "of 2 starts reached this loss" in ended.out


def test_a_subset_quietly_without_a_report(quick: Path, neml2fe: Cli) -> None:
    out = quick / "elsewhere"
    ended = neml2fe("calibrate", quick / "one.i", "-q", "--no-report", "-o", out)
    assert ended.code == 0 and not ended.err
    assert [path.name for path in out.iterdir()] == ["progress.jsonl"]
    assert "yield_surface.sy" in ended.out and "iteration" not in ended.out


def test_too_few_iterations(quick: Path, neml2fe: Cli) -> None:
    ended = neml2fe("calibrate", quick / "one.i", "--max-iterations", "1")
    ended.refused("did not converge", "limit of 1 iterations", code=1)
    assert "not converged" in (quick / "results/fit/report.md").read_text()
    assert len(iterations(quick / "results/fit/progress.jsonl")) == 2


def test_early_stop_is_no_failure(quick: Path, neml2fe: Cli) -> None:
    adam = settings("Calibrations/fit/optimiser=adam", "Calibrations/fit/patience=3",
                    "Calibrations/fit/rel_improvement=0.9")  # fmt: skip
    ended = neml2fe("calibrate", quick / "one.i", "--no-report", *adam)
    assert ended.code == 0 and "stopped early" in ended.out


def test_a_parameter_that_the_data_do_not_identify(quick: Path, neml2fe: Cli) -> None:
    """Poisson's ratio does not matter in uniaxial tests."""
    deck = quick / "one.i"
    nu = "[Parameters]\n[nu]\nparameter = elasticity.nu\nlower = 0\nupper = 0.4\n[]\n[]\n"
    deck.write_text(nu + deck.read_text())
    both = settings("Calibrations/fit/parameters=yield_stress nu")
    ended = neml2fe("calibrate", deck, *both)
    assert ended.code == 0
    warned = [line for line in ended.out.splitlines() if line.startswith("warning: ")]
    assert "elasticity.nu is not identified" in warned[0], ended.out
    assert not any("yield_surface.sy" in line for line in warned)
    report = (quick / "results/fit/report.md").read_text()
    assert "**elasticity.nu is not identified**" in report
    assert "yield_surface.sy is not identified" not in report


def test_inspection(quick: Path, neml2fe: Cli) -> None:
    ended = neml2fe("inspect", quick / "fit.i")
    assert ended.code == 0 and "steel" in ended.out and "not used" not in ended.out
    deck = quick / "fit.i"
    deck.write_text(deck.read_text().replace("optimiser = 'least_squares'", "optimiser = 'least'"))
    neml2fe("inspect", deck).refused(f"{deck}:", "'least'", "least_squares")


def test_gradient(quick: Path, neml2fe: Cli) -> None:
    ended = neml2fe("calibrate", quick / "fit.i", "--check-gradient")
    assert ended.code == 0 and "the gradient is right" in ended.out
    rows = [line.split() for line in ended.out.splitlines() if line.startswith("  1e-")]
    errors = {row[0]: float(row[1]) for row in rows}
    assert errors["1e-02"] > 50 * errors["1e-03"] > 2500 * errors["1e-04"]  # second order
    assert min(errors.values()) < 1e-7
    assert not (quick / "results").exists()


def test_wrong_gradient(quick: Path, neml2fe: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    from neml2fe.calibration.problem import CalibrationProblem

    loss = CalibrationProblem.loss

    def steeper(self: CalibrationProblem, x: torch.Tensor) -> torch.Tensor:
        return loss(self, x + 1e-5 * (x - x.detach()))

    monkeypatch.setattr(CalibrationProblem, "loss", steeper)
    ended = neml2fe("calibrate", quick / "one.i", "--check-gradient")
    assert ended.code == 1 and "the gradient is wrong" in ended.out


# --- stopped and resumed ---------------------------------------------------------------
@pytest.fixture
def started(quick: Path) -> Iterator[Callable[[], subprocess.Popen[str]]]:
    """Starts a fit that takes for ever; returns once it has done some iterations."""
    running: list[subprocess.Popen[str]] = []

    def start() -> subprocess.Popen[str]:
        words = ["calibrate", str(quick / "one.i"), *LONG]
        running.append(
            subprocess.Popen(
                [sys.executable, "-m", "neml2fe", *words],
                env=os.environ | ENVIRONMENT, text=True,
                stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
            )
        )  # fmt: skip
        record = quick / "results/fit/progress.jsonl"
        end = time.monotonic() + 90
        while not (record.exists() and record.read_text().count("\n") > 5):
            assert running[-1].poll() is None, running[-1].communicate()
            assert time.monotonic() < end, "no iterations"
            time.sleep(0.05)
        return running[-1]

    yield start
    for fit in running:
        fit.kill()
        fit.wait()


def test_killed_fit_goes_on(
    quick: Path, started: Callable[[], subprocess.Popen[str]], neml2fe: Cli
) -> None:
    fit = started()
    fit.send_signal(signal.SIGKILL)
    fit.wait()
    record = quick / "results/fit/progress.jsonl"
    before = iterations(record)
    lowest = min(before, key=lambda row: row["loss"])
    with record.open("a") as file:
        file.write('{"number": 17, "sta')  # cut short, as a full disk might leave it
    ended = neml2fe("calibrate", quick / "one.i", "--resume")
    assert ended.code == 0 and "converged: minimum" in ended.out
    after = iterations(record)
    assert after[: len(before)] == before
    first = after[len(before)]
    assert first["number"] == lowest["number"]
    assert first["loss"] == pytest.approx(lowest["loss"], rel=1e-9)
    assert first["values"] == {k: pytest.approx(v, rel=1e-12) for k, v in lowest["values"].items()}


def test_interrupted_fit_leaves_its_report(
    quick: Path, started: Callable[[], subprocess.Popen[str]]
) -> None:
    fit = started()
    fit.send_signal(signal.SIGINT)
    out, err = fit.communicate(timeout=90)
    assert fit.returncode == 130 and "Traceback" not in err
    assert "not converged: interrupted" in out and "interrupted" in err
    report = (quick / "results/fit/report.md").read_text()
    assert "not converged: interrupted" in report
    losses = [row["loss"] for row in iterations(quick / "results/fit/progress.jsonl")]
    # The signal may come while the last one is on its way to the disk.
    assert any(f"| Loss | {min(x):.6g} |" in report for x in (losses, losses[:-1]))


def test_nothing_to_resume(quick: Path, neml2fe: Cli) -> None:
    neml2fe("calibrate", quick / "one.i", "-q", "--resume").refused("progress.jsonl")
    assert neml2fe("calibrate", quick / "one.i", "-q", "--no-report").code == 0
    other = settings("Calibrations/fit/parameters=yield_stress")
    ended = neml2fe("calibrate", quick / "one.i", "-q", "--resume", *other)
    ended.refused("other parameters", "isotropic_hardening.R")
