"""Effective stresses against closed forms, published sheets and eigenvalues by NumPy."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from ladder import DECKS, close, f64, randn, rotation
from rungs_beyond import ALPHA, EFFECTIVE, HILL, PRIME, SECOND, STATES, plastic_update
from scipy.optimize import root

import neml2fe
import neml2fe.models as m
from neml2fe.errors import ModelError
from neml2fe.models import Model, value_and_jacobian
from neml2fe.types import MRP, SR2, Vec, rotate

ISOTROPIC: dict[str, Callable[[], Model]] = {
    "Hill": lambda: m.Hill48Stress(F=0.5, G=0.5, H=0.5, N=1.5),
    "Lankford": lambda: m.LankfordHill48Stress(r0=1.0, r45=1.0, r90=1.0),
    "Hosford 2": lambda: m.HosfordStress(exponent=2.0),
    "Hosford 4": lambda: m.HosfordStress(exponent=4.0),
    "Yld2004 2": lambda: m.Yld2004Stress(c_prime=[1.0] * 9, c_second=[1.0] * 9, exponent=2),
    "Yld2004 4": lambda: m.Yld2004Stress(c_prime=[1.0] * 9, c_second=[1.0] * 9, exponent=4),
}


def effective(model: Model, stress: torch.Tensor) -> torch.Tensor:
    return model.evaluate({"mandel_stress": stress})["effective_stress"].data


def matrix(stress: torch.Tensor) -> np.ndarray:
    return SR2(stress).to_r2().data.detach().numpy()


def sheet(model: Model, degrees: float) -> tuple[float, float]:
    """Effective stress and Lankford ratio of unit tension under an angle to axis 1."""
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    stress = SR2.fill(c * c, s * s, 0.0, 0.0, 0.0, c * s, dtype=torch.float64).data
    value, jacobian = value_and_jacobian(model, {"mandel_stress": stress})
    rate = matrix(jacobian["effective_stress"]["mandel_stress"])
    width = np.array([-s, c, 0.0])
    return float(value["effective_stress"]), float(width @ rate @ width / rate[2, 2])


# -- values -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(ISOTROPIC))
def test_isotropic_coefficients_give_von_mises(name: str) -> None:
    stress = 100.0 * randn(50, 6)
    mises = m.SR2Invariant(invariant_type="VONMISES", tensor="a", invariant="i")
    assert close(effective(ISOTROPIC[name](), stress), mises.evaluate({"a": stress})["i"].data)


@pytest.mark.parametrize("a", [2.3, 6.0, 8.7, 20.0, 100.0])
def test_hosford_agrees_with_eigenvalues(a: float) -> None:
    stress = 100.0 * randn(50, 6)
    values = np.linalg.eigvalsh(matrix(stress))
    gaps = np.stack([abs(values[:, i] - values[:, j]) for i, j in combinations(range(3), 2)])
    largest = gaps.max(axis=0)
    expected = largest * (0.5 * ((gaps / largest) ** a).sum(axis=0)) ** (1.0 / a)
    got = effective(m.HosfordStress(exponent=a), stress)
    assert close(got, torch.from_numpy(expected), 1e-13)
    stress[:, 3:5] = 0.0  # axis 3 is a principal one
    sheet_metal = m.Yld2000Stress(alpha=[1.0] * 8, exponent=a)
    assert close(effective(sheet_metal, stress), effective(m.HosfordStress(exponent=a), stress))


def test_hosford_tends_to_tresca() -> None:
    stress = 100.0 * randn(50, 6)
    values = np.linalg.eigvalsh(matrix(stress))
    tresca = torch.from_numpy(values[:, 2] - values[:, 0])
    errors = [
        float((effective(m.HosfordStress(exponent=a), stress) / tresca - 1.0).detach().abs().max())
        for a in (50.0, 100.0, 200.0)
    ]
    assert errors[0] > 1.8 * errors[1] > 3.2 * errors[2] and errors[2] < 4e-3


def test_yld2004_agrees_with_eigenvalues() -> None:
    stress = 100.0 * randn(30, 6)
    got = effective(m.Yld2004Stress(c_prime=PRIME, c_second=SECOND), stress)
    for k, sigma in enumerate(matrix(stress)):
        s = sigma - np.trace(sigma) / 3.0 * np.eye(3)
        principal = []
        for c12, c13, c21, c23, c31, c32, c44, c55, c66 in (PRIME, SECOND):
            x = np.diag(
                [
                    -c12 * s[1, 1] - c13 * s[2, 2],
                    -c21 * s[0, 0] - c23 * s[2, 2],
                    -c31 * s[0, 0] - c32 * s[1, 1],
                ]
            )
            x[1, 2] = x[2, 1] = c44 * s[1, 2]
            x[0, 2] = x[2, 0] = c55 * s[0, 2]
            x[0, 1] = x[1, 0] = c66 * s[0, 1]
            principal.append(np.linalg.eigvalsh(x))
        total = (abs(principal[0][:, None] - principal[1]) ** 8).sum()
        assert float(got[k].detach()) == pytest.approx((total / 4.0) ** 0.125, rel=1e-13)


@pytest.mark.parametrize("degrees", [0.0, 15.0, 45.0, 70.0, 90.0])
def test_hill_in_the_sheet(degrees: float) -> None:
    """Hill 1948: stress and Lankford ratio of tension under an angle."""
    F, G, H, N = (HILL[k] for k in "FGHN")
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    square = F * s**4 + G * c**4 + H * (c**2 - s**2) ** 2 + 2.0 * N * s**2 * c**2
    ratio = (H + (2.0 * N - F - G - 4.0 * H) * s**2 * c**2) / (F * s**2 + G * c**2)
    got = sheet(m.Hill48Stress(**HILL), degrees)
    assert got == pytest.approx((math.sqrt(square), ratio), rel=1e-13)


def test_lankford_ratios_come_out_as_given() -> None:
    model = m.LankfordHill48Stress(r0=1.8, r45=1.2, r90=2.2)
    assert [sheet(model, d)[1] for d in (0, 45, 90)] == pytest.approx([1.8, 1.2, 2.2], rel=1e-13)
    assert sheet(model, 0)[0] == pytest.approx(1.0, rel=1e-13)


def test_yld2000_gives_the_published_sheet() -> None:
    """Al 2090-T3 of Barlat et al. (2003): the eight tests that its coefficients were fitted to."""
    model = m.Yld2000Stress(alpha=ALPHA, exponent=8.0)
    for degrees, stress, ratio in ((0, 1.0, 0.2115), (45, 0.8114, 1.5769), (90, 0.9102, 0.6923)):
        value, got = sheet(model, degrees)
        assert 1.0 / value == pytest.approx(stress, abs=6e-4)
        assert got == pytest.approx(ratio, abs=3e-3)
    biaxial = SR2.fill(1.0, 1.0, 0.0, dtype=torch.float64).data
    value, jacobian = value_and_jacobian(model, {"mandel_stress": biaxial})
    slope = jacobian["effective_stress"]["mandel_stress"]
    assert 1.0 / float(value["effective_stress"]) == pytest.approx(1.035, abs=6e-4)
    assert float(slope[1] / slope[0]) == pytest.approx(0.67, abs=3e-3)


@pytest.mark.parametrize("name", ["Hill48Stress", "Yld2000Stress", "Yld2004Stress"])
def test_orientation_turns_the_material(name: str) -> None:
    """A turned sheet under a turned stress is the sheet under the stress."""
    fixed = EFFECTIVE[name]()
    fields = {
        "Hill48Stress": HILL,
        "Yld2000Stress": {"alpha": ALPHA, "exponent": 6.5},
        "Yld2004Stress": {"c_prime": PRIME, "c_second": SECOND},
    }[name]
    turning = getattr(m, name)(**fields, orientation="turn")
    stress, turn = 100.0 * randn(20, 6), rotation(20)
    moved = {"mandel_stress": rotate(SR2(stress), turn), "turn": turn}
    assert close(turning.evaluate(moved)["effective_stress"].data, effective(fixed, stress), 1e-12)
    quarter = MRP.from_axis_angle(Vec(f64([0.0, 0.0, 1.0])), math.pi / 2.0)
    along = SR2.fill(1.0, 0.0, 0.0, dtype=torch.float64)
    got = turning.evaluate({"mandel_stress": along, "turn": quarter})["effective_stress"].data
    assert close(got, effective(fixed, SR2.fill(0.0, 1.0, 0.0, dtype=torch.float64).data))


# -- convexity and derivatives ------------------------------------------------------------------

components = st.lists(st.floats(-200.0, 200.0, width=32), min_size=6, max_size=6)


@pytest.mark.parametrize("name", sorted(EFFECTIVE))
@settings(max_examples=60, deadline=None)
@given(a=components, b=components)
def test_convexity(name: str, a: list[float], b: list[float]) -> None:
    model, ends = EFFECTIVE[name](), f64([a, b])
    middle = effective(model, ends.mean(0))
    assert float(middle) <= float(effective(model, ends).mean()) * (1.0 + 1e-13) + 1e-11


@pytest.mark.parametrize("name", sorted(EFFECTIVE))
def test_flow_is_isochoric_and_of_degree_zero(name: str) -> None:
    """tr N = 0 and s : N is the effective stress, also where principal stresses coincide."""
    model = EFFECTIVE[name]()
    for stress in [*STATES.values(), *(100.0 * randn(5, 6))]:
        value, jacobian = value_and_jacobian(model, {"mandel_stress": stress})
        n = jacobian["effective_stress"]["mandel_stress"]
        assert abs(float(n[:3].sum())) < 1e-13
        assert (
            close(n @ stress, value["effective_stress"], 1e-12)
            or not value["effective_stress"].any()
        )


def hosford_gradient(stress: np.ndarray, a: float) -> np.ndarray:
    """By eigenvectors: the sum of df/ds_i n_i n_i, right for a symmetric f at repeated values."""
    values, vectors = np.linalg.eigh(stress)
    gaps = values[:, None] - values
    slope = a * (np.abs(gaps) ** (a - 1.0) * np.sign(gaps)).sum(axis=1)
    total = (np.abs(gaps) ** a).sum() / 4.0
    factor = 0.5 / a * total ** (1.0 / a - 1.0)
    return factor * (vectors * slope) @ vectors.T


@pytest.mark.parametrize("a", [2.0, 4.0, 6.5, 8.0, 20.0])
@pytest.mark.parametrize("state", sorted(set(STATES) - {"zero stress", "pressure"}))
def test_second_derivatives_at_repeated_principal_stresses(state: str, a: float) -> None:
    """Against differences of the gradient by eigenvectors, in a rotated frame too."""
    model, h = m.HosfordStress(exponent=a), 1e-3
    for stress in (STATES[state], rotate(SR2(STATES[state]), MRP(f64([0.1, 0.3, -0.2]))).data):
        f = lambda x: effective(model, x)  # noqa: E731
        gradient, hessian = torch.func.grad(f)(stress), torch.func.hessian(f)(stress)
        expected = hosford_gradient(matrix(stress), a)
        assert np.abs(matrix(gradient) - expected).max() < 1e-13 * np.abs(expected).max() * a
        for way in torch.eye(6, dtype=torch.float64):
            forth = hosford_gradient(matrix(stress + h * way), a)
            back = hosford_gradient(matrix(stress - h * way), a)
            quotient = (forth - back) / (2.0 * h)
            assert np.abs(matrix(hessian @ way) - quotient).max() < 2e-7 * float(
                hessian.detach().abs().max()
            )


# -- in plasticity ------------------------------------------------------------------------------


def test_a_deck_with_hosford_in_the_place_of_von_mises(tmp_path: Path) -> None:
    text = (DECKS / "perzyna_voce.i").read_text()
    lines = text.splitlines()
    start = next(k for k, line in enumerate(lines) if "SR2Invariant" in line)
    end = start + next(k for k, line in enumerate(lines[start:]) if line.strip() == "[]")
    fields = dict(
        (part.strip() for part in line.split("=")) for line in lines[start + 1 : end]
    )  # names of the variables
    block = [
        "type = HosfordStress",
        f"mandel_stress = {fields['tensor']}",
        f"effective_stress = {fields['invariant']}",
        "exponent = 2",
    ]
    deck = tmp_path / "hosford.i"
    deck.write_text("\n".join([*lines[:start], *block, *lines[end:]]))

    def stresses(source: Path) -> torch.Tensor:
        driver = neml2fe.load_input(source).get_driver("driver").driver
        driver.prescribed = {n: type(v)(v.data[:11, :1]) for n, v in driver.prescribed.items()}
        return driver.run().series("stress")

    mises = stresses(DECKS / "perzyna_voce.i")
    assert close(stresses(deck), mises, 1e-10)
    deck.write_text(deck.read_text().replace("exponent = 2", "exponent = 8"))
    assert 1e-3 < float((stresses(deck) - mises).abs().max() / mises.abs().max()) < 0.2


def test_plasticity_agrees_with_an_independent_solver() -> None:
    """Hosford, a = 8, linear hardening: three steps of backward Euler by SciPy."""
    a, yield_stress, modulus = 8.0, 100.0, 2000.0
    bulk, shear = 2e5 / (3.0 * 0.4), 2e5 / 2.6
    model = plastic_update(
        m.HosfordStress(exponent=a), m.LinearIsotropicHardening(hardening_modulus=modulus), 100.0
    )
    flow, p = np.zeros((3, 3)), 0.0
    state = {
        "plastic_strain~1": torch.zeros(6).double(),
        "equivalent_plastic_strain~1": f64(0.0),
        "flow_rate~1": f64(0.0),
    }
    way = f64([1.0, -0.4, -0.3, 0.1, 0.2, 0.5]) * 1e-3
    for step, factor in enumerate((1.0, 2.5, 0.5)):
        strain = factor * way
        total = matrix(strain)

        def stress_of(plastic: np.ndarray, total: np.ndarray = total) -> np.ndarray:
            e = total - plastic
            return (bulk - 2.0 / 3.0 * shear) * np.trace(e) * np.eye(3) + 2.0 * shear * e

        def equations(
            x: np.ndarray, flow: np.ndarray = flow, p: float = p, of: Callable = stress_of
        ) -> np.ndarray:
            sigma = of(x[:9].reshape(3, 3))
            n = hosford_gradient(sigma, a)
            level = (n * sigma).sum()  # degree one
            flow_residual = x[:9].reshape(3, 3) - flow - x[9] * n
            return np.append(
                flow_residual.ravel() * 1e3, (level - yield_stress - modulus * (p + x[9])) / 1e2
            )

        found = root(equations, np.append(flow.ravel(), 1e-4), method="hybr", tol=1e-14)
        assert np.abs(found.fun).max() < 1e-11 and found.x[9] > 0.0
        flow, p = found.x[:9].reshape(3, 3), p + found.x[9]
        inputs = {"E": strain, "t": f64(step + 1.0), "t~1": f64(float(step)), **state}
        outputs = model.evaluate({n: inputs[n] for n in model.input_spec})
        expected = stress_of(flow)
        error = np.abs(matrix(outputs["mandel_stress"].data) - expected).max()
        assert error < 1e-9 * np.abs(expected).max()
        assert float(outputs["equivalent_plastic_strain"].data) == pytest.approx(p, rel=1e-9)
        state |= {f"{n}~1": v.data.detach() for n, v in outputs.items()}


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: m.HosfordStress(exponent=1.5), "at least 2"),
        (lambda: m.Yld2000Stress(alpha=[1.0] * 7, exponent=8.0), "8 coefficients, got 7"),
        (lambda: m.Yld2004Stress(c_prime=[1.0] * 9, c_second=[1.0]), "'c_second' takes 9"),
        (
            lambda: m.Yld2004Stress(c_prime=[1.0] * 9, c_second=[1.0] * 9, exponent=7),
            "even integer",
        ),
    ],
)
def test_errors(make: Callable[[], Model], said: str) -> None:
    with pytest.raises(ModelError, match=said):
        make()
