"""Yield function, normality, associative flow and hardening, viscous flow rate.

Convention: the yield function carries the factor sqrt(2/3), so its derivative with respect
to a deviatoric stress has unit norm and the flow rate is the norm of the plastic strain rate.
"""

from __future__ import annotations

import math
from functools import cached_property

import torch

from neml2fe.errors import ModelError, suggest
from neml2fe.models.fields import Input, Option, Output, Parameter
from neml2fe.models.functional import batch_shape
from neml2fe.models.model import Model, Spec, Values
from neml2fe.types import SR2, Scalar, aligned, dev, norm, where


class IsotropicMandelStress(Model):
    r"""$M = \sigma$: for isotropic materials at small strain the two stresses coincide."""

    cauchy_stress = Input(SR2, "Cauchy stress", dimension="stress")
    mandel_stress = Output(SR2, "Mandel stress", dimension="stress")

    def forward(self, stress: SR2) -> SR2:
        return stress


class YieldFunction(Model):
    r"""$f = \sqrt{2/3}\,(\bar\sigma - \sigma_y - h)$; $h$ is left out unless named."""

    effective_stress = Input(Scalar, "Effective stress", dimension="stress")
    isotropic_hardening = Input(Scalar, "Isotropic hardening", optional=True, dimension="stress")
    yield_function = Output(Scalar, "Yield function", dimension="stress")
    yield_stress = Parameter(Scalar, "sy", "Initial yield stress", "stress")

    def forward(self, s: Scalar, h: Scalar | None) -> Scalar:
        excess = s - self.sy if h is None else s - self.sy - h
        return math.sqrt(2.0 / 3.0) * excess


class Normality(Model):
    r"""The derivatives $\partial f / \partial v_i$ of a scalar-valued model, by reverse-mode
    differentiation of `model`; they can be differentiated again."""

    model: Model = Option(Model, "Model that computes the function")
    function: str = Option(str, "Scalar output to differentiate")
    from_: list[str] = Option(list[str], "Inputs of the model to differentiate with respect to")
    to_: list[str] = Option(list[str], "Names of the derivatives, in the same order")

    def setup(self) -> None:
        inputs, outputs = self.model.input_spec, self.model.output_spec
        if outputs.get(self.function) is not Scalar:
            raise ModelError(
                f"{self.label}: '{self.function}' is no Scalar output of '{self.model.label}'"
                f"{suggest(self.function, outputs)}"
            )
        for variable in self.from_:
            if variable not in inputs:
                raise ModelError(
                    f"{self.label}: '{variable}' is no input of '{self.model.label}'"
                    f"{suggest(variable, inputs)}"
                )
        if len(self.from_) != len(self.to_):
            raise ModelError(f"{self.label}: 'from' and 'to' must have equal length")
        self.adopt(self.model.label, self.model)

    @cached_property
    def input_spec(self) -> Spec:
        return self.model.input_spec

    @cached_property
    def output_spec(self) -> Spec:
        spec = self.model.input_spec
        return {to: spec[v] for v, to in zip(self.from_, self.to_, strict=True)}

    def _evaluate(self, values: Values) -> Values:
        spec = self.model.input_spec
        fixed = {n: v for n, v in values.items() if n not in self.from_}
        # Every argument takes the full batch, so the gradient of the sum is each point's own.
        raw, n = aligned(*values.values())
        known = dict(zip(values, raw, strict=True))
        sub = torch.broadcast_shapes(*(v.sub_batch_shape for v in values.values()))
        full = (*batch_shape(self.model, values.values()), *sub)
        arguments = [known[v].expand((*full, *spec[v].BASE_SHAPE)) for v in self.from_]

        def total(*arguments: torch.Tensor) -> torch.Tensor:
            given = {v: spec[v](a, n) for v, a in zip(self.from_, arguments, strict=True)}
            return self.model._evaluate({**fixed, **given})[self.function].data.sum()

        gradients = torch.func.grad(total, argnums=tuple(range(len(arguments))))(*arguments)
        return {to: spec[v](g, n) for v, to, g in zip(self.from_, self.to_, gradients, strict=True)}


class AssociativeJ2FlowDirection(Model):
    r"""$N = \frac32\,s/\bar\sigma$, the derivative of the von Mises stress; zero without a
    deviator $s$, where no direction is preferred. Its norm is $\sqrt{3/2}$."""

    mandel_stress = Input(SR2, "Mandel stress", dimension="stress")
    flow_direction = Output(SR2, "Flow direction", dimension="1")

    def forward(self, stress: SR2) -> SR2:
        s = dev(stress)
        size = norm(s)
        loaded = ~(size <= 0.0)
        safe = where(loaded, size, 1.0 + 0.0 * size)
        return math.sqrt(3.0 / 2.0) * where(loaded, s / safe, 0.0 * s)


class AssociativePlasticFlow(Model):
    r"""$\dot\varepsilon_p = \dot\gamma\, N$."""

    flow_rate = Input(Scalar, "Flow rate", dimension="1/time")
    flow_direction = Input(SR2, "Flow direction", dimension="1")
    plastic_strain_rate = Output(SR2, "Plastic strain rate", dimension="1/time")

    def forward(self, gamma_rate: Scalar, n: SR2) -> SR2:
        return gamma_rate * n


class AssociativeIsotropicPlasticHardening(Model):
    r"""$\dot{\bar\varepsilon}_p = -\dot\gamma\,\partial f/\partial h$."""

    flow_rate = Input(Scalar, "Flow rate", dimension="1/time")
    isotropic_hardening_direction = Input(Scalar, "Derivative of f by the hardening", dimension="1")
    equivalent_plastic_strain_rate = Output(
        Scalar, "Equivalent plastic strain rate", dimension="1/time"
    )

    def forward(self, gamma_rate: Scalar, n: Scalar) -> Scalar:
        return -gamma_rate * n


class AssociativeKinematicPlasticHardening(Model):
    r"""$\dot K_p = -\dot\gamma\,\partial f/\partial X$."""

    flow_rate = Input(Scalar, "Flow rate", dimension="1/time")
    kinematic_hardening_direction = Input(SR2, "Derivative of f by the back stress", dimension="1")
    kinematic_plastic_strain_rate = Output(SR2, "Kinematic plastic strain rate", dimension="1/time")

    def forward(self, gamma_rate: Scalar, n: SR2) -> SR2:
        return -gamma_rate * n


class PerzynaPlasticFlowRate(Model):
    r"""$\dot\gamma = \langle f/\eta \rangle^n$ (Perzyna 1966)."""

    yield_function = Input(Scalar, "Yield function", dimension="stress")
    flow_rate = Output(Scalar, "Flow rate", dimension="1/time")
    reference_stress = Parameter(Scalar, "eta", "Reference stress", "stress")
    exponent = Parameter(Scalar, "n", "Exponent", "1")

    def forward(self, f: Scalar) -> Scalar:
        flowing = ~(f <= 0.0)
        one = f.like(torch.ones_like(f.data))
        # The inner `where` keeps derivatives by f and n finite where nothing flows.
        rate = where(flowing, f / self.eta, one) ** self.n
        return where(flowing, rate, 0.0 * rate)
