r"""Flow by the Kocks-Mecking diagram: normalized strength against activation energy.

$\ln(\sigma/\mu)$ is $C$ up to the energy $g_0 = (C - B)/A$ (rate-independent) and $B + A g$
beyond (rate-dependent), with $g = \frac{kT}{\mu b^3}\ln\frac{\dot\varepsilon_0}{\dot\varepsilon}$
(Kocks 2001).
"""

from __future__ import annotations

import math

from neml2fe.errors import ModelError
from neml2fe.models.fields import Input, Option, Output, Parameter
from neml2fe.models.model import Model
from neml2fe.types import Scalar, exp, log, tanh, where


class _ThermalActivation(Model, abstract=True):
    temperature = Input(Scalar, "Absolute temperature", dimension="temperature")
    shear_modulus = Parameter(Scalar, "mu", "Shear modulus", "stress")
    k: float = Option(float, "Boltzmann's constant")
    b: float = Option(float, "Length of the Burgers vector")

    def setup(self) -> None:
        for name in {"k", "b", "eps0"} & self.fields.keys():
            if not getattr(self, name) > 0.0:
                raise ModelError(f"{self.label}: '{name}' is {getattr(self, name)}; give it > 0")

    def scale(self, temperature: Scalar) -> Scalar:
        r"""$kT / (\mu b^3)$."""
        return self.k * temperature / (self.mu * self.b**3)


class KocksMeckingActivationEnergy(_ThermalActivation):
    r"""$g = \frac{kT}{\mu b^3} \ln\frac{\dot\varepsilon_0}{\dot\varepsilon}$, infinite at rest."""

    strain_rate = Input(Scalar, "Effective strain rate", dimension="1/time")
    activation_energy = Output(Scalar, "Normalized activation energy", dimension="1")
    eps0: float = Option(float, "Reference strain rate")

    def forward(self, temperature: Scalar, rate: Scalar) -> Scalar:
        scale = self.scale(temperature)
        rate = rate + 0.0 * scale  # in the batch of both
        moving = rate.data != 0.0
        energy = scale * log(self.eps0 / where(moving, rate, 1.0 + 0.0 * rate))
        # A constant infinity: what is switched on it has no derivative by the rate at rest.
        return where(moving, energy, 0.0 * energy + math.inf)


class KocksMeckingRateSensitivity(_ThermalActivation):
    r"""The Perzyna exponent $n = -\mu b^3 / (k T A)$."""

    rate_sensitivity = Output(Scalar, "Exponent", dimension="1")
    A = Parameter(Scalar, "A", "Slope of the diagram", "1")

    def forward(self, temperature: Scalar) -> Scalar:
        result: Scalar = -1.0 / (self.A * self.scale(temperature))
        return result


class KocksMeckingFlowViscosity(_ThermalActivation):
    r"""The Perzyna reference stress
    $\eta = \mu\,e^B\,\dot\varepsilon_0^{\,kTA/(\mu b^3)}$."""

    viscosity = Output(Scalar, "Reference stress", default="{label}", dimension="stress")
    A = Parameter(Scalar, "A", "Slope of the diagram", "1")
    B = Parameter(Scalar, "B", "Intercept of the diagram", "1")
    eps0: float = Option(float, "Reference strain rate")

    def forward(self, temperature: Scalar) -> Scalar:
        return self.mu * exp(self.B) * self.eps0 ** (self.A * self.scale(temperature))


class KocksMeckingYieldStress(Model):
    r"""$\sigma_y = \mu\,e^C$."""

    yield_stress = Output(Scalar, "Yield stress", dimension="stress")
    C = Parameter(Scalar, "C", "Plateau of the diagram", "1")
    shear_modulus = Parameter(Scalar, "mu", "Shear modulus", "stress")

    def forward(self) -> Scalar:
        return self.mu * exp(self.C)


class KocksMeckingIntercept(Model):
    r"""$g_0 = (C - B)/A$, where the plateau meets the slope."""

    intercept = Output(Scalar, "Activation energy of the kink", dimension="1")
    A = Parameter(Scalar, "A", "Slope of the diagram", "1")
    B = Parameter(Scalar, "B", "Intercept of the diagram", "1")
    C = Parameter(Scalar, "C", "Plateau of the diagram", "1")

    def forward(self) -> Scalar:
        return (self.C - self.B) / self.A


class KocksMeckingFlowSwitch(Model):
    r"""$\dot\gamma = s\,\dot\gamma_\mathrm{rd} + (1 - s)\,\dot\gamma_\mathrm{ri}$ with
    $s = \frac12\left(1 + \tanh(a\,(g - g_0))\right)$."""

    activation_energy = Input(Scalar, "Normalized activation energy", dimension="1")
    rate_independent_flow_rate = Input(Scalar, "Rate-independent flow", dimension="1/time")
    rate_dependent_flow_rate = Input(Scalar, "Rate-dependent flow", dimension="1/time")
    flow_rate = Output(Scalar, "Flow rate", dimension="1/time")
    g0 = Parameter(Scalar, "g0", "Activation energy of the switch", "1")
    sharpness: float = Option(float, "Steepness of the switch", default=1.0)

    def forward(self, g: Scalar, independent: Scalar, dependent: Scalar) -> Scalar:
        share = 0.5 * (1.0 + tanh(self.sharpness * (g - self.g0)))
        return share * dependent + (1.0 - share) * independent
