"""The common building blocks and the J2 family."""

from __future__ import annotations

from functools import cache

from ladder import Raw, f64, plastic_point
from rung import (
    DIRECTION,
    ELASTIC,
    NONE,
    SAMPLES,
    STRAIN,
    STRESS,
    TIMES,
    ZERO,
    Kink,
    Rung,
    rung,
)

import neml2fe.models as m
from neml2fe.implicit import ImplicitUpdate  # registers itself
from neml2fe.models import REGISTRY, ComposedModel, Model


def combination(kind: str) -> Rung:
    a, b = SAMPLES[kind]
    fields = {"from_": ["a", "b"], "to": "c", "weights": [2.0, -0.5]}
    cls = REGISTRY[f"{kind}LinearCombination"]
    return rung(cls, fields, {"a": a, "b": b}, degree=2)


def variable_rate(kind: str) -> Rung:
    a, b = SAMPLES[kind]
    fields = {"variable": "x"}
    return rung(REGISTRY[f"{kind}VariableRate"], fields, {"x": a, "x~1": b, **TIMES})


def backward_euler(kind: str) -> Rung:
    a, b = SAMPLES[kind]
    inputs = {"x": a, "x_rate": a - b, "x~1": b, **TIMES}
    return rung(
        REGISTRY[f"{kind}BackwardEulerTimeIntegration"], {"variable": "x"}, inputs, degree=2
    )


def forward_euler(kind: str) -> Rung:
    a, b = SAMPLES[kind]
    inputs = {"x_rate": a - b, "x~1": b, **TIMES}
    return rung(REGISTRY[f"{kind}ForwardEulerTimeIntegration"], {"variable": "x"}, inputs, degree=2)


def overstress_and_yield() -> list[Model]:
    return [
        m.SR2LinearCombination(from_=["M", "X"], to="O", weights=[1.0, -1.0], label="overstress"),
        m.SR2Invariant(invariant_type="VONMISES", tensor="O", invariant="s", label="vonmises"),
        m.YieldFunction(effective_stress="s", yield_stress=50.0, isotropic_hardening="h"),
    ]


def normality() -> Model:
    flow = ComposedModel(models=overstress_and_yield(), label="flow")
    return m.Normality(
        model=flow,
        function="yield_function",
        from_=["M", "X", "h"],
        to=["NM", "NX", "Nh"],
    )


BACK_STRESS = {"flow_rate": f64(0.3), "flow_direction": DIRECTION, "back_stress": 0.2 * STRESS}
UNKNOWNS = {"unknowns_SR2": ["s"], "unknowns_Scalar": ["p"]}
FLOW = {"M": STRESS, "X": 0.2 * STRESS.flip(0), "h": f64(20.0)}

