"""`Input`: a deck as a source of objects, each built once, when first asked for."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import partial
from typing import Any

import torch

from neml2fe.errors import InputError, suggest
from neml2fe.implicit import NonlinearSystem
from neml2fe.input import (
    calibration,
    data,
    drivers,
    fields,
    finite_element,
    functions,
    materials,
    measurements,
    meshes,
    models,
    simulation,
    simulationcalibration,
    simulationtests,
    specimens,
    tensors,
)
from neml2fe.input.deck import Block, Deck, FieldValue
from neml2fe.input.presets import law_blocks, roles
from neml2fe.input.reader import read_deck
from neml2fe.input.settings import SECTION as SETTINGS
from neml2fe.input.settings import read_settings
from neml2fe.models import REGISTRY, Model
from neml2fe.types import TENSOR_TYPES, TypedTensor


@dataclass(frozen=True)
class Section:
    """What a top-level section may hold: fields by type, a builder, the type when none is given."""

    fields: Callable[[], Mapping[str, Iterable[str]]]
    build: Callable[[Any, Block], Any]
    default_type: str | None = None


SECTIONS: dict[str, Section] = {
    "Tensors": Section(lambda: tensors.FIELDS, tensors.build_tensor),
    "Data": Section(lambda: {k: c.fields for k, c in data.CRYSTALS.items()}, data.build_data),
    "Models": Section(lambda: {k: models.model_fields(k) for k in REGISTRY}, models.build_model),
    "EquationSystems": Section(
        lambda: {"NonlinearSystem": models.SYSTEM_FIELDS}, models.build_system, "NonlinearSystem"
    ),
    "Solvers": Section(
        lambda: {k: models.solver_fields(k) for k in models.SOLVERS}, models.build_solver
    ),
    "Meshes": Section(lambda: meshes.FIELDS, meshes.build_mesh, "File"),
    "Functions": Section(
        lambda: {**functions.FIELDS, **measurements.FUNCTIONS},
        lambda source, block: (
            measurements.build_motion
            if block.require("type").as_str() in measurements.FUNCTIONS
            else functions.build_function
        )(source, block),
    ),
    "Fields": Section(
        lambda: {kind: call.fields() for kind, call in fields.CALLS.items()}, fields.build_field
    ),
    "Materials": Section(lambda: materials.FIELDS, materials.build_material, "Material"),
    **{
        name: Section(partial(finite_element.fields, name), finite_element.build, default)
        for name, default in (
            ("Bodies", "Body"),
            ("BoundaryConditions", None),
            ("Probes", "Probe"),
        )
    },
    "Drivers": Section(
        lambda: {**drivers.FIELDS, **simulation.DRIVER_FIELDS},
        lambda source, block: (
            simulation.build_driver
            if block.require("type").as_str() in simulation.DRIVER_FIELDS
            else drivers.build_driver
        )(source, block),
    ),
    "Specimens": Section(lambda: specimens.FIELDS, specimens.build_specimens),
    "Measurements": Section(lambda: measurements.FIELDS, measurements.build_measurement),
    "Tests": Section(lambda: simulationtests.FIELDS, simulationtests.build_test),
    "Parameters": Section(
        lambda: calibration.PARAMETER_FIELDS, calibration.build_parameter, "FitParameter"
    ),
    "Calibrations": Section(
        lambda: {**calibration.FIELDS, **simulationcalibration.FIELDS},
        lambda source, block: (
            simulationcalibration.build_calibration
            if (kind := block.get("type")) and kind.as_str() in simulationcalibration.FIELDS
            else calibration.build_calibration
        )(source, block),
        "Calibration",
    ),
}


# Sections of which every block takes part in a run, asked for or not.
MUST_BE_KNOWN = (
    "Materials",
    "Bodies",
    "BoundaryConditions",
    "Probes",
    "Meshes",
    "Functions",
    "Fields",
    "Specimens",
    "Measurements",
    "Tests",
    "Parameters",
    "Calibrations",
)


class Input:
    """The objects of a deck by section and name.

    All blocks and field names are checked at once, so a misspelling anywhere is an `InputError`
    with its file and line; objects are built on demand. Blocks of an unknown type, which decks
    written for other programs may hold, give a warning, and an error when they are asked for.
    `trust` lets `type = Python` expressions run as plain Python.
    """

    def __init__(self, deck: Deck, trust: bool = False) -> None:
        self.deck, self.trust = deck, trust
        self._built: dict[tuple[str, str], Any] = {}
        self._building: list[str] = []
        self._unknown: dict[str, InputError] = {}  # by path of the block
        self._check()
        self.settings = read_settings(deck)

    def _check(self) -> None:
        self.deck.unknown_sections([*SECTIONS, SETTINGS])
        for name, section in SECTIONS.items():
            if name in self.deck.sections:
                self.deck.sections[name].unknown_fields(())
            known = section.fields() if self.deck.blocks(name) else {}
            for block in self.deck.blocks(name):
                try:
                    self._check_type(block, known, section.default_type)
                except InputError as error:
                    given = block.get("type")
                    misspelt = given and get_close_matches(given.as_str(), known, cutoff=0.85)
                    if name in MUST_BE_KNOWN or given is None or misspelt:
                        raise
                    self._unknown[block.path] = error
                    warnings.warn(f"{error}; nothing may use this block", stacklevel=2)
                else:
                    self._check_block(block, known, section.default_type)

    @staticmethod
    def _check_type(block: Block, known: Mapping[str, Iterable[str]], default: str | None) -> str:
        """The type of `block`. Raises `InputError` where there is none, or an unknown one."""
        given = block.get("type")
        kind = default if given is None else given.as_str()
        if kind is None:
            raise block.error("the field 'type' is missing")
        if kind not in known:
            message = f"unknown type '{kind}'{suggest(kind, known)}"
            if kind in TENSOR_TYPES and "Python" in known:
                message = (
                    f"no type '{kind}'; write type = Python, expr = '{kind}(torch.tensor(...))'"
                )
            raise given.error(message) if given else block.error(message)
        return kind

    def _check_block(
        self, block: Block, known: Mapping[str, Iterable[str]], default: str | None
    ) -> None:
        kind = self._check_type(block, known, default)
        block.unknown_fields(["type", *known[kind]])
        block.unknown_blocks(roles(kind))
        for law in (part for inner in block.blocks for part in law_blocks(inner)):
            self._check_block(law, known, None)

    # --- lookup -----------------------------------------------------------------------
    def find(self, section: str, name: str) -> Block | None:
        """The block `[section/name]`, or None."""
        known = self.deck.sections.get(section)
        return None if known is None else known.find(name)

    def refer(self, section: str, value: FieldValue, name: str | None = None) -> Any:
        """The object of `[section]` that the field `value` (or `name` in it) refers to."""
        name = value.as_str() if name is None else name
        if self.find(section, name) is None:
            near = suggest(name, [b.name for b in self.deck.blocks(section)])
            raise value.error(f"no block [{section}/{name}]{near}")
        return self.get(section, name)

    def was_built(self, section: str, name: str) -> bool:
        """Whether anything has asked for `[section/name]`."""
        return (section, name) in self._built

    def get(self, section: str, name: str) -> Any:
        """The object of `[section/name]`. Raises `InputError`, also when blocks refer to
        each other in a circle."""
        key = (section, name)
        if key in self._built:
            return self._built[key]
        block = self.deck.block(section, name)
        if block.path in self._unknown:
            raise self._unknown[block.path]
        if block.path in self._building:
            loop = " -> ".join([*self._building, block.path])
            raise block.error(f"blocks refer to each other in a circle: {loop}")
        self._building.append(block.path)
        try:
            self._built[key] = SECTIONS[section].build(self, block)
        finally:
            self._building.pop()
        return self._built[key]

    def get_tensor(self, name: str) -> TypedTensor | torch.Tensor:
        tensor: TypedTensor | torch.Tensor = self.get("Tensors", name)
        return tensor

    def get_model(self, name: str) -> Model:
        model: Model = self.get("Models", name)
        return model

    def get_equation_system(self, name: str) -> NonlinearSystem:
        system: NonlinearSystem = self.get("EquationSystems", name)
        return system

    def get_solver(self, name: str) -> Any:
        return self.get("Solvers", name)

    def get_driver(self, name: str) -> Any:
        return self.get("Drivers", name)

    @property
    def drivers(self) -> list[str]:
        """Names of the deck's drivers, in order."""
        return [block.name for block in self.deck.blocks("Drivers")]


def load_input(
    path: str | os.PathLike[str], overrides: Sequence[str] = (), trust: bool = False
) -> Input:
    """Read a deck; `overrides` are `Section/block/field=value`. Raises `InputError`."""
    return Input(read_deck(path, overrides), trust)


def load_model(
    path: str | os.PathLike[str],
    name: str,
    overrides: Sequence[str] = (),
    trust: bool = False,
) -> Model:
    """The model `[Models/name]` of a deck."""
    return load_input(path, overrides, trust).get_model(name)


def load_nonlinear_system(
    path: str | os.PathLike[str],
    name: str,
    overrides: Sequence[str] = (),
    trust: bool = False,
) -> NonlinearSystem:
    """The system `[EquationSystems/name]` of a deck."""
    return load_input(path, overrides, trust).get_equation_system(name)
