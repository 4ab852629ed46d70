"""Weighted combinations of variables."""

from __future__ import annotations

import torch

from neml2fe.errors import ModelError
from neml2fe.models.fields import Generic, Input, Output, Parameter
from neml2fe.models.model import Model
from neml2fe.types import R2, SR2, WR2, Scalar, TypedTensor, Vec, abs, aligned, lift, where


class Weighted(Model, abstract=True):
    """Variables `from` with the parameters `weights`: one a variable, or one for all."""

    def setup(self) -> None:
        n_weights = self.count("weight")
        n_variables = len(self.names["from"])
        if n_weights not in (1, n_variables):
            raise ModelError(
                f"{self.label}: {n_variables} variables in 'from' need 1 or {n_variables} "
                f"weights, got {n_weights}"
            )
        self._symbols = [f"weight_{i if n_weights > 1 else 0}" for i in range(n_variables)]

    def weighted(self, variables: tuple[TypedTensor, ...]) -> TypedTensor:
        """$\\sum_i w_i v_i$."""
        total: TypedTensor = sum(  # type: ignore[assignment]
            getattr(self, w) * v for w, v in zip(self._symbols, variables, strict=True)
        )
        return total


class LinearCombination(Weighted, abstract=True):
    r"""$u = \sum_i w_i v_i + b$, the scalar offset $b$ added to every component."""

    from_ = Input(Generic, "Variables to combine", many=True)
    to_ = Output(Generic, "The combination")
    weights = Parameter(
        Scalar, "weight", "One weight per variable, or one for all", default=(1.0,), many=True
    )
    offset = Parameter(Scalar, "offset", "Constant term", default=0.0)

    def forward(self, *variables: TypedTensor) -> TypedTensor:
        total = self.weighted(variables)
        (u, b), n = aligned(total, self.offset)
        return type(total)(u + lift(b, total.base_ndim()), n)


class ScalarLinearCombination(LinearCombination, tensor=Scalar): ...


class VecLinearCombination(LinearCombination, tensor=Vec): ...


class R2LinearCombination(LinearCombination, tensor=R2): ...


class SR2LinearCombination(LinearCombination, tensor=SR2): ...


class WR2LinearCombination(LinearCombination, tensor=WR2): ...


class ScalarPNorm(Weighted):
    r"""$y = (\sum_i w_i |x_i|^p + \epsilon)^{1/p}$.

    The machine precision $\epsilon$ keeps the root differentiable at zero. A
    variable at zero contributes nothing, nor do its derivatives.
    """

    from_ = Input(Scalar, "Variables to combine", many=True)
    to_ = Output(Scalar, "The norm")
    exponent = Parameter(Scalar, "_p", "Exponent", "1")
    weights = Parameter(
        Scalar, "weight", "One weight per variable, or one for all", default=(1.0,), many=True
    )

    def forward(self, *variables: Scalar) -> Scalar:
        total = self.weighted(tuple(self._power(x) for x in variables))
        epsilon = torch.finfo(total.dtype).eps
        return (total + epsilon) ** (1.0 / self._p)

    def _power(self, x: Scalar) -> Scalar:
        size = abs(x)
        present = ~(size <= 0.0)
        power = where(present, size, 1.0 + 0.0 * size) ** self._p
        return where(present, power, 0.0 * power)
