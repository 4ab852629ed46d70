"""Every preset in uniaxial tests against closed forms."""

from __future__ import annotations

import math

import pytest
import torch
from cases import CASES, ISOTROPIC, f64, steel

from neml2fe.drivers import MixedControlDriver
from neml2fe.material import Material
from neml2fe.types import SR2, Scalar

E, NU = 200e3, 0.3
UNIAXIAL = ("strain", *["stress"] * 5)


def first(values: torch.Tensor) -> SR2:
    """Histories `(n,)` of the component 11, the others zero."""
    return SR2(torch.nn.functional.pad(values.unsqueeze(-1), (0, 5)))


def pull(body: str, strains: torch.Tensor, dt: float, **more: Scalar) -> dict[str, torch.Tensor]:
    """Outputs by name, `(n_steps, *base)`, along prescribed axial strains."""
    times = Scalar(dt * torch.arange(len(strains)).double())
    driver = MixedControlDriver(steel(body), times, UNIAXIAL, first(strains), prescribed=more)
    return outputs(driver)


def outputs(driver: MixedControlDriver) -> dict[str, torch.Tensor]:
    history = driver.run()
    last = {**history.inputs[-1], **history.outputs[-1]}
    found = {}
    for name in last:
        rows = [{**i, **o} for i, o in zip(history.inputs, history.outputs, strict=True)][1:]
        found[name] = torch.stack([row[name] for row in rows])
    return found


def ramp(to: float, n: int) -> torch.Tensor:
    return torch.linspace(0.0, to, n + 1, dtype=torch.float64)


def test_thermoelasticity() -> None:
    strains = ramp(1e-3, 2)
    hot = Scalar(f64([293.15, 393.15, 393.15]))
    found = pull(CASES["thermoelastic"], strains, 1.0, temperature=hot)
    expected = E * (strains[1:] - 1.2e-5 * 100.0)
    torch.testing.assert_close(found["stress"][:, 0], expected, rtol=1e-12, atol=1e-9)
    assert found["stress"][:, 1:].abs().max() < 1e-8


def test_cubic_elasticity_in_its_axes_and_turned() -> None:
    """Along a cube's axis Young's modulus is E; along a diagonal of a face it follows from the
    compliance: 1/E' = (s11 + s12) / 2 + s44 / 4."""
    young, nu, shear = 6e4, 0.35, 4e4
    found = pull(CASES["cubic"], ramp(1e-3, 1), 1.0)
    assert float(found["stress"][0, 0]) == pytest.approx(young * 1e-3, rel=1e-11)
    axes = f"MRP(torch.tensor([0.0, 0.0, {math.tan(math.pi / 16)}]))"
    more = f"[Tensors]\n [axes]\n type = Python\n expr = '{axes}'\n []\n[]"
    model = steel(CASES["cubic"] + "\n orientation = 'axes'", more)
    driver = MixedControlDriver(model, Scalar(f64([0.0, 1.0])), UNIAXIAL, first(ramp(1e-3, 1)))
    diagonal = 1.0 / ((1.0 - nu) / young / 2.0 + 1.0 / shear / 4.0)
    assert float(outputs(driver)["stress"][0, 0]) == pytest.approx(diagonal * 1e-3, rel=1e-11)


def test_relaxation_of_maxwell_branches() -> None:
    """At a held strain each branch decays by 1 / (1 + dt / tau) a step."""
    strains = torch.cat([f64([0.0]), torch.full((20,), 1e-3, dtype=torch.float64)])
    found = pull(CASES["maxwell"], strains, 0.5)
    k = torch.arange(1, 21).double()
    left = [(modulus, (1.0 + 0.5 * modulus / eta) ** -k) for modulus, eta in ((0.5, 1), (0.25, 10))]
    expected = E * 1e-3 * (1.0 + sum(modulus * decay for modulus, decay in left))
    torch.testing.assert_close(found["stress"][:, 0], expected, rtol=1e-10, atol=0.0)


def test_creep_under_constant_stress() -> None:
    times = Scalar(f64([0.0, 10.0, 20.0, 50.0]))
    loads = first(f64([0.0, 250.0, 250.0, 250.0]))
    driver = MixedControlDriver(
        steel(CASES["creep"]), times, ("stress",) * 6, prescribed_stress=loads
    )
    expected = 250.0 / E + times.data[1:] * (250.0 / 4e3) ** 5
    torch.testing.assert_close(outputs(driver)["strain"][:, 0], expected, rtol=1e-9, atol=0.0)


def test_combined_linear_hardening() -> None:
    """sigma = sy + (K + 3/2 H) ep in tension; reversed, the elastic range is 2 (sy + K ep)."""
    strains = torch.cat([ramp(4e-3, 4), ramp(4e-3, 24).flip(0)])
    found = pull(CASES["plastic"], strains, 1.0)
    slope = 2000.0 + 1.5 * 1000.0
    tangent = E * slope / (E + slope)
    expected = 100.0 + tangent * (strains[1:5] - 100.0 / E)
    torch.testing.assert_close(found["stress"][:4, 0], expected, rtol=1e-10, atol=0.0)
    ep, peak = found["equivalent_plastic_strain"][3], found["stress"][3, 0]
    torch.testing.assert_close(ep, (peak - 100.0) / slope, rtol=1e-9, atol=0.0)
    back = found["stress"][4:, 0]
    elastic = back > peak - 2.0 * (100.0 + 2000.0 * ep)
    unloaded = peak - E * (4e-3 - strains[5:])
    torch.testing.assert_close(back[elastic], unloaded[elastic], rtol=1e-9, atol=1e-7)
    yields = peak - 2.0 * (100.0 + 2000.0 * ep)
    beyond = yields + tangent * (strains[5:] - (4e-3 - (peak - yields) / E))
    assert int((~elastic).sum()) > 5
    torch.testing.assert_close(back[~elastic], beyond[~elastic], rtol=1e-9, atol=1e-7)


