"""Laws beyond the peer: anisotropic yield, Johnson-Cook, friction, damage, networks."""

from __future__ import annotations

import torch
from ladder import f64
from rung import ELASTIC, NONE, STRAIN, STRESS, ZERO, Kink, Rung, rung

import neml2fe.models as m
from neml2fe.implicit import ImplicitUpdate, Newton, NonlinearSystem
from neml2fe.models import ComposedModel, Model

S = {"mandel_stress": STRESS}
HILL = {"F": 0.4, "G": 0.55, "H": 0.5, "L": 1.4, "M": 1.6, "N": 1.8}
ALPHA = [0.4865, 1.3783, 0.7536, 1.0246, 1.0363, 0.9036, 1.2321, 1.4858]  # Al 2090-T3
PRIME = [0.9, 1.1, 0.95, 1.05, 0.85, 1.15, 1.1, 0.9, 1.05]
SECOND = [1.1, 0.85, 1.0, 0.9, 1.1, 0.95, 0.9, 1.05, 1.2]
TURN = f64([0.1, -0.2, 0.15])
JOHNSON_COOK = {
    "rate_sensitivity": 0.014,
    "reference_rate": 0.5,
    "thermal_exponent": 1.1,
    "reference_temperature": 290.0,
    "melting_temperature": 1800.0,
    "temperature": "T",
    "equivalent_plastic_strain_rate": "rate",
}
SOIL = {
    "youngs_modulus": 2e4,
    "poissons_ratio": 0.25,
    "cohesion": 10.0,
    "hardening_modulus": 300.0,
    "friction_angle": 30.0,
    "dilatancy_angle": 12.0,
}
VIRGIN = {"plastic_strain~1": NONE, "equivalent_plastic_strain~1": ZERO}
ON_A_PLANE = f64([-2.0, -1.0, 1.4, 0.2, 0.1, 0.3]) * 1e-3
STRAINED = {"plastic_strain~1": 0.3 * ON_A_PLANE, "equivalent_plastic_strain~1": f64(0.001)}
SOFTENING = {
    "youngs_modulus": 3e4,
    "strength": 3.0,
    "fracture_energy": 0.1,
    "characteristic_length": 25.0,
}
LEMAITRE = {
    "youngs_modulus": 2e5,
    "poissons_ratio": 0.3,
    "resistance": 2.0,
    "exponent": 1.7,
    "threshold": 0.01,
}


def network(cls: type[Model], inputs: list[str], **fields: object) -> Model:
    torch.manual_seed(1)
    return cls(**{"from": inputs, "layers": [4], **fields})


