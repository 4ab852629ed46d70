"""Strains without stress: thermal expansion, phase transformation, change of volume."""

from __future__ import annotations

from neml2fe.models.fields import Input, Output, Parameter
from neml2fe.models.model import Model
from neml2fe.types import SR2, Scalar


def spherical(x: Scalar) -> SR2:
    r"""$x\,\mathbf 1$."""
    result: SR2 = x * SR2.identity(dtype=x.dtype, device=x.device)
    return result


class ThermalEigenstrain(Model):
    r"""$\varepsilon_T = \alpha\,(T - T_0)\,\mathbf 1$."""

    temperature = Input(Scalar, "Temperature", dimension="temperature")
    eigenstrain = Output(SR2, "Thermal strain", dimension="1")
    reference_temperature = Parameter(Scalar, "T0", "Stress-free temperature", "temperature")
    CTE = Parameter(Scalar, "alpha", "Coefficient of thermal expansion", "1/temperature")

    def forward(self, temperature: Scalar) -> SR2:
        return spherical(self.alpha * (temperature - self.T0))


class PhaseTransformationEigenstrain(Model):
    r"""$\varepsilon = f\,\Delta V\,\mathbf 1$: each normal strain takes the whole $f\,\Delta V$."""

    phase_fraction = Input(Scalar, "Transformed fraction, 0 to 1", dimension="1")
    volume_fraction_change = Input(Scalar, "Change from phase A to phase B", dimension="1")
    eigenstrain = Output(SR2, "Transformation strain", dimension="1")

    def forward(self, f: Scalar, change: Scalar) -> SR2:
        return spherical(f * change)


class VolumeChangeEigenstrain(Model):
    r"""$\varepsilon_V = \left((V/V_0)^{1/3} - 1\right) \mathbf 1$."""

    volume = Input(Scalar, "Volume", dimension="length^3")
    eigenstrain = Output(SR2, "Strain of the change of volume", dimension="1")
    reference_volume = Parameter(Scalar, "V0", "Volume without strain", "length^3")

    def forward(self, volume: Scalar) -> SR2:
        return spherical((volume / self.V0) ** (1.0 / 3.0) - 1.0)
