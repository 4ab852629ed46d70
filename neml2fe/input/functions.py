"""`[Functions]` blocks, and where the values of conditions and fields are looked up."""

from __future__ import annotations

import ast
import collections.abc
import inspect
import typing
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from neml2fe import fem
from neml2fe.errors import suggest
from neml2fe.fem.conditions.fields import Field
from neml2fe.fem.conditions.functions import Array, Function, SpaceFunction
from neml2fe.input.csvtensor import read_csv_tensor
from neml2fe.input.deck import Block, FieldValue, located
from neml2fe.input.expression import evaluate

if TYPE_CHECKING:
    from neml2fe.input.factory import Input

PLACE = ("x", "y", "z")
FIELDS: dict[str, tuple[str, ...]] = {
    "PiecewiseLinear": ("times", "values", "csv_file", "time_column", "value_column"),
    "Expression": ("expr",),
}


class Expression:
    """A function of the time `t`, or of time and place `x`, `y` (, `z`), as a deck writes it."""

    def __init__(self, text: FieldValue, trust: bool) -> None:
        self.text, self.trust = text, trust

    def __call__(self, time: float, x: Array | None = None) -> Any:
        """A number; with places `x` `(n, dim)`, `(n,)` values or a number for all."""
        names = {"t": torch.tensor(time, dtype=torch.float64)}
        if x is not None:
            names |= {c: torch.tensor(x[:, i]) for i, c in enumerate(PLACE[: x.shape[1]])}
        value = evaluate(self.text.as_str(), names, self.text.location, self.trust)
        if not isinstance(value, (int, float, torch.Tensor)):
            raise self.text.error(f"the expression gives a {type(value).__name__}, not a number")
        if isinstance(value, torch.Tensor) and x is not None and value.shape == (len(x),):
            return value.numpy()
        if isinstance(value, torch.Tensor) and value.numel() != 1:
            wanted = "a number" if x is None else "a number for each place"
            raise self.text.error(
                f"the expression gives a tensor of shape {tuple(value.shape)}, not {wanted}"
            )
        return float(value)


def build_function(source: Input, block: Block) -> Function:
    if block.require("type").as_str() == "Expression":
        function = Expression(block.require("expr"), source.trust)
        in_space = any(name in PLACE for name in free_names(function.text.as_str()))
        # A mistake should show before the run starts.
        function(0.0, np.ones((2, 3)) if in_space else None)
        return SpaceFunction(function) if in_space else function
    table = block.get("csv_file")
    with located(block):
        if table is None:
            return fem.PiecewiseLinear(
                block.require("times").as_floats(), block.require("values").as_floats()
            )
        for name in ("times", "values"):
            if given := block.get(name):
                raise given.error("give times and values, or a csv_file, not both")
        path = table.as_path()
        columns = [block.require(f"{part}_column").as_str() for part in ("time", "value")]
        times, values = (read_csv_tensor(path, ("",), column_names=[c]) for c in columns)
        return fem.PiecewiseLinear(times.tolist(), values.tolist())


def free_names(expression: str) -> set[str]:
    """The names that an expression reads and does not set; none of one that cannot be read."""
    text = inspect.cleandoc(expression)
    names: list[ast.Name] = []
    for source in (text, f"(\n{text}\n)"):  # a quoted value may break its lines
        with suppress(SyntaxError, ValueError, RecursionError, MemoryError):
            names += [n for n in ast.walk(ast.parse(source)) if isinstance(n, ast.Name)]
            break
    stored = {node.id for node in names if not isinstance(node.ctx, ast.Load)}
    return {node.id for node in names} - stored


def is_function(kind: Any) -> bool:
    """Whether a part of an annotation is a function, or a field over the mesh."""
    is_callable = typing.get_origin(kind) is collections.abc.Callable
    return is_callable or kind is SpaceFunction or _is_field(kind)


def _is_field(kind: Any) -> bool:
    return inspect.isclass(kind) and issubclass(kind, Field)


def function_or_field(source: Input, value: FieldValue, word: str, kinds: list[Any]) -> Any:
    """A number, a function or a field by its name `word`, as far as `kinds` have them."""
    number = value.number_or_none(word)
    if number is not None and float in kinds:
        return number
    sections = [
        *(["Fields"] if any(map(_is_field, kinds)) else []),
        *(["Functions"] if float in kinds else []),
    ]
    for section in sections:
        if source.find(section, word) is not None:
            found = source.refer(section, value, word)
            if isinstance(found, SpaceFunction) and SpaceFunction not in kinds:
                raise value.error(
                    f"'{word}' is a function of place; '{value.name}' takes functions of time"
                )
            return found
    known = [block.name for section in sections for block in source.deck.blocks(section)]
    places = " or ".join(f"[{section}]" for section in sections)
    wanted = "a number" if float in kinds else "a field"
    raise value.error(
        f"expected {wanted}, got '{word}', which is no block of {places}{suggest(word, known)}"
    )
