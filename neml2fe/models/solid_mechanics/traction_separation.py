r"""Traction-separation laws of cohesive interfaces.

The jump across the interface comes in parts: the opening $\delta_n \geq 0$, the penetration
$\delta_p \leq 0$ and two sliding components; their effective size is
$\delta_m = \sqrt{\delta_n^2 + \delta_s^2}$. Tractions are normal, first, second tangential.
"""

from __future__ import annotations

import math

import torch

from neml2fe.models.fields import Input, Old, Output, Parameter
from neml2fe.models.model import Model
from neml2fe.types import Scalar, Vec, exp, macaulay, maximum, sqrt, where


class _Interface(Model, abstract=True):
    """What every law of an interface reads and computes."""

    normal_separation = Input(Scalar, "Opening, zero or positive", dimension="length")
    normal_penetration = Input(
        Scalar, "Penetration, zero or negative", optional=True, dimension="length"
    )
    tangential_separation_1 = Input(Scalar, "First sliding component", dimension="length")
    tangential_separation_2 = Input(Scalar, "Second sliding component", dimension="length")
    traction = Output(Vec, "Traction", dimension="stress")


def _with_contact(normal: Scalar, stiffness: Scalar, penetration: Scalar | None) -> Scalar:
    return normal if penetration is None else normal + stiffness * penetration


class OrthotropicLinearTraction(_Interface):
    r"""$T_n = K_n\delta_n + K_p\delta_p$ and $T_{si} = K_t\delta_{si}$."""

    normal_stiffness = Parameter(Scalar, "Kn", "Normal stiffness", "stress/length")
    tangential_stiffness = Parameter(Scalar, "Kt", "Tangential stiffness", "stress/length")
    penalty_stiffness = Parameter(
        Scalar, "Kpen", "Stiffness against penetration", "stress/length", default=0.0
    )

    def forward(self, n: Scalar, penetration: Scalar | None, s1: Scalar, s2: Scalar) -> Vec:
        normal = _with_contact(self.Kn * n, self.Kpen, penetration)
        return Vec.fill(normal, self.Kt * s1, self.Kt * s2)


class _DamagingInterface(_Interface, abstract=True):
    """An interface whose damage never falls."""

    damage = Output(Scalar, "Damage, from 0 to 1", dimension="1")
    damage_old = Old("damage")


class BilinearTraction(_DamagingInterface):
    r"""$T_n = (1-d)K\delta_n + K\delta_p$ and $T_{si} = (1-d)K\delta_{si}$, where $d$ is the
    largest value so far of $\delta_f(\delta_m-\delta_c)/(\delta_m(\delta_f-\delta_c))$, 0 below
    $\delta_c$ and 1 above $\delta_f$. The traction then falls linearly from $\delta_c$ to
    $\delta_f$ (Camanho and Davila, NASA/TM-2002-211737)."""

    effective_separation = Input(Scalar, "Effective separation", dimension="length")
    penalty_stiffness = Parameter(Scalar, "K", "Initial stiffness", "stress/length")
    critical_separation = Parameter(
        Scalar, "delta_c", "Effective separation where damage starts", "length"
    )
    full_separation = Parameter(
        Scalar, "delta_f", "Effective separation where damage is 1", "length"
    )

    def forward(
        self,
        n: Scalar,
        penetration: Scalar | None,
        s1: Scalar,
        s2: Scalar,
        d_old: Scalar,
        m: Scalar,
    ) -> tuple[Vec, Scalar]:
        c, f = self.delta_c, self.delta_f
        softening = (m > c) & (m < f)
        zero, one = 0.0 * m, 0.0 * m + 1.0
        failed = where((m >= c) & (m >= f), one, zero)
        # The inner `where` keeps derivatives finite at zero separation and where f <= c.
        safe = where(softening, m * (f - c), one)
        d = where(softening, f * (m - c) / safe, failed)
        d = maximum(d_old, d)
        k = (1.0 - d) * self.K
        return Vec.fill(_with_contact(k * n, self.K, penetration), k * s1, k * s2), d


class SalehaniIraniTraction(_DamagingInterface):
    r"""$T_i = a_i b_i (1-d)$ with $b_n = \delta_n/\Delta_n$,
    $b_{si} = \delta_{si}/(\sqrt2\Delta_t)$, $a_n = e\,T_n^{max}$, $a_s = \sqrt{2e}\,T_s^{max}$,
    and $d$ the largest $1 - e^{-x}$ so far, $x = b_n + b_{s1}^2 + b_{s2}^2$. Penetration adds
    $K_p\delta_p$ (Khajeh Salehani and Irani 2018)."""

    normal_characteristic_length = Parameter(
        Scalar, "delta_u0_n", "Opening at the greatest normal traction", "length"
    )
    tangential_characteristic_length = Parameter(
        Scalar, "delta_u0_t", "Sliding at the greatest shear traction", "length"
    )
    normal_strength = Parameter(Scalar, "Tmax_n", "Greatest normal traction", "stress")
    shear_strength = Parameter(Scalar, "Tmax_t", "Greatest shear traction", "stress")
    penalty_stiffness = Parameter(
        Scalar, "Kpen", "Stiffness against penetration", "stress/length", default=0.0
    )

    def forward(
        self, n: Scalar, penetration: Scalar | None, s1: Scalar, s2: Scalar, d_old: Scalar
    ) -> tuple[Vec, Scalar]:
        b = n / self.delta_u0_n
        b1, b2 = (s / (math.sqrt(2.0) * self.delta_u0_t) for s in (s1, s2))
        d = 1.0 - exp(-macaulay(b + b1 * b1 + b2 * b2))
        d = maximum(d_old, d)
        shear = math.sqrt(2.0 * math.e) * self.Tmax_t * (1.0 - d)
        normal = math.e * self.Tmax_n * b * (1.0 - d)
        return Vec.fill(_with_contact(normal, self.Kpen, penetration), shear * b1, shear * b2), d


