"""Presets in decks: laws as one line of text or as nested blocks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from neml2fe.errors import ModelError
from neml2fe.input.deck import Block, FieldValue, located
from neml2fe.models import REGISTRY
from neml2fe.models.fields import OptionField
from neml2fe.presets import Law, Role
from neml2fe.presets.laws import Lookup


def roles(kind: str) -> dict[str, Role]:
    """The fields of a type that hold laws; blocks of these names may stand in its blocks."""
    fields = REGISTRY[kind].fields if kind in REGISTRY else {}
    return {
        name: field.type
        for name, field in fields.items()
        if isinstance(field, OptionField) and isinstance(field.type, Role)
    }


def law_blocks(inner: Block) -> list[Block]:
    """The blocks of single laws: `inner` itself when it has a type, else those in it."""
    if inner.get("type") is not None:
        return [inner]
    inner.unknown_fields(())
    if not inner.blocks:
        raise inner.error("the field 'type' is missing")
    return inner.blocks


def laws(value: FieldValue, role: Role, lookup: Lookup) -> list[Law]:
    """The laws that a field's text names; `lookup` gives the objects of names in it."""
    try:
        return role.read(value.as_str(), lookup)
    except ModelError as error:
        raise value.error(error.message) from None


def nested_laws(block: Block, fields: Callable[[Block], dict[str, Any]]) -> dict[str, list[Law]]:
    """The laws in the inner blocks of a preset's block; `fields` reads those of one law."""
    found: dict[str, list[Law]] = {}
    for inner in block.blocks:
        if inner.name in block.fields:
            raise inner.error(f"'{inner.name}' is given twice, as a field and as a block")
        parts = [Law(b.name, b.require("type").as_str(), fields(b)) for b in law_blocks(inner)]
        with located(inner):
            found[inner.name] = roles(block.require("type").as_str())[inner.name].read(parts)
    return found
