"""`[Materials]` blocks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from neml2fe.input.deck import Block, located
from neml2fe.material import Material, PointMaterial, finite_strain
from neml2fe.material.measures import stress_measure_of

if TYPE_CHECKING:
    from neml2fe.input.factory import Input

MEASURE = "stress_measure"
_WORDS = ("strain", "stress", "time", "backend", "energy")
FIELDS: dict[str, tuple[str, ...]] = {"Material": ("model", *_WORDS, MEASURE)}


def build_material(source: Input, block: Block) -> Material:
    words = {n: f.as_str() for n, f in block.fields.items() if n in _WORDS}
    measure = block.get(MEASURE)
    with located(block):
        material = Material(source.refer("Models", block.require("model")), **words)
        if measure is not None:
            stress_measure_of(material, measure.as_str())
    return material


def material_of(source: Input, name: str) -> PointMaterial:
    """The material `name`, giving what elements want where its block says which stress it gives."""
    material: Material = source.get("Materials", name)
    measure = source.deck.block("Materials", name).get(MEASURE)
    return material if measure is None else finite_strain(material, measure.as_str())
