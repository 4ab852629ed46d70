"""The common base of typed tensors: a `torch.Tensor` with a fixed trailing base shape."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Generic, TypeVar

import torch

from neml2fe.errors import ModelError

Self = TypeVar("Self", bound="TypedTensor")


class TypedTensor:
    """Immutable view of a tensor of shape `(*batch, *sub_batch, *BASE_SHAPE)`.

    `x.data` is the raw tensor. Batch dimensions (points, specimens) lead and broadcast; they
    are independent of each other. The last `sub_batch_ndim` of the dimensions before the base
    shape are the structure of one point: slip systems, grains, entries of a table. Operations
    act on the base shape and align batch and sub-batch dimensions from the right, each among
    themselves. They return new objects, so automatic differentiation passes through.
    Raises `ModelError` when `data` has not the trailing dimensions it must have.
    """

    BASE_SHAPE: ClassVar[tuple[int, ...]] = ()
    __slots__ = ("data", "sub_batch_ndim")
    data: torch.Tensor
    sub_batch_ndim: int

    def __init__(
        self, data: torch.Tensor | TypedTensor | Any, sub_batch_ndim: int | None = None
    ) -> None:
        if isinstance(data, TypedTensor):
            sub_batch_ndim = data.sub_batch_ndim if sub_batch_ndim is None else sub_batch_ndim
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
        if sub_batch_ndim and data.ndim < base + sub_batch_ndim:
            raise ModelError(
                f"{type(self).__name__} with {sub_batch_ndim} sub-batch dimensions needs at least "
                f"{base + sub_batch_ndim} dimensions, got a tensor of shape {tuple(data.shape)}"
            )
        object.__setattr__(self, "data", data)
        object.__setattr__(self, "sub_batch_ndim", sub_batch_ndim or 0)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"{type(self).__name__} is immutable; make a new one instead")

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.data, self.sub_batch_ndim)

    def like(self: Self, data: torch.Tensor) -> Self:
        """`data` with this type and number of sub-batch dimensions."""
        return type(self)(data, self.sub_batch_ndim)

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
    def zeros(cls: type[Self], *batch: int | Sequence[int], **options: Any) -> Self:
        return cls(torch.zeros((*_shape(batch), *cls.BASE_SHAPE), **options))

    @classmethod
    def ones(cls: type[Self], *batch: int | Sequence[int], **options: Any) -> Self:
        return cls(torch.ones((*_shape(batch), *cls.BASE_SHAPE), **options))

    @classmethod
    def empty(cls: type[Self], *batch: int | Sequence[int], **options: Any) -> Self:
        return cls(torch.empty((*_shape(batch), *cls.BASE_SHAPE), **options))

    @classmethod
    def zeros_like(cls: type[Self], other: TypedTensor) -> Self:
        """Zeros with the batch, sub-batch, dtype and device of `other`."""
        outer = other.batch_shape + other.sub_batch_shape
        return cls(other.data.new_zeros((*outer, *cls.BASE_SHAPE)), other.sub_batch_ndim)

    @classmethod
    def full(
        cls: type[Self], *arguments: Any, fill_value: float | None = None, **options: Any
    ) -> Self:
        """`full(value, *batch)`, or `full(*batch, fill_value=value)`."""
        value, batch = (
            (fill_value, arguments) if fill_value is not None else (arguments[0], arguments[1:])
        )
        return cls(torch.full((*_shape(batch), *cls.BASE_SHAPE), value, **options))

    @property
    def batch_shape(self) -> tuple[int, ...]:
        return tuple(self.data.shape[: self.data.ndim - self.base_ndim() - self.sub_batch_ndim])

    @property
    def sub_batch_shape(self) -> tuple[int, ...]:
        end = self.data.ndim - self.base_ndim()
        return tuple(self.data.shape[end - self.sub_batch_ndim : end])

    @property
    def batch(self: Self) -> RegionView[Self]:
        """Reshaping of the batch dimensions: `x.batch.unsqueeze(-1)`, `x.batch.expand(5, 2)`."""
        return RegionView(self, 0, len(self.batch_shape), sub=False)

    dynamic_batch = batch  # its name in decks

    @property
    def sub_batch(self: Self) -> RegionView[Self]:
        """Reshaping of the sub-batch dimensions."""
        return RegionView(self, len(self.batch_shape), self.sub_batch_ndim, sub=True)

    def with_sub_batch_ndim(self: Self, n: int) -> Self:
        """The same data, of whose leading dimensions the last `n` are the sub-batch."""
        return type(self)(self.data, n)

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
        return self.like(self.data.to(*args, **kwargs))

    def detach(self: Self) -> Self:
        return self.like(self.data.detach())

    def __getitem__(self: Self, index: Any) -> Self:
        """Index the batch dimensions only."""
        index = index if isinstance(index, tuple) else (index,)
        inner = self.base_ndim() + self.sub_batch_ndim
        if not inner:
            return type(self)(self.data[index])
        if Ellipsis not in index:
            index = (*index, Ellipsis)
        return self.like(self.data[(*index, *(slice(None),) * inner)])

    def __repr__(self) -> str:
        sub = f", sub_batch_shape={self.sub_batch_shape}" if self.sub_batch_ndim else ""
        return f"{type(self).__name__}(data={self.data!r}, batch_shape={self.batch_shape}{sub})"

    # --- arithmetic -------------------------------------------------------------------
    def _combine(
        self: Self, other: Any, operation: Callable[[Any, Any], torch.Tensor], symbol: str
    ) -> Self:
        if isinstance(other, TypedTensor):
            if type(other) is not type(self):
                raise TypeError(
                    f"cannot compute {type(self).__name__} {symbol} {type(other).__name__}"
                )
            (a, b), n = aligned(self, other)
            return type(self)(operation(a, b), n)
        if self.base_ndim() and not (isinstance(other, (int, float)) and other == 0):
            raise TypeError(f"cannot compute {type(self).__name__} {symbol} {type(other).__name__}")
        return self.like(operation(self.data, other))

    def __add__(self: Self, other: Any) -> Self:
        return self._combine(other, torch.add, "+")

    def __radd__(self: Self, other: Any) -> Self:
        return self._combine(other, torch.add, "+")

    def __sub__(self: Self, other: Any) -> Self:
        return self._combine(other, torch.sub, "-")

    def __rsub__(self: Self, other: Any) -> Self:
        return (-self)._combine(other, torch.add, "-")

    def __neg__(self: Self) -> Self:
        return self.like(-self.data)

    def __mul__(self, other: Any) -> Any:
        if isinstance(other, TypedTensor):
            if self.base_ndim() and other.base_ndim():
                raise TypeError(
                    f"{type(self).__name__} * {type(other).__name__} is ambiguous; "
                    "use inner, outer or @"
                )
            (a, b), n = aligned(self, other)
            kind = type(self) if self.base_ndim() else type(other)
            return kind(lift(a, other.base_ndim()) * lift(b, self.base_ndim()), n)
        if _is_number(other) or not self.base_ndim():
            return self.like(self.data * other)
        return NotImplemented

    __rmul__ = __mul__

    def __truediv__(self: Self, other: Any) -> Self:
        if isinstance(other, TypedTensor):
            if other.base_ndim():
                raise TypeError(f"cannot divide by {type(other).__name__}")
            (a, b), n = aligned(self, other)
            return type(self)(a / lift(b, self.base_ndim()), n)
        if _is_number(other) or not self.base_ndim():
            return self.like(self.data / other)
        return NotImplemented


class RegionView(Generic[Self]):
    """The `length` dimensions of `tensor` from `start` on: its batch or its sub-batch."""

    def __init__(self, tensor: Self, start: int, length: int, sub: bool) -> None:
        self.tensor, self.start, self.ndim, self.sub = tensor, start, length, sub

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.tensor.data.shape[self.start : self.start + self.ndim])

    def axis(self, dim: int, end: int) -> int:
        """The tensor's dimension that is `dim` here; `end` is one past the last allowed one."""
        if not -end <= dim < end:
            raise IndexError(f"dimension {dim} is not among the {end} of this region")
        return self.start + dim % end

    def rewrap(self, data: torch.Tensor, more: int = 0) -> Self:
        """`data` with `more` dimensions in this region."""
        kind = type(self.tensor)
        return kind(data, self.tensor.sub_batch_ndim + (more if self.sub else 0))

    def unsqueeze(self, dim: int = -1, n: int = 1) -> Self:
        """`n` dimensions of size one before dimension `dim`; -1 puts them last."""
        data, axis = self.tensor.data, self.axis(dim, self.ndim + 1)
        return self.rewrap(data.reshape(*data.shape[:axis], *(1,) * n, *data.shape[axis:]), n)

    def squeeze(self, dim: int = -1) -> Self:
        return self.rewrap(self.tensor.data.squeeze(self.axis(dim, self.ndim)), -1)

    def expand(self, *shape: int) -> Self:
        """Broadcast the region to `shape`."""
        data, end = self.tensor.data, self.start + self.ndim
        more = len(shape) - self.ndim
        data = data.reshape(*data.shape[: self.start], *(1,) * more, *data.shape[self.start :])
        full = (*data.shape[: self.start], *shape, *data.shape[end + more :])
        return self.rewrap(data.expand(full), more)

    def flatten(self) -> Self:
        """The dimensions of a sub-batch as batch dimensions."""
        return self.retag(0)

    def retag(self, n: int) -> Self:
        """The same data with a sub-batch of `n` dimensions."""
        return self.tensor.with_sub_batch_ndim(n)

    def expand_at(self, size: int, dim: int = 0) -> Self:
        """A new dimension of `size` equal entries before dimension `dim`."""
        axis = self.axis(dim, self.ndim + 1)
        data = self.tensor.data.unsqueeze(axis)
        return self.rewrap(data.expand(*data.shape[:axis], size, *data.shape[axis + 1 :]), 1)

    def __getitem__(self, index: Any) -> Self:
        index = index if isinstance(index, tuple) else (index,)
        rest = self.tensor.data.ndim - self.start - self.ndim
        tail = (...,) if Ellipsis not in index else ()
        data = self.tensor.data[
            (*(slice(None),) * self.start, *index, *tail, *(slice(None),) * rest)
        ]
        return self.rewrap(data, data.ndim - self.tensor.data.ndim)


def _shape(batch: Sequence[int | Sequence[int]]) -> tuple[int, ...]:
    """`(5, 2)` of `zeros(5, 2)` as of `zeros((5, 2))`."""
    flat: list[int] = []
    for part in batch:
        flat += [part] if isinstance(part, int) else list(part)
    return tuple(flat)


def aligned(*values: TypedTensor) -> tuple[list[torch.Tensor], int]:
    """Raw tensors of `values`, their sub-batches brought to one number of dimensions, and that.

    A value with batch dimensions gets dimensions of size one before its sub-batch.
    """
    most = max(v.sub_batch_ndim for v in values)
    return [
        v.data if v.sub_batch_ndim == most or not v.batch_shape else _widened(v, most)
        for v in values
    ], most


def _widened(value: TypedTensor, sub_batch_ndim: int) -> torch.Tensor:
    data, batch = value.data, value.batch_shape
    ones = (1,) * (sub_batch_ndim - value.sub_batch_ndim)
    return data.reshape(*batch, *ones, *data.shape[len(batch) :])


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
