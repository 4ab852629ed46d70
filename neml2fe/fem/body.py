"""`Body`: a part of the mesh that one material fills."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from neml2fe.errors import InputError, suggest
from neml2fe.fem.conditions.fields import FieldLike
from neml2fe.fem.conditions.functions import TimeFunction
from neml2fe.fem.mesh.distribution import LocalMesh
from neml2fe.fem.mesh.elements import Index
from neml2fe.material import PointMaterial


@dataclass(frozen=True)
class Body:
    """The elements of `regions` (names of groups of cells; none: all elements) and their material.

    - `fields`: values of further inputs of the material (temperature, orientation, parameters fed
      at run time): numbers, functions of time, or fields over nodes, elements or points.
    - `initial_state`: values of the state at the start, where they are not those of virgin
      material.
    - `volumetric_locking_correction`: B-bar (small strain) or F-bar (finite strain).
    - `quadrature_degree`: of the rule in each element; None integrates the stiffness of
      undistorted elements exactly.
    - `density`: mass per volume of the undeformed body, for gravity and centrifugal forces.
    """

    material: PointMaterial
    regions: Sequence[str] = ()
    fields: Mapping[str, FieldLike] = field(default_factory=dict)
    initial_state: Mapping[str, FieldLike] = field(default_factory=dict)
    volumetric_locking_correction: bool = False
    quadrature_degree: int | None = None
    density: TimeFunction | None = None
    label: str = ""

    @property
    def name(self) -> str:
        return self.label or " ".join(self.regions) or "body"


def elements_of(bodies: Sequence[Body], local: LocalMesh) -> list[list[Index]]:
    """For each body, this rank's elements of each block of cells. Raises `InputError` unless
    every element of the rank is in exactly one body."""
    found = []
    counts = [np.zeros(len(block.connectivity), dtype=np.int64) for block in local.cells]
    for body in bodies:
        if not body.regions:
            mine = [np.arange(len(block.connectivity)) for block in local.cells]
        else:
            for region in body.regions:
                if region not in local.regions:
                    raise InputError(
                        f"body '{body.name}': the mesh has no region '{region}'"
                        f"{suggest(region, local.regions)}"
                    )
            mine = [
                np.unique(np.concatenate([local.regions[r][k] for r in body.regions]))
                for k in range(len(local.cells))
            ]
        for count, elements in zip(counts, mine, strict=True):
            count[elements] += 1
        found.append(mine)
    for block, count, numbers in zip(local.cells, counts, local.elements, strict=True):
        for wrong, what in ((count == 0, "no body"), (count > 1, "more than one body")):
            if wrong.any():
                first = numbers[np.flatnonzero(wrong)[0]]
                raise InputError(
                    f"{int(wrong.sum())} {block.cell_type} elements (the first: {first}) are in "
                    f"{what}; the regions of the mesh are {', '.join(local.regions) or 'none'}"
                )
    return found