def test_steady_viscoplastic_flow() -> None:
    """All hardening saturated: sy + R + sqrt(2/3) C/g + sqrt(3/2) eta (sqrt(3/2) rate)^(1/n)."""
    body = f"""
    type = J2Viscoplasticity
    {ISOTROPIC}
    yield_stress = 100
    isotropic_hardening = 'voce(R = 30, d = 400)'
    kinematic_hardening = 'armstrong_frederick(C = 1e4, g = 400)'
    flow = 'perzyna(eta = 100, n = 4)'
    """
    rate = 1e-3
    found = pull(body, ramp(0.2, 20), 10.0)
    rise = math.sqrt(1.5) * 100.0 * (math.sqrt(1.5) * rate) ** 0.25
    steady = 100.0 + 30.0 + math.sqrt(2.0 / 3.0) * 1e4 / 400.0 + rise
    assert float(found["stress"][-1, 0]) == pytest.approx(steady, rel=1e-10)


def test_static_recovery_balances_hardening() -> None:
    """Steady flow: theta0 (1 - h/R) g = (h/tau)^n and 2/3 C N g - g_d X g = (|X|/tau)^n X/|X|
    with the flow rate g = sqrt(3/2) times the strain rate."""
    body = f"""
    type = J2Viscoplasticity
    {ISOTROPIC}
    yield_stress = 100
    isotropic_hardening = 'voce_slope(R = 100, theta0 = 2e4)'
    isotropic_recovery = 'power(tau = 50, n = 1)'
    kinematic_hardening = 'armstrong_frederick(C = 1e4, g = 400)'
    kinematic_recovery = 'power(tau = 50, n = 1)'
    flow = 'perzyna(eta = 100, n = 4)'
    """
    found = pull(body, ramp(0.4, 20), 20.0)
    flow = math.sqrt(1.5) * 1e-3
    h = 2e4 * flow / (2e4 * flow / 100.0 + 1.0 / 50.0)
    x = 2.0 / 3.0 * 1e4 * flow / (400.0 * flow + 1.0 / 50.0)
    steady = 100.0 + h + math.sqrt(1.5) * x + math.sqrt(1.5) * 100.0 * flow**0.25
    assert float(found["stress"][-1, 0]) == pytest.approx(steady, rel=1e-9)


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_drucker_prager_in_tension_and_compression(sign: float) -> None:
    """|sigma| (1 +- friction) = sy + K ep, with the axial plastic strain (+-1 + friction) ep."""
    strains = sign * ramp(5e-3, 5)
    found = pull(CASES["drucker_prager"], strains, 1.0)
    ep, stress = found["equivalent_plastic_strain"], found["stress"][:, 0]
    assert float(ep[-1]) > 1e-3
    side = 1.0 + sign * 0.2
    torch.testing.assert_close(stress.abs() * side, 10.0 + 300.0 * ep, rtol=1e-9, atol=1e-8)
    plastic = strains[1:] - stress / 2e4
    torch.testing.assert_close(plastic, sign * side * ep, rtol=1e-8, atol=1e-11)


def test_dilatancy_gives_the_change_of_volume() -> None:
    found = pull(CASES["viscous_drucker_prager"], -ramp(5e-3, 5), 1.0)
    volume = found["plastic_strain"][-1, :3].sum()
    ep = found["equivalent_plastic_strain"][-1]
    torch.testing.assert_close(volume, 3.0 * 0.05 * ep, rtol=1e-9, atol=0.0)


def test_hill_yields_later_across() -> None:
    """Along 1 and 2 the yield stresses are sy / sqrt(G + H) and sy / sqrt(F + H)."""
    hill = "equivalent_stress = 'hill48(F = 0.4, G = 0.6, H = 0.4, N = 1.8)'"
    body = CASES["hill"].replace("K = 500", "K = 1e-6")
    assert hill in body
    for component, factor in ((0, 1.0), (1, 0.8)):
        strain = torch.roll(first(ramp(5e-3, 4)).data, component, -1)
        control = tuple("strain" if k == component else "stress" for k in range(6))
        times = Scalar(torch.arange(5).double())
        driver = MixedControlDriver(steel(body), times, control, SR2(strain))
        stress = float(outputs(driver)["stress"][-1, component])
        assert stress == pytest.approx(100.0 / math.sqrt(factor), rel=1e-8)


@pytest.mark.parametrize("flow", ["", "\n flow = 'perzyna(eta = 100, n = 12)'"])
def test_radial_return_is_the_full_update(flow: str) -> None:
    """Both integrate the same equations, here in steps of up to 2 %."""
    body = CASES["radial_return"] + flow
    full = "J2Viscoplasticity" if flow else "J2Plasticity"
    models = [steel(body), steel(body.replace("J2RadialReturn", full))]
    way = 0.02 * torch.randn(4, 6, dtype=torch.float64)
    materials = [Material(model) for model in models]
    states = [material.initial_state(4) for material in materials]
    strain = torch.zeros_like(way)
    for k in range(8):
        strain = strain + (1.0 if k < 3 else -0.4) * way
        results = [
            m.update(strain, s, k + 1.0, 1.0) for m, s in zip(materials, states, strict=True)
        ]
        states = [r.state for r in results]
        for a, b in (
            (results[0].stress, results[1].stress),
            (results[0].tangent, results[1].tangent),
        ):
            assert a is not None and b is not None
            torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9 * float(b.abs().max()))
