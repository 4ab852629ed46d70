"""The reference code's catalog of types against ours: which are there, with which fields."""

from __future__ import annotations

import json
import subprocess
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from compare import DECKS, NAMES
from peer import peer_python

from neml2fe.input.factory import SECTIONS
from neml2fe.input.reader import read_deck
from neml2fe.models import REGISTRY
from neml2fe.models.fields import REQUIRED

# The parts of the catalog that the library covers, by the peer's source folders.
ELSEWHERE = ("TransientRegression", "Verification")  # compared in test_drivers.py
# The peer ends no deck of ours with these in reasonable time; tests/implicit compares them with LU.
NOT_THERE = ("BiCGStab", "JacobiPreconditioner", "NoPreconditioner")
COVERED = ("models/common", "models/solid_mechanics", "solvers", "drivers", "es", "data", "user_")


@cache
def peer_catalog() -> dict[str, dict[str, Any]]:
    python = peer_python()
    assert python is not None
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "syntax.json"
        subprocess.run(
            [python.parent / "neml2-syntax", "--json", path], check=True, capture_output=True
        )
        return {entry["type"]: entry for entry in json.loads(path.read_text())}


@cache
def our_fields() -> dict[str, set[str]]:
    """Deck fields by type, in all sections."""
    return {
        kind: set(fields)
        for section in SECTIONS.values()
        for kind, fields in section.fields().items()
    }


@cache
def decks_of(kind: str) -> list[str]:
    """The compared decks that use a type."""
    return [name for name in NAMES if kind in types_of(name)]


@cache
def types_of(deck: str) -> set[str]:
    read = read_deck(DECKS / f"{deck}.i")
    blocks = [block for section in read.sections.values() for block in section.blocks]
    kinds = (block.get("type") for block in blocks)
    return {kind.as_str() if kind else "NonlinearSystem" for kind in kinds}


def is_covered(entry: dict[str, Any]) -> bool:
    return entry["source_path"].startswith(COVERED)


@cache
def required() -> dict[str, str]:
    """Every type of the covered parts: "compared", "not compared" or "missing"."""
    found = {}
    for name, entry in peer_catalog().items():
        if is_covered(entry):
            there = name in our_fields()
            compared = "compared" if decks_of(name) or name in ELSEWHERE else "not compared"
            found[name] = compared if there else "missing"
    return found


def differences(entry: dict[str, Any]) -> list[str]:
    """Fields that we lack or require where the peer does not, and defaults that differ."""
    kind, found = entry["type"], []
    fields = getattr(REGISTRY.get(kind), "fields", {})
    for option in entry["options"]:
        name = option["name"]
        if name not in our_fields()[kind]:
            found.append(f"no field '{name}'")
            continue
        default = getattr(fields.get(name), "default", None)
        if default is REQUIRED and not option["required"]:
            found.append(f"'{name}' is required")
        given = isinstance(default, (int, float, str, bool)) and option["value"]
        if given and not _same(default, option["value"]):
            found.append(f"'{name}' is {option['value']} there, {default} here")
    return found


def _same(ours: object, theirs: str) -> bool:
    """`{variable}_rate` is how we write a default that the peer lists as `variable_rate`."""
    try:
        return float(str(ours)) == float(theirs)
    except ValueError:
        return str(ours).replace("{", "").replace("}", "") == theirs
