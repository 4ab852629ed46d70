"""`[Bodies]`, `[BoundaryConditions]` and `[Probes]`: each block is a call in Python."""

from __future__ import annotations

import typing
from typing import TYPE_CHECKING, Any

from neml2fe import fem
from neml2fe.fem.results.probes import Probe
from neml2fe.input.arguments import Call
from neml2fe.input.deck import Block

if TYPE_CHECKING:
    from neml2fe.input.factory import Input

CALLS: dict[str, dict[str, Call]] = {
    "Bodies": {"Body": Call(fem.Body)},
    "BoundaryConditions": {kind.__name__: Call(kind) for kind in typing.get_args(fem.Condition)},
    "Probes": {"Probe": Call(Probe, label="name")},
}


def fields(section: str) -> dict[str, tuple[str, ...]]:
    """The fields of the types of one of these sections."""
    return {kind: call.fields() for kind, call in CALLS[section].items()}


def build(source: Input, block: Block) -> Any:
    """The object of a block of one of these sections."""
    known = CALLS[block.path.split("/")[0]]
    given = block.get("type")
    kind = next(iter(known)) if given is None else given.as_str()
    return known[kind].build(source, block)
