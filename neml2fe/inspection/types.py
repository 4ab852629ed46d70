"""Every type that a deck may name, described by its declared fields."""

from __future__ import annotations

import dataclasses
import inspect
import types
import typing
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import neml2fe
from neml2fe.input.data import CRYSTALS
from neml2fe.input.factory import SECTIONS
from neml2fe.input.models import SOLVERS
from neml2fe.inspection.documents import FIELDS, TYPES
from neml2fe.models import REGISTRY, Model
from neml2fe.models.fields import (
    REQUIRED,
    Field,
    Input,
    Old,
    OptionField,
    ParameterField,
    Variable,
)
from neml2fe.presets import Role

# Titles of the groups of models, by the first part of the module's name that fits.
GROUPS = {
    "models.common": "Common",
    "models.surrogate*": "Surrogates",
    "models.*.surrogate*": "Surrogates",
    "models.*.neural*": "Surrogates",
    "implicit": "Common",
    "presets": "Presets",
    "models.*.elasticity": "Elasticity",
    "models.*.anisotropic_elasticity": "Elasticity",
    "models.*.crystal*": "Crystal plasticity",
    "models.*.viscoelasticity": "Viscoelasticity",
    "models.*.traction_separation": "Traction separation",
    "models.*.kinematics": "Kinematics and eigenstrains",
    "models.*.eigenstrain*": "Kinematics and eigenstrains",
    "models.*.finite_strain*": "Finite strain",
    "models.*.logarithmic_strain": "Finite strain",
    "models.*.hyperelasticity": "Finite strain",
    "models.*.damage*": "Damage",
    "models.*": "Plasticity and viscoplasticity",
}


@dataclass(frozen=True)
class FieldInfo:
    """One field of a block. `kind` is input, output, parameter or option; `default` is the name
    of a variable or the value as a deck writes it, None where the field is required."""

    name: str
    kind: str
    type: str
    default: str | None
    dimension: str
    doc: str
    choices: tuple[str, ...] = ()

    @property
    def required(self) -> bool:
        return self.default is None


@dataclass(frozen=True)
class TypeInfo:
    """One type of block: `section` says where it stands, `group` with what it is listed."""

    type: str
    section: str
    group: str
    doc: str
    source: str
    fields: tuple[FieldInfo, ...]

    @property
    def summary(self) -> str:
        """The first sentence of the description."""
        text = " ".join(self.doc.split("\n\n")[0].split())
        end = text.find(". ")
        return text if end < 0 else text[: end + 1]


def catalog() -> list[TypeInfo]:
    """All types of all sections, those of one group together."""
    models = [
        describe_model(cls) for cls in REGISTRY.values() if cls.__module__.startswith("neml2fe.")
    ]
    titles = list(dict.fromkeys(GROUPS.values()))
    models.sort(key=lambda info: titles.index(info.group))
    return models + [
        describe(section, kind, names)
        for section, known in SECTIONS.items()
        if section != "Models"
        for kind, names in known.fields().items()
    ]


# -- models ---------------------------------------------------------------------------------
def describe_model(cls: type[Model]) -> TypeInfo:
    fields = tuple(_of_model(f) for f in cls.fields.values() if not isinstance(f, Old))
    module = cls.__module__.removeprefix("neml2fe.")
    group = next(title for pattern, title in GROUPS.items() if _within(module, pattern))
    return TypeInfo(cls.__name__, "Models", group, _doc(cls), _source(cls), fields)


def _within(module: str, pattern: str) -> bool:
    return fnmatchcase(module, pattern) or fnmatchcase(module, f"{pattern}.*")


def _of_model(field: Field) -> FieldInfo:
    default: str | None
    if isinstance(field, Variable):
        kind = "input" if isinstance(field, Input) else "output"
        default = field.name if field.default is None else field.default
        if isinstance(field, Input) and field.optional:
            default = ""
        name = _type_name(field.type, field.many)
        return FieldInfo(field.name, kind, name, default, field.dimension, field.doc)
    if isinstance(field, ParameterField):
        name = _type_name(field.type, field.many)
        default = _written(field.default)
        return FieldInfo(field.name, "parameter", name, default, field.dimension, field.doc)
    assert isinstance(field, OptionField)
    choices = field.type.known() if isinstance(field.type, Role) else field.choices
    return FieldInfo(
        field.name,
        "option",
        _type_name(field.type),
        _written(field.default),
        "",
        field.doc,
        tuple(map(str, choices)),
    )


# -- other sections -------------------------------------------------------------------------
def describe(section: str, kind: str, names: Iterable[str]) -> TypeInfo:
    """A type by its fields: declared as those of models are, in a dataclass or in `documents`."""
    cls = {"Solvers": SOLVERS, "Data": CRYSTALS}.get(section, {}).get(kind)
    doc = TYPES.get(f"{section}/{kind}") or (_doc(cls) if cls else "")
    group = next((title for title, sections in _SECTIONS.items() if section in sections), section)
    declared = names if isinstance(names, Mapping) else {}
    fields = tuple(
        dict.fromkeys(
            dataclasses.replace(_of_model(declared[name]), name=name)
            if name in declared
            else _field(section, kind, name, cls)
            for name in names
        )
    )
    return TypeInfo(kind, section, group, doc, _source(cls) if cls else "", fields)


# Titles of the groups of other sections, where one has several.
_SECTIONS = {
    "Finite elements": (
        *("Meshes", "Functions", "Materials", "Bodies", "Fields", "BoundaryConditions", "Probes"),
    ),
    "Calibration": ("Specimens", "Measurements", "Tests", "Parameters", "Calibrations"),
}


def _field(section: str, kind: str, name: str, cls: Any) -> FieldInfo:
    path = f"{section}/{kind}/{name}"
    pattern = next((p for p in FIELDS if fnmatchcase(path, p)), None)
    type_, default, doc = FIELDS[pattern] if pattern else ("str", "", "")
    shown = name
    if pattern and "*" in pattern.rpartition("/")[2]:
        shown = pattern.rpartition("/")[2].replace("*", "TYPE")
    if cls is not None:
        declared = {f.name: f for f in dataclasses.fields(cls)}[name]
        type_ = _type_name(typing.get_type_hints(cls)[name])
        missing = declared.default is dataclasses.MISSING
        default = None if missing else _written(declared.default)
    return FieldInfo(shown, "option", type_, default, "", doc)


# -- words ----------------------------------------------------------------------------------
def _doc(cls: Any) -> str:
    doc = inspect.getdoc(cls) or ""
    return "" if doc == inspect.getdoc(Model) else doc


def _source(cls: Any) -> str:
    """The file of the class, from the folder of the package."""
    module = inspect.getmodule(cls)
    path = str(getattr(module, "__file__", ""))
    root = str(neml2fe.__file__).removesuffix("__init__.py")
    return "neml2fe/" + path.removeprefix(root) if path.startswith(root) else cls.__module__


def _type_name(kind: Any, many: bool = False) -> str:
    if many:
        return f"list of {_type_name(kind)}"
    if isinstance(kind, str):
        return kind
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is list:
        return f"list of {_type_name(arguments[0])}"
    if origin in (typing.Union, types.UnionType):
        return " or ".join(_type_name(a) for a in arguments if a is not type(None))
    if kind in (object, str):
        return "number" if kind is object else "name"
    return str(getattr(kind, "__name__", kind))


def _written(value: Any) -> str | None:
    """A default as a deck writes it."""
    if value is REQUIRED:
        return None
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (list, tuple)):
        return " ".join(_words(value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def _words(values: Iterable[Any]) -> Iterator[str]:
    for value in values:
        yield _written(value) or ""
