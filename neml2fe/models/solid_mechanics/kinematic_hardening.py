"""Kinematic hardening: back stress laws."""

from __future__ import annotations

from neml2fe.models.fields import Input, Output, Parameter
from neml2fe.models.model import Model
from neml2fe.models.solid_mechanics.annealing import power
from neml2fe.types import SR2, Scalar


class LinearKinematicHardening(Model):
    r"""$X = H K_p$ (Prager 1956)."""

    kinematic_plastic_strain = Input(SR2, "Kinematic plastic strain", dimension="1")
    back_stress = Output(SR2, "Back stress", dimension="stress")
    hardening_modulus = Parameter(Scalar, "H", "Hardening modulus", "stress")

    def forward(self, kp: SR2) -> SR2:
        return self.H * kp


class FredrickArmstrongPlasticHardening(Model):
    r"""$\dot X = (\frac23 C N - g X)\,\dot\gamma$ (Armstrong and Frederick 1966)."""

    flow_rate = Input(Scalar, "Flow rate", dimension="1/time")
    flow_direction = Input(SR2, "Flow direction", dimension="1")
    back_stress = Input(SR2, "Back stress", dimension="stress")
    back_stress_rate = Output(
        SR2, "Rate of the back stress", default="{back_stress}_rate", dimension="stress/time"
    )
    C = Parameter(Scalar, "C", "Hardening modulus", "stress")
    g = Parameter(Scalar, "g", "Dynamic recovery", "1")

    def forward(self, gamma_rate: Scalar, n: SR2, x: SR2) -> SR2:
        return (2.0 / 3.0 * self.C * n - self.g * x) * gamma_rate


class ChabochePlasticHardening(FredrickArmstrongPlasticHardening):
    r"""$\dot X = (\frac23 C N - g X)\,\dot\gamma - A\,|X|^{a-1} X$: one back stress with
    dynamic and static recovery (Chaboche 1989)."""

    A = Parameter(Scalar, "A", "Static recovery prefactor", "stress^(1-a)/time")
    a = Parameter(Scalar, "a", "Static recovery exponent", "1")

    def forward(self, gamma_rate: Scalar, n: SR2, x: SR2) -> SR2:
        return super().forward(gamma_rate, n, x) - self.A * power(x, self.a)
