r"""Hyperelasticity: strain energies per reference volume, and the stress of any of them.

The stress is $P = \partial W / \partial F$ by automatic differentiation, so an energy is its
formula: a `StrainEnergy` with `forward`, and one line that makes a stress of it. The energies
split $\bar F = J^{-1/3} F$ and have the volumetric part $U = \frac K4 (J^2 - 1 - 2 \ln J)$.
R. W. Ogden, "Non-linear elastic deformations" (1984), chapter 7; J. C. Simo and T. J. R.
Hughes, "Computational inelasticity" (1998), section 9.2.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any, ClassVar

import torch

from neml2fe.errors import ModelError
from neml2fe.models.common.checks import check, positive
from neml2fe.models.fields import Input, Option, Output, Parameter
from neml2fe.models.functional import batch_shape
from neml2fe.models.model import Model, Spec, Values
from neml2fe.models.solid_mechanics.finite_strain import StressMeasure
from neml2fe.models.solid_mechanics.plasticity import Normality
from neml2fe.types import R2, Scalar, det, log, norm_sq, sym, tr
from neml2fe.types.matrix_functions import expm, logm


class StrainEnergy(Model, abstract=True):
    """An energy as a function of the deformation gradient, and of other inputs if need be."""

    deformation_gradient = Input(R2, "Deformation gradient", "F", dimension="1")
    strain_energy = Output(Scalar, "Energy per reference volume", dimension="stress")


class HyperelasticStress(StressMeasure):
    r"""$P = \partial W / \partial F$ of the model that computes the energy $W$."""

    model: Model = Option(Model, "Model of the energy")
    strain_energy: str = Option(str, "Its output that is the energy", default="strain_energy")

    def setup(self) -> None:
        (f,) = self.names["deformation_gradient"]
        gradient = Normality(
            model=self.model, function=self.strain_energy, from_=[f], to_=["p"], label=self.label
        )
        if self.model.input_spec[f] is not R2:
            raise ModelError(f"{self.label}: '{f}' of '{self.model.label}' is no R2")
        self.adopt(self.model.label, self.model)
        self.__dict__["_gradient"] = gradient  # its parameters are those of the model

    @cached_property
    def input_spec(self) -> Spec:
        return self.model.input_spec

    def _evaluate(self, values: Values) -> Values:
        (f,), (stress,) = self.names["deformation_gradient"], self.names["stress"]
        p, at = self._gradient._evaluate(values)["p"], values[f]
        assert isinstance(p, R2) and isinstance(at, R2)
        return {stress: self.measured(p, at)}


class StressOfEnergy(StressMeasure, abstract=True):
    """A stress with the parameters of a `StrainEnergy`: `class X(StressOfEnergy, energy=E)`."""

    energy: ClassVar[type[StrainEnergy]]

    def __init_subclass__(cls, energy: type[StrainEnergy] | None = None, **options: Any) -> None:
        super().__init_subclass__(**options)
        if energy is not None:
            cls.energy = energy
            own = {n: f for n, f in energy.fields.items() if n != "strain_energy"}
            cls.fields = {**own, **cls.fields}

    def setup(self) -> None:
        self.energy.setup(self)  # type: ignore[arg-type]

    def forward(self, f: R2) -> Any:
        batch = batch_shape(self, [f, *self._bound.values()])
        full = f.batch.expand(*batch)
        return self.measured(gradient(lambda x: self.energy.forward(self, x), full), full)


def gradient(function: Callable[[R2], Scalar], at: R2) -> R2:
    """The derivative of a point-by-point `function`; it can be differentiated again."""

    def total(x: torch.Tensor) -> torch.Tensor:
        value = function(at.like(x))
        if value.shape != x.shape[:-2]:
            raise ModelError("the energy varies within a point where the deformation does not")
        return value.data.sum()

    return at.like(torch.func.grad(total)(at.data))


class NeoHookeanEnergy(StrainEnergy):
    r"""$W = \frac G2 (\bar I_1 - 3) + U(J)$."""

    bulk_modulus = Parameter(Scalar, "K", "Bulk modulus", "stress")
    shear_modulus = Parameter(Scalar, "G", "Shear modulus", "stress")

    def setup(self) -> None:
        positive(self, "K", "G")

    def forward(self, f: R2) -> Scalar:
        first, _, j = isochoric_invariants(f)
        return 0.5 * self.G * (first - 3.0) + volumetric_energy(self.K, j)


class NeoHookean(StressOfEnergy, energy=NeoHookeanEnergy):
    r"""$P = \partial W / \partial F$ with $W = \frac G2 (\bar I_1 - 3) + U(J)$."""


class MooneyRivlinEnergy(StrainEnergy):
    r"""$W = C_{10} (\bar I_1 - 3) + C_{01} (\bar I_2 - 3) + U(J)$; $G = 2 (C_{10} + C_{01})$."""

    bulk_modulus = Parameter(Scalar, "K", "Bulk modulus", "stress")
    C10 = Parameter(Scalar, "C10", "Coefficient of the first invariant", "stress")
    C01 = Parameter(Scalar, "C01", "Coefficient of the second invariant", "stress")

    def setup(self) -> None:
        positive(self, "K")
        check(self, "C10 + C01 must be positive", lambda a, b: a + b > 0.0, ("C10", "C01"))

    def forward(self, f: R2) -> Scalar:
        first, second, j = isochoric_invariants(f)
        energy: Scalar = self.C10 * (first - 3.0) + self.C01 * (second - 3.0)
        return energy + volumetric_energy(self.K, j)


class MooneyRivlin(StressOfEnergy, energy=MooneyRivlinEnergy):
    r"""$P = \partial W / \partial F$ with
    $W = C_{10} (\bar I_1 - 3) + C_{01} (\bar I_2 - 3) + U(J)$."""


class OgdenEnergy(StrainEnergy):
    r"""$W = \sum_p \frac{\mu_p}{\alpha_p} (\sum_i \bar\lambda_i^{\alpha_p} - 3) + U(J)$, where
    $\sum_i \bar\lambda_i^\alpha = \mathrm{tr}\, \bar C^{\alpha/2}$ needs no principal stretches;
    $G = \frac12 \sum_p \mu_p \alpha_p$ (Ogden 1972)."""

    bulk_modulus = Parameter(Scalar, "K", "Bulk modulus", "stress")
    coefficients = Parameter(Scalar, "mu", "Coefficients of the terms", "stress", many=True)
    exponents = Parameter(Scalar, "alpha", "Exponents of the terms", "1", many=True)

    def setup(self) -> None:
        n, m = (sum(s.startswith(p) for s in self._types) for p in ("mu_", "alpha_"))
        if n != m:
            raise ModelError(f"{self.label}: {n} coefficients but {m} exponents")
        positive(self, "K")
        terms = [(f"mu_{p}", f"alpha_{p}") for p in range(n)]
        for _, alpha in terms:
            check(self, "no exponent may be zero", lambda x: x != 0.0, (alpha,))
        check(
            self,
            "the sum of coefficients times exponents must be positive",
            lambda *x: sum(mu * alpha for mu, alpha in zip(x[::2], x[1::2], strict=True)) > 0.0,
            tuple(symbol for term in terms for symbol in term),
        )

    def forward(self, f: R2) -> Scalar:
        j = det(f)
        strain = logm(sym(f.T @ f) * j ** (-2.0 / 3.0))
        energy = volumetric_energy(self.K, j)
        for p in range(self.count("mu")):
            mu, alpha = getattr(self, f"mu_{p}"), getattr(self, f"alpha_{p}")
            energy = energy + mu / alpha * (tr(expm(0.5 * alpha * strain)) - 3.0)
        return energy


class Ogden(StressOfEnergy, energy=OgdenEnergy):
    r"""$P = \partial W / \partial F$ with
    $W = \sum_p \frac{\mu_p}{\alpha_p} (\sum_i \bar\lambda_i^{\alpha_p} - 3) + U(J)$."""


def isochoric_invariants(f: R2) -> tuple[Scalar, Scalar, Scalar]:
    r"""$\bar I_1$, $\bar I_2$ and $J$."""
    c, j = f.T @ f, det(f)
    first = tr(c) * j ** (-2.0 / 3.0)
    return first, 0.5 * (first * first - norm_sq(c) * j ** (-4.0 / 3.0)), j


def volumetric_energy(bulk: Scalar, j: Scalar) -> Scalar:
    energy: Scalar = 0.25 * bulk * (j * j - 1.0 - 2.0 * log(j))
    return energy
