"""Functions along one dimension of a tensor's batch or sub-batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import torch

from neml2fe.types.base import RegionView, TypedTensor

T = TypeVar("T", bound=TypedTensor)


def sum(view: RegionView[T], dim: int = 0) -> T:
    """Sum over one dimension of `x.batch` or `x.sub_batch`."""
    return view.rewrap(view.tensor.data.sum(view.axis(dim, view.ndim)), -1)


def mean(view: RegionView[T], dim: int = 0) -> T:
    """Mean over one dimension of `x.batch` or `x.sub_batch`."""
    return view.rewrap(view.tensor.data.mean(view.axis(dim, view.ndim)), -1)


def diff(view: RegionView[T], n: int = 1, dim: int = 0) -> T:
    """Differences of neighbours, `n` times, along one dimension of `x.batch` or `x.sub_batch`."""
    return view.rewrap(torch.diff(view.tensor.data, n, view.axis(dim, view.ndim)))


def stack(values: Sequence[T] | Sequence[RegionView[T]], dim: int = 0) -> T:
    """Stack tensors along a new batch dimension, or views of them along one of their region."""
    raw = [v.tensor.data if isinstance(v, RegionView) else v.data for v in values]
    shaped = torch.broadcast_tensors(*raw)
    if isinstance(values[0], RegionView):
        first = values[0].rewrap(shaped[0])
        view = first.sub_batch if values[0].sub else first.batch
    else:
        view = values[0].like(shaped[0]).batch
    return view.rewrap(torch.stack(shaped, dim=view.axis(dim, view.ndim + 1)), 1)


def cat(views: Sequence[RegionView[T]], dim: int = 0) -> T:
    """Join views along one dimension of their region."""
    first = views[0]
    return first.rewrap(torch.cat([v.tensor.data for v in views], first.axis(dim, first.ndim)))


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