RUNGS: dict[str, Rung] = {
    "Hill48Stress": rung(
        m.Hill48Stress,
        {**HILL, "orientation": "turn"},
        {**S, "turn": TURN},
        isotropic=False,
    ),
    "LankfordHill48Stress": rung(
        m.LankfordHill48Stress, {"r0": 1.8, "r45": 1.2, "r90": 2.2}, S, isotropic=False
    ),
    "HosfordStress": rung(m.HosfordStress, {"exponent": 6.5}, S),
    "Yld2000Stress": rung(m.Yld2000Stress, {"alpha": ALPHA, "exponent": 8.0}, S, isotropic=False),
    "Yld2004Stress": rung(
        m.Yld2004Stress, {"c_prime": PRIME, "c_second": SECOND}, S, isotropic=False
    ),
    "LudwikIsotropicHardening": rung(
        m.LudwikIsotropicHardening,
        {"strength": 300.0, "exponent": 0.3},
        {"equivalent_plastic_strain": f64(0.03)},
    ),
    "SwiftIsotropicHardening": rung(
        m.SwiftIsotropicHardening,
        {"strength": 500.0, "initial_strain": 0.01, "exponent": 0.25},
        {"equivalent_plastic_strain": f64(0.03)},
    ),
    "JohnsonCookFactor": rung(
        m.JohnsonCookFactor, JOHNSON_COOK, {"rate": f64(20.0), "T": f64(700.0)}
    ),
    "JohnsonCookIsotropicHardening": rung(
        m.JohnsonCookIsotropicHardening,
        {**JOHNSON_COOK, "yield_stress": 350.0, "strength": 275.0, "exponent": 0.36},
        {"rate": f64(20.0), "T": f64(700.0), "equivalent_plastic_strain": f64(0.05)},
    ),
    "DruckerPragerReturn": rung(
        m.DruckerPragerReturn, SOIL, {"strain": 1.3 * ON_A_PLANE, **STRAINED}
    ),
    "MohrCoulombReturn": rung(m.MohrCoulombReturn, SOIL, {"strain": 1.3 * ON_A_PLANE, **STRAINED}),
    "EnergyEquivalentStrain": rung(
        m.EnergyEquivalentStrain,
        {"youngs_modulus": 3e4},
        {"strain": STRAIN, "effective_stress": 3e4 * STRAIN + 20.0 * STRAIN.flip(0)},
    ),
    "ModifiedVonMisesStrain": rung(
        m.ModifiedVonMisesStrain,
        {"poissons_ratio": 0.2, "strength_ratio": 10.0},
        {"strain": STRAIN},
    ),
    "IrreversibleMaximum": rung(
        m.IrreversibleMaximum,
        {},
        {"equivalent_strain": f64(0.02), "damage_strain~1": f64(0.01)},
        degree=1,
    ),
    "ExponentialDamage": rung(m.ExponentialDamage, SOFTENING, {"damage_strain": f64(7e-4)}),
    "LinearDamage": rung(m.LinearDamage, SOFTENING, {"damage_strain": f64(7e-4)}),
    "DamagedStress": rung(
        m.DamagedStress, {}, {"effective_stress": STRESS, "damage": f64(0.3)}, degree=2
    ),
    "LemaitreDamageRate": rung(
        m.LemaitreDamageRate,
        LEMAITRE,
        {
            "effective_stress": 4.0 * STRESS,
            "equivalent_plastic_strain": f64(0.05),
            "equivalent_plastic_strain_rate": f64(0.2),
        },
    ),
    "NeuralScalar": Rung(
        lambda: network(m.NeuralScalar, ["x", "y"], to="z", shifts=[0.1, 2.0], scales=[0.5, 3.0]),
        lambda: {"x": f64(0.3), "y": f64(2.5)},
    ),
    "NeuralIsotropicHardening": Rung(
        lambda: network(
            m.NeuralIsotropicHardening, ["ep", "T"], output_scale=80.0, monotone=True, scales=[0.1]
        ),
        lambda: {"ep": f64(0.05), "T": f64(0.02)},
    ),
    "NeuralPlasticFlowRate": Rung(
        lambda: network(m.NeuralPlasticFlowRate, ["f", "T"], viscosity=200.0, scales=[50.0, 1.0]),
        lambda: {"f": f64(30.0), "T": f64(0.4)},
    ),
}


def plastic_update(effective: Model, hardening: Model, yield_stress: float) -> Model:
    """Rate-independent plasticity with the given effective stress and isotropic hardening."""
    flow = ComposedModel(
        models=[
            effective,
            m.YieldFunction(yield_stress=yield_stress, isotropic_hardening="isotropic_hardening"),
        ],
        additional_outputs=["effective_stress"],
        label="flow",
    )
    elastic = [
        m.SR2LinearCombination(from_=["E", "plastic_strain"], to="strain", weights=[1.0, -1.0]),
        m.LinearIsotropicElasticity(**ELASTIC, stress="mandel_stress"),
    ]
    residual = ComposedModel(
        models=[
            *elastic,
            hardening,
            flow,
            m.Normality(
                model=flow,
                function="yield_function",
                from_=["mandel_stress", "isotropic_hardening"],
                to=["flow_direction", "isotropic_hardening_direction"],
            ),
            m.AssociativePlasticFlow(),
            m.AssociativeIsotropicPlasticHardening(),
            m.FBComplementarity(a="yield_function", b="flow_rate"),
            m.SR2BackwardEulerTimeIntegration(variable="plastic_strain"),
            m.ScalarBackwardEulerTimeIntegration(variable="equivalent_plastic_strain"),
        ]
    )
    unknowns = ["plastic_strain", "equivalent_plastic_strain", "flow_rate"]
    residuals = [f"{unknown}_residual" for unknown in unknowns[:2]] + ["complementarity"]
    update = ImplicitUpdate(
        equation_system=NonlinearSystem(residual, unknowns, residuals),
        solver=Newton(abs_tol=1e-11, rel_tol=1e-11),
    )
    kept = ["plastic_strain", "equivalent_plastic_strain"]
    return ComposedModel(models=[update, *elastic], additional_outputs=kept)


def flow(stress: Model) -> Model:
    """Yield function and flow direction, whose derivatives are second ones of the stress."""
    surface = ComposedModel(models=[stress, m.YieldFunction(yield_stress=50.0)], label="surface")
    return m.Normality(model=surface, function="yield_function", from_=["mandel_stress"], to=["N"])


