"""NaN that goes into a law comes out of it, whatever branch it takes: no failure is hidden."""

from __future__ import annotations

import math

import pytest
import torch
from ladder import f64
from test_ladder import RUNGS

from neml2fe import types
from neml2fe.types import SR2, Scalar

LAWS = [
    "YieldFunction",
    "AssociativeJ2FlowDirection",
    "PerzynaPlasticFlowRate",
    "GTNYieldFunction",
    "Hill48Stress",
    "LankfordHill48Stress",
    "HosfordStress",
    "Yld2000Stress",
    "Yld2004Stress",
    "LinearIsotropicHardening",
    "VoceIsotropicHardening",
    "LudwikIsotropicHardening",
    "SwiftIsotropicHardening",
    "JohnsonCookFactor",
    "JohnsonCookIsotropicHardening",
    "ChabochePlasticHardening",
    "PowerLawIsotropicHardeningStaticRecovery",
    "PowerLawKinematicHardeningStaticRecovery",
    "ScalarTwoStageThermalAnnealing",
    "DruckerPragerReturn",
    "MohrCoulombReturn",
    "EnergyEquivalentStrain",
    "ModifiedVonMisesStrain",
    "IrreversibleMaximum",
    "IrreversibleScalar",
    "ExponentialDamage",
    "LinearDamage",
    "BilinearTraction",
    "SalehaniIraniTraction",
    "ModeMixity",
    "PowerLawSlipRule",
    "MacaulaySplit",
    "ScalarPNorm",
    "FBComplementarity",
    "MinMapComplementarity",
]
CASES = [(name, variable) for name in LAWS for variable in RUNGS[name].inputs()]


@pytest.mark.parametrize(("name", "variable"), CASES)
def test_nan_comes_out_of_a_law(name: str, variable: str) -> None:
    model, inputs = RUNGS[name].make(), dict(RUNGS[name].inputs())
    spoiled = inputs[variable].clone(memory_format=torch.contiguous_format)
    spoiled.view(-1)[0] = math.nan
    outputs = model.evaluate({**inputs, variable: spoiled})
    assert any(bool(torch.isnan(value.data).any()) for value in outputs.values())


FUNCTIONS = {
    "norm": lambda x: types.norm(SR2(torch.nn.functional.pad(x.data[None], (0, 5)))),
    "macaulay": types.macaulay,
    "heaviside": types.heaviside,
    "abs": types.abs,
    "clamp": lambda x: types.clamp(x, 0.0, 1.0),
    **{
        f"{name} with {side}": lambda x, name=name, first=side == "first": getattr(types, name)(
            *((x, Scalar(f64(0.1))) if first else (Scalar(f64(0.1)), x))
        )
        for name in ("maximum", "minimum")
        for side in ("first", "second")
    },
}


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_nan_comes_out_of_a_function(name: str) -> None:
    assert math.isnan(float(FUNCTIONS[name](Scalar(f64(math.nan))).data))
    assert math.isfinite(float(FUNCTIONS[name](Scalar(f64(0.3))).data))


@pytest.mark.parametrize("name", ["maximum", "minimum"])
def test_at_a_tie_the_derivative_is_that_of_the_first(name: str) -> None:
    def f(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return getattr(types, name)(Scalar(a), Scalar(b)).data

    assert [float(g) for g in torch.func.grad(f, argnums=(0, 1))(f64(2.0), f64(2.0))] == [1.0, 0.0]
