"""Other tensors in place of the parameters of a material."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager

import torch

from neml2fe.errors import ModelError
from neml2fe.material.interface import Adapter, PointMaterial
from neml2fe.material.point import Material
from neml2fe.models.functional import substituted


def with_parameters(
    material: PointMaterial, values: Mapping[str, torch.Tensor]
) -> AbstractContextManager[None]:
    """Within this context `values`, by the names of `material.parameters`, take the place of
    parameters, whose shapes they have. Raises `ModelError` for a material of a kind of its own."""
    while isinstance(material, Adapter):
        material = material.material
    if not isinstance(material, Material):
        raise ModelError(f"the parameters of '{material.label}' cannot be replaced")
    return substituted(material.model, values)
