"""One-line laws: `'voce(R = 100, d = 1.2) + linear(K = 50)'`, or the objects they stand for."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from neml2fe.errors import ModelError, suggest
from neml2fe.models import REGISTRY, Model
from neml2fe.models.fields import Field, Input, Old, OptionField, Output, ParameterField
from neml2fe.models.solid_mechanics.surrogate import Weights
from neml2fe.types import Scalar, TypedTensor

# From a name and the kind of what it may name: a tensor's type, or `Model`, where None is no model.
Lookup = Callable[[str, type], Any]
Arguments = dict[str, Any]


@dataclass(frozen=True)
class Value:
    """Kind of a preset's field that is given as parameters are: a number, a tensor, a model.
    Numbers may have a `least` value."""

    type: type[TypedTensor] = Scalar
    least: float | None = None

    @property
    def __name__(self) -> str:
        return self.type.__name__

    def check(self, value: Any) -> None:
        """Raises `ModelError` for numbers below the least."""
        if self.least is None or value is None or isinstance(value, (str, Model)):
            return
        low = self.type(torch.as_tensor(getattr(value, "data", value))).data
        if bool((low < self.least).any()):
            raise ModelError(f"must be at least {self.least:g}, got {low.min().item():g}")


@dataclass
class Law:
    """A registered type with its fields, or a model made elsewhere; `name` tells it from others."""

    name: str
    type: str
    fields: Arguments = field(default_factory=dict)
    model: Model | None = None

    def variable(self, field_name: str, otherwise: str) -> str:
        """The variable of one of the law's fields, `otherwise` unless it is given."""
        if self.model is not None:
            return self.model.names[field_name][0]
        return str(self.fields.get(field_name, otherwise))

    @property
    def declared(self) -> dict[str, Field]:
        """The fields of the law's type."""
        return REGISTRY[self.type].fields if self.model is None else self.model.fields

    @property
    def outputs(self) -> list[str]:
        """Fields of the variables that the law computes."""
        return [n for n, f in self.declared.items() if isinstance(f, Output)]


@dataclass(frozen=True)
class Template:
    """A law's name for a registered type: its parameters, and how they become fields.

    Without `symbols`, the parameters are the type's own, by their short names.
    """

    type: str
    fixed: Mapping[str, Any] = field(default_factory=dict)
    symbols: tuple[str, ...] = ()
    fill: Callable[[Arguments], Arguments] | None = None


@dataclass(frozen=True)
class Role:
    """What a law does in a composition: the laws known by name, and the output and input fields
    of which a fit type has one each. With `many`, several laws add up."""

    name: str
    laws: Mapping[str, Template]
    outputs: tuple[str, ...]
    inputs: tuple[str, ...]
    many: bool = False

    @property
    def __name__(self) -> str:
        return f"law of {self.name}"

    def known(self) -> list[str]:
        return [name for name, template in self.laws.items() if template.type in REGISTRY]

    def read(self, given: Any, lookup: Lookup | None = None) -> list[Law]:
        """Laws from a text, a model, a `Law`, or a list of these."""
        if given is None:
            return []
        if isinstance(given, str):
            laws = [self._law(call, given, lookup) for call in _terms(given)]
        elif isinstance(given, Model):
            laws = [Law(given.label, type(given).__name__, model=given)]
        elif isinstance(given, Law):
            laws = [given]
        elif isinstance(given, Sequence):
            laws = [law for item in given for law in self.read(item, lookup)]
        else:
            raise ModelError(
                f"expected a law of {self.name} or a model, got a {type(given).__name__}"
            )
        for law in laws:
            self._check(law)
        if len(laws) > 1 and not self.many:
            raise ModelError(f"there can be one law of {self.name} only, got {len(laws)}")
        return laws

    def _check(self, law: Law) -> None:
        inputs = {n: f for n, f in law.declared.items() if isinstance(f, Input)}
        free = any(f.many for f in inputs.values())  # takes what is named
        for verb, got, wanted in (
            ("computes", law.outputs, self.outputs),
            ("takes", inputs, self.inputs),
        ):
            if not set(got) & set(wanted) and not (free and got is inputs):
                raise ModelError(
                    f"'{law.type}' is no law of {self.name}: it {verb} "
                    f"{', '.join(got) or 'nothing'}, not {' or '.join(wanted)}"
                )

    def _law(self, call: ast.Call, text: str, lookup: Lookup | None) -> Law:
        name = call.func.id  # type: ignore[attr-defined]
        template = self.laws.get(name)
        if template is None and name in REGISTRY:
            template = Template(name)
        if template is None or template.type not in REGISTRY:
            named = None if lookup is None or call.args or call.keywords else lookup(name, Model)
            if named is not None:
                return Law(named.label, type(named).__name__, model=named)
            raise ModelError(f"'{name}' is no law of {self.name}{suggest(name, self.known())}")
        if any(
            getattr(f, "type", None) is Weights for f in REGISTRY[template.type].fields.values()
        ):
            raise ModelError(
                f"'{name}' is a neural network, which one line cannot say; write an inner block "
                "with its 'weights', or give a model"
            )
        kinds = _parameters(template)
        given: Arguments = {}
        words = [*zip(kinds, call.args, strict=False)]
        if len(call.args) > len(kinds):
            raise ModelError(f"'{name}' takes {len(kinds)} parameters, got {len(call.args)}")
        for symbol, node in [*words, *((str(k.arg), k.value) for k in call.keywords)]:
            if symbol not in kinds:
                raise ModelError(f"'{name}' has no parameter '{symbol}'{suggest(symbol, kinds)}")
            if symbol in given:
                raise ModelError(f"'{name}' is given '{symbol}' twice")
            given[symbol] = _value(node, text, kinds[symbol], lookup)
        return Law(name, template.type, {**template.fixed, **_fields(name, template, given)})


