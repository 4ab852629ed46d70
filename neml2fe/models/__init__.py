"""Constitutive building blocks; importing this package registers every model type."""

from neml2fe.models.common.combination import (
    R2LinearCombination,
    ScalarLinearCombination,
    SR2LinearCombination,
    VecLinearCombination,
    WR2LinearCombination,
)
from neml2fe.models.common.complementarity import FBComplementarity
from neml2fe.models.common.composed import ComposedModel
from neml2fe.models.common.invariants import SR2Invariant
from neml2fe.models.common.mixed_control import MixedControlSetup
from neml2fe.models.common.predictors import (
    ConstantExtrapolationPredictor,
    LinearExtrapolationPredictor,
)
from neml2fe.models.common.time_integration import (
    R2BackwardEulerTimeIntegration,
    R2ForwardEulerTimeIntegration,
    R2VariableRate,
    ScalarBackwardEulerTimeIntegration,
    ScalarForwardEulerTimeIntegration,
    ScalarVariableRate,
    SR2BackwardEulerTimeIntegration,
    SR2ForwardEulerTimeIntegration,
    SR2VariableRate,
    VecBackwardEulerTimeIntegration,
    VecVariableRate,
    WR2BackwardEulerTimeIntegration,
)
from neml2fe.models.derivatives import value_and_jacobian
from neml2fe.models.fields import Generic, Input, Old, Option, Output, Parameter
from neml2fe.models.model import REGISTRY, Model
from neml2fe.models.solid_mechanics.elasticity import LinearIsotropicElasticity
from neml2fe.models.solid_mechanics.isotropic_hardening import (
    LinearIsotropicHardening,
    VoceIsotropicHardening,
)
from neml2fe.models.solid_mechanics.kinematic_hardening import (
    ChabochePlasticHardening,
    FredrickArmstrongPlasticHardening,
    LinearKinematicHardening,
)
from neml2fe.models.solid_mechanics.plasticity import (
    AssociativeIsotropicPlasticHardening,
    AssociativeKinematicPlasticHardening,
    AssociativePlasticFlow,
    IsotropicMandelStress,
    Normality,
    PerzynaPlasticFlowRate,
    YieldFunction,
)

__all__ = [
    "REGISTRY",
    "AssociativeIsotropicPlasticHardening",
    "AssociativeKinematicPlasticHardening",
    "AssociativePlasticFlow",
    "ChabochePlasticHardening",
    "ComposedModel",
    "ConstantExtrapolationPredictor",
    "FBComplementarity",
    "FredrickArmstrongPlasticHardening",
    "Generic",
    "Input",
    "IsotropicMandelStress",
    "LinearExtrapolationPredictor",
    "LinearIsotropicElasticity",
    "LinearIsotropicHardening",
    "LinearKinematicHardening",
    "MixedControlSetup",
    "Model",
    "Normality",
    "Old",
    "Option",
    "Output",
    "Parameter",
    "PerzynaPlasticFlowRate",
    "R2BackwardEulerTimeIntegration",
    "R2ForwardEulerTimeIntegration",
    "R2LinearCombination",
    "R2VariableRate",
    "SR2BackwardEulerTimeIntegration",
    "SR2ForwardEulerTimeIntegration",
    "SR2Invariant",
    "SR2LinearCombination",
    "SR2VariableRate",
    "ScalarBackwardEulerTimeIntegration",
    "ScalarForwardEulerTimeIntegration",
    "ScalarLinearCombination",
    "ScalarVariableRate",
    "VecBackwardEulerTimeIntegration",
    "VecLinearCombination",
    "VecVariableRate",
    "VoceIsotropicHardening",
    "WR2BackwardEulerTimeIntegration",
    "WR2LinearCombination",
    "YieldFunction",
    "value_and_jacobian",
]
