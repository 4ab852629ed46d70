"""Sums, extremes and norms."""

from __future__ import annotations

import math
from functools import reduce
from typing import TYPE_CHECKING, Any

import casadi as cs
import torch

from neml2fe.kernels.operations.elementwise import equal, held, maximum, minimum
from neml2fe.kernels.operations.rules import (
    Unsupported,
    aten,
    rule,
    select,
    taken,
)

if TYPE_CHECKING:
    from neml2fe.kernels.trace import Tracer


def rows_of(tracer: Tracer, x: torch.Tensor, dims: Any) -> tuple[cs.SX, tuple[int, ...]]:
    """`x` as a matrix: what is reduced along its columns, in rows of what stays."""
    dims = range(x.ndim) if dims is None else [dims] if isinstance(dims, int) else dims
    reduced = sorted({d % x.ndim for d in dims}) if x.ndim else []
    if not reduced:
        reduced = list(range(x.ndim))
    kept = [d for d in range(x.ndim) if d not in reduced]
    count = math.prod(x.shape[d] for d in reduced)
    places = torch.arange(x.numel()).reshape(x.shape).permute((*reduced, *kept))
    columns = taken(tracer.expression(x), places)
    return cs.reshape(columns, x.numel() // max(count, 1), count), tuple(kept)


@rule(aten.sum, aten.mean)
def _summed(
    tracer: Tracer, func: Any, x: torch.Tensor, dim: Any = None, keepdim: bool = False, **kw: Any
) -> torch.Tensor:
    plain = torch.sum if func.overloadpacket is aten.sum else torch.mean
    out = plain(x, dim, keepdim) if dim is not None else plain(x)
    rows, _ = rows_of(tracer, x, dim)
    total = cs.sum2(rows)
    if plain is torch.mean:
        total = total / rows.shape[1]
    return tracer.bind(out, total)


@rule(aten.all, aten.any)
def _quantified(
    tracer: Tracer, func: Any, x: torch.Tensor, dim: Any = None, keepdim: bool = False
) -> torch.Tensor:
    everyone = func.overloadpacket is aten.all
    plain = torch.all if everyone else torch.any
    out = plain(x, dim, keepdim) if dim is not None else plain(x)
    rows, _ = rows_of(tracer, x, dim)
    result = rows[:, 0] != 0
    for k in range(1, rows.shape[1]):
        join = cs.logic_and if everyone else cs.logic_or
        result = join(result, rows[:, k] != 0)
    return tracer.bind(out, result)


@rule(aten.amax, aten.amin)
def _extreme(
    tracer: Tracer, func: Any, x: torch.Tensor, dim: Any = (), keepdim: bool = False
) -> torch.Tensor:
    out = func(x, dim, keepdim)
    rows, _ = rows_of(tracer, x, dim or None)
    pick = maximum if func.overloadpacket is aten.amax else minimum
    columns = cs.horzsplit(rows)
    extreme = reduce(pick, columns)
    # Equal ones share the derivative.
    chosen = [equal(c, extreme) for c in columns]
    total = sum(cs.if_else(e, c, 0) for e, c in zip(chosen, columns, strict=True))
    shared, count = total / sum(chosen), sum(chosen)
    # With one, the entry itself; with several, whose mean may be off by round-off, too.
    return tracer.bind(out, select(count == 1, extreme, shared + held(extreme - shared, x.dtype)))


@rule(aten.prod)
def _product(
    tracer: Tracer, func: Any, x: torch.Tensor, dim: Any = None, keepdim: bool = False, **_: Any
) -> torch.Tensor:
    out = torch.prod(x, dim, keepdim) if dim is not None else torch.prod(x)
    rows, _kept = rows_of(tracer, x, dim)
    result = rows[:, 0]
    for k in range(1, rows.shape[1]):
        result = result * rows[:, k]
    return tracer.bind(out, result)


@rule(aten.linalg_vector_norm)
def _norm(
    tracer: Tracer,
    func: Any,
    x: torch.Tensor,
    ord: float = 2,
    dim: Any = None,
    keepdim: bool = False,
    **_: Any,
) -> torch.Tensor:
    if ord != 2:
        raise Unsupported(f"is the {ord}-norm; only the 2-norm has a symbolic form")
    out = torch.linalg.vector_norm(x, ord, dim, keepdim)
    rows, _kept = rows_of(tracer, x, dim)
    square = cs.sum2(rows * rows)
    # As torch has it, the derivative at zero is zero.
    root = cs.sqrt(select(square <= 0, 1.0, square))
    return tracer.bind(out, select(square <= 0, 0.0, root))
