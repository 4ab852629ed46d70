"""Strengths of slip systems and how they grow."""

from __future__ import annotations

from neml2fe.models.fields import Input, Output, Parameter
from neml2fe.models.model import Model
from neml2fe.models.solid_mechanics.crystal_plasticity.slip import OnSlipSystems
from neml2fe.types import Scalar, abs, sqrt


class SingleSlipStrengthMap(OnSlipSystems):
    r"""$\hat\tau_i = \bar\tau + \tau_0$, one hardening for all slip systems.

    $\tau_0$ may differ by slip system: the last of its sub-batch dimensions is the slip systems
    when it has more of them than $\bar\tau$."""

    slip_hardening = Input(Scalar, "Hardening of all slip systems", dimension="stress")
    slip_strengths = Output(Scalar, "Strengths of the slip systems", dimension="stress")
    constant_strength = Parameter(Scalar, "constant_strength", "Constant strength", "stress")

    def forward(self, hardening: Scalar) -> Scalar:
        start = self.constant_strength
        if start.sub_batch_ndim <= hardening.sub_batch_ndim:
            start = start.sub_batch.unsqueeze(-1)
        total = hardening.sub_batch.unsqueeze(-1) + start
        return total.sub_batch.expand(*total.sub_batch_shape[:-1], self.crystal_geometry.n_slip)


class DislocationObstacleStrengthMap(Model):
    r"""$\hat\tau_i = \tau_0 + \alpha \mu b \sqrt{\rho_i}$ (Taylor 1934)."""

    dislocation_density = Input(Scalar, "Density of each slip system", dimension="1/length^2")
    slip_strengths = Output(Scalar, "Strengths of the slip systems", dimension="stress")
    constant_strength = Parameter(Scalar, "constant_strength", "Constant strength", "stress")
    alpha = Parameter(Scalar, "alpha", "Strength of the interaction", "1")
    mu = Parameter(Scalar, "mu", "Shear modulus", "stress")
    b = Parameter(Scalar, "b", "Burgers vector", "length")

    def forward(self, density: Scalar) -> Scalar:
        strength: Scalar = self.constant_strength + self.alpha * self.mu * self.b * sqrt(density)
        return strength


class PerSlipForestDislocationEvolution(Model):
    r"""$\dot\rho_i = (k_1 \sqrt{\rho_i} - k_2 \rho_i)\,|\dot\gamma_i|$ (Kocks and Mecking 2003)."""

    dislocation_density = Input(Scalar, "Density of each slip system", dimension="1/length^2")
    slip_rates = Input(Scalar, "Slip rates", dimension="1/time")
    dislocation_density_rate = Output(
        Scalar, "Its rate", default="{dislocation_density}_rate", dimension="1/(length^2*time)"
    )
    k1 = Parameter(Scalar, "k1", "Storage", "1/length")
    k2 = Parameter(Scalar, "k2", "Recovery", "1")

    def forward(self, density: Scalar, rates: Scalar) -> Scalar:
        result: Scalar = (self.k1 * sqrt(density) - self.k2 * density) * abs(rates)
        return result


class _SingleSlipHardeningRule(Model, abstract=True):
    slip_hardening = Input(Scalar, "Hardening of all slip systems", dimension="stress")
    sum_slip_rates = Input(Scalar, "Sum of the sizes of the slip rates", dimension="1/time")
    slip_hardening_rate = Output(Scalar, "Rate of the hardening", dimension="stress/time")


class LinearSingleSlipHardeningRule(_SingleSlipHardeningRule):
    r"""$\dot{\bar\tau} = \theta \sum_i |\dot\gamma_i|$."""

    hardening_slope = Parameter(Scalar, "hardening_slope", "Hardening slope", "stress")

    def forward(self, hardening: Scalar, rate: Scalar) -> Scalar:
        result: Scalar = self.hardening_slope * rate
        return result


class VoceSingleSlipHardeningRule(_SingleSlipHardeningRule):
    r"""$\dot{\bar\tau} = \theta_0 (1 - \bar\tau/\tau_f) \sum_i |\dot\gamma_i|$ (Voce 1948)."""

    initial_slope = Parameter(Scalar, "initial_slope", "Initial slope", "stress")
    saturated_hardening = Parameter(
        Scalar, "saturated_hardening", "Hardening at saturation", "stress"
    )

    def forward(self, hardening: Scalar, rate: Scalar) -> Scalar:
        result: Scalar = self.initial_slope * (1.0 - hardening / self.saturated_hardening) * rate
        return result
