"""Small-strain kinematics: displacement gradients to Mandel strains, and which survive."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from neml2fe.errors import InputError, suggest

# (row, column) of each Mandel component.
PAIRS = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))


@dataclass(frozen=True)
class Kinematics:
    """`components` are the Mandel components that displacements of a `dim`-D mesh produce;
    the other strains are zero. The stresses of those others do no work."""

    name: str
    dim: int
    components: tuple[int, ...]

    def strain_operator(self, gradients: torch.Tensor) -> torch.Tensor:
        """B `(..., c, k*dim)` with strain = B u from shape gradients dN/dX `(..., k, dim)`.

        Rows are the active Mandel components; columns run over nodes, then directions.
        """
        k = gradients.shape[-2]
        b = gradients.new_zeros(*gradients.shape[:-2], len(self.components), k, self.dim)
        for row, component in enumerate(self.components):
            i, j = PAIRS[component]
            if i == j:
                b[..., row, :, i] = gradients[..., :, i]
            else:
                b[..., row, :, i] = gradients[..., :, j] / math.sqrt(2.0)
                b[..., row, :, j] = gradients[..., :, i] / math.sqrt(2.0)
        return b.flatten(-2)


THREE_DIMENSIONAL = Kinematics("three_dimensional", 3, (0, 1, 2, 3, 4, 5))
PLANE_STRAIN = Kinematics("plane_strain", 2, (0, 1, 5))
FORMULATIONS = {k.name: k for k in (PLANE_STRAIN, THREE_DIMENSIONAL)}


def choose(name: str, dim: int) -> Kinematics:
    """The formulation `name`, or the one that fits a `dim`-D mesh for "auto"."""
    if name == "auto":
        return PLANE_STRAIN if dim == 2 else THREE_DIMENSIONAL
    if name not in FORMULATIONS:
        raise InputError(f"unknown formulation '{name}'{suggest(name, FORMULATIONS)}")
    chosen = FORMULATIONS[name]
    if chosen.dim != dim:
        raise InputError(f"the formulation '{name}' needs a {chosen.dim}-D mesh, got {dim}-D")
    return chosen
