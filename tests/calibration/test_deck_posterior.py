"""Priors of [Parameters] and Laplace's posterior in decks: Python's result, the truth, refusals."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from deck_box import GRIPS, Cli, write_test

from neml2fe.calibration.fit import fit
from neml2fe.calibration.fullfield import FieldColumns, read_csv, read_series
from neml2fe.calibration.parameters import FitParameter, ParameterSet
from neml2fe.calibration.simulations import (
    FieldMeasurement,
    GaussianPrior,
    LoadMeasurement,
    RegularisedProblem,
    SimulationProblem,
    laplace,
)
from neml2fe.input import load_input

MODEL = """
[Models]
  [law]
    type = LinearIsotropicElasticity
    coefficients = '2e5 0.3'
    coefficient_types = 'YOUNGS_MODULUS POISSONS_RATIO'
  []
[]
[Materials]
  [law]
    model = 'law'
    strain = 'strain'
  []
[]
[Meshes]
  [plate]
    type = Rectangle
    divisions = '3 2'
    lengths = '3 2'
    cell_type = 'quad'
  []
[]
[Functions]
  [stroke]
    type = PiecewiseLinear
    times = '0 1'
    values = '0 0.01'
  []
[]
[Drivers]
  [plate]
    type = FiniteElementDriver
    formulation = 'plane_strain'
    end_time = 1
    dt = 1
    backend = 'scipy'
  []
[]
"""
FIT = """
[Measurements]
  [load]
    type = Load
    file = 'load.csv'
    time_column = 't'
    value_column = 'F'
    reaction = 'pull'
    times = 1
    noise = 30
  []
  [camera]
    type = FullField
    file = 'camera.csv'
    columns = 'x y u v'
    time_column = 't'
    noise = 2e-4
  []
[]
[Tests]
  [plate]
    type = SimulationTest
    driver = 'plate'
  []
[]
[Parameters]
  [modulus]
    parameter = 'law.E'
    lower = 1e5
    upper = 4e5
    scale = 'log'
    initial = 1.5e5
  []
  [ratio]
    parameter = 'law.nu'
    lower = 0.05
    upper = 0.45
    initial = 0.2
    prior_mean = 0.31
    prior_deviation = 0.01
  []
[]
[Calibrations]
  [fit]
    type = SimulationCalibration
  []
