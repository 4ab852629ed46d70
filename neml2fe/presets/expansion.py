"""`Expansion`: models made one after the other, each remembered as the deck block that makes it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch

from neml2fe.errors import ModelError
from neml2fe.implicit import DenseLU, ImplicitUpdate, Newton, NewtonWithLineSearch, NonlinearSystem
from neml2fe.models import REGISTRY, Model
from neml2fe.models.fields import Field, OptionField, ParameterField, Variable
from neml2fe.models.solid_mechanics.surrogate import Weights
from neml2fe.types import TypedTensor

SECTIONS = ("Tensors", "Models", "EquationSystems", "Solvers")


@dataclass
class Entry:
    """One block of a deck: the object that it makes and its fields."""

    section: str
    name: str
    type: str
    fields: dict[str, Any]
    made: Any


class Expansion:
    """Builds the models of a preset and writes the deck that a user would have written by hand.

    Numbers of the deck are those of the live parameters: a calibrated model prints what it
    computes with.
    """

    def __init__(self, reserved: Iterable[str]) -> None:
        self.entries: list[Entry] = []
        self._taken = set(reserved)

    @property
    def labels(self) -> list[str]:
        """Names of the blocks so far."""
        return [entry.name for entry in self.entries]

    # -- building -----------------------------------------------------------------------
    def model(self, name: str, type_: str, **fields: Any) -> Model:
        """The model of block `name`, or of the next free name."""
        label = self._free(name)
        made = REGISTRY[type_](label=label, **fields)
        self.entries.append(Entry("Models", label, type_, _live(made, fields), made))
        return made

    def update(
        self,
        rates: Model,
        unknowns: list[str],
        residuals: list[str],
        predictor: Model | None,
        line_search: bool = False,
        **tolerances: Any,
    ) -> Model:
        """An `ImplicitUpdate` of `rates`, with its system and its solver."""
        system = NonlinearSystem(rates, unknowns, residuals)
        fields: dict[str, Any] = {"model": rates, "unknowns": unknowns, "residuals": residuals}
        self.entries.append(
            Entry("EquationSystems", "system", "NonlinearSystem", fields, system),
        )
        linear = DenseLU()
        kind = NewtonWithLineSearch if line_search else Newton
        fields = {"linear_solver": linear, **tolerances}
        solver = kind(**fields)
        self.entries.append(Entry("Solvers", "newton", kind.__name__, fields, solver))
        self.entries.append(Entry("Solvers", "lu", "DenseLU", {}, linear))
        given = {} if predictor is None else {"predictor": predictor}
        return self.model(
            "return_map", ImplicitUpdate.__name__, equation_system=system, solver=solver, **given
        )

    def _free(self, name: str) -> str:
        label, k = name, 1
        while label in self._taken:
            k += 1
            label = f"{name}_{k}"
        self._taken.add(label)
        return label

    # -- writing ------------------------------------------------------------------------
    def text(self, name: str, fields: dict[str, Any]) -> str:
        """The deck, whose last model is the `ComposedModel` called `name` of these `fields`.

        Raises `ModelError` when a deck cannot say what one of the models is.
        """
        for entry in self.entries:
            if entry.section == "Models":
                _require_complete(entry)
        last = Entry("Models", name, "ComposedModel", fields, None)
        return _Writer(self.entries).write([*self.entries, last])


def _live(made: Model, fields: dict[str, Any]) -> dict[str, Any]:
    """`fields` with the values of parameters as the model holds them now, which follow training."""
    declared = {s for f in made.fields.values() for s in _symbols(made, f)}
    free = iter([held(made, s) for s in made._types if s not in declared])
    live: dict[str, Any] = {}
    for key, value in fields.items():
        field = made.fields[key.rstrip("_")]
        live[field.name] = value
        if isinstance(field, ParameterField):
            found = [held(made, symbol) for symbol in _symbols(made, field)]
            live[field.name] = found if field.many else found[0]
        elif isinstance(field, OptionField) and field.type == list[object]:
            live[field.name] = [next(free) for _ in value]
    return live


def _symbols(made: Model, field: Field) -> list[str]:
    """Symbols of the parameters that a field declares; a list of them is numbered."""
    if not isinstance(field, ParameterField):
        return []
    if not field.many:
        return [field.symbol]
    return [s for s in made._types if re.fullmatch(rf"{field.symbol}_\d+", s)]


def held(made: Model, symbol: str) -> Any:
    """What a parameter is: a model, the name of a variable, or a value that stays live."""
    if symbol in made._nested:
        return made._nested[symbol]
    if symbol in made._runtime:
        return made._runtime[symbol]
    return getattr(made, symbol)


def describe(model: Model) -> Entry:
    """The block of a model that was made elsewhere, from its fields as they are now.

    Raises `ModelError` when a deck cannot say what the model is.
    """
    fields: dict[str, Any] = {}
    for name, field in model.fields.items():
        if isinstance(field, Variable) and model.names[name]:
            fields[name] = model.names[name]
        elif isinstance(field, ParameterField):
            fields[name] = None  # read from the model
        elif isinstance(field, OptionField) and getattr(model, field.attribute) != field.default:
            fields[name] = getattr(model, field.attribute)
    fields = _live(model, fields)
    entry = Entry("Models", model.label, type(model).__name__, fields, model)
    _require_complete(entry)
    return entry


def _require_complete(entry: Entry) -> None:
    """Raises `ModelError` unless the fields of a model's block give the very model."""
    model = entry.made
    cannot = f"'{model.label}' ({entry.type}) cannot be written as a block of a deck"
    if REGISTRY.get(entry.type) is not type(model):
        raise ModelError(cannot)
    again = type(model)(label=model.label, **entry.fields)
    old, new = model.state_dict(), again.state_dict()
    lost = [n for n, value in old.items() if n not in new or not torch.equal(value, new[n])]
    if lost and "weights" in model.fields:
        raise ModelError(
            f"{cannot}: its network is not that of a file; save the weights with "
            "torch.save and give the file as 'weights'"
        )
    specs = (model.input_spec, model.output_spec)
    if lost or list(old) != list(new) or specs != (again.input_spec, again.output_spec):
        raise ModelError(cannot + (f", whose fields do not give {', '.join(lost)}" if lost else ""))


