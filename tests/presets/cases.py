"""One short deck per preset, as `[Models/steel]`, for the tests beside this file."""

from __future__ import annotations

import torch

from neml2fe.input import Input
from neml2fe.input.reader import parse_deck
from neml2fe.models import ComposedModel

ISOTROPIC = "elasticity = 'isotropic(E = 200e3, nu = 0.3)'"
COMBINED = f"""
    type = J2Viscoplasticity
    {ISOTROPIC}
    yield_stress = 100
    isotropic_hardening = 'voce(R = 100, d = 1.2)'
    kinematic_hardening = 'chaboche(C = 1e4, g = 100, A = 1e-8, a = 1.2) + linear(H = 1000)'
    flow = 'perzyna(eta = 100, n = 4)'
"""
CASES: dict[str, str] = {
    "elastic": f"type = LinearElasticity\n {ISOTROPIC}",
    "thermoelastic": f"""
    type = LinearElasticity
    {ISOTROPIC}
    thermal_expansion = 1.2e-5
    reference_temperature = 293.15
    """,
    "cubic": "type = LinearElasticity\n elasticity = 'cubic(E = 6e4, nu = 0.35, G = 4e4)'",
    "maxwell": f"""
    type = GeneralizedMaxwell
    {ISOTROPIC}
    branches = 'maxwell(E = 0.5, eta = 1) + maxwell(E = 0.25, eta = 10)'
    """,
    "creep": f"type = Creep\n {ISOTROPIC}\n flow = 'norton(eta = 4e3, n = 5)'",
    "combined": COMBINED,
    "thermoviscoplastic": f"""{COMBINED}
    thermal_expansion = 1.2e-5
    reference_temperature = 293.15
    """,
    "recovery": f"""
    type = J2Viscoplasticity
    {ISOTROPIC}
    yield_stress = 100
    isotropic_hardening = 'voce(R = 50, d = 12) + voce_slope(R = 100, theta0 = 2e3)'
    isotropic_recovery = 'power(tau = 900, n = 3)'
    kinematic_hardening = 'armstrong_frederick(C = 1e4, g = 100)'
    kinematic_recovery = 'power(tau = 900, n = 3)'
    flow = 'perzyna(eta = 100, n = 4)'
    """,
    "plastic": f"""
    type = J2Plasticity
    {ISOTROPIC}
    yield_stress = 100
    isotropic_hardening = 'linear(K = 2000)'
    kinematic_hardening = 'linear(H = 1000)'
    """,
    "hill": f"""
    type = J2Plasticity
    {ISOTROPIC}
    yield_stress = 100
    isotropic_hardening = 'swift(K = 500, e0 = 0.01, n = 0.2)'
    equivalent_stress = 'hill48(F = 0.4, G = 0.6, H = 0.4, N = 1.8)'
    """,
    "radial_return": f"""
    type = J2RadialReturn
    {ISOTROPIC}
    yield_stress = 100
    isotropic_hardening = 'linear(K = 500) + voce(R = 80, d = 30)'
    """,
    "viscous_radial_return": f"""
    type = J2RadialReturn
    {ISOTROPIC}
    yield_stress = 100
    isotropic_hardening = 'voce(R = 80, d = 30)'
    flow = 'perzyna(eta = 100, n = 4)'
    """,
    "drucker_prager": """
    type = DruckerPrager
    elasticity = 'isotropic(E = 2e4, nu = 0.25)'
    yield_stress = 10
    friction = 0.2
    isotropic_hardening = 'linear(K = 300)'
    """,
    "viscous_drucker_prager": """
    type = DruckerPrager
    elasticity = 'isotropic(E = 2e4, nu = 0.25)'
    yield_stress = 10
    friction = 0.2
    dilatancy = 0.05
    isotropic_hardening = 'linear(K = 300)'
    flow = 'perzyna(eta = 5, n = 3)'
    """,
}


def source(body: str, more: str = "") -> Input:
    return Input(parse_deck(f"[Models]\n [steel]\n {body}\n []\n[]\n{more}", "short.i"))


def steel(body: str, more: str = "") -> ComposedModel:
    model = source(body, more).get_model("steel")
    assert isinstance(model, ComposedModel)
    return model


def f64(values: object) -> torch.Tensor:
    return torch.as_tensor(values, dtype=torch.float64)
