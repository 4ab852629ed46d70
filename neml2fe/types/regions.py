"""Functions along one dimension of a tensor's batch or sub-batch."""

from __future__ import annotations

from typing import TypeVar

import torch

from neml2fe.types.base import RegionView, TypedTensor

T = TypeVar("T", bound=TypedTensor)


def linspace(start: T | RegionView[T], end: T | RegionView[T], n: int, dim: int = 0) -> T:
    """`n` values from `start` to `end`, evenly spaced along a new batch dimension `dim`; along
    one of the sub-batch where the arguments are views of it."""
    a, b = _view(start), _view(end)
    first, last = torch.broadcast_tensors(a.tensor.data, b.tensor.data)
    whole = a if a.tensor.data.ndim == first.ndim else b
    axis = whole.axis(dim, whole.ndim + 1)
    parts = torch.linspace(0.0, 1.0, n, dtype=first.dtype, device=first.device)
    parts = parts.reshape(n, *(1,) * (first.ndim - axis))
    values = first.unsqueeze(axis) + parts * (last - first).unsqueeze(axis)
    return whole.rewrap(values, 1)


def logspace(
    start: T | RegionView[T], end: T | RegionView[T], n: int, dim: int = 0, base: float = 10.0
) -> T:
    """`base` to the power of `linspace`."""
    powers = linspace(start, end, n, dim)
    return powers.like(base**powers.data)


def _view(value: T | RegionView[T]) -> RegionView[T]:
    return value if isinstance(value, RegionView) else value.batch
