"""Copies of variables under another name, and how a family gets one member a tensor type."""

from __future__ import annotations

from collections.abc import Iterable
from types import new_class
from typing import Any

from neml2fe.models.fields import Generic, Input, Output
from neml2fe.models.model import Model
from neml2fe.types import (
    MRP,
    R2,
    SR2,
    SSR4,
    WR2,
    MillerIndex,
    Scalar,
    TypedTensor,
    Vec,
)

EVERY_TYPE = (Scalar, Vec, R2, SR2, WR2, SSR4, MRP, MillerIndex)


def members(
    family: type[Model], name: str, tensors: Iterable[type[TypedTensor]] = EVERY_TYPE
) -> dict[str, Any]:
    """`class <name>(family, tensor=T): ...` for each tensor type T, whose name replaces the
    `{}` in `name`; for the namespace of the module that defines the family."""
    names = {name.format(tensor.__name__): tensor for tensor in tensors}
    return {
        n: new_class(
            n, (family,), {"tensor": t}, lambda space: space.update(__module__=family.__module__)
        )
        for n, t in names.items()
    }


class Copy(Model, abstract=True):
    r"""$y = x$."""

    from_ = Input(Generic, "Variable to copy")
    to_ = Output(Generic, "The copy")

    def forward(self, x: TypedTensor) -> TypedTensor:
        return x


globals().update(members(Copy, "Copy{}"))
