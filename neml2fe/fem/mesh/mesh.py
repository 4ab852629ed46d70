"""A checked, serial mesh: nodes, volume cells, and named groups of facets, nodes and cells."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from neml2fe.errors import MeshError, suggest
from neml2fe.fem.mesh.check import check_cells, orient_boundaries
from neml2fe.fem.mesh.elements import Array, Index
from neml2fe.fem.mesh.facets import CellBlock

if TYPE_CHECKING:
    import meshio

__all__ = ["CellBlock", "Mesh"]


@dataclass(frozen=True, eq=False)
class Mesh:
    """Nodes, cells of the highest dimension, and named groups.

    points: (n_nodes, dim) coordinates, dim 2 or 3.
    cells: volume cells, at most one block of each type.
    boundaries: named groups of facets. A facet on the surface is reordered so that its
        isoparametric normal points out of its element (2-D: the tangent turned clockwise,
        (t_y, -t_x); 3-D: dX/dxi x dX/deta). A facet between two elements keeps its order.
    node_sets: named groups of nodes, sorted node numbers.
    regions: named groups of cells, element numbers in each block of `cells`.
    name: where the mesh comes from (the file), for messages.

    Nodes that no volume cell uses are dropped and the others renumbered in their order;
    groups that are then empty are dropped too.
    Construction checks everything and raises MeshError (see `neml2fe.fem.mesh.check`).
    """

    points: Array
    cells: tuple[CellBlock, ...]
    boundaries: dict[str, tuple[CellBlock, ...]] = field(default_factory=dict)
    node_sets: dict[str, Index] = field(default_factory=dict)
    regions: dict[str, tuple[Index, ...]] = field(default_factory=dict)
    name: str = "mesh"

    def __post_init__(self) -> None:
        points = np.ascontiguousarray(self.points, dtype=np.float64)
        cells = tuple(_int64(block) for block in self.cells if len(block.connectivity))
        boundaries = {
            name: tuple(_int64(block) for block in blocks if len(block.connectivity))
            for name, blocks in self.boundaries.items()
            if any(len(block.connectivity) for block in blocks)
        }
        try:
            check_cells(points, cells)
            boundaries = orient_boundaries(cells, boundaries, len(points))
        except MeshError as error:
            raise MeshError(error.message, self.name) from None

        used = np.unique(np.concatenate([block.connectivity.ravel() for block in cells]))
        renumber = np.full(len(points), -1, dtype=np.int64)
        renumber[used] = np.arange(len(used))
        node_sets = {}
        for name, nodes in self.node_sets.items():
            nodes = np.unique(np.asarray(nodes, dtype=np.int64))
            if nodes.size and not 0 <= nodes[0] <= nodes[-1] < len(points):
                raise MeshError(f"node set '{name}' refers to nodes that do not exist", self.name)
            if np.isin(nodes, used).any():
                node_sets[name] = renumber[nodes[np.isin(nodes, used)]]
        renumbered = {
            "points": points[used],
            "cells": tuple(CellBlock(b.cell_type, renumber[b.connectivity]) for b in cells),
            "boundaries": {
                name: tuple(CellBlock(b.cell_type, renumber[b.connectivity]) for b in blocks)
                for name, blocks in boundaries.items()
            },
            "node_sets": node_sets,
        }
        for attribute, value in renumbered.items():
            object.__setattr__(self, attribute, value)

    @classmethod
    def read(cls, path: str | Path) -> Mesh:
        """Read gmsh (.msh 2.2 and 4.1), Abaqus (.inp), VTU and what else meshio reads.

        Raises MeshError, with the file's name, when it is missing, damaged or unusable.
        """
        from neml2fe.fem.mesh.meshfile import read_mesh_file

        return read_mesh_file(Path(path))

    @classmethod
    def from_meshio(cls, mesh: meshio.Mesh, name: str = "mesh") -> Mesh:
        """Take over a meshio mesh with its groups; raises MeshError if it is unusable."""
        from neml2fe.fem.mesh.meshfile import from_meshio

        return from_meshio(mesh, name)

    @property
    def dim(self) -> int:
        return self.points.shape[1]

    @property
    def n_nodes(self) -> int:
        return len(self.points)

    @property
    def n_elements(self) -> int:
        return sum(len(block.connectivity) for block in self.cells)

    @property
    def bounding_box(self) -> tuple[Array, Array]:
        """Smallest and largest coordinates, (dim,) each."""
        return self.points.min(axis=0), self.points.max(axis=0)

    def boundary(self, name: str) -> tuple[CellBlock, ...]:
        """The facets of group `name`; raises MeshError if there is no such group of facets."""
        if name in self.boundaries:
            return self.boundaries[name]
        if name in self.node_sets:
            raise MeshError(f"'{name}' is a group of nodes; a group of facets is needed", self.name)
        raise self._missing("boundary", name, self.boundaries)

    def boundary_nodes(self, name: str) -> Index:
        """Sorted node numbers of a group of facets or of nodes (of both if both exist).

        Raises MeshError if there is no such group.
        """
        parts = [block.connectivity.ravel() for block in self.boundaries.get(name, ())]
        if name in self.node_sets:
            parts.append(self.node_sets[name])
        if not parts:
            raise self._missing("boundary", name, [*self.boundaries, *self.node_sets])
        return np.unique(np.concatenate(parts))

    def region(self, name: str) -> tuple[Index, ...]:
        """Element numbers of a group of cells, for each block of `cells`."""
        if name not in self.regions:
            raise self._missing("region", name, self.regions)
        return self.regions[name]

    def digest(self) -> str:
        """Hash of nodes and cells: equal for two meshes on which nodal data mean the same."""
        content = hashlib.blake2b(self.points.tobytes(), digest_size=16)
        for block in self.cells:
            content.update(block.cell_type.encode())
            content.update(block.connectivity.tobytes())
        return content.hexdigest()

    def _missing(self, kind: str, name: str, known: Iterable[str]) -> MeshError:
        return MeshError(f"no {kind} named '{name}'{suggest(name, known)}", self.name)


def _int64(block: CellBlock) -> CellBlock:
    return CellBlock(block.cell_type, np.ascontiguousarray(block.connectivity, dtype=np.int64))
