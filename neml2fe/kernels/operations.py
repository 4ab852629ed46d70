"""The torch operations of constitutive laws as CasADi expressions.

A rule gets the tracer, the operation and its arguments, and returns tensors that the tracer
knows. Derivatives at kinks follow torch's: each form here has torch's derivative as well.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import reduce
from typing import TYPE_CHECKING, Any

import casadi as cs
import numpy as np
import torch

if TYPE_CHECKING:
    from neml2fe.kernels.trace import Tracer

aten = torch.ops.aten
RULES: dict[Any, Callable[..., Any]] = {}
LARGEST_MATRIX = 12  # inverted symbolically, with pivoting
SWEEPS = 5  # of Jacobi's rotations, which converge quadratically
LARGEST_TABLE = 1000  # entries that a computed index may choose from
TINY = 2.0**-126  # the smallest normal number of single precision


class Unsupported(Exception):
    """This operation cannot become an expression; the reason."""


def rule(*operations: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        for operation in operations:
            RULES[operation] = function
        return function

    return register


# --- elementwise ---------------------------------------------------------------------------
def _select(condition: Any, a: Any, b: Any) -> cs.SX:
    return cs.if_else(condition, a, b)


def _power(base: cs.SX, exponent: cs.SX) -> cs.SX:
    """x^y with finite derivatives at x = 0, where that by y is 0, not 0 log 0, and that by x is
    0 but for y = 1."""
    if exponent.is_constant():
        return base**exponent
    zero, same = base == 0, exponent == 0
    power = (base + cs.if_else(zero, cs.if_else(same, 1, TINY), 0)) ** exponent
    at_zero = _select(exponent < 0, cs.inf, cs.logic_or(same, exponent == 1))
    return power * _select(zero, at_zero, 1)


def _where(condition: cs.SX, a: cs.SX, b: cs.SX) -> cs.SX:
    return _select(condition, _not_a_number(a, condition), _not_a_number(b, condition))


def _not_a_number(x: cs.SX, condition: cs.SX) -> cs.SX:
    """NaN that a model gives on purpose as an expression: as a constant it means an escape."""
    if not x.is_constant() or not np.isnan(np.array(cs.DM(x))).any():
        return x
    conditions = [condition] * x.numel() if condition.numel() == 1 else cs.vertsplit(condition)
    values = zip(cs.vertsplit(x), conditions, strict=True)
    return cs.vertcat(*(cs.sqrt(-1 - c) if math.isnan(float(v)) else v for v, c in values))


def _clamp(x: cs.SX, low: Any = None, high: Any = None) -> cs.SX:
    if low is not None:
        x = _select(x < low, low, x)
    return x if high is None else _select(x > high, high, x)


def _maximum(a: cs.SX, b: cs.SX) -> cs.SX:
    return _select(a > b, a, _select(b > a, b, 0.5 * (a + b)))


def _minimum(a: cs.SX, b: cs.SX) -> cs.SX:
    return _select(a < b, a, _select(b < a, b, 0.5 * (a + b)))


def _softplus(x: cs.SX, beta: float = 1.0, threshold: float = 20.0) -> cs.SX:
    return _select(beta * x > threshold, x, cs.log1p(cs.exp(beta * x)) / beta)


def _remainder(a: cs.SX, b: cs.SX) -> cs.SX:
    return a - b * cs.floor(a / b)


def _isnan(x: cs.SX) -> cs.SX:
    return cs.logic_not(x <= cs.inf)  # x != x would be simplified away


def _equal(a: cs.SX, b: cs.SX) -> cs.SX:
    """a == b, also where both are the same expression and NaN."""
    same = a.numel() == b.numel() and cs.is_equal(a, b)
    return cs.logic_not(_isnan(a)) if same and not a.is_constant() else a == b


def _truncated(x: cs.SX) -> cs.SX:
    return _select(x < 0, cs.ceil(x), cs.floor(x))


ELEMENTWISE: dict[Any, Callable[..., Any]] = {
    aten.mul: lambda a, b: a * b,
    aten.neg: lambda a: -a,
    aten.reciprocal: lambda a: 1.0 / a,
    aten.square: lambda a: a * a,
    aten.abs: cs.fabs,
    aten.sign: cs.sign,
    aten.sgn: cs.sign,
    aten.sqrt: cs.sqrt,
    aten.rsqrt: lambda a: 1.0 / cs.sqrt(a),
    aten.exp: cs.exp,
    aten.expm1: cs.expm1,
    aten.log: cs.log,
    aten.log1p: cs.log1p,
    aten.log10: lambda a: cs.log(a) / math.log(10.0),
    aten.log2: lambda a: cs.log(a) / math.log(2.0),
    aten.sin: cs.sin,
    aten.cos: cs.cos,
    aten.tan: cs.tan,
    aten.asin: cs.asin,
    aten.acos: cs.acos,
    aten.atan: cs.atan,
    aten.atan2: cs.atan2,
    aten.sinh: cs.sinh,
    aten.cosh: cs.cosh,
    aten.tanh: cs.tanh,
    aten.asinh: cs.asinh,
    aten.acosh: cs.acosh,
    aten.atanh: cs.atanh,
    aten.erf: cs.erf,
    aten.floor: cs.floor,
    aten.ceil: cs.ceil,
    aten.pow: _power,
    aten.where: _where,
    aten.clamp: _clamp,
    aten.clamp_min: _clamp,
    aten.clamp_max: lambda x, high: _clamp(x, None, high),
    aten.maximum: _maximum,
    aten.minimum: _minimum,
    aten.relu: lambda a: _select(a <= 0, 0.0, a),
    aten.trunc: _truncated,
    aten.fmod: cs.fmod,
    aten.sigmoid: lambda a: 0.5 * (1.0 + cs.tanh(0.5 * a)),
    aten.softplus: _softplus,
    aten.remainder: _remainder,
    aten.isnan: _isnan,
    aten.eq: _equal,
    aten.ne: lambda a, b: cs.logic_not(_equal(a, b)),
    aten.lt: lambda a, b: a < b,
    aten.le: lambda a, b: a <= b,
    aten.gt: lambda a, b: a > b,
    aten.ge: lambda a, b: a >= b,
    aten.logical_not: cs.logic_not,
    aten.logical_and: cs.logic_and,
    aten.logical_or: cs.logic_or,
    aten.logical_xor: lambda a, b: (a != 0) != (b != 0),
    aten.bitwise_not: cs.logic_not,
    aten.bitwise_and: cs.logic_and,
    aten.bitwise_or: cs.logic_or,
    aten.bitwise_xor: lambda a, b: (a != 0) != (b != 0),
    torch.ops.prims.mul: lambda a, b: a * b,
    torch.ops.prims.add: lambda a, b: a + b,
}


def _taken(column: cs.SX, places: torch.Tensor) -> cs.SX:
    """Entries of a column, as a column."""
    return cs.reshape(column[places.flatten().tolist()], places.numel(), 1)


def _operand(tracer: Tracer, value: Any, shape: torch.Size) -> Any:
    """`value` broadcast to `shape`, as a column."""
    if not isinstance(value, torch.Tensor):
        return value if value is None else cs.SX(float(value))
    column = tracer.expression(value)
    if not shape.numel():
        return cs.SX(0, 1)
    if value.shape == shape:
        return column
    places = torch.arange(value.numel()).reshape(value.shape).expand(shape)
    return _taken(column, places)


def _elementwise(tracer: Tracer, func: Any, *args: Any, **kwargs: Any) -> torch.Tensor:
    out = func(*args, **kwargs)
    bitwise = func.overloadpacket.__name__.startswith("bitwise")
    if bitwise and out.dtype is not torch.bool:
        raise Unsupported("works on the bits of integers")
    columns = [_operand(tracer, a, out.shape) for a in args]
    named = {n: _operand(tracer, a, out.shape) for n, a in kwargs.items()}
    return tracer.bind(out, _column(ELEMENTWISE[func.overloadpacket](*columns, **named), out))


def _column(expression: cs.SX, out: torch.Tensor) -> cs.SX:
    """A column as long as `out`, of an expression that may have come out as one number."""
    if expression.numel() == out.numel():
        return expression
    return cs.repmat(expression, out.numel(), 1)


RULES.update(dict.fromkeys(ELEMENTWISE, _elementwise))


@rule(aten.add, aten.sub, aten.rsub)
def _sum_of_two(
    tracer: Tracer, func: Any, a: Any, b: Any, alpha: float = 1, **_: Any
) -> torch.Tensor:
    out = func(a, b, alpha=alpha)
    x, y = (_operand(tracer, v, out.shape) for v in (a, b))
    if out.dtype is torch.bool:
        return tracer.bind(out, _column(cs.logic_or(x, y), out))
    if func.overloadpacket is aten.rsub:
        x, y = y, x
    scaled = y if alpha == 1 else alpha * y
    total = x + scaled if func.overloadpacket is aten.add else x - scaled
    return tracer.bind(out, _column(total, out))


@rule(aten.div)
def _quotient(
    tracer: Tracer, func: Any, a: Any, b: Any, rounding_mode: str | None = None
) -> torch.Tensor:
    out = torch.div(a, b, rounding_mode=rounding_mode)
    quotient = _operand(tracer, a, out.shape) / _operand(tracer, b, out.shape)
    if rounding_mode == "trunc":
        quotient = _truncated(quotient)
    elif rounding_mode == "floor":
        quotient = cs.floor(quotient)
    return tracer.bind(out, _column(quotient, out))


@rule(aten._to_copy, aten.to)
def _converted(tracer: Tracer, func: Any, x: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
    out = func(x, *args, **kwargs)
    if out.is_meta:  # torch asks for a shape
        return out
    column = tracer.expression(x)
    if out.dtype is torch.bool and x.dtype is not torch.bool:
        column = column != 0
    elif x.is_floating_point() and not out.is_floating_point():
        column = _truncated(column)
    return tracer.bind(out, column)


@rule(aten.detach)
def _detached(tracer: Tracer, func: Any, x: torch.Tensor) -> torch.Tensor:
    """The same numbers without derivatives. (What torch detaches for itself, it does above of
    the tracer.)"""
    column = tracer.expression(x)
    if x.is_floating_point() and not column.is_constant():
        column = _held(column, x.dtype)
    return tracer.bind(func(x), column)


def _held(x: cs.SX, dtype: torch.dtype) -> cs.SX:
    """x, whose derivative is zero, as that of `floor` is. It is exact from 2^-448 (in single
    precision 2^-37) on, and smaller numbers are as good as zero."""
    scale = 2.0**60 if dtype is torch.float32 else 2.0**500
    return cs.floor(x * scale) / scale


# --- places: every entry of the result is an entry of the argument, or zero --------------------
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
def _moved(tracer: Tracer, func: Any, x: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
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
        return tracer.bind(value, _taken(padded, origin.long()))

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
    return [_moved(tracer, aten.expand.default, v, list(shape)) for v in values]


@rule(aten.cat, aten.stack)
def _joined(tracer: Tracer, func: Any, parts: Any, dim: int = 0) -> torch.Tensor:
    out = func(parts, dim)
    numbers, first = [], 0
    for part in parts:
        numbers.append(torch.arange(first, first + part.numel()).reshape(part.shape))
        first += part.numel()
    column = cs.vertcat(*(tracer.expression(part) for part in parts))
    return tracer.bind(out, _taken(column, func(numbers, dim)))


@rule(aten.index)
def _indexed(tracer: Tracer, func: Any, x: torch.Tensor, indices: Any) -> torch.Tensor:
    if any(map(tracer.is_symbolic, indices)):
        raise Unsupported("is told by computed numbers where to look")
    return _moved(tracer, func, x, indices)


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
    new = _operand(tracer, values, places.shape)
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
        return _moved(tracer, func, x, dim, index)
    out = func(x, dim, torch.zeros_like(index))
    size = x.shape[dim]
    if size > LARGEST_TABLE:
        raise Unsupported(f"chooses among {size} entries; {LARGEST_TABLE} is the most")
    column, numbers = tracer.expression(x), torch.arange(x.numel()).reshape(x.shape)
    chosen, total = tracer.expression(index), cs.SX.zeros(out.numel())
    for k in range(size):
        places = torch.gather(numbers, dim, torch.full_like(index, k))
        total += cs.if_else(chosen == k, _taken(column, places), 0)
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
    return _written(tracer, x, _column(_operand(tracer, value, x.shape), x))


# --- reductions -------------------------------------------------------------------------------
def _rows(tracer: Tracer, x: torch.Tensor, dims: Any) -> tuple[cs.SX, tuple[int, ...]]:
    """`x` as a matrix: what is reduced along its columns, in rows of what stays."""
    dims = range(x.ndim) if dims is None else [dims] if isinstance(dims, int) else dims
    reduced = sorted({d % x.ndim for d in dims}) if x.ndim else []
    if not reduced:
        reduced = list(range(x.ndim))
    kept = [d for d in range(x.ndim) if d not in reduced]
    count = math.prod(x.shape[d] for d in reduced)
    places = torch.arange(x.numel()).reshape(x.shape).permute((*reduced, *kept))
    columns = _taken(tracer.expression(x), places)
    return cs.reshape(columns, x.numel() // max(count, 1), count), tuple(kept)


@rule(aten.sum, aten.mean)
def _summed(
    tracer: Tracer, func: Any, x: torch.Tensor, dim: Any = None, keepdim: bool = False, **kw: Any
) -> torch.Tensor:
    plain = torch.sum if func.overloadpacket is aten.sum else torch.mean
    out = plain(x, dim, keepdim) if dim is not None else plain(x)
    rows, _ = _rows(tracer, x, dim)
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
    rows, _ = _rows(tracer, x, dim)
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
    rows, _ = _rows(tracer, x, dim or None)
    pick = _maximum if func.overloadpacket is aten.amax else _minimum
    columns = cs.horzsplit(rows)
    extreme = reduce(pick, columns)
    # Equal ones share the derivative.
    equal = [_equal(c, extreme) for c in columns]
    total = sum(cs.if_else(e, c, 0) for e, c in zip(equal, columns, strict=True))
    shared, count = total / sum(equal), sum(equal)
    # With one, the entry itself; with several, whose mean may be off by round-off, too.
    return tracer.bind(out, _select(count == 1, extreme, shared + _held(extreme - shared, x.dtype)))


@rule(aten.prod)
def _product(
    tracer: Tracer, func: Any, x: torch.Tensor, dim: Any = None, keepdim: bool = False, **_: Any
) -> torch.Tensor:
    out = torch.prod(x, dim, keepdim) if dim is not None else torch.prod(x)
    rows, _kept = _rows(tracer, x, dim)
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
    rows, _kept = _rows(tracer, x, dim)
    square = cs.sum2(rows * rows)
    # As torch has it, the derivative at zero is zero.
    root = cs.sqrt(_select(square <= 0, 1.0, square))
    return tracer.bind(out, _select(square <= 0, 0.0, root))


# --- small matrices ----------------------------------------------------------------------------
def _matrix(tracer: Tracer, x: torch.Tensor) -> cs.SX:
    return cs.reshape(tracer.expression(x), x.shape[1], x.shape[0]).T


def _flat(matrix: cs.SX) -> cs.SX:
    return cs.reshape(matrix.T, matrix.numel(), 1)


@rule(aten.linalg_cross)
def _cross(
    tracer: Tracer, func: Any, a: torch.Tensor, b: torch.Tensor, dim: int = -1
) -> torch.Tensor:
    out = func(a, b, dim=dim)
    numbers = torch.arange(out.numel()).reshape(out.shape)
    first, second = numbers.roll(-1, dim), numbers.roll(-2, dim)
    x, y = (_operand(tracer, v, out.shape) for v in (a, b))
    product = _taken(x, first) * _taken(y, second) - _taken(x, second) * _taken(y, first)
    return tracer.bind(out, product)


@rule(aten.mm)
def _matmul(tracer: Tracer, func: Any, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return tracer.bind(a @ b, _flat(_matrix(tracer, a) @ _matrix(tracer, b)))


@rule(aten.mv)
def _matvec(tracer: Tracer, func: Any, a: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    return tracer.bind(a @ x, _matrix(tracer, a) @ tracer.expression(x))


@rule(aten.dot)
def _dot(tracer: Tracer, func: Any, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return tracer.bind(a @ b, cs.dot(tracer.expression(a), tracer.expression(b)))


def _pages(tracer: Tracer, x: torch.Tensor) -> list[cs.SX]:
    """The matrices of `(*batch, m, n)` one by one."""
    size = x.shape[-1] * x.shape[-2]
    column = tracer.expression(x)
    return [
        cs.reshape(column[k : k + size], x.shape[-1], x.shape[-2]).T
        for k in range(0, x.numel(), size)
    ]


@rule(aten.bmm)
def _batched_matmul(tracer: Tracer, func: Any, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    products = [x @ y for x, y in zip(_pages(tracer, a), _pages(tracer, b), strict=True)]
    return tracer.bind(torch.bmm(a, b), cs.vertcat(*map(_flat, products)))


def _require_small(a: torch.Tensor, largest: int = LARGEST_MATRIX) -> None:
    n = a.shape[-1]
    if n > largest:
        raise Unsupported(f"is of a {n} x {n} matrix; {largest} is the largest")


@rule(aten.linalg_inv_ex)
def _inverse(tracer: Tracer, func: Any, a: torch.Tensor, **_: Any) -> Any:
    _require_small(a)
    pages = [_flat(_solved(page, cs.SX.eye(a.shape[-1]))) for page in _pages(tracer, a)]
    out = tracer.bind(torch.full_like(a, torch.nan), cs.vertcat(*pages))
    return out, torch.zeros(a.shape[:-2], dtype=torch.int32)


@rule(aten._linalg_solve_ex)
def _linear_solve(
    tracer: Tracer, func: Any, a: torch.Tensor, b: torch.Tensor, left: bool = True, **_: Any
) -> Any:
    if not left:
        raise Unsupported("solves x A = b; only A x = b has a symbolic form")
    _require_small(a)
    vector = b.ndim == 1 or b.shape == a.shape[:-1]
    columns = b.unsqueeze(-1) if vector else b
    out = torch.full((*a.shape[:-2], *b.shape[-1 - (not vector) :]), torch.nan, dtype=a.dtype)
    shape = (*a.shape[:-2], *columns.shape[-2:])
    column = _operand(tracer, tracer.bind(columns, tracer.expression(b)), torch.Size(shape))
    size = math.prod(shape[-2:])
    pages = [
        _flat(_solved(page, cs.reshape(column[k * size : (k + 1) * size], *shape[:-3:-1]).T))
        for k, page in enumerate(_pages(tracer, a))
    ]
    pivots = torch.zeros(a.shape[:-1], dtype=torch.int32)
    factors = torch.full_like(a, torch.nan)
    return tracer.bind(out, cs.vertcat(*pages)), factors, pivots, pivots[..., 0]


@rule(aten._linalg_det)
def _determinant(tracer: Tracer, func: Any, a: torch.Tensor) -> Any:
    _require_small(a, 3)
    out = torch.full(a.shape[:-2], torch.nan, dtype=a.dtype)
    nothing = torch.full_like(a, torch.nan)
    pages = map(cs.det, _pages(tracer, a))
    return tracer.bind(out, cs.vertcat(*pages)), nothing, nothing[..., 0]


@rule(aten._linalg_eigh)
def _eigen(tracer: Tracer, func: Any, a: torch.Tensor, uplo: str = "L", *_: Any) -> Any:
    _require_small(a, 3)
    found = [_symmetric_eigen(page if uplo == "L" else page.T) for page in _pages(tracer, a)]
    values, vectors = torch.full_like(a[..., 0], torch.nan), torch.full_like(a, torch.nan)
    tracer.bind(values, cs.vertcat(*(v for v, _ in found)))
    return values, tracer.bind(vectors, cs.vertcat(*(_flat(q) for _, q in found)))


def _symmetric_eigen(a: cs.SX) -> tuple[cs.SX, cs.SX]:
    """Eigenvalues, ascending, and eigenvectors of the symmetric lower triangle by Jacobi's
    rotations. Derivatives exist where the eigenvalues of each rotation differ, else are NaN."""
    n = a.shape[0]
    a, q = cs.tril2symm(cs.tril(a)), cs.SX.eye(n)
    pairs = [(i, j) for i in range(n) for j in range(i + 1, n)]
    for i, j in pairs * SWEEPS:
        d, coupling = a[j, j] - a[i, i], 2 * a[i, j]
        size = cs.sqrt(d * d + coupling * coupling)
        size = _select(d >= 0, d + size, d - size)
        t = coupling / _select(size == 0, 1, size)
        c = 1 / cs.sqrt(1 + t * t)
        turn = cs.SX.eye(n)
        turn[i, i], turn[j, j], turn[i, j], turn[j, i] = c, c, t * c, -t * c
        a, q = turn.T @ a @ turn, q @ turn
        a[i, j] = a[j, i] = 0
    columns = [cs.vertcat(a[k, k], q[:, k]) for k in range(n)]
    for i, j in pairs:
        swap = columns[i][0] > columns[j][0]
        columns[i], columns[j] = (
            _select(swap, columns[j], columns[i]),
            _select(swap, columns[i], columns[j]),
        )
    both = cs.horzcat(*columns)
    return both[0, :].T, both[1:, :]


def _solved(a: cs.SX, b: cs.SX) -> cs.SX:
    """a^-1 b: by cofactors up to three rows, else by elimination with partial pivoting."""
    n = a.shape[0]
    if n <= 3:
        return _adjugate(a) / cs.det(a) @ b
    rows = [cs.horzcat(a[i, :], b[i, :]) for i in range(n)]
    for k in range(n):
        for i in range(k + 1, n):  # the largest entry moves up by swaps
            swap = cs.fabs(rows[i][k]) > cs.fabs(rows[k][k])
            if swap.is_zero():
                continue
            rows[k], rows[i] = _select(swap, rows[i], rows[k]), _select(swap, rows[k], rows[i])
        rows[k] = rows[k] / rows[k][k]
        for i in range(n):
            if i != k:
                rows[i] = rows[i] - rows[i][k] * rows[k]
    return cs.vertcat(*(row[n:] for row in rows))


def _adjugate(a: cs.SX) -> cs.SX:
    n = a.shape[0]
    if n == 1:
        return cs.SX.ones(1, 1)

    def cofactor(i: int, j: int) -> cs.SX:
        rows, columns = ([m for m in range(n) if m != k] for k in (i, j))
        return (-1.0) ** (i + j) * cs.det(a[rows, columns])

    return cs.vertcat(*(cs.horzcat(*(cofactor(j, i) for j in range(n))) for i in range(n)))


# --- what holds no expression, or shows a number to Python ---------------------------------------
@rule(
    *(aten.zeros_like, aten.ones_like, aten.full_like, aten.empty_like, aten.new_zeros),
    *(aten.new_ones, aten.new_full, aten.new_empty, aten._has_same_storage_numel),
    *(aten.is_same_size, aten._linalg_check_errors, aten.sym_size, aten._efficientzerotensor),
)
def _constant(tracer: Tracer, func: Any, *args: Any, **kwargs: Any) -> Any:
    return func(*args, **kwargs)


@rule(aten._local_scalar_dense, aten.item, aten.is_nonzero, aten.equal)
def _shown(tracer: Tracer, func: Any, *args: Any, **kwargs: Any) -> Any:
    raise Unsupported("takes a computed value to Python, for a branch or a number there")
