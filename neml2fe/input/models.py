"""`[Models]`, `[EquationSystems]` and `[Solvers]` blocks to objects, by their declared fields."""

from __future__ import annotations

import dataclasses
import typing
from typing import TYPE_CHECKING, Any

from neml2fe.errors import suggest
from neml2fe.implicit import DenseLU, Newton, NewtonWithLineSearch, NonlinearSystem
from neml2fe.input.deck import Block, FieldValue, located
from neml2fe.models import REGISTRY, Model
from neml2fe.models.fields import Old, OptionField, ParameterField, Variable
from neml2fe.types import Scalar, TypedTensor

if TYPE_CHECKING:
    from neml2fe.input.factory import Input

SOLVERS: dict[str, Any] = {
    "Newton": Newton,
    "NewtonWithLineSearch": NewtonWithLineSearch,
    "DenseLU": DenseLU,
}
SYSTEM_FIELDS = ("model", "unknowns", "residuals")


def model_fields(kind: str) -> list[str]:
    """Deck fields of a model type."""
    return [n for n, f in REGISTRY[kind].fields.items() if not isinstance(f, Old)]


def solver_fields(kind: str) -> list[str]:
    return [f.name for f in dataclasses.fields(SOLVERS[kind])]


def build_model(source: Input, block: Block) -> Model:
    """The model of one block. Errors of its constructor gain the block's file and line."""
    cls = REGISTRY[block.require("type").as_str()]
    given: dict[str, Any] = {"label": block.name}
    for name, value in block.fields.items():
        field = cls.fields.get(name)
        if isinstance(field, Variable):
            given[name] = value.as_list() if field.many else value.as_str()
        elif isinstance(field, ParameterField):
            words = [parameter(source, value, word, field.type) for word in value.as_list()]
            if not field.many and len(words) != 1:
                raise value.error("expected one number, tensor or model name")
            given[name] = words if field.many else words[0]
        elif isinstance(field, OptionField):
            given[name] = option(source, value, field.type)
    with located(block):
        return cls(**given)


def option(source: Input, value: FieldValue, kind: Any) -> Any:
    """A field as the declared type; model, system and solver types are looked up by name."""
    if typing.get_origin(kind) is list:
        (item,) = typing.get_args(kind)
        if item is str:
            return value.as_list()
        if item is object:
            return [parameter(source, value, word, Scalar) for word in value.as_list()]
        return [_lookup(source, value, word, item) for word in value.as_list()]
    readers = {
        bool: value.as_bool,
        int: value.as_int,
        float: value.as_float,
        str: value.as_str,
    }
    if kind in readers:
        return readers[kind]()
    return _lookup(source, value, value.as_str(), kind)


def _lookup(source: Input, value: FieldValue, name: str, kind: type) -> Any:
    sections = {Model: "Models", NonlinearSystem: "EquationSystems"}
    found = source.refer(sections.get(kind, "Solvers"), value, name)
    if not isinstance(found, kind):
        raise value.error(f"'{name}' is a {type(found).__name__}, not a {kind.__name__}")
    return found


def parameter(source: Input, value: FieldValue, word: str, kind: type[TypedTensor]) -> Any:
    """A number, or the tensor or model of that name."""
    number = value.number_or_none(word)
    if number is not None:
        return number
    if source.find("Tensors", word) is not None:
        tensor = source.get_tensor(word)
        return tensor if isinstance(tensor, TypedTensor) else kind(tensor)
    if source.find("Models", word) is not None:
        return source.get_model(word)
    names = [b.name for s in ("Tensors", "Models") for b in source.deck.blocks(s)]
    raise value.error(
        f"expected a number, got '{word}', which is no block of [Tensors] or [Models] either"
        f"{suggest(word, names)}"
    )


def build_system(source: Input, block: Block) -> NonlinearSystem:
    """A `NonlinearSystem`. Groups of unknowns (rows separated by `;`) are kept in order."""
    model = _lookup(source, block.require("model"), block.require("model").as_str(), Model)
    unknowns = [name for row in block.require("unknowns").as_rows() for name in row]
    given = block.get("residuals")
    residuals = [name for row in given.as_rows() for name in row] if given else None
    with located(block):
        return NonlinearSystem(model, unknowns, residuals)


def build_solver(source: Input, block: Block) -> Any:
    """A solver dataclass; its annotations say how each field reads."""
    cls = SOLVERS[block.require("type").as_str()]
    kinds = typing.get_type_hints(cls)
    given = {}
    for name, value in block.fields.items():
        if name == "type":
            continue
        kind = kinds[name]
        if typing.get_origin(kind) is not None or kind not in (bool, int, float, str):
            kind = DenseLU
        given[name] = option(source, value, kind)
    return cls(**given)
