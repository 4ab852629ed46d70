"""Finite deformation: strain measures and changes of volume."""

from __future__ import annotations

from neml2fe.models.fields import Input, Output, Parameter
from neml2fe.models.model import Model
from neml2fe.types import R2, SR2, Scalar, sym


class GreenLagrangeStrain(Model):
    r"""$E = \frac12 (F^T F - \mathbf 1)$."""

    deformation_gradient = Input(R2, "Deformation gradient", dimension="1")
    strain = Output(SR2, "Green-Lagrange strain", dimension="1")

    def forward(self, F: R2) -> SR2:
        return 0.5 * (sym(F.T @ F) - SR2.identity(dtype=F.dtype, device=F.device))


class ThermalDeformationJacobian(Model):
    r"""$J = 1 + \alpha\,(T - T_0)$, a change of volume."""

    temperature = Input(Scalar, "Temperature", dimension="temperature")
    jacobian = Output(Scalar, "Volume ratio of thermal expansion", dimension="1")
    reference_temperature = Parameter(Scalar, "T0", "Stress-free temperature", "temperature")
    CTE = Parameter(Scalar, "alpha", "Coefficient of volume expansion", "1/temperature")

    def forward(self, temperature: Scalar) -> Scalar:
        return 1.0 + self.alpha * (temperature - self.T0)


class SwellingAndPhaseChangeDeformationJacobian(Model):
    r"""$J = 1 + \alpha c \varphi + (1 - c)\,\varphi\,\Delta\Omega$: a liquid that swells and
    freezes in the pores of a solid."""

    fluid_fraction = Input(Scalar, "Volume fraction of the fluid", dimension="1")
    jacobian = Output(Scalar, "Volume ratio", dimension="1")
    phase_fraction = Parameter(Scalar, "c", "Fraction that is liquid", "1")
    swelling_coefficient = Parameter(Scalar, "alpha", "Swelling of the liquid", "1")
    reference_volume_difference = Parameter(
        Scalar, "dOmega", "Relative difference of the phases' volumes", "1"
    )

    def forward(self, fluid: Scalar) -> Scalar:
        return 1.0 + (self.alpha * self.c + (1.0 - self.c) * self.dOmega) * fluid


class VolumeAdjustDeformationGradient(Model):
    r"""$F_e = J^{-1/3} F$: a change of volume taken out of a deformation gradient."""

    input = Input(R2, "Deformation gradient", dimension="1")
    jacobian = Input(Scalar, "Volume ratio to take out", dimension="1")
    output = Output(R2, "Deformation gradient without it", dimension="1")

    def forward(self, F: R2, J: Scalar) -> R2:
        return J ** (-1.0 / 3.0) * F
