"""Isotropic damage: equivalent strains, irreversibility, softening, the stress that is left.

An elastic damage model is the composition: elasticity gives the effective stress, one of the
equivalent strains drives `IrreversibleMaximum`, a softening law gives the damage and
`DamagedStress` the stress. A nonlocal model feeds its averaged strain to `IrreversibleMaximum`
under a name of its own and reads the local one as an output. Crack-band models give the softening
law the length of the element, as a number or as the name of a variable.
"""

from __future__ import annotations

import torch

from neml2fe.errors import ModelError
from neml2fe.models.common.checks import poisson, positive
from neml2fe.models.fields import Input, Old, Output, Parameter
from neml2fe.models.model import Model
from neml2fe.types import SR2, Scalar, dev, exp, inner, macaulay, maximum, sqrt, tr, where


class EnergyEquivalentStrain(Model):
    r"""$\tilde\varepsilon = \sqrt{\tilde\sigma : \varepsilon / E}$, the uniaxial strain of equal
    elastic energy; equal in tension and compression."""

    strain = Input(SR2, "Elastic strain", dimension="1")
    effective_stress = Input(SR2, "Stress of the undamaged material", dimension="stress")
    equivalent_strain = Output(Scalar, "Equivalent strain", dimension="1")
    youngs_modulus = Parameter(Scalar, "E", "Young's modulus", "stress")

    def forward(self, strain: SR2, stress: SR2) -> Scalar:
        square = inner(strain, stress) / self.E
        loaded = square > 0.0
        return where(loaded, sqrt(where(loaded, square, 1.0 + 0.0 * square)), 0.0 * square)


class ModifiedVonMisesStrain(Model):
    r"""$\tilde\varepsilon = \frac{1}{2k}\left[a I_1 + \sqrt{a^2 I_1^2 +
    \frac{6k}{(1+\nu)^2}\, e : e}\right]$, $a = \frac{k-1}{1-2\nu}$, with the trace $I_1$ and
    the deviator $e$ of the strain (de Vree et al. 1995): the strain of uniaxial tension, and
    $1/k$ of that of uniaxial compression."""

    strain = Input(SR2, "Elastic strain", dimension="1")
    equivalent_strain = Output(Scalar, "Equivalent strain", dimension="1")
    poissons_ratio = Parameter(Scalar, "nu", "Poisson's ratio", "1")
    strength_ratio = Parameter(Scalar, "k", "Compressive over tensile strength", "1")

    def setup(self) -> None:
        poisson(self)
        positive(self, "k")

    def forward(self, strain: SR2) -> Scalar:
        i1 = (self.k - 1.0) / (1.0 - 2.0 * self.nu) * tr(strain)
        shear = 6.0 * self.k / (1.0 + self.nu) ** 2 * inner(dev(strain), dev(strain))
        square = i1 * i1 + shear
        loaded = square > 0.0
        root = sqrt(where(loaded, square, 1.0 + 0.0 * square))
        return where(loaded, (i1 + root) / (2.0 * self.k), 0.0 * square)


class IrreversibleMaximum(Model):
    r"""$\kappa = \max(\kappa_n, \tilde\varepsilon)$: the largest equivalent strain ever reached;
    where both are equal, $\kappa$ follows the strain."""

    equivalent_strain = Input(Scalar, "Equivalent strain, local or nonlocal", dimension="1")
    damage_strain = Output(Scalar, "Largest equivalent strain so far", dimension="1")
    damage_strain_old = Old("damage_strain")

    def forward(self, strain: Scalar, old: Scalar) -> Scalar:
        return maximum(strain, old)


