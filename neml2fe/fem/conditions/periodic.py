"""Periodic cells: opposite faces that move alike but for the mean strain."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from neml2fe.errors import InputError, suggest
from neml2fe.fem.conditions.conditions import COMPONENTS, PeriodicCell
from neml2fe.fem.conditions.functions import TimeFunction, value_at
from neml2fe.fem.mesh.elements import Index
from neml2fe.fem.mesh.mesh import Mesh

Array = NDArray[np.float64]

MATCH = 1e-6
"""Nodes of opposite faces may miss each other by this fraction of the period."""


@dataclass(frozen=True)
class Pairs:
    """Which node follows which (numbers of the mesh), over what distance `shifts` `(n, dim)`; a
    node at a `corner`; the `volume` of the cell."""

    slaves: Index
    masters: Index
    shifts: Array
    corner: int
    volume: float


def find_pairs(mesh: Mesh, cell: PeriodicCell) -> Pairs:
    """Raises `InputError` where the mesh is not periodic, `MeshError` for unknown boundaries."""
    faces = _box_faces(mesh) if isinstance(cell.pairs, str) else _named_faces(mesh, cell)
    what = f"condition '{cell.name}'"
    if isinstance(cell.pairs, str) and cell.pairs != "auto":
        raise InputError(f"{what}: pairs are 'auto' or pairs of boundaries, not '{cell.pairs}'")
    if len(faces) != mesh.dim:
        raise InputError(f"{what}: {mesh.dim} pairs of boundaries are needed, got {len(faces)}")
    master = np.arange(mesh.n_nodes)
    periods = []
    for minus, plus in faces:
        shift = _middle(mesh.points[plus]) - _middle(mesh.points[minus])
        distance, index = cKDTree(mesh.points[minus] + shift).query(mesh.points[plus])
        size = float(np.linalg.norm(shift))
        worst = int(distance.argmax())
        if distance[worst] > MATCH * size or len(minus) != len(plus):
            where = ", ".join(f"{c:g}" for c in mesh.points[plus[worst]])
            raise InputError(
                f"{what}: the mesh is not periodic: {len(plus)} nodes face {len(minus)}, and the "
                f"node at ({where}) misses its partner by {distance[worst]:g}; opposite faces need "
                "the same nodes"
            )
        free = master[plus] == plus  # the others follow through an earlier pair already
        master[plus[free]] = minus[index[free]]
        periods.append(shift)
    while (master[master] != master).any():
        master = master[master]
    slaves = np.flatnonzero(master != np.arange(mesh.n_nodes))
    masters = master[slaves]
    corner = int(np.bincount(masters).argmax())
    shifts = mesh.points[slaves] - mesh.points[masters]
    return Pairs(slaves, masters, shifts, corner, abs(float(np.linalg.det(np.array(periods)))))


def _middle(points: Array) -> Array:
    return (points.min(axis=0) + points.max(axis=0)) / 2.0


def _box_faces(mesh: Mesh) -> list[tuple[Index, Index]]:
    low, high = mesh.bounding_box
    tolerance = MATCH * (high - low)
    return [
        (
            np.flatnonzero(mesh.points[:, i] <= low[i] + tolerance[i]),
            np.flatnonzero(mesh.points[:, i] >= high[i] - tolerance[i]),
        )
        for i in range(mesh.dim)
    ]


def _named_faces(mesh: Mesh, cell: PeriodicCell) -> list[tuple[Index, Index]]:
    assert not isinstance(cell.pairs, str)
    return [(mesh.boundary_nodes(minus), mesh.boundary_nodes(plus)) for minus, plus in cell.pairs]


class MeanStrain:
    """The degrees of freedom of a cell: control node `first + i` holds row i of H.

    - `names`: of the components that are degrees of freedom, as (i, j) by "xx", ...
    - `weights`: the force on a component over volume times stress: 2 for the shear components
      of small strain, which move H_ij and H_ji.
    """

    def __init__(self, cell: PeriodicCell, first: int, dim: int, finite: bool) -> None:
        self.cell, self.first, self.dim, self.finite = cell, first, dim, finite
        self.name, self.n_control = cell.name, dim
        indices = [(i, j) for i in range(dim) for j in range(dim) if finite or i <= j]
        self.components: dict[str, tuple[int, int]] = {
            COMPONENTS[i] + COMPONENTS[j]: (i, j) for i, j in indices
        }
        for given, what in ((cell.strain, "strain"), (cell.stress, "stress")):
            for name in given:
                if name not in self.components:
                    near = suggest(name, self.components)
                    raise InputError(f"condition '{cell.name}': no {what} component '{name}'{near}")
        both = sorted(set(cell.strain) & set(cell.stress))
        if both:
            raise InputError(
                f"condition '{cell.name}': strain and stress of '{both[0]}' cannot both be given"
            )

    def dof(self, i: int, j: int) -> int:
        """The degree of freedom among those of all control nodes that holds H_ij."""
        if not self.finite:
            i, j = min(i, j), max(i, j)
        return (self.first + i) * self.dim + j

    @property
    def unused(self) -> list[int]:
        """Degrees of freedom of its control nodes that mean nothing."""
        used = {self.dof(*pair) for pair in self.components.values()}
        start = self.first * self.dim
        return [k for k in range(start, start + self.dim**2) if k not in used]

    def weight(self, i: int, j: int) -> float:
        """Components of the strain that the degree of freedom H_ij moves."""
        return 1.0 if self.finite or i == j else 2.0

    def prescribed(self) -> Mapping[int, tuple[str, TimeFunction]]:
        """Name and function of each prescribed degree of freedom."""
        found: dict[int, tuple[str, TimeFunction]] = {}
        for name, (i, j) in self.components.items():
            if name in self.cell.strain:
                found[self.dof(i, j)] = name, self.cell.strain[name]
            elif self.finite and i > j and name not in self.cell.stress:
                found[self.dof(i, j)] = name, 0.0
        return found

    def forces(self, time: float, volume: float) -> dict[int, float]:
        """Forces that make the prescribed stresses."""
        found = {}
        for name, function in self.cell.stress.items():
            i, j = self.components[name]
            value = value_at(function, time, f"condition '{self.name}'")
            found[self.dof(i, j)] = value * volume * self.weight(i, j)
        return found


def rows(strain: MeanStrain, shifts: Array) -> tuple[Index, Array]:
    """Degrees of freedom `(n, dim, dim)` of all control nodes and their factors in H a for shifts
    a `(n, dim)`: component i is the sum over the last axis."""
    dim = strain.dim
    dofs = np.array([[strain.dof(i, j) for j in range(dim)] for i in range(dim)])
    shape = (len(shifts), dim, dim)
    return np.broadcast_to(dofs, shape), np.broadcast_to(shifts[:, None, :], shape)
