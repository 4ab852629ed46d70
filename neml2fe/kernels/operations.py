"""The torch operations of constitutive laws as CasADi expressions.

A rule gets the tracer, the operation and its arguments, and returns tensors that the tracer
knows. Derivatives at kinks follow torch's: each form here has torch's derivative as well.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import casadi as cs
import torch

if TYPE_CHECKING:
    from neml2fe.kernels.trace import Tracer

aten = torch.ops.aten
RULES: dict[Any, Callable[..., Any]] = {}
LARGEST_MATRIX = 12  # inverted symbolically, with pivoting
LARGEST_TABLE = 1000  # entries that a computed index may choose from
TINY = sys.float_info.min


class Unsupported(Exception):
    """This operation cannot become an expression; the reason."""


def rule(*operations: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        for operation in operations:
            RULES[operation] = function
        return function

    return register


# --- elementwise ---------------------------------------------------------------------------
def _select(condition: cs.SX, a: cs.SX, b: cs.SX) -> cs.SX:
    return cs.if_else(condition, a, b)


def _power(base: cs.SX, exponent: cs.SX) -> cs.SX:
    """x^y, whose derivative by y is 0 at x = 0, not 0 log 0: x is shifted to the smallest number
    there."""
    if exponent.is_constant():
        return base**exponent
    return (base + cs.if_else(base == 0, TINY, 0)) ** exponent


def _clamp(x: cs.SX, low: Any = None, high: Any = None) -> cs.SX:
    if high is not None:
        x = _select(x > high, high, x)
    return x if low is None else _select(x < low, low, x)


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


ELEMENTWISE: dict[Any, Callable[..., cs.SX]] = {
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
    aten.where: _select,
    aten.clamp: _clamp,
    aten.clamp_min: _clamp,
    aten.clamp_max: lambda x, high: _clamp(x, None, high),
    aten.maximum: _maximum,
    aten.minimum: _minimum,
    aten.relu: lambda a: _select(a > 0, a, 0.0),
    aten.sigmoid: lambda a: 1.0 / (1.0 + cs.exp(-a)),
    aten.softplus: _softplus,
    aten.remainder: _remainder,
    aten.isnan: _isnan,
    aten.eq: lambda a, b: a == b,
    aten.ne: lambda a, b: a != b,
    aten.lt: lambda a, b: a < b,
    aten.le: lambda a, b: a <= b,
    aten.gt: lambda a, b: a > b,
    aten.ge: lambda a, b: a >= b,
    aten.logical_not: cs.logic_not,
    aten.logical_and: cs.logic_and,
    aten.logical_or: cs.logic_or,
    aten.bitwise_not: cs.logic_not,
    aten.bitwise_and: cs.logic_and,
    aten.bitwise_or: cs.logic_or,
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
    bitwise = func.overloadpacket in (aten.bitwise_not, aten.bitwise_and, aten.bitwise_or)
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
        quotient = _select(quotient < 0, cs.ceil(quotient), cs.floor(quotient))
    elif rounding_mode == "floor":
        quotient = cs.floor(quotient)
    return tracer.bind(out, _column(quotient, out))


@rule(aten._to_copy, aten.to)
def _converted(tracer: Tracer, func: Any, x: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
    out = func(x, *args, **kwargs)
    column = tracer.expression(x)
    if out.dtype is torch.bool and x.dtype is not torch.bool:
        column = column != 0
    elif x.is_floating_point() and not out.is_floating_point():
        column = _select(column < 0, cs.ceil(column), cs.floor(column))
    return tracer.bind(out, column)


# --- places: every entry of the result is an entry of the argument, or zero --------------------
PLACES = (
    *(aten.alias, aten.detach, aten.clone, aten.lift_fresh, aten.lift_fresh_copy),
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
    if func.overloadpacket is aten.as_strided and not x.is_contiguous():
        raise Unsupported("looks at memory that is not contiguous")
    places = func(numbers, *args, **({**kwargs, "dtype": None} if "dtype" in kwargs else kwargs))
    out = func(x, *args, **kwargs)
    padded = cs.vertcat(0, column)

    def bound(value: torch.Tensor, origin: torch.Tensor) -> torch.Tensor:
        return tracer.bind(value, _taken(padded, origin.long()))

    if isinstance(out, torch.Tensor):
        return bound(out, places)
    return [bound(value, origin) for value, origin in zip(out, places, strict=True)]


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
    out = func(x, indices, values, accumulate)
    return tracer.bind(out, column)


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


# --- in place, on tensors that no other one is a view of ----------------------------------------
@rule(aten.add_, aten.mul_, aten.sub_, aten.div_, aten.neg_)
def _in_place(
    tracer: Tracer, func: Any, x: torch.Tensor, *args: Any, **kwargs: Any
) -> torch.Tensor:
    plain = getattr(aten, func.overloadpacket.__name__.rstrip("_"))
    overload = getattr(plain, func._overloadname)
    result = RULES[plain](tracer, overload, x, *args, **kwargs)
    return tracer.bind(x, tracer.expression(result))


@rule(aten.copy_, aten.fill_)
def _copied(tracer: Tracer, func: Any, x: torch.Tensor, value: Any, *_: Any) -> torch.Tensor:
    return tracer.bind(x, _column(_operand(tracer, value, x.shape), x))


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
    result = rows[:, 0]
    for k in range(1, rows.shape[1]):
        pick = _maximum if func.overloadpacket is aten.amax else _minimum
        result = pick(result, rows[:, k])
    return tracer.bind(out, result)


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


@rule(aten.linalg_inv_ex)
def _inverse(tracer: Tracer, func: Any, a: torch.Tensor, **_: Any) -> Any:
    n = a.shape[-1]
    if n > LARGEST_MATRIX:
        raise Unsupported(f"is of a {n} x {n} matrix; {LARGEST_MATRIX} is the largest")
    pages = [_flat(_solved(page, cs.SX.eye(n))) for page in _pages(tracer, a)]
    out = tracer.bind(torch.full_like(a, torch.nan), cs.vertcat(*pages))
    return out, torch.zeros(a.shape[:-2], dtype=torch.int32)


@rule(aten._linalg_solve_ex)
def _linear_solve(
    tracer: Tracer, func: Any, a: torch.Tensor, b: torch.Tensor, left: bool = True, **_: Any
) -> Any:
    raise Unsupported("is a linear solve: write it with an inverse")


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
