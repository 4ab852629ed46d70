"""Cohesive laws: fracture energies, onset, irreversibility, contact, tangents at their kinks."""

from __future__ import annotations

import math

import pytest
import torch
from ladder import Raw, close, f64
from rungs_traction import (
    BILINEAR,
    CONTACT,
    EXPONENTIAL,
    FULL,
    LINEAR,
    STRENGTHS,
    TOUGHNESSES,
    mixed_jump,
    mixed_mode,
)

import neml2fe.models as m
from neml2fe.models import Model, value_and_jacobian

K, NORMAL, SHEAR = 1e4, 60.0, 90.0
GI, GII = 0.3, 0.9
ETA = TOUGHNESSES["eta"]
JUMPS = ("normal_separation", "tangential_separation_1", "tangential_separation_2")
full = pytest.mark.parametrize("criterion", sorted(FULL))


def proportional(size: torch.Tensor, n: float, s1: float, s2: float) -> Raw:
    """Opening and sliding in one direction by the given sizes, with everything the laws read."""
    slide = math.hypot(s1, s2)
    return {
        "normal_separation": n * size,
        "pen": 0.0 * size,
        "tangential_separation_1": s1 * size,
        "tangential_separation_2": s2 * size,
        "tangential_separation": slide * size,
        "effective_separation": math.hypot(n, slide) * size,
        "damage~1": 0.0 * size,
    }


def outputs(model: Model, inputs: Raw) -> Raw:
    found = model.evaluate({n: inputs[n] for n in model.input_spec})
    return {n: v.data.detach() for n, v in found.items()}


def energies(model: Model, size: torch.Tensor, way: tuple[float, float, float]) -> torch.Tensor:
    """Areas under the normal and the shear traction along one way, by the trapezoidal rule."""
    inputs = proportional(size, *way)
    traction = outputs(model, inputs)["traction"]
    normal = torch.trapezoid(traction[:, 0], inputs["normal_separation"])
    shear = sum(
        torch.trapezoid(traction[:, i], inputs[f"tangential_separation_{i}"]) for i in (1, 2)
    )
    return torch.stack([normal, torch.as_tensor(shear)])


def corners(model: Model, way: tuple[float, float, float]) -> torch.Tensor:
    """Sizes at which the bilinear law bends: the trapezoidal rule between them is exact."""
    probe = proportional(f64(1.0), *way)
    found: Raw = {}
    for member in list(model.children())[:3]:
        found |= outputs(member, {**probe, **found})  # type: ignore[arg-type]
    effective = float(probe["effective_separation"])
    c, f = (float(found[n]) / effective for n in ("critical_separation", "full_separation"))
    return f64([0.0, c, f, 2.0 * f])


# -- bilinear law ----------------------------------------------------------------------------


@full
def test_pure_modes_take_their_strength_and_their_fracture_energy(criterion: str) -> None:
    model = mixed_mode(FULL[criterion])
    for way, strength, energy in (
        ((1.0, 0.0, 0.0), NORMAL, f64([GI, 0.0])),
        ((0.0, 1.0, 0.0), SHEAR, f64([0.0, GII])),
        ((0.0, 0.6, -0.8), SHEAR, f64([0.0, GII])),
    ):
        size = corners(model, way)
        traction = outputs(model, proportional(size, *way))["traction"]
        assert close(traction[1].norm(), f64(strength), 1e-11)
        assert close(energies(model, size, way), energy, 1e-11)


@full
@pytest.mark.parametrize("beta", [0.05, 0.3, 1.0, 4.0, 50.0])
def test_mixed_modes_meet_the_criteria(criterion: str, beta: float) -> None:
    """Onset at (t_n/N)^2 + (t_s/S)^2 = 1, and the criterion holds between the areas under the
    two traction curves."""
    model = mixed_mode(FULL[criterion])
    way = (1.0, 0.28 * beta, 0.96 * beta)
    size = corners(model, way)
    found = outputs(model, proportional(size, *way))
    normal, *shear = found["traction"][1]
    onset = (normal / NORMAL) ** 2 + sum(t**2 for t in shear) / SHEAR**2
    # The machine precision in the onset is 3e-12 of its denominator here.
    assert close(onset, f64(1.0), 1e-11)
    assert close(found["damage"], f64([0.0, 0.0, 1.0, 1.0]), 1e-14)
    one, two = energies(model, size, way)
    if criterion == "BK":
        assert close(one + two, GI + (GII - GI) * (two / (one + two)) ** ETA, 1e-11)
    else:
        assert close((one / GI) ** ETA + (two / GII) ** ETA, f64(1.0), 1e-11)