[]
"""
TRUTH = {"law.E": 2e5, "law.nu": 0.3}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("prior")
    points = np.random.default_rng(0).uniform([0.02, 0.02], [2.98, 1.98], (60, 2))
    write_test(folder, MODEL + GRIPS, points, [1.0], {"u": 2e-4, "F": 30.0})
    return folder


@pytest.fixture
def cli(data: Path, capsys: pytest.CaptureFixture[str]) -> Cli:
    (data / "fit.i").write_text(MODEL + GRIPS + FIT)
    return Cli(data, capsys)


def in_python(folder: Path) -> SimulationProblem:
    driver = load_input(folder / "truth.i").get_driver("plate")
    columns = FieldColumns(x="x", y="y", u="u", v="v", time="t")
    load = read_series(folder / "load.csv", "t", "F", noise=30.0).at([1.0])
    measurements = {
        "load": LoadMeasurement(load, "pull"),
        "camera": FieldMeasurement(read_csv(folder / "camera.csv", columns, noise=2e-4)),
    }
    parameters = [
        FitParameter("E", 1e5, 4e5, "log", 1.5e5),
        FitParameter("nu", 0.05, 0.45, initial=0.2),
    ]
    return SimulationProblem(driver.make_problem(), driver.stepping, measurements, parameters)


def test_a_prior_counts_in_the_fit_and_in_its_posterior(cli: Cli) -> None:
    ended = cli(report=True)
    assert ended.code == 0, ended
    assert "prior: law.nu = 0.31 +- 0.01" in ended.out
    assert re.search(r"posterior: law\.(E|nu)", ended.out)
    found = cli.table()
    values = {name: float(row["fitted"]) for name, row in found.items()}
    errors = {name: float(row["standard_error"]) for name, row in found.items()}
    for name, true in TRUTH.items():
        assert abs(values[name] - true) <= 3.0 * errors[name], (name, values, errors)
    problem = in_python(cli.folder)
    prior = GaussianPrior.of(problem.parameters, {"nu": (0.31, 0.01)})
    whole = fit(RegularisedProblem(problem, [prior]))
    posterior = laplace(problem, whole.x, prior)
    np.testing.assert_allclose(list(values.values()), list(whole.values.values()), rtol=1e-7)
    deviations = posterior.deviations()
    np.testing.assert_allclose(list(errors.values()), deviations, rtol=1e-6)
    with (cli.folder / "results/fit/posterior.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    covariance = [[float(row[name]) for name in TRUTH] for row in rows]
    np.testing.assert_allclose(covariance, posterior.covariance(), rtol=1e-6)
    assert [float(row["deviation"]) for row in rows] == pytest.approx(deviations.tolist(), rel=1e-6)
    # By data and prior as if both were measured: between them, and better known than by either.
    alone = cli("Calibrations/fit/parameters=modulus", "Calibrations/fit/uncertainty=laplace")
    assert alone.code == 0 and "prior:" not in alone.out and "posterior: law.E" in alone.out
    free = fit(problem)
    assert free.uncertainty is not None
    data = float(free.uncertainty.standard_errors[1])
    expected = (free.values["nu"] / data**2 + 0.31 / 0.01**2) / (data**-2 + 0.01**-2)
    assert values["law.nu"] == pytest.approx(expected, abs=1e-4)
    assert errors["law.nu"] == pytest.approx((data**-2 + 0.01**-2) ** -0.5, rel=0.02)


def test_intervals_of_a_prior_or_none(cli: Cli) -> None:
    ended = cli("Calibrations/fit/uncertainty=intervals")
    assert ended.code == 0 and "95 % interval" in ended.out and "posterior:" not in ended.out
    with_prior = cli.values()
    ended = cli("Calibrations/fit/uncertainty=none")
    assert ended.code == 0 and "95 % interval" not in ended.out
    assert "no uncertainty was asked for" in ended.out and cli.values() == with_prior


def test_the_penalty_of_a_prior_is_its_logarithm() -> None:
    """Of a table, that of each entry."""
    tensors = {
        "a": torch.tensor(1.0).double().requires_grad_(),
        "t": torch.ones(2).double().requires_grad_(),
    }
    box = [FitParameter("a", 0.0, 10.0), FitParameter("t", 0.0, 2.0)]
    parameters = ParameterSet.of(tensors, box)
    prior = GaussianPrior.of(parameters, {"a": (2.0, 0.5), "t": (1.0, 0.1)})
    x = parameters.scaled(torch.tensor([2.5, 1.2, 0.9]).double())
    rows = prior.rows(x[prior.numbers(parameters)])
    assert rows.tolist() == pytest.approx([1.0, 2.0, -1.0])


BLOCK = "[Parameters/ratio]"


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("prior_mean = 0.31", "", (f"{BLOCK} prior_deviation", "give prior_mean and")),
        ("prior_deviation = 0.01", "prior_deviation = 0", (f"{BLOCK} prior_dev", "positive")),
        ("prior_mean = 0.31", "prior_mean = 0.5", (f"{BLOCK} prior_mean", "0.05 to 0.45")),
        ("'law.nu'", "'law.mu'", (f"{BLOCK} parameter", "no test has a parameter 'law.mu'")),
        ("prior_mean", "prior_men", ("[Parameters/ratio]", "'prior_mean'")),
        ("type = SimulationCalibration", "model = 'law'", (f"{BLOCK} prior_mean", "Simulation")),
        ("times = 1\n    noise = 30", "times = 1", ("noise", "load")),
    ],
)
def test_refusals(cli: Cli, old: str, new: str, words: tuple[str, ...]) -> None:
    text = (cli.folder / "fit.i").read_text()
    assert old in text
    (cli.folder / "fit.i").write_text(text.replace(old, new))
    cli().refused(*words)


def test_a_prior_needs_a_known_noise(cli: Cli) -> None:
    text = (cli.folder / "fit.i").read_text().replace("    noise = 2e-4\n", "")
    (cli.folder / "fit.i").write_text(text)
    cli("Tests/plate/measurements=camera").refused(f"{BLOCK} prior_deviation", "noise")
