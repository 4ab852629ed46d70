"""Operations after which every entry of the result is an entry of the argument, or zero."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import casadi as cs
import torch

from neml2fe.kernels.operations.rules import (
    RULES,
    Unsupported,
    as_column,
    aten,
    operand,
    rule,
    taken,
)

if TYPE_CHECKING:
    from neml2fe.kernels.trace import Tracer

LARGEST_TABLE = 1000  # entries that a computed index may choose from


PLACES = (
    *(aten.alias, aten.clone, aten.lift_fresh, aten.lift_fresh_copy),
    *(aten.view, aten._unsafe_view, aten.reshape, aten.contiguous, aten.expand, aten.permute),
    *(aten.transpose, aten.t, aten.unsqueeze, aten.squeeze, aten.flatten, aten.unbind),
    *(aten.slice, aten.select, aten.narrow, aten.diagonal, aten.split, aten.split_with_sizes),
    *(aten.flip, aten.roll, aten.repeat, aten.index_select, aten.diag_embed, aten.tril, aten.triu),
    *(aten.constant_pad_nd, aten.slice_backward, aten.select_backward, aten.diagonal_backward),
    *(
        aten.expand_copy,
        aten.view_copy,
        aten.movedim,
        aten.squeeze_,
        aten.unsqueeze_,
        aten.as_strided,
    ),
)


@rule(*PLACES)
def moved(tracer: Tracer, func: Any, x: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
    if any(map(tracer.is_symbolic, args)):
        raise Unsupported("is told by computed numbers where to look")
    column = tracer.expression(x)
    # Before the operation, which may work in place.
    numbers = torch.arange(1, x.numel() + 1, dtype=torch.float64).reshape(x.shape)
    if func.overloadpacket is aten.as_strided and not _whole(x):
        raise Unsupported("looks at the memory of another tensor")
    places = func(numbers, *args, **({**kwargs, "dtype": None} if "dtype" in kwargs else kwargs))
    out = func(x, *args, **kwargs)
    if func.overloadpacket is aten.constant_pad_nd:
        places = func(numbers, args[0], 0)
    padded = cs.vertcat(_fill(func, *args, **kwargs), column)

    def bound(value: torch.Tensor, origin: torch.Tensor) -> torch.Tensor:
        return tracer.bind(value, taken(padded, origin.long()))

    if isinstance(out, torch.Tensor):
        return bound(out, places)
    return [bound(value, origin) for value, origin in zip(out, places, strict=True)]


def _fill(func: Any, *args: Any, **kwargs: Any) -> float:
    """What an operation puts where nothing else is."""
    if func.overloadpacket is not aten.constant_pad_nd:
        return 0.0
    return float(kwargs.get("value", args[1] if len(args) > 1 else 0.0))


def _whole(x: torch.Tensor) -> bool:
    """Whether x is its memory, in order."""
    size = x.untyped_storage().nbytes()
    return x.is_contiguous() and size == x.numel() * x.element_size()


@rule(aten.broadcast_tensors)
def _broadcast(tracer: Tracer, func: Any, values: Any) -> list[torch.Tensor]:
    shape = torch.broadcast_shapes(*(v.shape for v in values))
    return [moved(tracer, aten.expand.default, v, list(shape)) for v in values]


@rule(aten.cat, aten.stack)
def _joined(tracer: Tracer, func: Any, parts: Any, dim: int = 0) -> torch.Tensor:
    out = func(parts, dim)
    numbers, first = [], 0
    for part in parts:
        numbers.append(torch.arange(first, first + part.numel()).reshape(part.shape))
        first += part.numel()
    column = cs.vertcat(*(tracer.expression(part) for part in parts))
    return tracer.bind(out, taken(column, func(numbers, dim)))


@rule(aten.index)
def _indexed(tracer: Tracer, func: Any, x: torch.Tensor, indices: Any) -> torch.Tensor:
    if any(map(tracer.is_symbolic, indices)):
        raise Unsupported("is told by computed numbers where to look")
    return moved(tracer, func, x, indices)


@rule(aten.index_put, aten.index_put_)
def _put(
    tracer: Tracer,
    func: Any,
    x: torch.Tensor,
    indices: Any,
    values: torch.Tensor,
    accumulate: bool = False,
) -> torch.Tensor:
    if any(map(tracer.is_symbolic, indices)):
        raise Unsupported("is told by computed numbers where to put")
    column = cs.SX(tracer.expression(x))
    places = aten.index(torch.arange(x.numel()).reshape(x.shape), indices)
    new = operand(tracer, values, places.shape)
    for k, place in enumerate(places.flatten().tolist()):
        column[place] = column[place] + new[k] if accumulate else new[k]
    if func.overloadpacket is aten.index_put_:
        return _written(tracer, x, column)
    return tracer.bind(func(x, indices, values, accumulate), column)


@rule(aten.gather)
def _gathered(
    tracer: Tracer, func: Any, x: torch.Tensor, dim: int, index: torch.Tensor, **_: Any
) -> torch.Tensor:
    """Entries of a table by computed whole numbers: a sum over all entries."""
    if not tracer.is_symbolic(index):
        return moved(tracer, func, x, dim, index)
    out = func(x, dim, torch.zeros_like(index))
    size = x.shape[dim]
    if size > LARGEST_TABLE:
        raise Unsupported(f"chooses among {size} entries; {LARGEST_TABLE} is the most")
    column, numbers = tracer.expression(x), torch.arange(x.numel()).reshape(x.shape)
    chosen, total = tracer.expression(index), cs.SX.zeros(out.numel())
    for k in range(size):
        places = torch.gather(numbers, dim, torch.full_like(index, k))
        total += cs.if_else(chosen == k, taken(column, places), 0)
    return tracer.bind(out, total)


# --- in place, on tensors that share their memory with no other one -----------------------------
def _seen_elsewhere(tracer: Tracer, x: torch.Tensor) -> bool:
    """Whether a tensor that the tracer knows has the memory of another one, x."""
    address = x.untyped_storage().data_ptr()
    known = (value for value, _ in tracer._known.values())
    return any(v is not x and v.untyped_storage().data_ptr() == address for v in known)


def _written(tracer: Tracer, x: torch.Tensor, column: cs.SX) -> torch.Tensor:
    if x._is_view() or not _whole(x) or _seen_elsewhere(tracer, x):
        raise Unsupported("writes into a part of another tensor, or into one seen elsewhere")
    return tracer.bind(x, column)


@rule(aten.add_, aten.mul_, aten.sub_, aten.div_, aten.neg_)
def _in_place(
    tracer: Tracer, func: Any, x: torch.Tensor, *args: Any, **kwargs: Any
) -> torch.Tensor:
    plain = getattr(aten, func.overloadpacket.__name__.rstrip("_"))
    overload = getattr(plain, func._overloadname)
    result = RULES[plain](tracer, overload, x, *args, **kwargs)
    return _written(tracer, x, tracer.expression(result))


@rule(aten.copy_, aten.fill_)
def _copied(tracer: Tracer, func: Any, x: torch.Tensor, value: Any, *_: Any) -> torch.Tensor:
    return _written(tracer, x, as_column(operand(tracer, value, x.shape), x))
