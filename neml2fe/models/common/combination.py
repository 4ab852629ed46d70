"""Linear combinations of variables."""

from __future__ import annotations

from neml2fe.errors import ModelError
from neml2fe.models.fields import Generic, Input, Output, Parameter
from neml2fe.models.model import Model
from neml2fe.types import R2, SR2, WR2, Scalar, TypedTensor, Vec, lift


class LinearCombination(Model, abstract=True):
    r"""$u = \sum_i w_i v_i + b$, the scalar offset $b$ added to every component."""

    from_ = Input(Generic, "Variables to combine", many=True)
    to_ = Output(Generic, "The combination")
    weights = Parameter(
        Scalar, "weight", "One weight per variable, or one for all", default=(1.0,), many=True
    )
    offset = Parameter(Scalar, "offset", "Constant term", default=0.0)

    def setup(self) -> None:
        n_weights = sum(symbol.startswith("weight_") for symbol in self._types)
        n_variables = len(self.names["from"])
        if n_weights not in (1, n_variables):
            raise ModelError(
                f"{self.label}: {n_variables} variables in 'from' need 1 or {n_variables} "
                f"weights, got {n_weights}"
            )
        self._symbols = [f"weight_{i if n_weights > 1 else 0}" for i in range(n_variables)]

    def forward(self, *variables: TypedTensor) -> TypedTensor:
        total: TypedTensor = sum(  # type: ignore[assignment]
            getattr(self, w) * v for w, v in zip(self._symbols, variables, strict=True)
        )
        kind = type(variables[0])
        return kind(total.data + lift(self.offset.data, kind.base_ndim()))


class ScalarLinearCombination(LinearCombination, tensor=Scalar): ...


class VecLinearCombination(LinearCombination, tensor=Vec): ...


class R2LinearCombination(LinearCombination, tensor=R2): ...


class SR2LinearCombination(LinearCombination, tensor=SR2): ...


class WR2LinearCombination(LinearCombination, tensor=WR2): ...