RUNGS: dict[str, Rung] = {
    **{f"{k}LinearCombination": combination(k) for k in ("Scalar", "Vec", "R2", "SR2", "WR2")},
    **{f"{k}VariableRate": variable_rate(k) for k in ("Scalar", "Vec", "R2", "SR2")},
    **{
        f"{k}BackwardEulerTimeIntegration": backward_euler(k)
        for k in ("Scalar", "Vec", "R2", "SR2", "WR2")
    },
    **{f"{k}ForwardEulerTimeIntegration": forward_euler(k) for k in ("Scalar", "R2", "SR2")},
    "LinearIsotropicElasticity": rung(
        m.LinearIsotropicElasticity, ELASTIC, {"strain": STRAIN}, input_degree=1
    ),
    "SR2Invariant": rung(m.SR2Invariant, {"invariant_type": "VONMISES"}, {"tensor": STRESS}),
    "IsotropicMandelStress": rung(m.IsotropicMandelStress, {}, {"cauchy_stress": STRESS}, degree=1),
    "YieldFunction": rung(
        m.YieldFunction,
        {"yield_stress": 50.0, "isotropic_hardening": "h"},
        {"effective_stress": f64(140.0), "h": f64(20.0)},
        degree=1,
    ),
    "LinearIsotropicHardening": rung(
        m.LinearIsotropicHardening,
        {"hardening_modulus": 800.0},
        {"equivalent_plastic_strain": f64(0.03)},
        degree=2,
    ),
    "VoceIsotropicHardening": rung(
        m.VoceIsotropicHardening,
        {"saturated_hardening": 90.0, "saturation_rate": 12.0},
        {"equivalent_plastic_strain": f64(0.03)},
    ),
    "LinearKinematicHardening": rung(
        m.LinearKinematicHardening,
        {"hardening_modulus": 1500.0},
        {"kinematic_plastic_strain": STRAIN},
        degree=2,
    ),
    "FredrickArmstrongPlasticHardening": rung(
        m.FredrickArmstrongPlasticHardening,
        {"C": 3e3, "g": 30.0},
        BACK_STRESS,
        degree=3,
        input_degree=2,
    ),
    "ChabochePlasticHardening": rung(
        m.ChabochePlasticHardening, {"C": 3e3, "g": 30.0, "A": 1e-2, "a": 2.2}, BACK_STRESS
    ),
    "AssociativePlasticFlow": rung(
        m.AssociativePlasticFlow,
        {},
        {"flow_rate": f64(0.3), "flow_direction": DIRECTION},
        degree=2,
    ),
    "AssociativeIsotropicPlasticHardening": rung(
        m.AssociativeIsotropicPlasticHardening,
        {},
        {"flow_rate": f64(0.3), "isotropic_hardening_direction": f64(-0.8)},
        degree=2,
    ),
    "AssociativeKinematicPlasticHardening": rung(
        m.AssociativeKinematicPlasticHardening,
        {},
        {"flow_rate": f64(0.3), "kinematic_hardening_direction": -DIRECTION},
        degree=2,
    ),
    "PerzynaPlasticFlowRate": rung(
        m.PerzynaPlasticFlowRate,
        {"reference_stress": 120.0, "exponent": 3.6},
        {"yield_function": f64(80.0)},
    ),
    "FBComplementarity": rung(
        m.FBComplementarity, {"a": "f", "b": "g"}, {"f": f64(-0.7), "g": f64(0.4)}
    ),
    "MixedControlSetup": rung(
        m.MixedControlSetup,
        {},
        {"control": f64([0.0, 1.0, 0.2, 0.9, 0.7, 0.0]), "x_above": STRESS, "x_below": STRAIN},
        degree=1,
        isotropic=False,
    ),
    "ConstantExtrapolationPredictor": rung(
        m.ConstantExtrapolationPredictor, UNKNOWNS, {"s~1": STRESS, "p~1": f64(0.2)}, degree=1
    ),
    "LinearExtrapolationPredictor": rung(
        m.LinearExtrapolationPredictor,
        UNKNOWNS,
        {
            "s~1": STRESS,
            "p~1": f64(0.2),
            "s~2": 0.7 * STRESS.flip(0),
            "p~2": f64(0.1),
            **TIMES,
            "t~2": f64(1.2),
        },
    ),
    "ComposedModel": Rung(lambda: ComposedModel(models=overstress_and_yield()[::-1]), lambda: FLOW),
    "Normality": Rung(normality, lambda: FLOW),
    "ImplicitUpdate": Rung(
        lambda: yielding()[0], lambda: {n: v[1] for n, v in yielding()[1].items()}
    ),
}


@cache
def yielding() -> tuple[Model, Raw]:
    model, inputs = plastic_point("perzyna_voce", 6)
    assert isinstance(model, ImplicitUpdate)
    return model, inputs


EPSILON = f64(2.0**-26)  # of the regularised roots
KINKS: dict[str, Kink] = {
    **{
        f"{kind} of a zero tensor": Kink(
            lambda kind=kind: m.SR2Invariant(invariant_type=kind, tensor="a", invariant="i"),
            {"a": NONE},
            {"i": EPSILON if kind in ("VONMISES", "EFFECTIVE_STRAIN") else ZERO},
        )
        for kind in ("VONMISES", "EFFECTIVE_STRAIN", "I1", "I2", "J2")
    },
    "von Mises of a pressure": Kink(
        lambda: m.SR2Invariant(invariant_type="VONMISES", tensor="a", invariant="i"),
        {"a": f64([4.0, 4.0, 4.0, 0.0, 0.0, 0.0])},
        {"i": EPSILON},
    ),
    "normality at zero stress": Kink(
        normality, {"M": NONE, "X": NONE, "h": ZERO}, {"NM": NONE, "NX": NONE}
    ),
    **{
        f"Perzyna at f = {f}, n = {n}": Kink(
            lambda n=n: m.PerzynaPlasticFlowRate(reference_stress=100.0, exponent=n),
            {"yield_function": f64(f)},
            {"flow_rate": ZERO},
        )
        for f in (0.0, -50.0)
        for n in (0.8, 1.0, 4.0)
    },
    **{
        f"Chaboche at zero back stress, a = {a}": Kink(
            lambda a=a: m.ChabochePlasticHardening(C=1e3, g=10.0, A=1e-3, a=a),
            {"flow_rate": ZERO, "flow_direction": DIRECTION, "back_stress": NONE},
            {"back_stress_rate": NONE},
        )
        for a in (0.5, 1.0, 1.5, 2.0)
    },
    "complementarity at the corner": Kink(
        lambda: m.FBComplementarity(a="f", b="g"),
        {"f": ZERO, "g": ZERO},
        {"complementarity": ZERO},
    ),
    "first step of a linear predictor": Kink(
        lambda: m.LinearExtrapolationPredictor(**UNKNOWNS),
        {
            "s~1": STRESS,
            "p~1": f64(0.2),
            "s~2": STRESS,
            "p~2": f64(0.2),
            "t": f64(1.0),
            "t~1": ZERO,
            "t~2": ZERO,
        },
        {"s": STRESS, "p": f64(0.2)},
    ),
}