@full
def test_a_vanishing_opening_tends_to_pure_sliding(criterion: str) -> None:
    """The opened branch meets the closed one: no jump between contact and sliding."""
    model = mixed_mode(FULL[criterion])
    closed = outputs(model, mixed_jump(0.0, 0.012))["traction"]
    opened = outputs(model, mixed_jump(1e-9, 0.012))["traction"]
    assert float(closed[1]) > 50.0 and close(closed, opened, 1e-6)


@full
def test_damage_never_falls_and_the_tractions_are_secant(criterion: str) -> None:
    """Along random walks the traction is (1 - d) K times the jump, and K times penetration."""
    model = mixed_mode(FULL[criterion])
    jumps = torch.cumsum(0.002 * torch.randn(400, 16, 2, dtype=torch.float64), 0)
    damage, grew, kept = torch.zeros(16).double(), 0, 0
    for jump in jumps:
        opening, slide = jump[:, 0].clamp(min=0.0), jump[:, 1]
        inputs = {
            "normal_separation": opening,
            "pen": jump[:, 0].clamp(max=0.0),
            "tangential_separation_1": slide,
            "tangential_separation_2": 0.0 * slide,
            "tangential_separation": slide.abs(),
            "effective_separation": torch.hypot(opening, slide),
            "damage~1": damage,
        }
        found = outputs(model, inputs)
        assert bool((found["damage"] >= damage).all() and (found["damage"] <= 1.0).all())
        grew += int((found["damage"] > damage).sum())
        kept += int(((found["damage"] == damage) & (damage > 0.0) & (damage < 1.0)).sum())
        damage = found["damage"]
        normal = (1.0 - damage) * K * opening + K * inputs["pen"]
        expected = torch.stack([normal, (1.0 - damage) * K * slide, 0.0 * slide], -1)
        assert close(found["traction"], expected)
    assert grew > 50 and kept > 50 and bool((damage == 1.0).any())


def test_a_brittle_interface_breaks_at_once() -> None:
    """Where the full separation is not above the critical one, there is no softening."""
    model = m.BilinearTraction(**{**BILINEAR, "full_separation": 0.004})
    size = f64([0.003, 0.0059, 0.006, 0.01])
    found = outputs(model, proportional(size, 1.0, 0.0, 0.0))
    assert torch.equal(found["damage"], f64([0.0, 0.0, 1.0, 1.0]))
    assert torch.equal(found["traction"][:, 0], f64([30.0, 59.0, 0.0, 0.0]))


def test_criteria_may_be_given_as_models_or_as_variables() -> None:
    beta = m.ModeMixity(label="mixity")
    onset = m.CamanhoDavilaCriticalSeparation(**STRENGTHS, mode_mixity=beta, label="onset")
    failure = m.PowerLawFullSeparation(
        **TOUGHNESSES, mode_mixity=beta, critical_separation=onset, label="failure"
    )
    nested = m.BilinearTraction(
        penalty_stiffness=K, critical_separation=onset, full_separation=failure, **CONTACT
    )
    inputs = mixed_jump(0.007, 0.005)
    flat = outputs(mixed_mode(m.PowerLawFullSeparation), inputs)
    assert set(nested.input_spec) == set(mixed_mode(m.PowerLawFullSeparation).input_spec)
    for name, value in outputs(nested, inputs).items():
        assert close(value, flat[name], 1e-15)


# -- exponential law -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("way", "peak", "length", "energy"),
    [
        ((1.0, 0.0, 0.0), 60.0, 0.008, math.e * 60.0 * 0.008),
        ((0.0, 1.0, 0.0), 90.0, 0.009, math.sqrt(math.e) * 90.0 * 0.009),
        ((0.0, 0.6, 0.8), 90.0, 0.009, math.sqrt(math.e) * 90.0 * 0.009),
    ],
)
def test_exponential_law_has_its_strengths_and_energies(
    way: tuple[float, float, float], peak: float, length: float, energy: float
) -> None:
    """e T Delta of opening and sqrt(e) T Delta of sliding."""
    model = m.SalehaniIraniTraction(**EXPONENTIAL, **CONTACT)
    near = length * torch.linspace(0.99, 1.01, 201, dtype=torch.float64)
    size = outputs(model, proportional(near, *way))["traction"].norm(dim=-1)
    assert int(size.argmax()) == 100 and close(size[100], f64(peak), 1e-12)
    # The rule's error on 4e5 intervals over 40 lengths is h^2/12 of the slopes at the ends.
    fine = length * torch.linspace(0.0, 40.0, 400001, dtype=torch.float64)
    assert close(energies(model, fine, way).sum(), f64(energy), 1e-8)


