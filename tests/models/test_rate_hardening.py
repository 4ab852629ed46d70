"""Ludwik, Swift and Johnson-Cook against their formulas, at zero strain and in plasticity."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from ladder import f64
from rungs_beyond import ELASTIC, JOHNSON_COOK, plastic_update
from scipy.optimize import brentq

import neml2fe.models as m
from neml2fe.errors import ModelError
from neml2fe.models import ComposedModel, Model, value_and_jacobian


def curve(model: Model, ep: float) -> tuple[float, float]:
    value, slope = value_and_jacobian(model, {"equivalent_plastic_strain": f64(ep)})
    return float(value["isotropic_hardening"].detach()), float(
        slope["isotropic_hardening"]["equivalent_plastic_strain"].detach()
    )


@pytest.mark.parametrize("n", [0.2, 1.0, 1.5])
def test_ludwik(n: float) -> None:
    model = m.LudwikIsotropicHardening(strength=300.0, exponent=n)
    for ep in (2e-6, 1e-3, 0.2):
        assert curve(model, ep) == pytest.approx((300.0 * ep**n, 300.0 * n * ep ** (n - 1.0)))
    at_zero = curve(model, 0.0)  # of the parabola; exact for n = 1
    assert at_zero == pytest.approx((0.0, 300.0 * (2.0 - n) * 1e-6 ** (n - 1.0)))
    assert curve(model, -1e-2) == pytest.approx((-1e-2 * at_zero[1], at_zero[1]))  # the tangent
    below, above = curve(model, 1e-6 * (1 - 1e-9)), curve(model, 1e-6 * (1 + 1e-9))
    assert below == pytest.approx(above, rel=1e-8)  # value and slope are continuous


@pytest.mark.parametrize("n", [0.2, 1.0, 1.5])
def test_swift(n: float) -> None:
    model = m.SwiftIsotropicHardening(strength=500.0, initial_strain=0.01, exponent=n)
    for ep in (0.0, 1e-3, 0.2):
        total = 0.01 + ep
        expected = (500.0 * (total**n - 0.01**n), 500.0 * n * total ** (n - 1.0))
        assert curve(model, ep) == pytest.approx(expected, rel=1e-12, abs=1e-12)
    value, slope = curve(model, -0.02)  # the tangent at zero goes on
    assert slope == pytest.approx(curve(model, 0.0)[1]) and value == pytest.approx(-0.02 * slope)


@pytest.mark.parametrize(
    ("rate", "T", "factor"),
    [
        (5.0, 290.0, 1.0 + 0.014 * math.log(10.0)),
        (0.1, 290.0, 1.0),  # below the reference rate
        (5.0, 1045.0, (1.0 + 0.014 * math.log(10.0)) * (1.0 - 0.5**1.1)),
        (5.0, 1900.0, 0.0),  # molten
        (5.0, 200.0, 1.0 + 0.014 * math.log(10.0)),
    ],
)
def test_johnson_cook_factor(rate: float, T: float, factor: float) -> None:
    model = m.JohnsonCookFactor(**JOHNSON_COOK)
    got = model.evaluate({"rate": f64(rate), "T": f64(T)})["johnson_cook_factor"].data
    assert float(got.detach()) == pytest.approx(factor, abs=1e-14)


def test_johnson_cook_without_rate_or_temperature() -> None:
    model = m.JohnsonCookFactor(temperature="T", reference_temperature=0.0, melting_temperature=2.0)
    assert list(model.input_spec) == ["T"]
    assert float(model(f64(0.5)).data.detach()) == pytest.approx(0.75)
    smooth = m.JohnsonCookFactor(
        rate_sensitivity=0.1, equivalent_plastic_strain_rate="r", smooth=True
    )
    assert float(smooth(f64(0.0)).data.detach()) == 1.0
    assert float(smooth(f64(3.0)).data.detach()) == pytest.approx(1.0 + 0.1 * math.log(4.0))


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"rate_sensitivity": 0.1}, "'rate_sensitivity' has no effect"),
        ({"reference_rate": 0.1}, "'reference_rate' has no effect"),
        ({"smooth": True}, "'smooth' has no effect"),
        ({"thermal_exponent": 1.1}, "'thermal_exponent' has no effect"),
        ({"melting_temperature": 1800.0}, "'melting_temperature' has no effect"),
        ({"equivalent_plastic_strain_rate": "rate"}, "needs the field 'rate_sensitivity'"),
        ({"temperature": "T", "reference_temperature": 290.0}, "the field 'melting_temperature'"),
        ({"temperature": "T", "melting_temperature": 1800.0}, "the field 'reference_temperature'"),
        ({**JOHNSON_COOK, "melting_temperature": 290.0}, "must be above"),
        ({**JOHNSON_COOK, "reference_rate": 0.0}, "'reference_rate' must be positive"),
    ],
)
def test_johnson_cook_errors(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(ModelError, match=said):
        m.JohnsonCookFactor(**fields)


@pytest.mark.parametrize("cls", [m.LudwikIsotropicHardening, m.SwiftIsotropicHardening])
def test_initial_strain_must_be_positive(cls: type[Model]) -> None:
    with pytest.raises(ModelError, match=r"'initial_strain' must be positive, got e.* = 0"):
        cls(strength=300.0, exponent=0.3, initial_strain=0.0)


@pytest.mark.parametrize("dt", [1e-4, 1e-2, 1.0])
def test_johnson_cook_in_a_step_of_plasticity(dt: float) -> None:
    """Isochoric strain: sigma = 3 G (e - p) = (A + B p^n) (1 + C ln(p / dt / rate0)), by SciPy."""
    A, B, n, C, G = 350.0, 275.0, 0.36, 0.014, 2e5 / 2.6
    hardening = ComposedModel(
        models=[
            m.ScalarVariableRate(variable="equivalent_plastic_strain", variable_rate="ep_rate"),
            m.JohnsonCookIsotropicHardening(
                yield_stress=A,
                strength=B,
                exponent=n,
                rate_sensitivity=C,
                equivalent_plastic_strain_rate="ep_rate",
            ),
        ],
        label="hardening",
    )
    model = plastic_update(
        m.SR2Invariant(
            invariant_type="VONMISES", tensor="mandel_stress", invariant="effective_stress"
        ),
        hardening,
        A,
    )
    assert ELASTIC["coefficients"] == [2e5, 0.3]
    e = 0.03
    inputs = {
        "E": f64([e, -e / 2.0, -e / 2.0, 0.0, 0.0, 0.0]),
        "t": f64(dt),
        "t~1": f64(0.0),
        "plastic_strain~1": torch.zeros(6).double(),
        "equivalent_plastic_strain~1": f64(0.0),
    }
    got = model.evaluate({k: inputs.get(k, f64(0.0)) for k in model.input_spec})
    p = brentq(
        lambda p: 3.0 * G * (e - p) - (A + B * p**n) * (1.0 + C * max(math.log(p / dt), 0.0)),
        1e-5,
        e,
        xtol=1e-16,
    )
    assert float(got["equivalent_plastic_strain"].data.detach()) == pytest.approx(p, rel=1e-10)
