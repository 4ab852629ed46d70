"""Values of the parts of a deck expression: names, attributes, calls, items and operators.

What is not listed in neml2fe.input.allowlist is refused, and every step of work is charged for.
"""

from __future__ import annotations

import ast
import builtins
import textwrap
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NoReturn

import torch

from neml2fe.errors import Error, InputError, suggest
from neml2fe.input.allowlist import (
    CONSTRUCTORS,
    FUNCTIONS,
    ITERATING,
    LIBRARIES,
    OPERATORS,
    SPOKEN,
    TENSOR,
    TYPED,
    VIEW,
    Library,
)
from neml2fe.input.limits import MAX_BITS, MAX_STEPS
from neml2fe.types import RegionView

TRUST = "; pass --trust to evaluate this deck as full Python"


class Values(ast.NodeVisitor):
    """Visits an expression node by node; `local` holds what the deck's text has assigned."""

    def __init__(self, source: str, names: Mapping[str, object], location: str) -> None:
        self.source = source
        self.names = names
        self.location = location
        self.local: dict[str, Any] = {}
        self.steps = 0

    # -- errors and bounds ----------------------------------------------------------------

    def fail(self, node: ast.AST, message: str, hint: str = "") -> NoReturn:
        raise InputError(f"{message}{_place(self.source, node)}{hint}", self.location)

    def spend(self, node: ast.AST, steps: int) -> None:
        self.steps += steps
        if self.steps > MAX_STEPS:
            self.fail(node, f"the expression takes more than {MAX_STEPS} steps", TRUST)

    def count(self, node: ast.AST, value: Any) -> None:
        """Charges for all items of a nested list, each time it is walked by a function."""
        if isinstance(value, (list, tuple, range)):
            self.spend(node, len(value))
            for item in value if isinstance(value, (list, tuple)) else ():
                self.count(node, item)

    def items(self, node: ast.AST, value: Any) -> list[Any]:
        if not isinstance(value, (list, tuple, range, torch.Tensor)):
            self.fail(node, f"a list is needed here, not {kind_of(value)}")
        self.spend(node, len(value))
        return list(value)

    def visit(self, node: ast.AST) -> Any:
        self.spend(node, 1)
        try:
            return super().visit(node)
        except Error as error:
            if error.location or not self.location:
                raise
            self.fail(node, error.message)
        except (RecursionError, MemoryError):
            raise
        except Exception as error:
            lines = str(error).strip().splitlines() or [type(error).__name__]
            self.fail(node, lines[0])

    def generic_visit(self, node: ast.AST) -> NoReturn:
        self.refuse(node, node)

    def refuse(self, node: ast.AST, construct: ast.AST) -> NoReturn:
        kind = type(construct).__name__
        spoken = SPOKEN.get(kind, f"'{kind.lower()}'")
        self.fail(node, f"{spoken} is not allowed in a deck expression", TRUST)

    def check_name(self, node: ast.AST, name: str) -> None:
        if name.startswith("__"):
            self.fail(node, f"the name '{name}' is not allowed in a deck expression", TRUST)

    # -- values ---------------------------------------------------------------------------

    def visit_Expression(self, node: ast.Expression) -> Any:
        return self.visit(node.body)

    def visit_Constant(self, node: ast.Constant) -> Any:
        if isinstance(node.value, bytes):
            self.fail(node, "a bytes literal is not allowed in a deck expression", TRUST)
        return node.value

    def visit_Name(self, node: ast.Name) -> Any:
        self.check_name(node, node.id)
        if node.id in self.local:
            return self.local[node.id]
        if node.id in LIBRARIES:
            return LIBRARIES[node.id]
        if node.id == "tensor":
            return tensor_of(self.names)
        if node.id in self.names:
            return self.names[node.id]
        if node.id in FUNCTIONS:
            return FUNCTIONS[node.id]
        if hasattr(builtins, node.id):
            self.fail(node, f"'{node.id}' is not allowed in a deck expression", TRUST)
        known = {"tensor", *self.local, *LIBRARIES, *self.names, *FUNCTIONS}
        self.fail(node, f"unknown name '{node.id}'", suggest(node.id, known))

    def visit_Attribute(self, node: ast.Attribute) -> Any:
        if node.attr.startswith("_"):
            self.fail(node, f"the attribute '{node.attr}' is private", TRUST)
        value = self.visit(node.value)
        if isinstance(value, Library):
            if node.attr in value.own:
                return value.own[node.attr]
            value, allowed, owner = value.module, value.allowed, value.module.__name__
        elif isinstance(value, torch.Tensor):
            allowed, owner = TENSOR, "a torch tensor"
        elif isinstance(value, type):
            allowed, owner = CONSTRUCTORS, value.__name__
        elif isinstance(value, RegionView):
            allowed, owner = VIEW, "a batch"
        elif isinstance(getattr(value, "data", None), torch.Tensor):
            allowed, owner = TYPED, type(value).__name__
        else:
            self.fail(node, f"{kind_of(value)} has no attributes in a deck expression", TRUST)
        if node.attr not in allowed:
            near = "" if hasattr(value, node.attr) else suggest(node.attr, allowed)
            self.fail(node, f"'{node.attr}' of {owner} is not open to decks", near or TRUST)
        return getattr(value, node.attr)

    def visit_Call(self, node: ast.Call) -> Any:
        function = self.visit(node.func)
        args: list[Any] = []
        for argument in node.args:
            if isinstance(argument, ast.Starred):
                args += self.items(argument, self.visit(argument.value))
            else:
                args.append(self.visit(argument))
        kwargs: dict[str, Any] = {}
        for keyword in node.keywords:
            if keyword.arg is None or keyword.arg == "out":
                construct = "'**'" if keyword.arg is None else "the keyword 'out'"
                self.fail(node, f"{construct} is not allowed in a deck expression", TRUST)
            kwargs[keyword.arg] = self.visit(keyword.value)
        for value in (*args, *kwargs.values()):
            self.count(node, value)
        if not callable(function):
            self.fail(node, f"{kind_of(function)} cannot be called")
        if function in ITERATING:
            for value in args:
                if isinstance(value, torch.Tensor) and value.ndim:
                    self.spend(node, len(value))
        return function(*args, **kwargs)

    def visit_List(self, node: ast.List) -> list[Any]:
        return self.sequence(node.elts)

    def visit_Tuple(self, node: ast.Tuple) -> tuple[Any, ...]:
        return tuple(self.sequence(node.elts))

    def sequence(self, elements: Iterable[ast.expr]) -> list[Any]:
        values: list[Any] = []
        for element in elements:
            if isinstance(element, ast.Starred):
                values += self.items(element, self.visit(element.value))
            else:
                values.append(self.visit(element))
        return values

    def visit_Subscript(self, node: ast.Subscript) -> Any:
        value = self.visit(node.value)
        if isinstance(value, (str, type)):
            self.fail(node, f"{kind_of(value)} cannot be indexed in a deck expression")
        part = value[self.visit(node.slice)]
        if isinstance(part, (list, tuple)):
            self.spend(node, len(part))
        return part

    def visit_Slice(self, node: ast.Slice) -> slice:
        return slice(*(part and self.visit(part) for part in (node.lower, node.upper, node.step)))

    # -- operators ------------------------------------------------------------------------

    def apply(self, node: ast.AST, kind: ast.AST, *operands: Any) -> Any:
        if type(kind) not in OPERATORS:
            self.refuse(node, kind)
        if any(isinstance(value, str) for value in operands):
            self.fail(node, "text takes no operators in a deck expression", TRUST)
        if any(isinstance(value, (list, tuple)) for value in operands):
            self.check_lists(node, kind, *operands)
        if isinstance(kind, ast.Pow):
            base, exponent = operands
            integers = isinstance(base, int) and isinstance(exponent, int) and abs(base) > 1
            if integers and base.bit_length() * exponent > MAX_BITS:
                self.fail(node, "the integer power is too large; use floating-point numbers")
        result = OPERATORS[type(kind)](*operands)
        if isinstance(result, int) and result.bit_length() > MAX_BITS:
            self.fail(node, "the integer is too large; use floating-point numbers")
        return result

    def check_lists(self, node: ast.AST, kind: ast.AST, *operands: Any) -> None:
        """Lists may be joined, or repeated by an integer; both are charged for."""
        lengths = [len(value) for value in operands if isinstance(value, (list, tuple))]
        factors = [value for value in operands if isinstance(value, int)]
        if isinstance(kind, (ast.Add, ast.Mult)) and len(lengths) + len(factors) == 2:
            self.spend(node, sum(lengths) * max([1, *factors]))
        elif not isinstance(kind, ast.Not):
            self.fail(node, "lists are only joined (+) or repeated (*); make it a torch.tensor")

    def visit_BinOp(self, node: ast.BinOp) -> Any:
        return self.apply(node, node.op, self.visit(node.left), self.visit(node.right))

    def visit_UnaryOp(self, node: ast.UnaryOp) -> Any:
        return self.apply(node, node.op, self.visit(node.operand))

    def visit_BoolOp(self, node: ast.BoolOp) -> Any:
        stop_at = isinstance(node.op, ast.Or)
        value: Any = None
        for operand in node.values:
            value = self.visit(operand)
            if bool(value) is stop_at:
                break
        return value

    def visit_Compare(self, node: ast.Compare) -> Any:
        left = self.visit(node.left)
        value: Any = True
        for kind, operand in zip(node.ops, node.comparators, strict=True):
            right = self.visit(operand)
            value = self.apply(node, kind, left, right)
            if len(node.ops) > 1 and not value:
                break
            left = right
        return value

    def visit_IfExp(self, node: ast.IfExp) -> Any:
        return self.visit(node.body if self.visit(node.test) else node.orelse)


def tensor_of(names: Mapping[str, object]) -> Callable[[str], object]:
    """The function `tensor('x')` of decks: the entry of `names`, also where x is no Python name."""

    def tensor(name: str) -> object:
        if name not in names:
            raise ValueError(f"no tensor '{name}'{suggest(str(name), names)}")
        return names[name]

    return tensor


def kind_of(value: object) -> str:
    return f"'{type(value).__name__}'"


def _place(source: str, node: ast.AST) -> str:
    """` in 'torch.load(x)' (line 2, column 5)`: the part of the expression that is at fault."""
    if not isinstance(node, (ast.expr, ast.stmt)):
        return f", in '{textwrap.shorten(source, 100)}'"
    part = ast.get_source_segment(source, node) or source
    line = f"line {node.lineno}, " if "\n" in source else ""
    return f", in '{textwrap.shorten(part, 100)}' ({line}column {node.col_offset + 1})"
