"""`[Models]`, `[EquationSystems]` and `[Solvers]` blocks to objects, by their declared fields."""

from __future__ import annotations

import dataclasses
import re
import typing
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import torch

from neml2fe.errors import ModelError, suggest
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
from neml2fe.models.solid_mechanics.surrogate import Weights
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
            if (
                field.table == 1
                and field.type is Scalar
                and all(isinstance(w, float) for w in words)
            ):
                words = [Scalar(torch.tensor(words, dtype=torch.float64), 1)]
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
        if isinstance(field, OptionField) and field.type is Weights and name not in given:
            raise block.error(
                f"the field '{name}' is missing: the file of the network's weights, which would "
                "be other random ones in every run"
            )
    return given


def option(source: Input, value: FieldValue, kind: Any) -> Any:
    """A field as the declared type; model, system and solver types are looked up by name."""
    if typing.get_origin(kind) is list:
        (item,) = typing.get_args(kind)
        if item is str:
            return value.as_list()
        if item is bool:
            return value.as_bools()
        if item is float:
            return value.as_floats()
        if item is object:
            return [parameter(source, value, word, Scalar) for word in value.as_list()]
        return [_lookup(source, value, word, item) for word in value.as_list()]
    if isinstance(kind, Role):
        return laws(value, kind, lambda word, type_: _named(source, value, word, type_))
    if isinstance(kind, Value):
        found = parameter(source, value, value.as_str(), kind.type)
        try:
            kind.check(found)
        except ModelError as error:
            raise value.error(error.message) from None
        return found
    if kind is Weights:
        return _weights(value)
    readers = {
        bool: value.as_bool,
        int: value.as_int,
        float: value.as_float,
        str: value.as_str,
    }
    if kind in readers:
        return readers[kind]()
    return _lookup(source, value, value.as_str(), kind)


def _named(source: Input, value: FieldValue, word: str, kind: type) -> Any:
    """What a word in a law's line stands for, see `neml2fe.presets.laws.Lookup`."""
    if kind is Model:
        return source.get_model(word) if source.find("Models", word) else None
    return parameter(source, value, word, kind)


def _weights(value: FieldValue) -> Weights:
    """The tensors of a file; nothing in it is executed."""
    path = value.as_path().resolve()
    if not path.is_file():
        raise value.error(f"there is no file '{path}'")
    try:
        found = torch.load(path, "cpu", weights_only=True)
    except Exception as error:  # torch raises many types
        reason = str(error).strip().split("\n")[0].split(". ")[0]
        raise value.error(f"'{path}' is no file of weights: {reason}") from None
    if not isinstance(found, dict) or not all(isinstance(v, torch.Tensor) for v in found.values()):
        raise value.error(f"'{path}' holds no weights by name")
    return Weights(found, str(path))


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
    if word in _variables(source):
        return word
    names = [b.name for s in ("Tensors", "Models") for b in source.deck.blocks(s)]
    raise value.error(
        f"expected a number, got '{word}', which is no block of [Tensors] or [Models] and no "
        f"variable of another block either{suggest(word, names)}"
    )


def _variables(source: Input) -> set[str]:
    """The variables that the deck names: in the fields of models that are variables or lists of
    them, by default, as unknowns of a system, and in drivers and materials."""
    found = {
        word
        for section, pattern in _NAMES.items()
        for block in source.deck.blocks(section)
        for name, value in block.fields.items()
        if re.fullmatch(pattern, name)
        for word in value.text.replace(";", " ").split()
    }
    for block in source.deck.blocks("Models"):
        found.update(_of_model(block))
    return found


# Fields that hold names of variables, by section.
_NAMES = {
    "EquationSystems": "unknowns|residuals",
    "Drivers": r"\w+_names|strain|stress|time",
    "Materials": "strain|stress|time",
    "Bodies": "field_names",
    "BoundaryConditions": "field_names",
}


def _of_model(block: Block) -> Iterator[str]:
    """The variables that a model's block names, with those of the blocks in it."""
    kind = block.get("type")
    fields = REGISTRY[kind.as_str()].fields if kind else {}
    chosen = {"label": block.name}
    for name, field in fields.items():
        given = block.get(name)
        if isinstance(field, Variable):
            default = name if field.default is None else field.default
            words = given.as_list() if given else [default.format_map(_Names(chosen))]
            chosen[name] = words[0] if words else name
            yield from words
        elif isinstance(field, OptionField) and field.type == list[str] and not field.choices:
            yield from given.as_list() if given else ()
        elif name in ("time", "function", "driving_force") and given:
            yield from given.as_list()
    for inner in block.blocks:
        yield from _of_model(inner)


class _Names(dict[str, str]):
    """Names of variables by field; those that are not given are the fields' own."""

    def __missing__(self, field: str) -> str:
        return field


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
