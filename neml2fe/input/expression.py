"""`[Tensors] type = Python`: deck expressions, evaluated from an allow-list.

A deck is data that people pass around, so its expressions reach only numbers, tensors and
numeric functions. The text is parsed by `ast` and walked here, node by node: what is not
listed is refused, whatever its value. Every object an expression can hold came out of a listed
name, so a callable that it holds may be called. Work and memory are bounded as well.
"""

from __future__ import annotations

import ast
import inspect
import math
import textwrap
from collections.abc import Mapping
from contextlib import nullcontext
from functools import lru_cache
from typing import Any

import torch

from neml2fe.errors import Error, InputError
from neml2fe.input.limits import MAX_LENGTH, SizeGuard
from neml2fe.input.values import TRUST, Values, kind_of, tensor_of
from neml2fe.types import TypedTensor

_NO_RESULT = "a block of assignments must put its value in 'result'"


def evaluate(
    expr: str, names: Mapping[str, object], location: str = "", trust: bool = False
) -> object:
    """The value of a deck expression, or of a block of assignments that sets `result`.

    `names` holds the typed tensor classes, their free functions and the other `[Tensors]`
    entries; an entry is looked up only when it is used, so the mapping may build it then.
    `tensor('x')` is the entry x, also where x is no Python name. Floating-point tensors are
    float64 unless a dtype is given; a seed set here does not reach beyond the call.
    With `trust`, the text is run as plain Python in the same namespace.

    Raises InputError, with `location`, for what is not allowed (all but numbers, tensors and
    listed numeric functions, and work or memory beyond the bounds above) and for what fails.
    """
    tree, source = _parse(expr, location)
    default = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    seeded = torch.random.fork_rng(devices=[]) if "manual_seed" in source else nullcontext()
    try:
        with seeded:
            if trust:
                return _run(tree, names, location)
            with SizeGuard():
                return _Evaluator(source, names, location).visit(tree)
    except (RecursionError, MemoryError):
        raise InputError("the expression is nested too deeply", location) from None
    finally:
        torch.set_default_dtype(default)


@lru_cache(maxsize=64)  # a function of time is evaluated again and again
def _parse(expr: str, location: str) -> tuple[ast.Expression | ast.Module, str]:
    source = inspect.cleandoc(expr).strip()
    if not source:
        raise InputError("the expression is empty", location)
    if len(source) > MAX_LENGTH:
        raise InputError(f"an expression of more than {MAX_LENGTH} characters", location)
    try:
        module = _parse_lines(source)
    except SyntaxError as error:
        shown = textwrap.shorten(source, 100)
        raise InputError(f"not a Python expression ({error.msg}): '{shown}'", location) from None
    except ValueError as error:
        raise InputError(f"not a Python expression ({error})", location) from None
    except (RecursionError, MemoryError):
        raise InputError("the expression is nested too deeply", location) from None
    if len(module.body) == 1 and isinstance(module.body[0], ast.Expr):
        return ast.Expression(module.body[0].value), source
    return module, source


def _parse_lines(source: str) -> ast.Module:
    try:
        return ast.parse(source)
    except SyntaxError as error:
        # A quoted value may break its lines outside of any parenthesis.
        try:
            module = ast.parse(f"(\n{source}\n)")
        except SyntaxError:
            raise error from None
        ast.increment_lineno(module, -1)
        return module


def _run(tree: ast.Expression | ast.Module, names: Mapping[str, object], location: str) -> object:
    """Plain Python, for a deck that the caller trusts."""
    mentioned = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    try:
        space: dict[str, Any] = {name: names[name] for name in mentioned if name in names}
        space |= {"torch": torch, "math": math, "tensor": tensor_of(names)}
        if isinstance(tree, ast.Expression):
            return eval(compile(tree, "<deck>", "eval"), space)
        exec(compile(tree, "<deck>", "exec"), space)
    except Error:
        raise
    except Exception as error:
        raise InputError(f"{type(error).__name__}: {error}", location) from error
    if "result" not in space:
        raise InputError(_NO_RESULT, location)
    return space["result"]


class _Evaluator(Values):
    """What binds names: statements, and the loops of list comprehensions."""

    def visit_Module(self, node: ast.Module) -> Any:
        for statement in node.body:
            self.visit(statement)
        if "result" not in self.local:
            raise InputError(_NO_RESULT, self.location)
        return self.local["result"]

    def visit_Expr(self, node: ast.Expr) -> None:
        self.visit(node.value)

    def visit_Assign(self, node: ast.Assign) -> None:
        value = self.visit(node.value)
        for target in node.targets:
            self.bind(target, value)

    def bind(self, target: ast.expr, value: Any) -> None:
        if isinstance(target, ast.Name):
            self.check_name(target, target.id)
            self.local[target.id] = value
        elif isinstance(target, (ast.Tuple, ast.List)):
            items = self.items(target, value)
            if len(items) != len(target.elts):
                self.fail(target, f"{len(items)} values for {len(target.elts)} names")
            for element, item in zip(target.elts, items, strict=True):
                self.bind(element, item)
        elif isinstance(target, ast.Subscript) and isinstance(target.value, ast.Name):
            self.local[target.value.id] = self.replaced(target, value)
        else:
            self.fail(target, "only names and parts of tensors can be assigned to", TRUST)

    def replaced(self, target: ast.Subscript, value: Any) -> torch.Tensor:
        """A copy of a tensor with one part replaced: `x[0] = 1` changes no other name's value."""
        whole = self.visit(target.value)
        if not isinstance(whole, torch.Tensor):
            self.fail(target, f"parts of {kind_of(whole)} cannot be assigned to", TRUST)
        copy = whole.clone()
        copy[self.visit(target.slice)] = value.data if isinstance(value, TypedTensor) else value
        return copy

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        changed = self.apply(node, node.op, self.visit(node.target), self.visit(node.value))
        self.bind(node.target, changed)

    def visit_If(self, node: ast.If) -> None:
        for statement in node.body if self.visit(node.test) else node.orelse:
            self.visit(statement)

    def visit_ListComp(self, node: ast.ListComp) -> list[Any]:
        outer, self.local = self.local, dict(self.local)
        try:
            return self.comprehend(node.elt, node.generators)
        finally:
            self.local = outer

    def comprehend(self, element: ast.expr, loops: list[ast.comprehension]) -> list[Any]:
        if not loops:
            return [self.visit(element)]
        values: list[Any] = []
        for item in self.items(loops[0].iter, self.visit(loops[0].iter)):
            self.bind(loops[0].target, item)
            if all(self.visit(condition) for condition in loops[0].ifs):
                values += self.comprehend(element, loops[1:])
        return values
