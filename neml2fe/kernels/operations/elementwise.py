"""Operations on each component by itself."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import casadi as cs
import numpy as np
import torch

from neml2fe.kernels.operations.rules import (
    RULES,
    Unsupported,
    as_column,
    aten,
    operand,
    rule,
    select,
)

if TYPE_CHECKING:
    from neml2fe.kernels.trace import Tracer

TINY = 2.0**-126  # the smallest normal number of single precision


def _power(base: cs.SX, exponent: cs.SX) -> cs.SX:
    """x^y with finite derivatives at x = 0, where that by y is 0, not 0 log 0, and that by x is
    0 but for y = 1."""
    if exponent.is_constant():
        return base**exponent
    zero, same = base == 0, exponent == 0
    power = (base + cs.if_else(zero, cs.if_else(same, 1, TINY), 0)) ** exponent
    at_zero = select(exponent < 0, cs.inf, cs.logic_or(same, exponent == 1))
    return power * select(zero, at_zero, 1)


def _where(condition: cs.SX, a: cs.SX, b: cs.SX) -> cs.SX:
    return select(condition, _not_a_number(a, condition), _not_a_number(b, condition))


def _not_a_number(x: cs.SX, condition: cs.SX) -> cs.SX:
    """NaN that a model gives on purpose as an expression: as a constant it means an escape."""
    if not x.is_constant() or not np.isnan(np.array(cs.DM(x))).any():
        return x
    conditions = [condition] * x.numel() if condition.numel() == 1 else cs.vertsplit(condition)
    values = zip(cs.vertsplit(x), conditions, strict=True)
    return cs.vertcat(*(cs.sqrt(-1 - c) if math.isnan(float(v)) else v for v, c in values))


def _clamp(x: cs.SX, low: Any = None, high: Any = None) -> cs.SX:
    if low is not None:
        x = select(x < low, low, x)
    return x if high is None else select(x > high, high, x)


def maximum(a: cs.SX, b: cs.SX) -> cs.SX:
    return select(a > b, a, select(b > a, b, 0.5 * (a + b)))


def minimum(a: cs.SX, b: cs.SX) -> cs.SX:
    return select(a < b, a, select(b < a, b, 0.5 * (a + b)))


def _softplus(x: cs.SX, beta: float = 1.0, threshold: float = 20.0) -> cs.SX:
    return select(beta * x > threshold, x, cs.log1p(cs.exp(beta * x)) / beta)


def _remainder(a: cs.SX, b: cs.SX) -> cs.SX:
    return a - b * cs.floor(a / b)


def _isnan(x: cs.SX) -> cs.SX:
    return cs.logic_not(x <= cs.inf)  # x != x would be simplified away


def equal(a: cs.SX, b: cs.SX) -> cs.SX:
    """a == b, also where both are the same expression and NaN."""
    same = a.numel() == b.numel() and cs.is_equal(a, b)
    return cs.logic_not(_isnan(a)) if same and not a.is_constant() else a == b


def _truncated(x: cs.SX) -> cs.SX:
    return select(x < 0, cs.ceil(x), cs.floor(x))


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
    aten.exp2: lambda a: cs.exp(math.log(2.0) * a),
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
    aten.maximum: maximum,
    aten.minimum: minimum,
    aten.relu: lambda a: select(a <= 0, 0.0, a),
    aten.trunc: _truncated,
    aten.fmod: cs.fmod,
    aten.sigmoid: lambda a: 0.5 * (1.0 + cs.tanh(0.5 * a)),
    aten.softplus: _softplus,
    aten.remainder: _remainder,
    aten.isnan: _isnan,
    aten.eq: equal,
    aten.ne: lambda a, b: cs.logic_not(equal(a, b)),
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


def _elementwise(tracer: Tracer, func: Any, *args: Any, **kwargs: Any) -> torch.Tensor:
    out = func(*args, **kwargs)
    bitwise = func.overloadpacket.__name__.startswith("bitwise")
    if bitwise and out.dtype is not torch.bool:
        raise Unsupported("works on the bits of integers")
    columns = [operand(tracer, a, out.shape) for a in args]
    named = {n: operand(tracer, a, out.shape) for n, a in kwargs.items()}
    return tracer.bind(out, as_column(ELEMENTWISE[func.overloadpacket](*columns, **named), out))


RULES.update(dict.fromkeys(ELEMENTWISE, _elementwise))


@rule(aten.add, aten.sub, aten.rsub)
def _sum_of_two(
    tracer: Tracer, func: Any, a: Any, b: Any, alpha: float = 1, **_: Any
) -> torch.Tensor:
    out = func(a, b, alpha=alpha)
    x, y = (operand(tracer, v, out.shape) for v in (a, b))
    if out.dtype is torch.bool:
        return tracer.bind(out, as_column(cs.logic_or(x, y), out))
    if func.overloadpacket is aten.rsub:
        x, y = y, x
    scaled = y if alpha == 1 else alpha * y
    total = x + scaled if func.overloadpacket is aten.add else x - scaled
    return tracer.bind(out, as_column(total, out))


@rule(aten.div)
def _quotient(
    tracer: Tracer, func: Any, a: Any, b: Any, rounding_mode: str | None = None
) -> torch.Tensor:
    out = torch.div(a, b, rounding_mode=rounding_mode)
    quotient = operand(tracer, a, out.shape) / operand(tracer, b, out.shape)
    if rounding_mode == "trunc":
        quotient = _truncated(quotient)
    elif rounding_mode == "floor":
        quotient = cs.floor(quotient)
    return tracer.bind(out, as_column(quotient, out))


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
        column = held(column, x.dtype)
    return tracer.bind(func(x), column)


def held(x: cs.SX, dtype: torch.dtype) -> cs.SX:
    """x, whose derivative is zero, as that of `floor` is. It is exact from 2^-448 (in single
    precision 2^-37) on, and smaller numbers are as good as zero."""
    scale = 2.0**60 if dtype is torch.float32 else 2.0**500
    return cs.floor(x * scale) / scale
