"""Linear isotropic elasticity from any two of the usual moduli."""

from __future__ import annotations

from collections.abc import Callable

import torch

from neml2fe.errors import ModelError, suggest
from neml2fe.models.fields import Input, Option, Output
from neml2fe.models.model import Model
from neml2fe.types import SR2, SSR4, Scalar, dev, sqrt, vol

SYMBOLS = {
    "YOUNGS_MODULUS": "E",
    "POISSONS_RATIO": "nu",
    "BULK_MODULUS": "K",
    "SHEAR_MODULUS": "G",
    "LAME_LAMBDA": "lmbda",
    "P_WAVE_MODULUS": "M",
}


def _root(e: Scalar, m: Scalar) -> Scalar:
    """sqrt(E^2 + 9 M^2 - 10 E M), the branch with a non-negative Poisson's ratio."""
    return sqrt(e * e + 9.0 * m * m - 10.0 * e * m)


def _lame_root(e: Scalar, la: Scalar) -> Scalar:
    return sqrt(e * e + 9.0 * la * la + 2.0 * e * la)


# (bulk, shear) from each pair, arguments in the order of SYMBOLS.
# Source: conversion table of isotropic moduli, Mavko et al., The Rock Physics Handbook, 2.2.
CONVERSIONS: dict[tuple[str, str], Callable[[Scalar, Scalar], tuple[Scalar, Scalar]]] = {
    ("E", "nu"): lambda e, nu: (e / (3.0 * (1.0 - 2.0 * nu)), e / (2.0 * (1.0 + nu))),
    ("E", "K"): lambda e, k: (k, 3.0 * k * e / (9.0 * k - e)),
    ("E", "G"): lambda e, g: (e * g / (3.0 * (3.0 * g - e)), g),
    ("E", "lmbda"): lambda e, la: (
        (e + 3.0 * la + _lame_root(e, la)) / 6.0,
        (e - 3.0 * la + _lame_root(e, la)) / 4.0,
    ),
    ("E", "M"): lambda e, m: (
        (3.0 * m - e + _root(e, m)) / 6.0,
        (3.0 * m + e - _root(e, m)) / 8.0,
    ),
    ("nu", "K"): lambda nu, k: (k, 3.0 * k * (1.0 - 2.0 * nu) / (2.0 * (1.0 + nu))),
    ("nu", "G"): lambda nu, g: (2.0 * g * (1.0 + nu) / (3.0 * (1.0 - 2.0 * nu)), g),
    ("nu", "lmbda"): lambda nu, la: (
        la * (1.0 + nu) / (3.0 * nu),
        la * (1.0 - 2.0 * nu) / (2.0 * nu),
    ),
    ("nu", "M"): lambda nu, m: (
        m * (1.0 + nu) / (3.0 * (1.0 - nu)),
        m * (1.0 - 2.0 * nu) / (2.0 * (1.0 - nu)),
    ),
    ("K", "G"): lambda k, g: (k, g),
    ("K", "lmbda"): lambda k, la: (k, 1.5 * (k - la)),
    ("K", "M"): lambda k, m: (k, 0.75 * (m - k)),
    ("G", "lmbda"): lambda g, la: (la + 2.0 / 3.0 * g, g),
    ("G", "M"): lambda g, m: (m - 4.0 / 3.0 * g, g),
    ("lmbda", "M"): lambda la, m: ((m + 2.0 * la) / 3.0, (m - la) / 2.0),
}


class FromModuli(Model, abstract=True):
    """A law given by named moduli: numbers, tensors, models or variables.

    Young's and the P-wave modulus leave two solutions, of which the one with a non-negative
    Poisson's ratio is taken. Raises `ModelError` unless the moduli are different, as many as
    needed, and of positive stiffness.
    """

    coefficients: list[object] = Option(list[object], "The moduli")
    coefficient_types: list[str] = Option(
        list[str], "Which moduli they are", choices=tuple(SYMBOLS)
    )

    def setup(self) -> None:
        self._declare_moduli(2)
        self._use_pair(self.coefficient_types)

    def _declare_moduli(self, count: int) -> None:
        kinds, values = list(self.coefficient_types), list(self.coefficients)
        if len(kinds) != count or len(values) != count or len(set(kinds)) != count:
            number = {2: "two", 3: "three"}[count]
            raise ModelError(
                f"{self.label}: 'coefficients' and 'coefficient_types' need {number} values and "
                f"{number} different moduli, got {values} and {kinds}"
            )
        for kind, value in zip(kinds, values, strict=True):
            if kind not in SYMBOLS:
                raise ModelError(f"{self.label}: '{kind}' is no modulus{suggest(kind, SYMBOLS)}")
            self.declare_parameter(SYMBOLS[kind], Scalar, value)

    def _use_pair(self, kinds: list[str]) -> None:
        order = list(SYMBOLS.values())
        first, second = sorted((SYMBOLS[k] for k in kinds), key=order.index)
        self._pair = (first, second)
        if self._nested or self._runtime:
            return
        for name, modulus in zip(("bulk", "shear"), self.moduli(), strict=True):
            bad = ~((modulus.data > 0.0) & torch.isfinite(modulus.data))
            if bool(bad.any()):
                given = dict(zip(self.coefficient_types, self.coefficients, strict=True))
                raise ModelError(
                    f"{self.label}: {given} give the {name} modulus "
                    f"{modulus.data[bad][0].item():g}; it must be positive and finite"
                )

    def moduli(self) -> tuple[Scalar, Scalar]:
        """Bulk and shear modulus."""
        first, second = self._pair
        return CONVERSIONS[self._pair](getattr(self, first), getattr(self, second))


class Elasticity(Model, abstract=True):
    """A relation of strain and stress. With `rate_form`, both variable names get the suffix
    `_rate`; with `compliance`, the model maps stress to strain."""

    strain = Input(SR2, "Elastic strain", dimension="1")
    stress = Output(SR2, "Stress", dimension="stress")
    compliance: bool = Option(bool, "Map stress to strain", default=False)
    rate_form: bool = Option(bool, "Relate the rates", default=False)

    def setup(self) -> None:
        super().setup()
        if self.rate_form:
            for field in ("strain", "stress"):
                self.names[field] = [f"{self.names[field][0]}_rate"]
        if self.compliance:
            self.names["strain"], self.names["stress"] = self.names["stress"], self.names["strain"]


class LinearIsotropicElasticity(Elasticity, FromModuli):
    r"""$\sigma = 3K\,\mathrm{vol}\,\varepsilon + 2G\,\mathrm{dev}\,\varepsilon$, or its inverse."""

    fields = {**Elasticity.fields, **FromModuli.fields}

    def forward(self, a: SR2) -> SR2:
        bulk, shear = self.moduli()
        if self.compliance:
            return vol(a) / (3.0 * bulk) + dev(a) / (2.0 * shear)
        return 3.0 * bulk * vol(a) + 2.0 * shear * dev(a)


class IsotropicElasticityTensor(FromModuli):
    r"""$C = 3K\,J_\mathrm{vol} + 2G\,J_\mathrm{dev}$."""

    C = Output(SSR4, "Elasticity tensor", default="{label}", dimension="stress")

    def forward(self) -> SSR4:
        return SSR4.isotropic(*self.moduli())
