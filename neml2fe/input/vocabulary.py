"""Words of deck expressions beyond our own types: NEML2's free functions, and `np` on tensors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from neml2fe.types import MRP, SR2, WR2, Quaternion, Scalar, TypedTensor, Vec, inner, norm


def _zeros(*shape: Any, dtype: torch.dtype | None = None) -> torch.Tensor:
    return torch.zeros(*shape, dtype=dtype)


def _linspace(start: float, stop: float, num: int = 50) -> torch.Tensor:
    return torch.linspace(float(start), float(stop), num)


def _logspace(start: float, stop: float, num: int = 50, base: float = 10.0) -> torch.Tensor:
    return torch.logspace(float(start), float(stop), num, base=base)


def _array(values: Any, dtype: torch.dtype | None = None) -> torch.Tensor:
    found = torch.as_tensor(values, dtype=dtype)
    return found if found.is_floating_point() or dtype else found.to(torch.get_default_dtype())


def _concatenate(values: Sequence[torch.Tensor], axis: int = 0) -> torch.Tensor:
    return torch.cat([_array(v) for v in values], dim=axis)


def _stack(values: Sequence[torch.Tensor], axis: int = 0) -> torch.Tensor:
    return torch.stack([_array(v) for v in values], dim=axis)


# NumPy's names on torch tensors: all that a deck can do with an array is to make a tensor of it.
NUMPY: dict[str, object] = {
    "array": _array,
    "asarray": _array,
    "concatenate": _concatenate,
    "linspace": _linspace,
    "logspace": _logspace,
    "stack": _stack,
    "zeros": _zeros,
    "float64": torch.float64,
    "float32": torch.float32,
}


def _component(vector: Vec, i: int) -> Scalar:
    return Scalar(vector.data[..., i], vector.sub_batch_ndim)


def _unit(x: TypedTensor) -> TypedTensor:
    length: TypedTensor = x / norm(x)
    return length


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "gt": lambda a, b: a > b,
    "lt": lambda a, b: a < b,
    "reciprocal": lambda a: 1.0 / a,
    "unit": _unit,
    "vdot": lambda a, b: inner(a, b),
    "vec_component": _component,
    "vec_from_scalars": Vec.fill,
    "r2_from_sr2": SR2.to_r2,
    "r2_from_wr2": WR2.to_r2,
    "inverse": MRP.inverse,
    "shadow": MRP.shadow,
    "to_quaternion": MRP.to_quaternion,
    "quaternion_rotation_matrix": Quaternion.to_r2,
    "from_numpy": _array,
}
