"""Decks against reference results and closed forms."""

from __future__ import annotations

import csv
import math
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from ladder import DECKS, close, f64

import neml2fe
from neml2fe.drivers import History
from neml2fe.types import Scalar

NAMES = sorted(p.stem for p in DECKS.glob("*.i"))
REFERENCE_TOLERANCE = 1e-7  # of the largest value of a variable, as the headers say


@cache
def history(deck: str) -> History:
    found: History = neml2fe.load_input(DECKS / f"{deck}.i").get_driver("driver").driver.run()
    return found


def read(path: Path) -> dict[str, np.ndarray]:
    lines = [line for line in path.read_text().splitlines() if not line.startswith("#")]
    header, *rows = csv.reader(lines)
    return dict(zip(header, np.array(rows, dtype=float).T, strict=True))


def variable_of(column: str, size: int) -> str:
    """The variable of a column such as `slip[3]_12`."""
    stem = column[: column.rfind("_")] if size > 1 else column
    return stem.partition("[")[0]


def test_every_deck_has_a_reference() -> None:
    assert sorted(p.stem for p in DECKS.glob("*.csv")) == NAMES


@pytest.mark.parametrize("deck", NAMES)
def test_results_agree_with_the_reference(deck: str, tmp_path: Path) -> None:
    ours = read(history(deck).write_csv(tmp_path / "ours.csv"))
    reference = read(DECKS / f"{deck}.csv")
    assert set(reference) <= set(ours)
    assert np.array_equal(ours["step"], reference["step"])
    assert np.array_equal(ours["specimen"], reference["specimen"])
    types = history(deck).types
    for name in [n for n in history(deck).outputs[-1]] + ["time"]:
        size = types[name].base_size() if name != "time" else 1
        columns = [c for c in reference if variable_of(c, size) == name]
        assert columns and len(columns) % size == 0
        expected = np.stack([reference[c] for c in columns])
        got = np.stack([ours[c] for c in columns])
        assert np.abs(expected).max() > 0.0
        error = np.abs(got - expected).max() / np.abs(expected).max()
        assert error < REFERENCE_TOLERANCE, f"{name}: {error:.1e}"


# -- closed forms, to 1e-10 -----------------------------------------------------------------


def curve(deck: str) -> tuple[np.ndarray, np.ndarray, torch.Tensor]:
    """Axial strain and stress `(n_steps, n_specimens)`, and the whole stress."""
    found = history(deck)
    stress = found.series("stress")
    return found.series("E")[..., 0].numpy(), stress[..., 0].numpy(), stress


def assert_uniaxial(stress: torch.Tensor) -> None:
    assert float(stress[..., 1:].abs().max()) < 1e-10 * float(stress.abs().max())


def assert_equal(got: np.ndarray, expected: np.ndarray) -> None:
    error = np.abs(got - expected).max() / np.abs(expected).max()
    assert error < 1e-10, f"{error:.1e}"


YOUNG, YIELD = 2e5, 200.0


@pytest.mark.parametrize(
    ("deck", "hardening"),
    [
        ("uniaxial_linear", lambda ep: 1200.0 * ep),
        ("uniaxial_voce", lambda ep: 90.0 * (1.0 - np.exp(-12.0 * ep))),
        ("uniaxial_kinematic", lambda ep: 1.5 * 1500.0 * ep),
    ],
)
def test_uniaxial_hardening(deck: str, hardening: object) -> None:
    """sigma = sigma_y + h(ep) and eps = sigma / E + ep; X = H Kp hardens by 3/2 H ep."""
    strain, stress, full = curve(deck)
    assert_uniaxial(full)
    ep = history(deck).series("plastic_strain")[..., 0].numpy()
    flowing = ep > 0.0
    assert flowing.mean() > 0.9
    assert_equal(strain, stress / YOUNG + ep)
    assert_equal(stress[flowing], (YIELD + hardening(ep))[flowing])  # type: ignore[operator]


@pytest.mark.parametrize(
    ("deck", "modulus"), [("uniaxial_linear", 1200), ("uniaxial_kinematic", 2250)]
)
def test_uniaxial_linear_hardening_in_strain(deck: str, modulus: float) -> None:
    """The bilinear curve with tangent modulus E K / (E + K), nothing taken from the run."""
    strain, stress, _ = curve(deck)
    tangent = YOUNG * modulus / (YOUNG + modulus)
    assert_equal(stress, np.minimum(YOUNG * strain, YIELD + tangent * (strain - YIELD / YOUNG)))


def test_back_stress_saturates() -> None:
    """Frederick-Armstrong: |X| -> 2/3 C/g in the unit direction, sqrt(2/3) C/g in the stress."""
    _, stress, full = curve("uniaxial_saturation")
    assert_uniaxial(full)
    saturated = YIELD + math.sqrt(2.0 / 3.0) * 3e4 / 400.0
    assert stress[0, 0] < 0.99 * saturated
    assert_equal(stress[-3:], np.full((3, 1), saturated))
    back = history("uniaxial_saturation").series("X")[-1, 0]
    assert_equal(back.norm().numpy(), np.array(2.0 / 3.0 * 3e4 / 400.0))


