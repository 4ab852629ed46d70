"""Time discretisation: rates of variables, backward- and forward-Euler updates."""

from __future__ import annotations

from neml2fe.models.fields import Generic, Input, Old, Output
from neml2fe.models.model import Model
from neml2fe.types import R2, SR2, WR2, Scalar, TypedTensor, Vec


class VariableRate(Model, abstract=True):
    r"""$\dot f = (f - f_n) / (t - t_n)$."""

    variable = Input(Generic, "Variable to differentiate")
    time = Input(Scalar, "Time", default="t")
    variable_old = Old("variable")
    time_old = Old("time")
    variable_rate = Output(Generic, "Rate", default="{variable}_rate")

    def forward(self, f: TypedTensor, t: Scalar, f_old: TypedTensor, t_old: Scalar) -> TypedTensor:
        return (f - f_old) / (t - t_old)


class ScalarVariableRate(VariableRate, tensor=Scalar): ...


class VecVariableRate(VariableRate, tensor=Vec): ...


class R2VariableRate(VariableRate, tensor=R2): ...


class SR2VariableRate(VariableRate, tensor=SR2): ...


class BackwardEulerTimeIntegration(Model, abstract=True):
    r"""Residual $r = s - s_n - (t - t_n) \dot s$."""

    variable = Input(Generic, "Variable to integrate")
    rate = Input(Generic, "Rate of the variable", default="{variable}_rate")
    time = Input(Scalar, "Time", default="t")
    variable_old = Old("variable")
    time_old = Old("time")
    variable_residual = Output(Generic, "Residual", default="{variable}_residual")

    def forward(
        self, s: TypedTensor, rate: TypedTensor, t: Scalar, s_old: TypedTensor, t_old: Scalar
    ) -> TypedTensor:
        return s - s_old - (t - t_old) * rate


class ScalarBackwardEulerTimeIntegration(BackwardEulerTimeIntegration, tensor=Scalar): ...


class VecBackwardEulerTimeIntegration(BackwardEulerTimeIntegration, tensor=Vec): ...


class R2BackwardEulerTimeIntegration(BackwardEulerTimeIntegration, tensor=R2): ...


class SR2BackwardEulerTimeIntegration(BackwardEulerTimeIntegration, tensor=SR2): ...


class WR2BackwardEulerTimeIntegration(BackwardEulerTimeIntegration, tensor=WR2): ...


class ForwardEulerTimeIntegration(Model, abstract=True):
    r"""Explicit update $s = s_n + (t - t_n) \dot s$."""

    variable = Output(Generic, "Variable to integrate")
    rate = Input(Generic, "Rate of the variable", default="{variable}_rate")
    time = Input(Scalar, "Time", default="t")
    variable_old = Old("variable")
    time_old = Old("time")

    def forward(
        self, rate: TypedTensor, t: Scalar, s_old: TypedTensor, t_old: Scalar
    ) -> TypedTensor:
        return s_old + (t - t_old) * rate


class ScalarForwardEulerTimeIntegration(ForwardEulerTimeIntegration, tensor=Scalar): ...


class R2ForwardEulerTimeIntegration(ForwardEulerTimeIntegration, tensor=R2): ...


class SR2ForwardEulerTimeIntegration(ForwardEulerTimeIntegration, tensor=SR2): ...
