"""Where conditions act: nodes and facets of a rank's part of the mesh, by name."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from neml2fe.errors import InputError, MeshError, suggest
from neml2fe.fem.conditions.functions import Function
from neml2fe.fem.integrals.facets import FacetBlock
from neml2fe.fem.mesh.distribution import LocalMesh
from neml2fe.fem.mesh.facets import CellBlock


def components(value: Sequence[Function], dim: int, what: str) -> list[Function]:
    """A list of `dim` functions. Raises `InputError`."""
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise InputError(f"{what}: the value must list {dim} components, got {value!r}")
    if len(value) != dim:
        raise InputError(f"{what}: {dim} components are needed, got {len(value)}")
    return list(value)


def boundary_facets(local: LocalMesh, boundary: str, name: str) -> tuple[CellBlock, ...]:
    """This rank's facets of a boundary. Raises `MeshError` if there is none of the name."""
    if boundary not in local.boundaries:
        near = suggest(boundary, local.boundaries)
        if boundary in local.node_sets:
            near = "; it is a set of nodes, which has no area"
        raise MeshError(
            f"condition '{name}': the mesh has no boundary of facets '{boundary}'{near}",
            local.name,
        )
    return local.boundaries[boundary]


def facet_blocks(
    local: LocalMesh, boundary: str, name: str, axisymmetric: bool
) -> list[FacetBlock]:
    """Quadrature of this rank's facets of a boundary."""
    return [
        FacetBlock(cells, local.points, axisymmetric)
        for cells in boundary_facets(local, boundary, name)
    ]


def nodes_of(local: LocalMesh, name: str, condition: str) -> NDArray[np.int64]:
    """This rank's nodes, ghosts too, of a boundary or node set. Raises `MeshError`."""
    if name not in local.node_sets:
        near = suggest(name, local.node_sets)
        raise MeshError(
            f"condition '{condition}': the mesh has no boundary '{name}'{near}", local.name
        )
    return local.node_sets[name]