class _Softening(Model, abstract=True):
    damage_strain = Input(Scalar, "Largest equivalent strain so far", dimension="1")
    damage = Output(Scalar, "Damage", dimension="1")
    youngs_modulus = Parameter(Scalar, "E", "Young's modulus", "stress")
    strength = Parameter(Scalar, "ft", "Tensile strength", "stress")
    fracture_energy = Parameter(Scalar, "Gf", "Energy of a unit of crack area", "stress*length")
    characteristic_length = Parameter(
        Scalar, "l", "Width of the band that the crack is smeared over", "length"
    )

    def setup(self) -> None:
        positive(self, "E", "ft", "Gf", "l")
        if set(self._parameters) >= {"E", "ft", "Gf", "l"}:
            limit = 2.0 * self.E * self.Gf / (self.ft * self.ft)
            if bool((self.l >= limit).any()):
                raise ModelError(
                    f"{self.label}: a band of width {self.l.data.max().item():g} stores more "
                    "energy than the crack dissipates; it must be below 2 E Gf / ft^2 = "
                    f"{limit.data.min().item():g}"
                )

    def forward(self, kappa: Scalar) -> Scalar:
        first = self.ft / self.E
        broken = ~(kappa <= first)
        kappa = where(broken, kappa, 1.5 * first + 0.0 * kappa)
        # The energy beyond the peak, over strength, as a strain; where the band is too wide
        # there is no solution, which NaN tells.
        width = self.Gf / (self.l * self.ft) - 0.5 * first
        damage = 1.0 - first / kappa * self.shape((kappa - first) / width)
        damage = where(width > 0.0, damage, damage.like(torch.full_like(damage.data, torch.nan)))
        return where(broken, damage, 0.0 * kappa)

    def shape(self, x: Scalar) -> Scalar:
        """Stress over strength as a function with unit integral of the strain past the peak."""
        raise NotImplementedError


class ExponentialDamage(_Softening):
    r"""$D = 1 - \frac{\kappa_0}{\kappa} \exp\!\left(-\frac{\kappa - \kappa_0}{w}\right)$ beyond
    $\kappa_0 = f_t/E$, with $w = \frac{G_f}{l f_t} - \frac{\kappa_0}{2}$: uniaxial tension of a
    band of width $l$ dissipates $G_f$ (crack band, Bazant and Oh 1983)."""

    def shape(self, x: Scalar) -> Scalar:
        return exp(-x)


class LinearDamage(_Softening):
    r"""$D = 1 - \frac{\kappa_0}{\kappa} \left\langle 1 - \frac{\kappa - \kappa_0}{2w}
    \right\rangle$ beyond $\kappa_0 = f_t/E$, with $w = \frac{G_f}{l f_t} - \frac{\kappa_0}{2}$:
    the stress falls on a straight line to zero, which dissipates $G_f$."""

    def shape(self, x: Scalar) -> Scalar:
        return macaulay(1.0 - 0.5 * x)


class DamagedStress(Model):
    r"""$\sigma = (1 - D)\,\tilde\sigma$."""

    effective_stress = Input(SR2, "Stress of the undamaged material", dimension="stress")
    damage = Input(Scalar, "Damage", dimension="1")
    stress = Output(SR2, "Stress", dimension="stress")

    def forward(self, effective: SR2, damage: Scalar) -> SR2:
        return (1.0 - damage) * effective


class LemaitreDamageRate(Model):
    r"""$\dot D = \left(\frac{Y}{S}\right)^s \dot{\bar\varepsilon}_p$ where
    $\bar\varepsilon_p > \varepsilon_D$, with the energy release rate
    $Y = \frac{\tilde\sigma_{vm}^2}{2E}\left[\frac23 (1+\nu) + 3 (1-2\nu)
    \left(\frac{\tilde\sigma_m}{\tilde\sigma_{vm}}\right)^2\right]$ (Lemaitre 1985) of the effective
    stress, in which plasticity is formulated too."""

    effective_stress = Input(SR2, "Stress of the undamaged material", dimension="stress")
    equivalent_plastic_strain = Input(Scalar, "Equivalent plastic strain", dimension="1")
    equivalent_plastic_strain_rate = Input(
        Scalar, "Its rate", default="{equivalent_plastic_strain}_rate", dimension="1/time"
    )
    damage_rate = Output(Scalar, "Rate of damage", dimension="1/time")
    youngs_modulus = Parameter(Scalar, "E", "Young's modulus", "stress")
    poissons_ratio = Parameter(Scalar, "nu", "Poisson's ratio", "1")
    resistance = Parameter(Scalar, "S", "Damage resistance", "stress")
    exponent = Parameter(Scalar, "s", "Exponent", "1", default=1.0)
    threshold = Parameter(Scalar, "eD", "Plastic strain where damage begins", "1", default=0.0)

    def forward(self, stress: SR2, ep: Scalar, ep_rate: Scalar) -> Scalar:
        shear = (1.0 + self.nu) * inner(dev(stress), dev(stress))
        mean = tr(stress) / 3.0
        y = (shear + 3.0 * (1.0 - 2.0 * self.nu) * mean * mean) / (2.0 * self.E)
        growing = (y > 0.0) & (ep > self.eD)
        power = where(growing, y / self.S, 1.0 + 0.0 * y) ** self.s
        return where(growing, power, 0.0 * power) * ep_rate
