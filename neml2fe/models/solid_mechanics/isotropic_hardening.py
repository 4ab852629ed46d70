"""Isotropic hardening: the growth of the yield surface with equivalent plastic strain."""

from __future__ import annotations

from neml2fe.models.fields import Input, Output, Parameter
from neml2fe.models.model import Model
from neml2fe.types import Scalar, exp


class _IsotropicHardening(Model, abstract=True):
    equivalent_plastic_strain = Input(Scalar, "Equivalent plastic strain")
    isotropic_hardening = Output(Scalar, "Isotropic hardening")


class LinearIsotropicHardening(_IsotropicHardening):
    r"""$h = K \bar\varepsilon_p$."""

    hardening_modulus = Parameter(Scalar, "K", "Hardening modulus", "stress")

    def forward(self, ep: Scalar) -> Scalar:
        return self.K * ep


class VoceIsotropicHardening(_IsotropicHardening):
    r"""$h = R\,(1 - e^{-d \bar\varepsilon_p})$ (Voce 1948)."""

    saturated_hardening = Parameter(Scalar, "R", "Hardening at saturation", "stress")
    saturation_rate = Parameter(Scalar, "d", "Saturation rate")

    def forward(self, ep: Scalar) -> Scalar:
        return self.R * (1.0 - exp(-self.d * ep))
