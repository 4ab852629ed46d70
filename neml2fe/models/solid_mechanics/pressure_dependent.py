"""Stress updates of frictional materials in closed form: cones with a return to their apex.

Each maps strain and old plastic strain to the stress at the end of the step, with elasticity
inside: no implicit update is needed, and the consistent tangent is the derivative of the formulas.
The cohesion grows linearly, c = c0 + H ep. Stresses are positive in tension. Source: de Souza Neto,
Peric and Owen, Computational Methods for Plasticity (2008), chapter 8.
"""

from __future__ import annotations

import math

import torch

from neml2fe.models.common.checks import check, poisson, positive
from neml2fe.models.fields import Input, Old, Option, Output, Parameter
from neml2fe.models.model import Model
from neml2fe.types import SR2, Scalar, cos, dev, norm, sin, sqrt, tr, vol, where
from neml2fe.types.spectral import extreme_principal, principal_values

DISTINCT = (1.0, 0.0, -1.0, 0.0, 0.0, 0.0)  # stands in where principal values may coincide


class _ConeReturn(Model, abstract=True):
    strain = Input(SR2, "Strain", dimension="1")
    stress = Output(SR2, "Stress", dimension="stress")
    plastic_strain = Output(SR2, "Plastic strain", dimension="1")
    equivalent_plastic_strain = Output(Scalar, "Equivalent plastic strain", dimension="1")
    plastic_strain_old = Old("plastic_strain")
    equivalent_plastic_strain_old = Old("equivalent_plastic_strain")
    youngs_modulus = Parameter(Scalar, "E", "Young's modulus", "stress")
    poissons_ratio = Parameter(Scalar, "nu", "Poisson's ratio", "1")
    cohesion = Parameter(Scalar, "c", "Initial cohesion", "stress")
    hardening_modulus = Parameter(Scalar, "H", "Slope of the cohesion", "stress", default=0.0)
    friction_angle = Parameter(Scalar, "phi", "Friction angle in degrees", "degree")
    dilatancy_angle = Parameter(Scalar, "psi", "Dilatancy angle in degrees", "degree")

    def setup(self) -> None:
        positive(self, "E")
        poisson(self)
        for said, holds, symbol in (
            ("'hardening_modulus' must be at least 0", lambda h: h >= 0.0, "H"),
            (
                "'friction_angle' must lie between 0 and 90 degrees",
                lambda phi: (phi > 0.0) & (phi < 90.0),
                "phi",
            ),
            (
                "'dilatancy_angle' must be at least 0, below 90 degrees",
                lambda psi: (psi >= 0.0) & (psi < 90.0),
                "psi",
            ),
        ):
            check(self, said, holds, (symbol,))

    def forward(self, strain: SR2, ep_old: SR2, p_old: Scalar) -> tuple[SR2, SR2, Scalar]:
        bulk = self.E / (3.0 * (1.0 - 2.0 * self.nu))
        shear = self.E / (2.0 * (1.0 + self.nu))
        elastic = strain - ep_old
        trial = 3.0 * bulk * vol(elastic) + 2.0 * shear * dev(elastic)
        ep, p = self.flow(trial, self.c + self.H * p_old, bulk, shear)
        stress = trial - 3.0 * bulk * vol(ep) - 2.0 * shear * dev(ep)
        return stress, ep_old + ep, p_old + p

    def flow(self, trial: SR2, c: Scalar, bulk: Scalar, shear: Scalar) -> tuple[SR2, Scalar]:
        """Increments of the plastic strain and of the equivalent plastic strain."""
        raise NotImplementedError

    def to_apex(
        self, trial: SR2, c: Scalar, bulk: Scalar, shear: Scalar, reach: Scalar, growth: Scalar
    ) -> tuple[SR2, Scalar]:
        """Onto the mean stress `reach` c; `growth` is dp / d(volumetric plastic strain)."""
        volume = (tr(trial) / 3.0 - reach * c) / (bulk + reach * self.H * growth)
        one = SR2.identity(dtype=trial.dtype, device=trial.device)
        return volume / 3.0 * one + dev(trial) / (2.0 * shear), growth * volume


def _ratio(a: Scalar, b: Scalar) -> Scalar:
    """a / b, zero where b is: without dilatancy nothing hardens on the way to the apex."""
    given = b > 0.0
    return where(given, a / where(given, b, 1.0 + 0.0 * b), 0.0 * (a + b))


