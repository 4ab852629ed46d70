"""Scalar invariants of second-order tensors."""

from __future__ import annotations

import torch

from neml2fe.models.fields import Generic, Input, Option, Output
from neml2fe.models.model import Model
from neml2fe.types import R2, SR2, Scalar, det, dev, inner, norm_sq, sqrt, tr


class SR2Invariant(Model):
    r"""An invariant of a symmetric tensor $a$ with deviator $s$:

    VONMISES $\sqrt{3/2}\,|s|$, EFFECTIVE_STRAIN $\sqrt{2/3}\,|s|$, I1 $\mathrm{tr}\,a$,
    I2 $\frac12(\mathrm{tr}^2 a - a:a)$, J2 $\frac12 s:s$.

    The machine epsilon is added under both roots: smooth functions of the invariant, such as
    its square in porous plasticity, then have their derivatives also where $s = 0$.
    """

    tensor = Input(SR2, "Tensor")
    invariant_type: str = Option(
        str, "Which invariant", choices=("VONMISES", "EFFECTIVE_STRAIN", "I1", "I2", "J2")
    )
    invariant = Output(Scalar, "The invariant")

    def forward(self, a: SR2) -> Scalar:
        match self.invariant_type:
            case "VONMISES":
                return _root(1.5 * norm_sq(dev(a)))
            case "EFFECTIVE_STRAIN":
                return _root(2.0 / 3.0 * norm_sq(dev(a)))
            case "I1":
                return tr(a)
            case "I2":
                return 0.5 * (tr(a) * tr(a) - inner(a, a))
            case _:
                return 0.5 * inner(dev(a), dev(a))


def _root(square: Scalar) -> Scalar:
    return sqrt(square + torch.finfo(square.dtype).eps)


class Determinant(Model, abstract=True):
    r"""$J = \det A$."""

    input = Input(Generic, "Tensor")
    determinant = Output(Scalar, "Its determinant")

    def forward(self, a: R2 | SR2) -> Scalar:
        return det(a)


class R2Determinant(Determinant, tensor=R2): ...


class SR2Determinant(Determinant, tensor=SR2): ...
