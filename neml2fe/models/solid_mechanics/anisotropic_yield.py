"""Effective stresses beyond von Mises: Hill, Hosford, Barlat.

Where isotropic, all equal the stress in uniaxial tension.

Each takes the place of `SR2Invariant` with `VONMISES` in a yield function. With `orientation`,
the stress is seen in material axes, which the rotation turns from those of the body.
"""

from __future__ import annotations

import math

import torch

from neml2fe.errors import ModelError
from neml2fe.models.common.checks import check, positive
from neml2fe.models.fields import Input, Option, Output, Parameter
from neml2fe.models.model import Model
from neml2fe.types import MRP, SR2, Scalar, det, dev, inner, minimum, norm, rotate, sqrt, where
from neml2fe.types.spectral import (
    components,
    even_power,
    extreme_principal,
    pair_power,
    power_sums,
)

REFERENCE = (2.0, -1.0, -1.0, 0.0, 0.0, 0.0)  # stands in for a deviator that is zero


class _EffectiveStress(Model, abstract=True):
    """All are of degree one in the deviator: its norm times the value for its direction."""

    mandel_stress = Input(SR2, "Stress", dimension="stress")
    orientation = Input(MRP, "Rotation of the material axes", optional=True, dimension="1")
    effective_stress = Output(Scalar, "Effective stress", dimension="stress")

    def forward(self, stress: SR2, orientation: MRP | None) -> Scalar:
        if orientation is not None:
            stress = rotate(stress, orientation.inverse())
        s = dev(stress)
        size = norm(s)
        reference = torch.tensor(REFERENCE, dtype=s.dtype, device=s.device)
        safe = where(size <= 0.0, s.like(reference.expand(s.shape)), s)
        return size * self.of_direction(safe / norm(safe))

    def of_direction(self, s: SR2) -> Scalar:
        """The effective stress of a deviator of unit norm in material axes."""
        raise NotImplementedError

    def check_exponent(self) -> None:
        exponent = self._parameters.get("a")
        if exponent is not None and bool((exponent < 2.0).any()):
            raise ModelError(
                f"{self.label}: the exponent must be at least 2 for second derivatives to exist, "
                f"got {exponent.min().item():g}"
            )


class _Hill48(_EffectiveStress, abstract=True):
    """Hill's ellipsoid, from coefficients that the subclasses give in their own terms."""

    def coefficients(self) -> tuple[Scalar, ...]:
        """F, G, H, L, M, N."""
        raise NotImplementedError

    def of_direction(self, s: SR2) -> Scalar:
        s11, s22, s33, s23, s13, s12 = components(s)
        f, g, h, l, m, n = self.coefficients()
        normal = f * (s22 - s33) ** 2 + g * (s33 - s11) ** 2 + h * (s11 - s22) ** 2
        return sqrt(normal + l * s23**2 + m * s13**2 + n * s12**2)


class Hill48Stress(_Hill48):
    r"""$\bar\sigma^2 = F(\sigma_{22}-\sigma_{33})^2 + G(\sigma_{33}-\sigma_{11})^2
    + H(\sigma_{11}-\sigma_{22})^2 + 2L\sigma_{23}^2 + 2M\sigma_{13}^2 + 2N\sigma_{12}^2$
    (Hill 1948). von Mises with $F = G = H = 1/2$ and $L = M = N = 3/2$."""

    F = Parameter(Scalar, "F", "Coefficient of (s22 - s33)^2", "1")
    G = Parameter(Scalar, "G", "Coefficient of (s33 - s11)^2", "1")
    H = Parameter(Scalar, "H", "Coefficient of (s11 - s22)^2", "1")
    L = Parameter(Scalar, "L", "Coefficient of 2 s23^2", "1", default=1.5)
    M = Parameter(Scalar, "M", "Coefficient of 2 s13^2", "1", default=1.5)
    N = Parameter(Scalar, "N", "Coefficient of 2 s12^2", "1")

    def setup(self) -> None:
        check(
            self,
            "F + H and F G + G H + H F must be positive, else the yield surface is not closed",
            lambda f, g, h: (f + h > 0.0) & (f * g + g * h + h * f > 0.0),
            ("F", "G", "H"),
        )
        positive(self, "L", "M", "N")

    def coefficients(self) -> tuple[Scalar, ...]:
        return self.F, self.G, self.H, self.L, self.M, self.N


