"""Porous and Kocks-Mecking plasticity, radial return, recovery of hardening."""

from __future__ import annotations

from ladder import Raw, f64
from rung import ELASTIC, NONE, STRESS, ZERO, Kink, Rung, rung

import neml2fe.models as m
from neml2fe.models import Model

ACTIVATION = {"shear_modulus": 7.5e4, "k": 1.38e-20, "b": 2.5e-7}
DIAGRAM = {"A": -8.7, "B": -3.2, "C": -5.1}
REFERENCE_RATE = 1e10


def diagram(*names: str) -> dict[str, float]:
    return {name: DIAGRAM[name] for name in names}


RUNGS: dict[str, Rung] = {
    "AssociativeJ2FlowDirection": rung(m.AssociativeJ2FlowDirection, {}, {"mandel_stress": STRESS}),
    "GTNYieldFunction": rung(
        m.GTNYieldFunction,
        {"yield_stress": 100.0, "q1": 1.25, "q2": 1.1, "q3": 1.6, "isotropic_hardening": "h"},
        {
            "flow_invariant": f64(90.0),
            "poro_invariant": f64(120.0),
            "void_fraction": f64(0.08),
            "h": f64(20.0),
        },
    ),
    "GursonCavitation": rung(
        m.GursonCavitation,
        {},
        {"plastic_strain_rate": STRESS, "void_fraction": f64(0.08)},
        degree=2,
    ),
    "OlevskySinteringStress": rung(
        m.OlevskySinteringStress,
        {"surface_tension": 1.7, "particle_radius": 0.02},
        {"void_fraction": f64(0.3)},
        input_degree=2,
    ),
    "KocksMeckingActivationEnergy": rung(
        m.KocksMeckingActivationEnergy,
        {**ACTIVATION, "eps0": REFERENCE_RATE},
        {"temperature": f64(600.0), "strain_rate": f64(1e-3)},
    ),
    "KocksMeckingFlowSwitch": rung(
        m.KocksMeckingFlowSwitch,
        {"g0": 0.22, "sharpness": 12.0},
        {
            "activation_energy": f64(0.25),
            "rate_independent_flow_rate": f64(0.3),
            "rate_dependent_flow_rate": f64(0.2),
        },
    ),
    "KocksMeckingFlowViscosity": rung(
        m.KocksMeckingFlowViscosity,
        {**ACTIVATION, **diagram("A", "B"), "eps0": REFERENCE_RATE},
        {"temperature": f64(600.0)},
    ),
    "KocksMeckingRateSensitivity": rung(
        m.KocksMeckingRateSensitivity,
        {**ACTIVATION, **diagram("A")},
        {"temperature": f64(600.0)},
    ),
    "KocksMeckingIntercept": rung(
        m.KocksMeckingIntercept, {**diagram("B", "C"), "A": "slope"}, {"slope": f64(-8.7)}
    ),
    "KocksMeckingYieldStress": rung(
        m.KocksMeckingYieldStress, {"C": "c", "shear_modulus": 7.5e4}, {"c": f64(-5.1)}
    ),
    "LinearIsotropicElasticJ2TrialStressUpdate": rung(
        m.LinearIsotropicElasticJ2TrialStressUpdate,
        ELASTIC,
        {
            "elastic_trial_stress": f64(300.0),
            "equivalent_plastic_strain": f64(0.003),
            "equivalent_plastic_strain~1": f64(0.002),
        },
        input_degree=1,
    ),
    "SlopeSaturationVoceIsotropicHardening": rung(
        m.SlopeSaturationVoceIsotropicHardening,
        {"saturated_hardening": 90.0, "initial_hardening_rate": 1100.0},
        {"flow_rate": f64(0.3), "isotropic_hardening": f64(40.0)},
        input_degree=2,
    ),
    "PowerLawIsotropicHardeningStaticRecovery": rung(
        m.PowerLawIsotropicHardeningStaticRecovery,
        {"tau": 200.0, "n": 3.2},
        {"isotropic_hardening": f64(60.0)},
    ),
    "PowerLawKinematicHardeningStaticRecovery": rung(
        m.PowerLawKinematicHardeningStaticRecovery,
        {"tau": 200.0, "n": 3.2},
        {"back_stress": STRESS},
    ),
}


def switched_flow() -> Model:
    """Rate-dependent at rest, where the activation energy is infinite."""
    return m.ComposedModel(
        models=[
            m.KocksMeckingActivationEnergy(**ACTIVATION, eps0=REFERENCE_RATE),
            m.KocksMeckingFlowSwitch(
                g0=0.22,
                sharpness=12.0,
                rate_independent_flow_rate="independent",
                rate_dependent_flow_rate="dependent",
            ),
        ]
    )


AT_REST: Raw = {
    "temperature": f64(600.0),
    "strain_rate": ZERO,
    "independent": f64(0.3),
    "dependent": f64(0.2),
}
EXPONENTS = (0.5, 1.0, 1.5, 2.0, 3.0, 4.5)

KINKS: dict[str, Kink] = {
    "J2 direction at zero stress": Kink(
        lambda: m.AssociativeJ2FlowDirection(), {"mandel_stress": NONE}, {"flow_direction": NONE}
    ),
    "J2 direction of a pressure": Kink(
        lambda: m.AssociativeJ2FlowDirection(),
        {"mandel_stress": f64([4.0, 4.0, 4.0, 0.0, 0.0, 0.0])},
        {"flow_direction": NONE},
    ),
    **{
        f"isotropic recovery at zero, n = {n}": Kink(
            lambda n=n: m.PowerLawIsotropicHardeningStaticRecovery(tau=200.0, n=n),
            {"isotropic_hardening": ZERO},
            {"isotropic_hardening_rate": ZERO},
        )
        for n in EXPONENTS
    },
    **{
        f"kinematic recovery at zero, n = {n}": Kink(
            lambda n=n: m.PowerLawKinematicHardeningStaticRecovery(tau=200.0, n=n),
            {"back_stress": NONE},
            {"back_stress_rate": NONE},
        )
        for n in EXPONENTS
    },
    "slope saturation Voce without flow": Kink(
        lambda: m.SlopeSaturationVoceIsotropicHardening(
            saturated_hardening=90.0, initial_hardening_rate=1100.0
        ),
        {"flow_rate": ZERO, "isotropic_hardening": ZERO},
        {"isotropic_hardening_rate": ZERO},
    ),
    "activation energy at rest": Kink(
        lambda: m.KocksMeckingActivationEnergy(**ACTIVATION, eps0=REFERENCE_RATE),
        {"temperature": f64(600.0), "strain_rate": ZERO},
    ),
    "switched flow at rest": Kink(switched_flow, AT_REST, {"flow_rate": f64(0.2)}),
    "GTN without stress and voids": Kink(
        lambda: m.GTNYieldFunction(yield_stress=100.0, q1=1.25, q2=1.1, q3=1.6),
        {"flow_invariant": ZERO, "poro_invariant": ZERO, "void_fraction": ZERO},
        {"yield_function": f64(-1.0)},
    ),
    "Voce at zero strain": Kink(
        lambda: m.VoceIsotropicHardening(saturated_hardening=90.0, saturation_rate=12.0),
        {"equivalent_plastic_strain": ZERO},
        {"isotropic_hardening": ZERO},
    ),
}
