"""Slip: resolved shears, slip rates, and the deformation that they make."""

from __future__ import annotations

from typing import TypeVar

import torch

from neml2fe.errors import ModelError
from neml2fe.models.fields import Input, Old, Option, Output, Parameter
from neml2fe.models.model import Model
from neml2fe.models.solid_mechanics.crystal_plasticity.geometry import CrystalGeometry
from neml2fe.types import MRP, R2, SR2, SSR4, WR2, Scalar, abs, inner, rotate, sum, where

T = TypeVar("T", SR2, WR2, R2)


class OnSlipSystems(Model, abstract=True):
    """A law for all slip systems of a crystal; they are the last dimension of a sub-batch."""

    crystal_geometry: CrystalGeometry = Option(
        CrystalGeometry, "Slip systems of the crystal", default="crystal_geometry"
    )

    def setup(self) -> None:
        if not isinstance(self.crystal_geometry, CrystalGeometry):
            raise ModelError(
                f"{self.label} needs a crystal_geometry, such as a CubicCrystal; "
                f"got {self.crystal_geometry!r}"
            )
        self.add_module("crystal", self.crystal_geometry)


class ResolvedShear(OnSlipSystems):
    r"""$\tau_i = \sigma : R\,\mathrm{sym}(d_i \otimes n_i)\,R^T$ (Schmid and Boas 1935)."""

    stress = Input(SR2, "Cauchy stress", dimension="stress")
    orientation_matrix = Input(R2, "Rotation of the lattice", dimension="1")
    resolved_shears = Output(Scalar, "Resolved shear of each slip system", dimension="stress")

    def forward(self, stress: SR2, r: R2) -> Scalar:
        return inner(self.crystal_geometry.M, rotate(stress, r.T).sub_batch.unsqueeze(-1))


class PowerLawSlipRule(Model):
    r"""$\dot\gamma_i = \dot\gamma_0\,|\tau_i/\hat\tau_i|^{n-1}\,\tau_i/\hat\tau_i$
    (Hutchinson 1976)."""

    resolved_shears = Input(Scalar, "Resolved shears", dimension="stress")
    slip_strengths = Input(Scalar, "Strengths of the slip systems", dimension="stress")
    slip_rates = Output(Scalar, "Slip rates", dimension="1/time")
    gamma0 = Parameter(Scalar, "gamma0", "Reference slip rate", "1/time")
    n = Parameter(Scalar, "n", "Exponent of the rate sensitivity", "1")

    def forward(self, tau: Scalar, strength: Scalar) -> Scalar:
        ratio = tau / strength
        size = abs(ratio)
        loaded = size > 0.0
        one, nothing = (size.like(f(size.data)) for f in (torch.ones_like, torch.zeros_like))
        power = where(loaded, size, one) ** (self.n - 1.0)
        # At rest the power is a constant, one for n = 1 and else zero.
        at_rest = nothing ** (self.n - 1.0).detach()
        rates: Scalar = self.gamma0 * where(loaded, power, at_rest) * ratio
        return rates


class SumSlipRates(Model):
    r"""$\sum_i |\dot\gamma_i|$."""

    slip_rates = Input(Scalar, "Slip rates", dimension="1/time")
    sum_slip_rates = Output(Scalar, "Sum of their sizes", dimension="1/time")

    def forward(self, rates: Scalar) -> Scalar:
        return sum(abs(rates).sub_batch, -1)


class _SumOverSlipSystems(OnSlipSystems, abstract=True):
    orientation_matrix = Input(R2, "Rotation of the lattice", dimension="1")
    slip_rates = Input(Scalar, "Slip rates", dimension="1/time")

    def rotated_sum(self, r: R2, rates: Scalar, basis: T) -> T:
        """The sum of `basis` over the slip systems, weighted by their rates, in the axes of `r`."""
        total: T = sum((rates * basis).sub_batch, -1)
        return rotate(total, r)


class PlasticDeformationRate(_SumOverSlipSystems):
    r"""$d^p = \sum_i \dot\gamma_i\,R\,\mathrm{sym}(d_i \otimes n_i)\,R^T$."""

    plastic_deformation_rate = Output(SR2, "Plastic deformation rate", dimension="1/time")

    def forward(self, r: R2, rates: Scalar) -> SR2:
        return self.rotated_sum(r, rates, self.crystal_geometry.M)


class PlasticVorticity(_SumOverSlipSystems):
    r"""$w^p = \sum_i \dot\gamma_i\,R\,\mathrm{skew}(d_i \otimes n_i)\,R^T$."""

    plastic_vorticity = Output(WR2, "Plastic vorticity", dimension="1/time")

    def forward(self, r: R2, rates: Scalar) -> WR2:
        return self.rotated_sum(r, rates, self.crystal_geometry.W)


class PlasticSpatialVelocityGradient(_SumOverSlipSystems):
    r"""$l^p = \sum_i \dot\gamma_i\,R\,(d_i \otimes n_i)\,R^T$."""

    plastic_spatial_velocity_gradient = Output(R2, "Plastic velocity gradient", dimension="1/time")

    def forward(self, r: R2, rates: Scalar) -> R2:
        return self.rotated_sum(r, rates, self.crystal_geometry.A)


class SlipSystemElasticInteraction(OnSlipSystems):
    r"""$A_{ij} = (t - t_n)\,M_i : C : M_j$, $M_i = \mathrm{sym}(d_i \otimes n_i)$: a rate
    $\dot\gamma_j$ held over the step lowers $\tau_i$ by $A_{ij}\dot\gamma_j$ at fixed total
    strain. A scalar product is the same in all axes, so that the orientation does not matter."""

    orientation = Input(MRP, "Rotation of the lattice", dimension="1")
    time = Input(Scalar, "Time", default="t", dimension="time")
    time_old = Old("time")
    coupling = Output(Scalar, "Matrix of all pairs of slip systems", dimension="stress*time")
    elastic_stiffness_tensor = Parameter(
        SSR4, "elastic_stiffness_tensor", "Stiffness in the lattice's axes", "stress"
    )

    def forward(self, orientation: MRP, t: Scalar, t_old: Scalar) -> Scalar:
        m = self.crystal_geometry.M
        pull: SR2 = self.elastic_stiffness_tensor.sub_batch.unsqueeze(-1) @ m
        pairs = inner(m.sub_batch.unsqueeze(-1), pull.sub_batch.unsqueeze(-2))
        step: Scalar = (t - t_old).sub_batch.unsqueeze(-1, 2)
        return step * pairs
