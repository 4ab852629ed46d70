"""`[Models]`, `[EquationSystems]` and `[Solvers]` blocks to objects, by their declared fields."""

from __future__ import annotations

import dataclasses
import typing
from typing import TYPE_CHECKING, Any

from neml2fe.errors import suggest
from neml2fe.implicit import (
    GMRES,
    BiCGStab,
    BlockJacobiPreconditioner,
    DenseLU,
    FullPreconditioner,
    JacobiPreconditioner,
    Newton,
    NewtonWithLineSearch,
    NonlinearSystem,
    NoPreconditioner,
    SchurComplement,
)
from neml2fe.input.deck import Block, FieldValue, located
from neml2fe.input.presets import laws, nested_laws
from neml2fe.models import REGISTRY, Model
from neml2fe.models.fields import Old, OptionField, ParameterField, Variable
from neml2fe.models.solid_mechanics.crystal_plasticity.geometry import CrystalGeometry
from neml2fe.presets import Role, Value
from neml2fe.types import Scalar, TypedTensor

if TYPE_CHECKING:
    from neml2fe.input.factory import Input

SOLVERS: dict[str, Any] = {
    "Newton": Newton,
    "NewtonWithLineSearch": NewtonWithLineSearch,
    "DenseLU": DenseLU,
    "SchurComplement": SchurComplement,
    "GMRES": GMRES,
    "BiCGStab": BiCGStab,
    "NoPreconditioner": NoPreconditioner,
    "JacobiPreconditioner": JacobiPreconditioner,
    "BlockJacobiPreconditioner": BlockJacobiPreconditioner,
    "FullPreconditioner": FullPreconditioner,
}
SYSTEM_FIELDS = ("model", "unknowns", "residuals", "structure")


def model_fields(kind: str) -> list[str]:
    """Deck fields of a model type."""
    return [n for n, f in REGISTRY[kind].fields.items() if not isinstance(f, Old)]


def solver_fields(kind: str) -> list[str]:
    return [f.name for f in dataclasses.fields(SOLVERS[kind])]


def build_model(source: Input, block: Block) -> Model:
    """The model of one block. Errors of its constructor gain the block's file and line."""
    given = model_arguments(source, block)
    with located(block):
        return REGISTRY[block.require("type").as_str()](label=block.name, **given)


def model_arguments(source: Input, block: Block) -> dict[str, Any]:
    """The fields of a model's block as its constructor takes them."""
    cls = REGISTRY[block.require("type").as_str()]
    given: dict[str, Any] = dict(nested_laws(block, lambda inner: model_arguments(source, inner)))
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
    for name, field in cls.fields.items():
        if isinstance(field, OptionField) and field.type is CrystalGeometry and name not in given:
            if source.find("Data", field.default) is None:
                raise block.error(f"needs the crystal of a block [Data/{field.default}]")
            given[name] = source.get("Data", field.default)
    return given


def option(source: Input, value: FieldValue, kind: Any) -> Any:
    """A field as the declared type; model, system and solver types are looked up by name."""
    if typing.get_origin(kind) is list:
        (item,) = typing.get_args(kind)
        if item is str:
            return value.as_list()
        if item is bool:
            return value.as_bools()
        if item is object:
            return [parameter(source, value, word, Scalar) for word in value.as_list()]
        return [_lookup(source, value, word, item) for word in value.as_list()]
    if isinstance(kind, Role):
        return laws(value, kind, lambda word, type_: parameter(source, value, word, type_))
    if isinstance(kind, Value):
        return parameter(source, value, value.as_str(), kind.type)
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
    sections = {Model: "Models", NonlinearSystem: "EquationSystems", CrystalGeometry: "Data"}
    found = source.refer(sections.get(kind, "Solvers"), value, name)
    if not isinstance(found, kind):
        raise value.error(f"'{name}' is a {type(found).__name__}, not a {kind.__name__}")
    return found


def parameter(source: Input, value: FieldValue, word: str, kind: type[TypedTensor]) -> Any:
    """A number, the tensor or model of that name, or else the name itself, of a variable that
    the rest of the deck knows."""
    number = value.number_or_none(word)
    if number is not None:
        return number
    if source.find("Tensors", word) is not None:
        tensor = source.get_tensor(word)
        return tensor if isinstance(tensor, TypedTensor) else kind(tensor)
    if source.find("Models", word) is not None:
        return source.get_model(word)
    variables = _variables(source, value)
    if word in variables:
        return word
    names = [b.name for s in ("Tensors", "Models") for b in source.deck.blocks(s)]
    raise value.error(
        f"expected a number, got '{word}', which is no block of [Tensors] or [Models] and no "
        f"variable of another block either{suggest(word, names)}"
    )


def _variables(source: Input, asking: FieldValue) -> set[str]:
    """Words that may name a variable: those of all model and driver fields except `asking`,
    where they may be misspelt, and the default names."""
    found: set[str] = set()
    for section in ("Models", "Drivers"):
        for block in source.deck.blocks(section):
            for name, field in block.fields.items():
                if field is not asking and name != "type":
                    found.update(field.text.split())
    for block in source.deck.blocks("Models"):
        kind = block.get("type")
        fields = REGISTRY[kind.as_str()].fields if kind else {}
        found.update(name for name, field in fields.items() if isinstance(field, Variable))
    return found


def build_system(source: Input, block: Block) -> NonlinearSystem:
    """A `NonlinearSystem`. Groups of unknowns (rows separated by `;`) are kept in order."""
    model = _lookup(source, block.require("model"), block.require("model").as_str(), Model)
    residuals, structure = block.get("residuals"), block.get("structure")
    with located(block):
        return NonlinearSystem(
            model,
            block.require("unknowns").as_rows(),
            residuals.as_rows() if residuals else None,
            structure.as_list() if structure else (),
        )


def build_solver(source: Input, block: Block) -> Any:
    """A solver dataclass; its annotations say how each field reads."""
    cls = SOLVERS[block.require("type").as_str()]
    kinds = typing.get_type_hints(cls)
    given = {}
    for name, value in block.fields.items():
        if name == "type":
            continue
        kind = kinds[name]
        if typing.get_origin(kind) is not None:  # `LinearSolver | None`: another block
            kind = typing.get_args(kind)[0]
        given[name] = option(source, value, kind)
    with located(block):
        return cls(**given)
