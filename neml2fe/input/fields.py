"""`[Fields]` blocks: values that vary over the mesh."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from neml2fe.errors import InputError
from neml2fe.fem.conditions.field_files import field_from_csv, field_from_result
from neml2fe.fem.conditions.fields import Array, ElementField, Field, FieldTable, NodalField
from neml2fe.fem.mesh.polycrystal import random_orientations
from neml2fe.input.arguments import Call
from neml2fe.input.deck import Block

if TYPE_CHECKING:
    from neml2fe.input.factory import Input


def _nodal(values: Array | str) -> Field:
    return NodalField(values)


def _element(values: Array | str) -> Field:
    return ElementField(values)


def _of_regions(values: Sequence[Array | float], regions: Sequence[str] = ()) -> Field:
    """Without regions, one value for the whole mesh; one array may hold those of all regions."""
    if not regions and len(values) == 1:
        whole = np.asarray(values[0])
        return NodalField(lambda x: np.broadcast_to(whole, (len(x), *whole.shape)).copy())
    if len(values) == 1 and len(regions) > 1:
        values = list(np.atleast_1d(values[0]))
    if len(values) != len(regions):
        raise InputError(f"{len(values)} values for {len(regions)} regions")
    return ElementField(dict(zip(regions, values, strict=True)))


def _random_orientations(grains: int, seed: int) -> Field:
    values = random_orientations(grains, seed)
    return ElementField({f"grain_{k}": value for k, value in enumerate(values, 1)})


def _csv(csv_file: Path, method: str = "linear", outside: str = "error") -> Field:
    return field_from_csv(csv_file, method, outside)


def _result(file: Path, variable: str, method: str = "linear", outside: str = "error") -> Field:
    return field_from_result(file, variable, method, outside)


CALLS: dict[str, Call] = {
    "NodalField": Call(_nodal),
    "ElementField": Call(_element),
    "RegionField": Call(_of_regions),
    "RandomOrientations": Call(_random_orientations),
    "CSVField": Call(_csv),
    "ResultField": Call(_result),
    "FieldTable": Call(FieldTable),
}


def build_field(source: Input, block: Block) -> Field:
    """The field of a block. What is wrong with its file gets the place in the deck as well."""
    try:
        field: Field = CALLS[block.require("type").as_str()].build(source, block)
    except InputError as error:
        file = block.get("csv_file") or block.get("file")
        if file and ": [" not in error.location:  # of no block, so of the file
            raise file.error(str(error)) from None
        raise
    return field