def test_exponential_law_unloads_to_the_origin() -> None:
    model = m.SalehaniIraniTraction(**EXPONENTIAL, **CONTACT)
    peak = outputs(model, proportional(f64(0.012), 0.8, 0.5, -0.3))
    back = proportional(f64([0.009, 0.003, 0.0]), 0.8, 0.5, -0.3)
    back["damage~1"] = peak["damage"].expand(3)
    found = outputs(model, back)
    assert torch.equal(found["damage"], back["damage~1"]) and float(peak["damage"]) > 0.5
    assert close(found["traction"], f64([0.75, 0.25, 0.0]).unsqueeze(-1) * peak["traction"], 1e-14)


# -- contact and tangents ----------------------------------------------------------------------


def laws(**contact: str) -> dict[str, tuple[Model, float, float, float]]:
    """Each law with its initial normal and tangential stiffness and that of contact."""
    linear = m.OrthotropicLinearTraction(**LINEAR, **contact)
    bilinear = m.BilinearTraction(**BILINEAR, **contact)
    exponential = m.SalehaniIraniTraction(**EXPONENTIAL, **contact)
    shear = math.sqrt(math.e) * 90.0 / 0.009
    return {
        "linear": (linear, 1.2e4, 7e3, 5e4),
        "bilinear": (bilinear, K, K, K),
        "exponential": (exponential, math.e * 60.0 / 0.008, shear, 5e4),
    }


@pytest.mark.parametrize("damage", [0.0, 0.4, 1.0])
@pytest.mark.parametrize("law", ["linear", "bilinear", "exponential"])
def test_contact_is_not_weakened_by_damage(law: str, damage: float) -> None:
    model, _, _, penalty = laws(**CONTACT)[law]
    inputs = proportional(f64(0.0), 1.0, 0.0, 0.0)
    inputs |= {"pen": f64(-0.002), "damage~1": f64(damage)}
    assert close(outputs(model, inputs)["traction"], f64([-0.002 * penalty, 0.0, 0.0]))
    without = laws()[law][0]
    assert "pen" not in without.input_spec
    assert torch.equal(outputs(without, inputs)["traction"], f64([0.0, 0.0, 0.0]))


@pytest.mark.parametrize("damage", [0.0, 0.4, 1.0])
@pytest.mark.parametrize("law", ["linear", "bilinear", "exponential"])
def test_tangent_at_zero_separation_is_the_damaged_stiffness(law: str, damage: float) -> None:
    model, normal, tangential, penalty = laws(**CONTACT)[law]
    inputs = proportional(f64(0.0), 1.0, 0.0, 0.0) | {"damage~1": f64(damage)}
    inputs = {n: inputs[n] for n in model.input_spec}
    _, jacobian = value_and_jacobian(model, inputs)
    left = 1.0 if law == "linear" else 1.0 - damage
    found = torch.stack([jacobian["traction"][n] for n in JUMPS], -1)
    expected = torch.diag(left * f64([normal, tangential, tangential]))
    assert close(found, expected, 1e-14)
    assert close(jacobian["traction"]["pen"], f64([penalty, 0.0, 0.0]))


@full
def test_softening_tangent_is_the_slope_of_the_line(criterion: str) -> None:
    """-strength / (full - critical separation) in pure opening, 0 after failure, and the
    undamaged stiffness in the closed interface."""
    model = mixed_mode(FULL[criterion])

    def slope(opening: float) -> float:
        _, jacobian = value_and_jacobian(model, mixed_jump(opening, 0.0))
        rows = jacobian["traction"]
        # The effective separation of pure opening is the opening.
        total = rows["normal_separation"][0] + rows["effective_separation"][0]
        return float(total.detach())

    assert slope(0.0) == slope(0.003) == K
    assert abs(slope(0.008) + NORMAL / (2.0 * GI / NORMAL - NORMAL / K)) < 1e-9 * K
    assert slope(0.02) == 0.0