def test_steady_viscous_flow() -> None:
    """f = sqrt(2/3) (sigma - sigma_y) and gamma_dot = (f / eta)^n = sqrt(3/2) strain rate."""
    _, stress, full = curve("uniaxial_steady")
    assert_uniaxial(full)
    rates = np.logspace(-4.0, 0.0, 3)
    flow = 700.0 * (math.sqrt(1.5) * rates) ** (1.0 / 4.0)
    assert_equal(stress[-3:], np.broadcast_to(150.0 + math.sqrt(1.5) * flow, (3, 3)))


# -- the saved dictionary -------------------------------------------------------------------


def test_saved_dictionary(tmp_path: Path) -> None:
    found = history("perzyna_voce")
    saved = torch.load(found.save(tmp_path / "result.pt"))
    assert all(type(v) is torch.Tensor and not v.requires_grad for v in saved.values())
    inputs = {"t", "E"}
    old = {"t~1", "E~1", "stress~1", "equivalent_plastic_strain~1"}
    outputs = {"stress", "equivalent_plastic_strain"}
    expected = {f"input.0.{n}" for n in inputs}
    for k in range(1, 31):
        # Before the first step nothing is known of the old values but those of the driven.
        known = old if k > 1 else {"t~1", "E~1"}
        expected |= {f"input.{k}.{n}" for n in inputs | known}
        expected |= {f"output.{k}.{n}" for n in outputs}
    assert set(saved) == expected
    assert saved["output.7.stress"].shape == (3, 6) and saved["input.7.t"].shape == (3,)
    assert torch.equal(saved["input.8.stress~1"], saved["output.7.stress"])


def test_one_specimen_of_a_batch_is_the_specimen_alone(tmp_path: Path) -> None:
    text = (DECKS / "temperature.i").read_text()
    alone = tmp_path / "alone.i"
    text = text.replace("torch.tensor([0.05, 0.05, 5.0]", "torch.tensor([0.05]")
    text = text.replace("torch.tensor([0.0, 1.0, 1.0]", "torch.tensor([1.0]")
    text = text.replace("[700.0, 600.0, 500.0]", "[600.0]").replace("expand(3, 6)", "expand(1, 6)")
    alone.write_text(text)
    single = neml2fe.load_input(alone).get_driver("driver").driver.run()
    for name in ("stress", "equivalent_plastic_strain"):
        batch = history("temperature").series(name)[:, 1]
        assert float((single.series(name)[:, 0] - batch).abs().max()) <= 1e-13 * float(batch.max())


def test_gradient_through_a_whole_history() -> None:
    """d(final stress)/d(parameters) of 30 steps against differences, errors in a V."""
    from ladder import assert_v

    source = neml2fe.load_input(DECKS / "perzyna_voce.i")
    driver, model = source.get_driver("driver").driver, source.get_model("model")
    driver.prescribed = {
        n: type(v)(v.data[::2, :2].contiguous()) for n, v in driver.prescribed.items()
    }
    parameters = dict(model.named_parameters())
    weights = torch.randn(2, 6, dtype=torch.float64)

    def final() -> torch.Tensor:
        return (driver.run().outputs[-1]["stress"] * weights).sum()

    gradient = torch.autograd.grad(final(), list(parameters.values()))
    assert all(bool(g != 0.0) for g in gradient) and len(gradient) == 10
    way = [torch.randn(()).double() * p.detach().abs() for p in parameters.values()]
    start = [p.detach().clone() for p in parameters.values()]

    def moved(h: float) -> torch.Tensor:
        with torch.no_grad():
            for p, p0, d in zip(parameters.values(), start, way, strict=True):
                p.copy_(p0 + h * d)
            return final().detach()

    slope = torch.stack([g * d for g, d in zip(gradient, way, strict=True)]).sum()
    assert_v(lambda h: moved(0.1 * h), 0.1 * slope)


def test_a_driver_run_is_differentiable_in_the_history() -> None:
    source = neml2fe.load_input(DECKS / "kinematic.i")
    driver = source.get_driver("driver").driver
    strain = driver.prescribed["E"].data.clone().requires_grad_()
    driver.prescribed["E"] = type(driver.prescribed["E"])(strain)
    driver.run().outputs[-1]["stress"].sum().backward()
    assert strain.grad is not None and bool(torch.isfinite(strain.grad).all())
    # Plastic flow remembers the path; the final strain matters most.
    assert float(strain.grad[-1].abs().max()) > 0.0 and float(strain.grad[-2].abs().max()) > 0.0
    assert f64(0.0).equal(strain.grad[0].abs().max())


def test_a_table_may_stand_where_it_is_used(tmp_path: Path) -> None:
    deck = tmp_path / "table.i"
    deck.write_text(
        "[Models]\n[E]\ntype = ScalarLinearInterpolation\nargument = T\n"
        "abscissa = '300 500 900'\nordinate = '200e3 190e3 150e3'\n[]\n[]\n"
    )
    law = neml2fe.load_model(deck, "E")
    close(law(Scalar(f64([400.0, 700.0]))).data, f64([195e3, 170e3]))
