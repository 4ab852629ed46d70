"""`[Data]` blocks: objects that several models share, such as the slip systems of a crystal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from neml2fe.input.deck import Block, located
from neml2fe.input.models import parameter
from neml2fe.models.fields import REQUIRED
from neml2fe.models.solid_mechanics.crystal_plasticity.geometry import (
    CrystalGeometry,
    CubicCrystal,
    HexagonalCrystal,
)
from neml2fe.types import Scalar

if TYPE_CHECKING:
    from neml2fe.input.factory import Input

CRYSTALS: dict[str, type[CrystalGeometry]] = {
    kind.__name__: kind for kind in (CubicCrystal, HexagonalCrystal, CrystalGeometry)
}


def build_data(source: Input, block: Block) -> CrystalGeometry:
    """The crystal of one block. Errors of its constructor gain the block's file and line."""
    cls = CRYSTALS[block.require("type").as_str()]
    given = {}
    for name, field in cls.fields.items():
        value = block.require(name) if field.default is REQUIRED else block.get(name)
        if value is not None:
            given[name] = parameter(source, value, value.as_str(), field.type)
            known = (field.type, float) if field.type is Scalar else field.type
            if not isinstance(given[name], known):
                raise value.error(f"expected a {field.type.__name__}")
    with located(block):
        return cls(**given)
