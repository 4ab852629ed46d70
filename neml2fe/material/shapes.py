"""The shapes of a material's state, whose sub-batch fields and slip systems may bring."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch

from neml2fe.implicit import recorded_solves
from neml2fe.material.history import lags
from neml2fe.models.common.reductions import separate_points
from neml2fe.models.derivatives import inner_shape
from neml2fe.models.functional import of_no_points

if TYPE_CHECKING:
    from neml2fe.material.point import Material

Shapes = dict[str, tuple[int, ...]]


def state_shapes(material: Material, inner: Mapping[str, tuple[int, ...]]) -> Shapes:
    """Sub-batch and base shape of every state variable; `inner` are those of given inputs.

    By updates of no points at all, until no state changes its shape.
    """
    model = material.model
    shapes = {n: t.BASE_SHAPE for n, t in material.inputs.items()} | dict(inner)
    like = next(iter([*model.parameters(), torch.zeros(0, dtype=torch.float64)]))
    for _ in range(len(material.state_spec) + 1):
        nothing = {n: like.new_zeros(0, *shapes[n]) for n in material.inputs}
        with torch.no_grad(), recorded_solves(), of_no_points(model), separate_points():
            outputs = model.evaluate(material.typed(nothing))
        found = {
            name: inner_shape(outputs[name])
            if name in outputs
            else shapes.get(name, kind.BASE_SHAPE)
            for name, kind in material.state_spec.items()
        }
        older = {lags(n, 1): shape for n, shape in found.items()}
        if all(shapes.get(n) == shape for n, shape in older.items()):
            break
        shapes |= older
    return found