class LankfordHill48Stress(_Hill48):
    r"""Hill's effective stress from the ratios of width to thickness strain of tension in the
    sheet (1, 2) under 0, 45 and 90 degrees: $G = 1/(1+r_0)$, $H = r_0 G$, $F = H/r_{90}$,
    $N = (F + G)(1/2 + r_{45})$; equal to the stress in tension along 1."""

    r0 = Parameter(Scalar, "r0", "Lankford ratio along 1", "1")
    r45 = Parameter(Scalar, "r45", "Lankford ratio under 45 degrees", "1")
    r90 = Parameter(Scalar, "r90", "Lankford ratio along 2", "1")
    L = Parameter(Scalar, "L", "Coefficient of 2 s23^2", "1", default=1.5)
    M = Parameter(Scalar, "M", "Coefficient of 2 s13^2", "1", default=1.5)

    def setup(self) -> None:
        positive(self, "r0", "r45", "r90", "L", "M")

    def coefficients(self) -> tuple[Scalar, ...]:
        g = 1.0 / (1.0 + self.r0)
        h = self.r0 * g
        f = h / self.r90
        return f, g, h, self.L, self.M, (f + g) * (0.5 + self.r45)


class HosfordStress(_EffectiveStress):
    r"""$\bar\sigma^a = \tfrac12 \sum_{i<j} |\sigma_i - \sigma_j|^a$ of the principal stresses
    (Hosford 1972); $a \ge 2$ need be no integer. von Mises with $a = 2$ or $4$, Tresca as
    $a \to \infty$. With $s$ the principal deviatoric stress apart from the two others and
    $q = J_2 - \tfrac34 s^2$ a quarter of their squared distance, the differences are
    $2\sqrt q$ and $\tfrac32 s \pm \sqrt q$."""

    exponent = Parameter(Scalar, "a", "Exponent", "1")

    def setup(self) -> None:
        self.check_exponent()

    def of_direction(self, s: SR2) -> Scalar:
        apart, _ = extreme_principal(s, det(s) > 0.0)
        square = apart * apart
        q = 0.5 * inner(s, s) - 0.75 * square
        q = q - minimum(q, 0.0 * q).detach()  # round-off below zero
        total = even_power(4.0 * q, self.a) + pair_power(2.25 * square, q, self.a)
        return (0.5 * total) ** (1.0 / self.a)


