"""The parameters of a material, for reports and checkpoints."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch


def named_parameters(material: Any) -> Iterator[tuple[str, torch.Tensor]]:
    """Those of the model of a `Material`, or of the one that an adapter holds; none of a law that
    has no model."""
    while not hasattr(material, "model"):
        if not hasattr(material, "material"):
            return
        material = material.material
    for name, value in material.model.named_parameters():
        yield name, value.detach().cpu()