class DruckerPragerReturn(_ConeReturn):
    r"""$f = \sqrt{J_2} + \eta\,p - \xi c \le 0$ with flow along
    $\partial/\partial\sigma\,(\sqrt{J_2} + \bar\eta\,p)$ and
    $\Delta\bar\varepsilon_p = \xi\,\Delta\gamma$; to the apex $p = c\,\xi/\eta$ where the cone is
    missed. `fit` says where the cone meets Mohr-Coulomb's pyramid: at its OUTER edges
    (triaxial compression), its INNER edges (triaxial extension) or at plastic flow in
    PLANE_STRAIN."""

    fit: str = Option(
        str, "Where to meet Mohr-Coulomb", "OUTER", choices=("OUTER", "INNER", "PLANE_STRAIN")
    )

    def slope(self, degrees: Scalar) -> tuple[Scalar, Scalar]:
        """eta and xi for an angle."""
        s, c = sin(degrees * (math.pi / 180.0)), cos(degrees * (math.pi / 180.0))
        if self.fit == "PLANE_STRAIN":
            root = sqrt(9.0 * c * c + 12.0 * s * s)
            return 3.0 * s / root, 3.0 * c / root
        width = math.sqrt(3.0) * (3.0 - s if self.fit == "OUTER" else 3.0 + s)
        return 6.0 * s / width, 6.0 * c / width

    def flow(self, trial: SR2, c: Scalar, bulk: Scalar, shear: Scalar) -> tuple[SR2, Scalar]:
        (eta, xi), (dilatancy, _) = self.slope(self.phi), self.slope(self.psi)
        root = norm(dev(trial)) / math.sqrt(2.0)
        f = root + eta * tr(trial) / 3.0 - xi * c
        amount = f / (shear + bulk * eta * dilatancy + xi * xi * self.H)
        flowing = ~(f <= 0.0)
        missed = flowing & (root < shear * amount)
        sheared = ~(root <= 0.0)
        direction = dev(trial) / (2.0 * where(sheared, root, 1.0 + 0.0 * root))
        one = SR2.identity(dtype=trial.dtype, device=trial.device)
        cone = amount * (direction + dilatancy / 3.0 * one)
        apex, growth = self.to_apex(trial, c, bulk, shear, xi / eta, _ratio(xi, dilatancy))
        return (
            where(flowing, where(missed, apex, cone), 0.0 * cone),
            where(flowing, where(missed, growth, xi * amount), 0.0 * amount),
        )


class MohrCoulombReturn(_ConeReturn):
    r"""$f = \sigma_1 - \sigma_3 + (\sigma_1 + \sigma_3) \sin\phi - 2 c \cos\phi \le 0$, flow with
    $\sin\psi$ in place of $\sin\phi$, $\Delta\bar\varepsilon_p = 2\cos\phi\,\Delta\gamma$; back
    to a plane, to the edge $\sigma_1 = \sigma_2$ or $\sigma_2 = \sigma_3$, or to the apex
    $p = c \cot\phi$. On an edge, the pair acts through its mean and its common projection, which
    are smooth also where the pair coincides in the trial stress."""

    def flow(self, trial: SR2, c: Scalar, bulk: Scalar, shear: Scalar) -> tuple[SR2, Scalar]:
        phi, psi = self.phi * (math.pi / 180.0), self.psi * (math.pi / 180.0)
        s, d, cosine = sin(phi), sin(psi), cos(phi)

        def plane(top: Scalar, low: Scalar, m: Scalar | float, n: Scalar | float) -> Scalar:
            """Flow back to a plane, or to an edge whose pair has the weight 1/2 in m or n."""
            f = (1.0 + s) * top - (1.0 - s) * low - 2.0 * cosine * c
            parallel = m * (1.0 + s) * (1.0 + d) + n * (1.0 - s) * (1.0 - d)
            stiff = 2.0 * shear * (parallel - 4.0 / 3.0 * s * d) + 4.0 * bulk * s * d
            return f / (stiff + 4.0 * cosine * cosine * self.H)

        # Which return it is, from values alone.
        v3, v2, v1 = principal_values(trial)
        flowing = ~(plane(v1, v3, 1.0, 1.0) <= 0.0)
        push = 2.0 * shear * plane(v1, v3, 1.0, 1.0)
        ordered = (v1 - v2 >= push * (1.0 + d)) & (v2 - v3 >= push * (1.0 - d))
        lower_pair = (1.0 - d) * v1 - 2.0 * v2 + (1.0 + d) * v3 > 0.0
        left, right = ~ordered & ~lower_pair, ~ordered & lower_pair
        mean, half = 0.5 * (v1 + v2), 0.5 * (v2 + v3)
        beyond_left = mean - v3 < shear * plane(mean, v3, 0.5, 1.0) * (3.0 - d)
        beyond_right = v1 - half < shear * plane(v1, half, 1.0, 0.5) * (3.0 + d)
        missed = (left & beyond_left) | (right & beyond_right)

        returned = flowing & ~missed
        distinct = torch.tensor(DISTINCT, dtype=trial.dtype, device=trial.device)
        stand_in = trial.like(distinct.expand(trial.shape))
        first, p1 = extreme_principal(where(returned & ~left, trial, stand_in), True)
        third, p3 = extreme_principal(where(returned & ~right, trial, stand_in), False)
        one = SR2.identity(dtype=trial.dtype, device=trial.device)
        top = where(left, 0.5 * (tr(trial) - third), first)
        low = where(right, 0.5 * (tr(trial) - first), third)
        single = 1.0 + 0.0 * top
        amount = plane(
            top, low, where(left, 0.5 * single, single), where(right, 0.5 * single, single)
        )
        upper = where(left, 0.5 * (one - p3), p1)
        lower = where(right, 0.5 * (one - p1), p3)
        # On an edge, flow also takes the difference of the pair away.
        apart = where(left, trial - third * p3 - top * (one - p3), 0.0 * trial)
        apart = where(right, trial - first * p1 - low * (one - p1), apart)
        cone = amount * ((1.0 + d) * upper - (1.0 - d) * lower) + apart / (2.0 * shear)
        apex, growth = self.to_apex(trial, c, bulk, shear, cosine / s, _ratio(cosine, d))
        return (
            where(flowing, where(missed, apex, cone), 0.0 * cone),
            where(flowing, where(missed, growth, 2.0 * cosine * amount), 0.0 * amount),
        )
