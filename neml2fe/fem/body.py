"""`Body`: a part of the mesh that one material fills."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from neml2fe.errors import InputError, suggest
from neml2fe.fem.collective import collectively
from neml2fe.fem.conditions.fields import FieldLike
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
    density: float | None = None
    label: str = ""

    @property
    def name(self) -> str:
        return self.label or " ".join(self.regions) or "body"


def elements_of(bodies: Sequence[Body], local: LocalMesh) -> list[list[Index]]:
    """For each body, this rank's elements of each block of cells. Collective. Raises `InputError`
    unless every element of the mesh is in exactly one body."""
    found = collectively(local.comm, lambda: _found(bodies, local), every_rank=True)
    _check_cover(bodies, found, local)
    return found


def _found(bodies: Sequence[Body], local: LocalMesh) -> list[list[Index]]:
    found = []
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
        found.append(mine)
    return found


def _check_cover(
    bodies: Sequence[Body], found: Sequence[Sequence[Index]], local: LocalMesh
) -> None:
    """Raises `InputError`, with the count over all ranks, unless bodies cover the mesh once."""
    for k, (block, numbers) in enumerate(zip(local.cells, local.elements, strict=True)):
        inside = np.zeros((len(bodies), len(numbers)), dtype=bool)
        for of_body, elements in zip(inside, found, strict=True):
            of_body[elements[k]] = True
        for wrong in (inside.sum(0) == 0, inside.sum(0) > 1):
            mine = numbers[wrong], np.flatnonzero(inside[:, wrong].any(1))
            ranks = [mine] if local.comm is None else local.comm.allgather(mine)
            every = np.concatenate([those for those, _ in ranks])
            if not len(every):
                continue
            which = f"{len(every)} {block.cell_type} elements (the first: {every.min()})"
            sharing = sorted({int(b) for _, some in ranks for b in some})
            if sharing:
                names = " and ".join(f"body '{bodies[b].name}'" for b in sharing)
                message = f"{names} overlap: {which} are in more than one"
            else:
                names = ", ".join(f"'{body.name}'" for body in bodies)
                message = f"{which} are in none of the bodies {names}"
            raise InputError(
                f"{message}; the regions of the mesh are {', '.join(local.regions) or 'none'}, "
                "and a body without regions is the whole mesh"
            )
