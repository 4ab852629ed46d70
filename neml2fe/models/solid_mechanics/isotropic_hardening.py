"""Isotropic hardening: the growth of the yield surface with plastic flow."""

from __future__ import annotations

from neml2fe.models.fields import Input, Output, Parameter
from neml2fe.models.model import Model
from neml2fe.types import Scalar, exp, sign


class IsotropicHardening(Model, abstract=True):
    """Hardening as a function of the equivalent plastic strain."""

    equivalent_plastic_strain = Input(Scalar, "Equivalent plastic strain", dimension="1")
    isotropic_hardening = Output(Scalar, "Isotropic hardening", dimension="stress")


class LinearIsotropicHardening(IsotropicHardening):
    r"""$h = K \bar\varepsilon_p$."""

    hardening_modulus = Parameter(Scalar, "K", "Hardening modulus", "stress")

    def forward(self, ep: Scalar) -> Scalar:
        return self.K * ep


class VoceIsotropicHardening(IsotropicHardening):
    r"""$h = R\,(1 - e^{-d \bar\varepsilon_p})$ (Voce 1948)."""

    saturated_hardening = Parameter(Scalar, "R", "Hardening at saturation", "stress")
    saturation_rate = Parameter(Scalar, "d", "Saturation rate", "1")

    def forward(self, ep: Scalar) -> Scalar:
        return self.R * (1.0 - exp(-self.d * ep))


class SlopeSaturationVoceIsotropicHardening(Model):
    r"""$\dot h = \mathrm{sgn}(R)\,\theta_0\,(1 - h/R)\,\dot\gamma$: Voce's law as a rate, by its
    initial slope and its saturation. Other rates of $h$, such as recovery, can be added."""

    flow_rate = Input(Scalar, "Flow rate", dimension="1/time")
    isotropic_hardening = Input(Scalar, "Isotropic hardening", dimension="stress")
    isotropic_hardening_rate = Output(
        Scalar,
        "Rate of the isotropic hardening",
        default="{isotropic_hardening}_rate",
        dimension="stress/time",
    )
    saturated_hardening = Parameter(Scalar, "R", "Hardening at saturation", "stress")
    initial_hardening_rate = Parameter(Scalar, "theta0", "Initial slope", "stress")

    def forward(self, gamma_rate: Scalar, h: Scalar) -> Scalar:
        return sign(self.R) * self.theta0 * (1.0 - h / self.R) * gamma_rate
