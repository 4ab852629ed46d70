"""Parameters as variables and variables as parameters; parameters that depend on temperature."""

from __future__ import annotations

from neml2fe.models.common.copies import members
from neml2fe.models.fields import Generic, Input, Option, Output, Parameter
from neml2fe.models.model import Model
from neml2fe.types import Scalar, TypedTensor, exp


class ConstantParameter(Model, abstract=True):
    r"""$p = c$: a value of its own block, which several models can share."""

    parameter = Output(Generic, "The parameter", default="{label}")
    value = Parameter(Generic, "value", "Its value")

    def forward(self) -> TypedTensor:
        constant: TypedTensor = self.value
        return constant


class InputParameter(Model, abstract=True):
    r"""$p = v$: a parameter fed by a variable at run time."""

    variable = Input(Generic, "Variable that gives the parameter")
    parameter = Output(Generic, "The parameter")

    def forward(self, v: TypedTensor) -> TypedTensor:
        return v


class ParameterToVariable(Model, abstract=True):
    r"""$v = p$: a parameter where a variable is needed."""

    from_ = Parameter(Generic, "param", "The parameter")
    to_ = Output(Generic, "The variable")

    def forward(self) -> TypedTensor:
        constant: TypedTensor = self.param
        return constant


globals().update(members(ConstantParameter, "{}ConstantParameter"))
globals().update(members(InputParameter, "{}InputParameter"))
globals().update(members(ParameterToVariable, "{}ParameterToVariable"))


class ArrheniusParameter(Model):
    r"""$p = p_0\, e^{-Q/(R T)}$ (Arrhenius 1889)."""

    temperature = Input(Scalar, "Absolute temperature", dimension="temperature")
    parameter = Output(Scalar, "The parameter", default="{label}")
    reference_value = Parameter(Scalar, "p0", "Value at infinite temperature")
    activation_energy = Parameter(Scalar, "Q", "Activation energy", "energy")
    ideal_gas_constant: float = Option(float, "Gas constant, energy/temperature")

    def forward(self, T: Scalar) -> Scalar:
        return self.p0 * exp(-self.Q / (self.ideal_gas_constant * T))
