"""The laws that presets know by name, by what they do in a composition."""

from __future__ import annotations

from typing import Any

import torch

from neml2fe.errors import ModelError
from neml2fe.models.solid_mechanics.elasticity import CONVERSIONS, SYMBOLS
from neml2fe.presets.laws import Arguments, Law, Role, Template
from neml2fe.types import Scalar

_MODULI = tuple(SYMBOLS.values())


def _moduli(given: Arguments) -> Arguments:
    kinds = {symbol: kind for kind, symbol in SYMBOLS.items()}
    return {
        "coefficients": list(given.values()),
        "coefficient_types": [kinds[symbol] for symbol in given],
    }


def _isotropic(given: Arguments) -> Arguments:
    _count("isotropic", "two", given)
    values = {symbol: _number(value) for symbol, value in given.items()}
    first, second = sorted(values, key=_MODULI.index)
    if (a := values[first]) is not None and (b := values[second]) is not None:
        for name, modulus in zip(("bulk", "shear"), CONVERSIONS[first, second](a, b), strict=True):
            bad = ~((modulus.data > 0.0) & modulus.data.isfinite())
            if bool(bad.any()):
                raise ModelError(
                    f"'{first}' and '{second}' give the {name} modulus "
                    f"{modulus.data[bad][0].item():g}; it must be positive and finite"
                )
    return _moduli(given)


def _number(value: Any) -> Scalar | None:
    """A value that is known already; names of variables and models are None."""
    if isinstance(value, (int, float)):
        return Scalar(torch.tensor(float(value), dtype=torch.float64))
    return value if isinstance(value, Scalar) else None


def _count(law: str, number: str, given: Arguments) -> None:
    if len(given) != {"two": 2, "three": 3}[number]:
        raise ModelError(
            f"'{law}' needs {number} of {', '.join(_MODULI)}, got {', '.join(given) or 'none'}"
        )


def _cubic(given: Arguments) -> Arguments:
    _count("cubic", "three", given)
    return {"elastic_stiffness_tensor": Law("cubic", "CubicElasticityTensor", _moduli(given))}


def _branch(given: Arguments) -> Arguments:
    for symbol in ("E", "eta"):
        if symbol not in given:
            raise ModelError(f"'maxwell' needs the parameter '{symbol}'")
    return {"moduli": [given["E"]], "viscosities": [given["eta"]]}


ELASTICITY = Role(
    "elasticity",
    {
        "isotropic": Template("LinearIsotropicElasticity", symbols=_MODULI, fill=_isotropic),
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
