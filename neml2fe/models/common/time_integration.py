"""Time discretisation: rates of variables, backward- and forward-Euler updates.

On MRP they act on the parameters, not on the rotation; `exponential_integration.py` keeps to it.
"""

from __future__ import annotations

from neml2fe.models.common.copies import members
from neml2fe.models.fields import Generic, Input, Old, Output
from neml2fe.models.model import Model
from neml2fe.types import MRP, R2, SR2, SSR4, WR2, Scalar, TypedTensor, Vec

TYPES = (Scalar, Vec, R2, SR2, WR2, SSR4, MRP)


class VariableRate(Model, abstract=True):
    r"""$\dot f = (f - f_n) / (t - t_n)$."""

    variable = Input(Generic, "Variable to differentiate")
    time = Input(Scalar, "Time", default="t", dimension="time")
    variable_old = Old("variable")
    time_old = Old("time")
    variable_rate = Output(Generic, "Rate", default="{variable}_rate")

    def forward(self, f: TypedTensor, t: Scalar, f_old: TypedTensor, t_old: Scalar) -> TypedTensor:
        return (f - f_old) / (t - t_old)


class BackwardEulerTimeIntegration(Model, abstract=True):
    r"""Residual $r = s - s_n - (t - t_n) \dot s$."""

    variable = Input(Generic, "Variable to integrate")
    rate = Input(Generic, "Rate of the variable", default="{variable}_rate")
    time = Input(Scalar, "Time", default="t", dimension="time")
    variable_old = Old("variable")
    time_old = Old("time")
    variable_residual = Output(Generic, "Residual", default="{variable}_residual")

    def forward(
        self, s: TypedTensor, rate: TypedTensor, t: Scalar, s_old: TypedTensor, t_old: Scalar
    ) -> TypedTensor:
        return s - s_old - (t - t_old) * rate


class ForwardEulerTimeIntegration(Model, abstract=True):
    r"""Explicit update $s = s_n + (t - t_n) \dot s$; `old_variable` names another $s_n$."""

    variable = Output(Generic, "Variable to integrate")
    rate = Input(Generic, "Rate of the variable", default="{variable}_rate")
    time = Input(Scalar, "Time", default="t", dimension="time")
    old_variable = Input(Generic, "Value to start from", default="{variable}~1")
    time_old = Old("time")

    def forward(
        self, rate: TypedTensor, t: Scalar, s_old: TypedTensor, t_old: Scalar
    ) -> TypedTensor:
        return s_old + (t - t_old) * rate


globals().update(members(VariableRate, "{}VariableRate", TYPES))
globals().update(members(BackwardEulerTimeIntegration, "{}BackwardEulerTimeIntegration", TYPES))
globals().update(members(ForwardEulerTimeIntegration, "{}ForwardEulerTimeIntegration", TYPES))