def _parameters(template: Template) -> dict[str, type]:
    """Types of a law's parameters and plain options by short name."""
    if template.symbols:
        return dict.fromkeys(template.symbols, Scalar)
    found: dict[str, type] = {}
    for name, declared in REGISTRY[template.type].fields.items():
        if name in template.fixed or isinstance(declared, Old):
            continue
        if isinstance(declared, ParameterField):
            found[declared.symbol] = declared.type
        elif isinstance(declared, OptionField) and declared.type in (bool, int, float, str):
            found[name] = declared.type
    return found


def _fields(law: str, template: Template, given: Arguments) -> Arguments:
    """Deck fields of the type from parameters by short name."""
    if template.fill is not None:
        return template.fill(given)
    filled = {}
    missing = []
    for name, declared in REGISTRY[template.type].fields.items():
        symbol = declared.symbol if isinstance(declared, ParameterField) else name
        if symbol in given:
            filled[name] = given[symbol]
        elif isinstance(declared, ParameterField) and not _has_default(declared):
            missing.append(symbol)
    if missing:
        raise ModelError(f"'{law}' needs the parameter{'s' * (len(missing) > 1)} {_and(missing)}")
    return filled


def _has_default(declared: ParameterField) -> bool:
    return isinstance(declared.default, (int, float, tuple, list, TypedTensor))


def _and(words: list[str]) -> str:
    return ", ".join(f"'{w}'" for w in words)


# -- text ---------------------------------------------------------------------------------


def _terms(text: str) -> list[ast.Call]:
    """The calls that a sum consists of."""
    try:
        tree = ast.parse(" ".join(text.split()), mode="eval").body
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        raise _unreadable(text) from None
    calls: list[ast.Call] = []
    while isinstance(tree, ast.BinOp) and isinstance(tree.op, ast.Add):
        calls.insert(0, _call(tree.right, text))
        tree = tree.left
    return [_call(tree, text), *calls]


def _call(node: ast.expr, text: str) -> ast.Call:
    if isinstance(node, ast.Name):
        node = ast.Call(node, [], [])
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
        raise _unreadable(text)
    return node


def _unreadable(text: str) -> ModelError:
    return ModelError(
        f"cannot read '{' '.join(text.split())}'; write law(parameter = value, ...), "
        "several laws with + between them"
    )


def _value(node: ast.expr, text: str, kind: type, lookup: Lookup | None) -> Any:
    if kind in (bool, str):
        return _word(node, text, kind)
    if isinstance(node, ast.List):
        return [_value(item, text, kind, lookup) for item in node.elts]
    whole, sign = node, 1
    while isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.USub, ast.UAdd)):
        sign = -sign if isinstance(node.op, ast.USub) else sign
        node = node.operand
    if isinstance(node, ast.Constant) and type(node.value) in (int, float):
        number = sign * float(node.value)  # type: ignore[arg-type]
        if kind is not int:
            return number
        if number.is_integer():
            return int(number)
    elif isinstance(node, ast.Name) and whole is node and issubclass(kind, TypedTensor):
        return node.id if lookup is None else lookup(node.id, kind)
    wanted = {int: "an integer", float: "a number"}.get(kind, "a number or a name")
    raise ModelError(f"expected {wanted}, got '{ast.unparse(whole)}' in '{text}'")


def _word(node: ast.expr, text: str, kind: type) -> Any:
    """A word, or `true` or `false`."""
    word = node.id if isinstance(node, ast.Name) else getattr(node, "value", None)
    if kind is str and isinstance(word, str):
        return word
    if kind is bool and (isinstance(word, bool) or word in ("true", "false")):
        return word in (True, "true")
    wanted = "a word" if kind is str else "true or false"
    raise ModelError(f"expected {wanted}, got '{ast.unparse(node)}' in '{text}'")
