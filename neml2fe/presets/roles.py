"""The laws that presets know by name, by what they do in a composition."""

from __future__ import annotations

from neml2fe.errors import ModelError
from neml2fe.models.solid_mechanics.elasticity import SYMBOLS
from neml2fe.presets.laws import Arguments, Law, Role, Template

_MODULI = tuple(SYMBOLS.values())


def _moduli(given: Arguments) -> Arguments:
    kinds = {symbol: kind for kind, symbol in SYMBOLS.items()}
    return {
        "coefficients": list(given.values()),
        "coefficient_types": [kinds[symbol] for symbol in given],
    }


def _cubic(given: Arguments) -> Arguments:
    return {"elastic_stiffness_tensor": Law("cubic", "CubicElasticityTensor", _moduli(given))}


def _branch(given: Arguments) -> Arguments:
    for symbol in ("E", "eta"):
        if symbol not in given:
            raise ModelError(f"'maxwell' needs the parameter '{symbol}'")
    return {"moduli": [given["E"]], "viscosities": [given["eta"]]}


ELASTICITY = Role(
    "elasticity",
    {
        "isotropic": Template("LinearIsotropicElasticity", symbols=_MODULI, fill=_moduli),
        "cubic": Template("GeneralElasticity", symbols=_MODULI, fill=_cubic),
        "general": Template("GeneralElasticity"),
    },
    ("stress",),
    ("strain",),
)
EQUIVALENT_STRESS = Role(
    "equivalent stress",
    {
        "von_mises": Template("SR2Invariant", {"invariant_type": "VONMISES"}),
        "hill48": Template("Hill48Stress"),
        "hosford": Template("HosfordStress"),
        "lankford": Template("LankfordHill48Stress"),
        "yld2000": Template("Yld2000Stress"),
        "yld2004": Template("Yld2004Stress"),
    },
    ("effective_stress", "invariant"),
    ("mandel_stress", "tensor"),
)
ISOTROPIC_HARDENING = Role(
    "isotropic hardening",
    {
        "linear": Template("LinearIsotropicHardening"),
        "voce": Template("VoceIsotropicHardening"),
        "voce_slope": Template("SlopeSaturationVoceIsotropicHardening"),
        "swift": Template("SwiftIsotropicHardening"),
        "ludwik": Template("LudwikIsotropicHardening"),
    },
    ("isotropic_hardening", "isotropic_hardening_rate"),
    ("equivalent_plastic_strain", "flow_rate"),
    many=True,
)
KINEMATIC_HARDENING = Role(
    "kinematic hardening",
    {
        "linear": Template("LinearKinematicHardening"),
        "armstrong_frederick": Template("FredrickArmstrongPlasticHardening"),
        "chaboche": Template("ChabochePlasticHardening"),
    },
    ("back_stress", "back_stress_rate"),
    ("kinematic_plastic_strain", "flow_rate"),
    many=True,
)
ISOTROPIC_RECOVERY = Role(
    "static recovery of isotropic hardening",
    {"power": Template("PowerLawIsotropicHardeningStaticRecovery")},
    ("isotropic_hardening_rate",),
    ("isotropic_hardening",),
)
KINEMATIC_RECOVERY = Role(
    "static recovery of kinematic hardening",
    {"power": Template("PowerLawKinematicHardeningStaticRecovery")},
    ("back_stress_rate",),
    ("back_stress",),
)
FLOW = Role(
    "viscous flow",
    {"perzyna": Template("PerzynaPlasticFlowRate")},
    ("flow_rate",),
    ("yield_function",),
)
CREEP = Role(
    "creep", {"norton": Template("PerzynaPlasticFlowRate")}, ("flow_rate",), ("yield_function",)
)
BRANCHES = Role(
    "viscoelastic branches",
    {"maxwell": Template("GeneralizedMaxwellElement", symbols=("E", "eta"), fill=_branch)},
    ("internal_strain_rates",),
    ("internal_strains",),
    many=True,
)
