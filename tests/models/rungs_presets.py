"""Presets at a step in which all their laws act."""

from __future__ import annotations

from ladder import Raw, f64
from rung import STRAIN, Rung

import neml2fe.presets as p
from neml2fe.models import Model

ISOTROPIC = "isotropic(E = 5e2, nu = 0.3)"  # soft: all residuals are of about one size
VISCOUS = "perzyna(eta = 30, n = 2)"
OLD_STRAIN = 0.6 * STRAIN
FLOWED = 0.25 * f64([0.004, -0.002, -0.002, 0.001, 0.0, 0.002])


def at(
    make: type[Model],
    state: Raw | None = None,
    input_degree: int | None = None,
    **fields: object,
) -> Rung:
    def model() -> Model:
        return make(**fields)

    def inputs() -> Raw:
        known = {
            "strain": STRAIN, "strain~1": OLD_STRAIN, "t": f64(2.0), "t~1": f64(1.5),
            "temperature": f64(340.0), **(state or {}),
        }  # fmt: skip
        return {name: known[name] for name in model().input_spec}

    return Rung(model, inputs, input_degree=input_degree)


PLASTIC = {"plastic_strain~1": FLOWED, "equivalent_plastic_strain~1": f64(0.0012)}

RUNGS: dict[str, Rung] = {
    "LinearElasticity": at(
        p.LinearElasticity,
        input_degree=1,
        elasticity=ISOTROPIC,
        thermal_expansion=2e-5,
        reference_temperature=300.0,
    ),
    "GeneralizedMaxwell": at(
        p.GeneralizedMaxwell,
        state={"viscous_strain_1~1": FLOWED, "viscous_strain_2~1": 0.5 * FLOWED},
        elasticity=ISOTROPIC,
        branches="maxwell(E = 0.5, eta = 0.4) + maxwell(E = 1.5, eta = 8)",
    ),
    "Creep": at(
        p.Creep,
        state={"creep_strain~1": FLOWED},
        elasticity=ISOTROPIC,
        flow="norton(eta = 30, n = 2)",
    ),
    "J2Plasticity": at(
        p.J2Plasticity,
        state=PLASTIC,
        elasticity=ISOTROPIC,
        yield_stress=0.5,
        isotropic_hardening="linear(K = 150)",
        kinematic_hardening="linear(H = 40)",
    ),
    "J2Viscoplasticity": at(
        p.J2Viscoplasticity,
        state={
            **PLASTIC,
            "back_stress~1": 90.0 * FLOWED,
            "isotropic_hardening_voce_slope~1": f64(1.0),
        },
        elasticity=ISOTROPIC,
        yield_stress=0.5,
        isotropic_hardening="voce(R = 3, d = 20) + voce_slope(R = 4, theta0 = 50)",
        isotropic_recovery="power(tau = 30, n = 2)",
        kinematic_hardening="chaboche(C = 200, g = 25, A = 1e-2, a = 2.2)",
        kinematic_recovery="power(tau = 30, n = 3)",
        flow=VISCOUS,
    ),
    "J2RadialReturn": at(
        p.J2RadialReturn,
        state=PLASTIC,
        elasticity=ISOTROPIC,
        yield_stress=0.5,
        isotropic_hardening="voce(R = 3, d = 20)",
        flow=VISCOUS,
    ),
    "DruckerPrager": at(
        p.DruckerPrager,
        state={**PLASTIC, "strain": -STRAIN, "strain~1": -OLD_STRAIN, "plastic_strain~1": -FLOWED},
        elasticity=ISOTROPIC,
        yield_stress=0.5,
        friction=0.004,  # flat enough for the large changes of the coarsest differences
        dilatancy=0.0015,
        isotropic_hardening="linear(K = 150)",
        flow=VISCOUS,
    ),
}