class ModeMixity(Model):
    r"""$\beta = \delta_s/\delta_n$ where the interface opens, else 0."""

    normal_separation = Input(Scalar, "Opening", dimension="length")
    tangential_separation = Input(Scalar, "Amount of sliding", dimension="length")
    mode_mixity = Output(Scalar, "Sliding by opening", dimension="1")

    def forward(self, n: Scalar, s: Scalar) -> Scalar:
        opening = ~(n <= 0.0)
        return where(opening, s / where(opening, n, 0.0 * n + 1.0), 0.0 * s)


class CamanhoDavilaCriticalSeparation(Model):
    r"""Quadratic stress criterion: $\delta_c = \delta_N\delta_S
    \sqrt{(1+\beta^2)/(\delta_S^2 + \beta^2\delta_N^2 + \epsilon)}$ with $\delta_N = N/K$ and
    $\delta_S = S/K$; $\delta_S$ where the interface is closed (Camanho and Davila,
    NASA/TM-2002-211737). The machine precision $\epsilon$, a squared length, keeps the
    root off zero: choose a unit of length in which $\delta_S$ is well above $10^{-6}$."""

    normal_separation = Input(Scalar, "Opening", dimension="length")
    critical_separation = Output(
        Scalar, "Effective separation where damage starts", dimension="length"
    )
    mode_mixity = Parameter(Scalar, "beta", "Sliding by opening", "1")
    penalty_stiffness = Parameter(Scalar, "K", "Initial stiffness", "stress/length")
    normal_strength = Parameter(Scalar, "N", "Normal strength", "stress")
    shear_strength = Parameter(Scalar, "S", "Shear strength", "stress")

    def forward(self, n: Scalar) -> Scalar:
        beta2 = self.beta * self.beta
        normal, shear = self.N / self.K, self.S / self.K
        square = shear * shear + beta2 * normal * normal + torch.finfo(n.dtype).eps
        return where(n <= 0.0, shear, normal * shear * sqrt((1.0 + beta2) / square))


class _FullSeparation(Model, abstract=True):
    r"""$\delta_f = 2 G_c/(K\delta_c)$, where $G_c(\beta)$ is the fracture energy of the mixed
    mode; $2 G_{IIc}/S$ where the interface is closed."""

    normal_separation = Input(Scalar, "Opening", dimension="length")
    full_separation = Output(Scalar, "Effective separation where damage is 1", dimension="length")
    mode_mixity = Parameter(Scalar, "beta", "Sliding by opening", "1")
    critical_separation = Parameter(
        Scalar, "delta_c", "Effective separation where damage starts", "length"
    )
    penalty_stiffness = Parameter(Scalar, "K", "Initial stiffness", "stress/length")
    mode_I_fracture_toughness = Parameter(
        Scalar, "GIc", "Fracture energy of mode I", "stress*length"
    )
    mode_II_fracture_toughness = Parameter(
        Scalar, "GIIc", "Fracture energy of mode II", "stress*length"
    )
    shear_strength = Parameter(Scalar, "S", "Shear strength", "stress")
    eta = Parameter(Scalar, "eta", "Exponent of the criterion", "1")

    def forward(self, n: Scalar) -> Scalar:
        # Squared beta is kept off 0, where its power has no derivative by the exponent.
        beta2 = self.beta * self.beta + torch.finfo(self.beta.dtype).eps
        mixed = 2.0 * self.fracture_energy(beta2) / (self.K * self.delta_c)
        return where(n <= 0.0, 2.0 * self.GIIc / self.S, mixed)

    def fracture_energy(self, beta2: Scalar) -> Scalar:
        """Fracture energy of the mixed mode from the square of the mixity."""
        raise NotImplementedError


class BenzeggaghKenaneFullSeparation(_FullSeparation):
    r"""$\delta_f = 2 G_c/(K\delta_c)$ with
    $G_c = G_{Ic} + (G_{IIc}-G_{Ic})\,(\beta^2/(1+\beta^2))^\eta$ (Benzeggagh and Kenane 1996);
    $2 G_{IIc}/S$ where the interface is closed."""

    def fracture_energy(self, beta2: Scalar) -> Scalar:
        return self.GIc + (self.GIIc - self.GIc) * (beta2 / (1.0 + beta2)) ** self.eta


class PowerLawFullSeparation(_FullSeparation):
    r"""$\delta_f = 2 G_c/(K\delta_c)$ with $G_c = (1+\beta^2)\,
    [G_{Ic}^{-\eta} + (\beta^2/G_{IIc})^\eta]^{-1/\eta}$ (Alfano and Crisfield 2001);
    $2 G_{IIc}/S$ where the interface is closed."""

    def fracture_energy(self, beta2: Scalar) -> Scalar:
        total = self.GIc**-self.eta + (beta2 / self.GIIc) ** self.eta
        return (1.0 + beta2) * total ** (-1.0 / self.eta)