class Yld2000Stress(_EffectiveStress):
    r"""$2\bar\sigma^a = |X'_1 - X'_2|^a + |2X''_2 + X''_1|^a + |2X''_1 + X''_2|^a$, where
    $X'$ and $X''$ are linear in the plane stress $\sigma_{11}, \sigma_{22}, \sigma_{12}$ (Barlat et
    al. 2003, Yld2000-2d). Eight unit coefficients give Hosford's stress.

    Outside of plane stress, $\sigma_{11} - \sigma_{33}$ and $\sigma_{22} - \sigma_{33}$ take the
    place of the normal stresses, so that plastic flow keeps the volume. $\sigma_{13}$ and
    $\sigma_{23}$ do not enter: they stay elastic."""

    alpha = Parameter(Scalar, "alpha", "The eight coefficients", "1", many=True)
    exponent = Parameter(Scalar, "a", "Exponent", "1")

    def setup(self) -> None:
        given = self.count("alpha")
        if given != 8:
            raise ModelError(f"{self.label}: 'alpha' takes 8 coefficients, got {given}")
        self.check_exponent()

    def of_direction(self, s: SR2) -> Scalar:
        a1, a2, a3, a4, a5, a6, a7, a8 = (getattr(self, f"alpha_{k}") for k in range(8))
        s11, s22, s33, _, _, s12 = components(s)
        x, y, xy = s11 - s33, s22 - s33, s12 / math.sqrt(2.0)
        p11, p22 = a1 * (2.0 * x - y) / 3.0, a2 * (2.0 * y - x) / 3.0
        l11, l12 = 8.0 * a5 - 2.0 * (a3 + a6 - a4), 4.0 * (a6 - a4 - a5) + a3
        l21, l22 = 4.0 * (a3 - a5 - a4) + a6, 8.0 * a4 - 2.0 * (a6 + a3 - a5)
        q11, q22 = (l11 * x + l12 * y) / 9.0, (l21 * x + l22 * y) / 9.0
        prime = 0.25 * (p11 - p22) ** 2 + (a7 * xy) ** 2
        second = 0.25 * (q11 - q22) ** 2 + (a8 * xy) ** 2
        total = even_power(4.0 * prime, self.a) + pair_power(
            2.25 * (q11 + q22) ** 2, second, self.a
        )
        # A unit deviator of out-of-plane shear alone has no effective stress.
        loaded = ~(total <= 0.0)
        root = where(loaded, total, 1.0 + 0.0 * total)
        return where(loaded, (0.5 * root) ** (1.0 / self.a), 0.0 * root)


class Yld2004Stress(_EffectiveStress):
    r"""$4\bar\sigma^a = \sum_{ij} |S'_i - S''_j|^a$ of the principal values of two linear
    transformations of the deviator (Barlat et al. 2005, Yld2004-18p), for even integers $a$,
    by power sums: $\sum_k \binom{a}{k} (-1)^{k}\, \mathrm{tr} S'^{a-k}\, \mathrm{tr} S''^{k}$.
    Unit coefficients give Hosford's stress. Cancellation in the sum is
    harmless up to $a = 20$."""

    c_prime = Parameter(Scalar, "cp", "c' 12 13 21 23 31 32 44 55 66", "1", many=True)
    c_second = Parameter(Scalar, "cs", "c'' 12 13 21 23 31 32 44 55 66", "1", many=True)
    exponent: int = Option(int, "Exponent, an even integer", default=8)

    def setup(self) -> None:
        for field, symbol in (("c_prime", "cp_"), ("c_second", "cs_")):
            given = sum(s.startswith(symbol) for s in self._types)
            if given != 9:
                raise ModelError(f"{self.label}: '{field}' takes 9 coefficients, got {given}")
        if self.exponent < 2 or self.exponent % 2 or self.exponent > 20:
            raise ModelError(
                f"{self.label}: the exponent must be an even integer from 2 to 20, "
                f"got {self.exponent}"
            )

    def of_direction(self, s: SR2) -> Scalar:
        n = self.exponent
        first, second = (power_sums(self._transformed(s, c), n) for c in ("cp", "cs"))
        total: Scalar = sum(  # type: ignore[assignment]
            (-1.0) ** k * math.comb(n, k) * first[n - k] * second[k] for k in range(n + 1)
        )
        return (0.25 * total) ** (1.0 / n)

    def _transformed(self, s: SR2, symbol: str) -> SR2:
        c12, c13, c21, c23, c31, c32, *c = (getattr(self, f"{symbol}_{k}") for k in range(9))
        s11, s22, s33, *shear = components(s)
        rows = [-c12 * s22 - c13 * s33, -c21 * s11 - c23 * s33, -c31 * s11 - c32 * s22]
        rows += [factor * component for factor, component in zip(c, shear, strict=True)]
        full = torch.broadcast_tensors(*(row.data for row in rows))
        return SR2(torch.stack(full, dim=-1), s.sub_batch_ndim)
