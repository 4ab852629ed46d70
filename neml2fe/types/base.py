"""The common base of typed tensors: a `torch.Tensor` with a fixed trailing base shape."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, TypeVar

import torch

from neml2fe.errors import ModelError

Self = TypeVar("Self", bound="TypedTensor")


class TypedTensor:
    """Immutable view of a tensor of shape `(*batch, *BASE_SHAPE)`.

    `x.data` is the raw tensor; batch dimensions lead and broadcast. Operations act on the
    base shape and return new objects, so automatic differentiation passes through.
    Raises `ModelError` when the trailing dimensions of `data` are not `BASE_SHAPE`.
    """

    BASE_SHAPE: ClassVar[tuple[int, ...]] = ()
    __slots__ = ("data",)
    data: torch.Tensor

    def __init__(self, data: torch.Tensor | TypedTensor | Any) -> None:
        if isinstance(data, TypedTensor):
            data = data.data
        elif not isinstance(data, torch.Tensor):
            data = torch.as_tensor(data)
            if not data.is_floating_point():
                data = data.to(torch.get_default_dtype())
        base = self.base_ndim()
        if base and tuple(data.shape[-base:]) != self.BASE_SHAPE:
            raise ModelError(
                f"{type(self).__name__} needs trailing dimensions {self.BASE_SHAPE}, "
                f"got a tensor of shape {tuple(data.shape)}"
            )
        object.__setattr__(self, "data", data)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"{type(self).__name__} is immutable; make a new one instead")

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.data,)

    @classmethod
    def base_ndim(cls) -> int:
        return len(cls.BASE_SHAPE)

    @classmethod
    def base_size(cls) -> int:
        """Number of components, e.g. 6 for `SR2`."""
        size = 1
        for n in cls.BASE_SHAPE:
            size *= n
        return size

    @classmethod
    def zeros(cls: type[Self], *batch: int, **options: Any) -> Self:
        return cls(torch.zeros((*batch, *cls.BASE_SHAPE), **options))

    @classmethod
    def ones(cls: type[Self], *batch: int, **options: Any) -> Self:
        return cls(torch.ones((*batch, *cls.BASE_SHAPE), **options))

    @classmethod
    def full(cls: type[Self], value: float, *batch: int, **options: Any) -> Self:
        return cls(torch.full((*batch, *cls.BASE_SHAPE), value, **options))

    @property
    def batch_shape(self) -> tuple[int, ...]:
        return tuple(self.data.shape[: self.data.ndim - self.base_ndim()])

    @property
    def dtype(self) -> torch.dtype:
        return self.data.dtype

    @property
    def device(self) -> torch.device:
        return self.data.device

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.data.shape)

    def to(self: Self, *args: Any, **kwargs: Any) -> Self:
        """As `torch.Tensor.to`."""
        return type(self)(self.data.to(*args, **kwargs))

    def detach(self: Self) -> Self:
        return type(self)(self.data.detach())

    def __getitem__(self: Self, index: Any) -> Self:
        """Index the batch dimensions only."""
        index = index if isinstance(index, tuple) else (index,)
        if not self.base_ndim():
            return type(self)(self.data[index])
        if Ellipsis not in index:
            index = (*index, Ellipsis)
        return type(self)(self.data[(*index, *(slice(None),) * self.base_ndim())])

    def __repr__(self) -> str:
        return f"{type(self).__name__}(data={self.data!r}, batch_shape={self.batch_shape})"

    # --- arithmetic -------------------------------------------------------------------
    def _combine(
        self: Self, other: Any, operation: Callable[[Any, Any], torch.Tensor], symbol: str
    ) -> Self:
        if isinstance(other, TypedTensor):
            if type(other) is not type(self):
                raise TypeError(
                    f"cannot compute {type(self).__name__} {symbol} {type(other).__name__}"
                )
            return type(self)(operation(self.data, other.data))
        if self.base_ndim() and not (isinstance(other, (int, float)) and other == 0):
            raise TypeError(f"cannot compute {type(self).__name__} {symbol} {type(other).__name__}")
        return type(self)(operation(self.data, other))

    def __add__(self: Self, other: Any) -> Self:
        return self._combine(other, torch.add, "+")

    def __radd__(self: Self, other: Any) -> Self:
        return self._combine(other, torch.add, "+")

    def __sub__(self: Self, other: Any) -> Self:
        return self._combine(other, torch.sub, "-")

    def __rsub__(self: Self, other: Any) -> Self:
        return (-self)._combine(other, torch.add, "-")

    def __neg__(self: Self) -> Self:
        return type(self)(-self.data)

    def __mul__(self, other: Any) -> Any:
        if isinstance(other, TypedTensor):
            if not other.base_ndim():
                return type(self)(self.data * lift(other.data, self.base_ndim()))
            if not self.base_ndim():
                return type(other)(lift(self.data, other.base_ndim()) * other.data)
            raise TypeError(
                f"{type(self).__name__} * {type(other).__name__} is ambiguous; "
                "use inner, outer or @"
            )
        if _is_number(other) or not self.base_ndim():
            return type(self)(self.data * other)
        return NotImplemented

    __rmul__ = __mul__

    def __truediv__(self: Self, other: Any) -> Self:
        if isinstance(other, TypedTensor):
            if other.base_ndim():
                raise TypeError(f"cannot divide by {type(other).__name__}")
            return type(self)(self.data / lift(other.data, self.base_ndim()))
        if _is_number(other) or not self.base_ndim():
            return type(self)(self.data / other)
        return NotImplemented


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) or (isinstance(value, torch.Tensor) and not value.ndim)


def lift(scalar: torch.Tensor, base_ndim: int) -> torch.Tensor:
    """Append `base_ndim` singleton dimensions so that batched scalars broadcast over components.

    A zero-dimensional tensor stays as it is: it broadcasts anyway, and torch then lets the
    other operand decide the dtype.
    """
    if scalar.ndim == 0 or base_ndim == 0:
        return scalar
    return scalar.reshape(scalar.shape + (1,) * base_ndim)