EFFECTIVE = {
    "Hill48Stress": lambda: m.Hill48Stress(**HILL),
    "HosfordStress, a = 2": lambda: m.HosfordStress(exponent=2.0),
    "HosfordStress, a = 2.5": lambda: m.HosfordStress(exponent=2.5),
    "HosfordStress, a = 8": lambda: m.HosfordStress(exponent=8.0),
    "Yld2000Stress": lambda: m.Yld2000Stress(alpha=ALPHA, exponent=6.5),
    "Yld2000Stress, isotropic": lambda: m.Yld2000Stress(alpha=[1.0] * 8, exponent=8.0),
    "Yld2004Stress": lambda: m.Yld2004Stress(c_prime=PRIME, c_second=SECOND),
}
STATES = {
    "zero stress": NONE,
    "pressure": f64([-7.0, -7.0, -7.0, 0.0, 0.0, 0.0]),
    "tension": f64([90.0, 0.0, 0.0, 0.0, 0.0, 0.0]),
    "compression": f64([0.0, -90.0, 0.0, 0.0, 0.0, 0.0]),
    "equal biaxial tension": f64([90.0, 90.0, 0.0, 0.0, 0.0, 0.0]),
    "shear": f64([0.0, 0.0, 0.0, 0.0, 0.0, 80.0]),
    "shear out of plane": f64([0.0, 0.0, 0.0, 80.0, 0.0, 0.0]),
}
KINKS: dict[str, Kink] = {
    **{
        f"{name} in {state}": Kink(lambda make=make: flow(make()), {"mandel_stress": stress})
        for name, make in EFFECTIVE.items()
        for state, stress in STATES.items()
    },
    **{
        f"{cls} of no plastic strain, {n}": Kink(
            lambda cls=cls, n=n: getattr(m, cls)(strength=300.0, exponent=n, initial_strain=1e-4),
            {"equivalent_plastic_strain": ZERO},
            {"isotropic_hardening": ZERO},
        )
        for cls in ("LudwikIsotropicHardening", "SwiftIsotropicHardening")
        for n in (0.2, 1.0, 1.5)
    },
    **{
        f"Johnson-Cook at rate {rate}, T = {T}, smooth = {smooth}": Kink(
            lambda smooth=smooth: m.JohnsonCookFactor(**JOHNSON_COOK, smooth=smooth),
            {"rate": f64(rate), "T": f64(T)},
        )
        for rate in (0.0, 0.5)
        for T in (200.0, 290.0, 1800.0, 2000.0)
        for smooth in (False, True)
    },
    **{
        f"{cls} from {state}": Kink(
            lambda cls=cls: getattr(m, cls)(**SOIL), {"strain": strain, **VIRGIN}
        )
        for cls in ("DruckerPragerReturn", "MohrCoulombReturn")
        for state, strain in {
            "no strain": NONE,
            "expansion to the apex": f64([2e-3, 2e-3, 2e-3, 0.0, 0.0, 0.0]),
            "triaxial compression": f64([1e-3, 1e-3, -3e-3, 0.0, 0.0, 0.0]),
            "triaxial extension": f64([1e-3, -3e-3, -3e-3, 0.0, 0.0, 0.0]),
        }.items()
    },
    "energy of no strain": Kink(
        lambda: ComposedModel(
            models=[
                m.LinearIsotropicElasticity(**ELASTIC, stress="effective_stress"),
                m.EnergyEquivalentStrain(youngs_modulus=2e5),
            ]
        ),
        {"strain": NONE},
        {"equivalent_strain": ZERO},
    ),
    "modified von Mises strain of no strain": Kink(
        lambda: m.ModifiedVonMisesStrain(poissons_ratio=0.2, strength_ratio=10.0),
        {"strain": NONE},
        {"equivalent_strain": ZERO},
    ),
    **{
        f"{cls} at kappa = {kappa}": Kink(
            lambda cls=cls: getattr(m, cls)(**SOFTENING),
            {"damage_strain": f64(kappa)},
            {"damage": ZERO},
        )
        for cls in ("ExponentialDamage", "LinearDamage")
        for kappa in (0.0, 1e-4)
    },
    "Lemaitre without stress": Kink(
        lambda: m.LemaitreDamageRate(**LEMAITRE),
        {
            "effective_stress": NONE,
            "equivalent_plastic_strain": f64(0.05),
            "equivalent_plastic_strain_rate": f64(0.2),
        },
        {"damage_rate": ZERO},
    ),
    "no flow of a network at yield": Kink(
        lambda: network(m.NeuralPlasticFlowRate, ["f", "T"], viscosity=200.0),
        {"f": ZERO, "T": f64(0.4)},
        {"flow_rate": ZERO},
    ),
}