class _Writer:
    """Blocks as text. What they refer to and was made elsewhere becomes a block as well."""

    def __init__(self, entries: list[Entry]) -> None:
        self.names = {id(entry.made): entry.name for entry in entries}
        self.sections: dict[str, list[str]] = {section: [] for section in SECTIONS}

    def write(self, entries: list[Entry]) -> str:
        for entry in entries:
            self.block(entry)
        parts = [f"[{s}]\n{''.join(blocks)}[]\n" for s, blocks in self.sections.items() if blocks]
        return "\n".join(parts)

    def block(self, entry: Entry) -> None:
        lines = [f"  [{entry.name}]\n", f"    type = {entry.type}\n"]
        for field, value in entry.fields.items():
            lines.append(f"    {field} = {self.field(value, f'{entry.name}_{field}')}\n")
        self.sections[entry.section].append("".join([*lines, "  []\n"]))

    def field(self, value: Any, hint: str) -> str:
        if isinstance(value, (list, tuple)):
            hints = [f"{hint}_{i + 1}" for i in range(len(value))]
            return f"'{' '.join(self.word(v, h) for v, h in zip(value, hints, strict=True))}'"
        word = self.word(value, hint)
        return word if isinstance(value, (bool, int, float, TypedTensor)) else f"'{word}'"

    def word(self, value: Any, hint: str) -> str:
        if isinstance(value, str):
            return value
        if isinstance(value, Weights):
            return self.file(value, hint)
        if isinstance(value, bool):
            return "true" if value else "false"
        if isinstance(value, (int, float)):
            return _number(value)
        if isinstance(value, TypedTensor):
            return self.tensor(value, hint)
        if id(value) not in self.names and isinstance(value, Model):
            self.names[id(value)] = value.label
            self.block(describe(value))
        return self.names[id(value)]

    def file(self, value: Weights, hint: str) -> str:
        if not value.file:
            raise ModelError(f"'{hint}' cannot be written into a deck: the weights have no file")
        return value.file

    def tensor(self, value: TypedTensor, hint: str) -> str:
        data = value.data.detach().cpu().double()
        if data.ndim == 0:
            return _number(float(data))
        expr = f"{type(value).__name__}(torch.tensor({data.tolist()!r}, dtype=torch.float64))"
        self.sections["Tensors"].append(
            f"  [{hint}]\n    type = Python\n    expr = '{expr}'\n  []\n"
        )
        return hint


def _number(value: float) -> str:
    """The shortest text that reads back as the same number."""
    return repr(value).removesuffix(".0")
