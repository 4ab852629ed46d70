"""The table of rules, and what all of them use."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import casadi as cs
import torch

if TYPE_CHECKING:
    from neml2fe.kernels.trace import Tracer

aten = torch.ops.aten
RULES: dict[Any, Callable[..., Any]] = {}


class Unsupported(Exception):
    """This operation cannot become an expression; the reason."""


def rule(*operations: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        for operation in operations:
            RULES[operation] = function
        return function

    return register


def select(condition: Any, a: Any, b: Any) -> cs.SX:
    return cs.if_else(condition, a, b)


def taken(column: cs.SX, places: torch.Tensor) -> cs.SX:
    """Entries of a column, as a column."""
    return cs.reshape(column[places.flatten().tolist()], places.numel(), 1)


def operand(tracer: Tracer, value: Any, shape: torch.Size) -> Any:
    """`value` broadcast to `shape`, as a column."""
    if not isinstance(value, torch.Tensor):
        return value if value is None else cs.SX(float(value))
    column = tracer.expression(value)
    if not shape.numel():
        return cs.SX(0, 1)
    if value.shape == shape:
        return column
    places = torch.arange(value.numel()).reshape(value.shape).expand(shape)
    return taken(column, places)


def as_column(expression: cs.SX, out: torch.Tensor) -> cs.SX:
    """A column as long as `out`, of an expression that may have come out as one number."""
    if expression.numel() == out.numel():
        return expression
    return cs.repmat(expression, out.numel(), 1)
