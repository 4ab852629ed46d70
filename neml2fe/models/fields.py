"""Declarations that a model's class body is made of: Input, Output, Old, Parameter, Option.

A field's name is its attribute name (without the trailing underscore that avoids a Python
keyword); decks and constructors use that name. Inputs and outputs take the *variable name*
as value: models are wired by equal variable names.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias


class Generic:
    """Type placeholder in a model family, replaced by `class X(Family, tensor=SR2)`."""


TensorType: TypeAlias = Any  # a TypedTensor subclass, or Generic
REQUIRED: Any = object()


class Field:
    """Base of the declarations; `name` is what decks call it, `attribute` what Python does."""

    name = ""
    attribute = ""

    def __set_name__(self, owner: type, attribute: str) -> None:
        self.name, self.attribute = attribute.rstrip("_"), attribute


@dataclass
class Variable(Field):
    """`default` is the variable's default name (the field's own when None); `{other}` in it
    stands for the name given to field `other`, `{label}` for the model's own name. With `many`,
    the value is a list of names. `dimension` is documentation, see `Parameter`."""

    type: TensorType
    doc: str = ""
    default: str | None = None
    many: bool = False
    dimension: str = ""


@dataclass
class Input(Variable):
    """A variable that the model reads. When `optional` and not given, `forward` gets None."""

    optional: bool = False


@dataclass
class Output(Variable):
    """A variable that the model computes."""


@dataclass
class Old(Field):
    """Variable `x~1`, the value one step back of the variable `x` of field `of`. No deck field."""

    of: str


@dataclass
class ParameterField(Field):
    """See `Parameter`."""

    type: TensorType
    symbol: str
    doc: str
    dimension: str
    default: Any
    many: bool
    table: int


@dataclass
class OptionField(Field):
    """See `Option`."""

    type: Any
    doc: str
    default: Any
    choices: Sequence[str]


def Parameter(
    type: TensorType,
    symbol: str,
    doc: str = "",
    dimension: str = "",
    default: Any = REQUIRED,
    many: bool = False,
    table: int = 0,
) -> Any:
    """A number of the law; becomes a `torch.nn.Parameter` under the short name `symbol`.

    `dimension` is documentation: "stress", "1/time", "1" (dimensionless), "" where it depends
    on the use of a generic building block.
    With `many`, the value is a list and the parameters are `symbol_0`, `symbol_1`, ...
    The last `table` dimensions of the value, before its base shape, are those of a table
    (a sub-batch), not points.
    """
    return ParameterField(type, symbol, doc, dimension, default, many, table)


def Option(type: Any, doc: str = "", default: Any = REQUIRED, choices: Sequence[str] = ()) -> Any:
    """A setting that is no number of the law. `type` is bool, int, float, str, a list of one
    of these (`list[str]`), or a class of objects that a deck refers to by name."""
    return OptionField(type, doc, default, choices)
