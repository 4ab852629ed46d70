"""A checked, serial mesh: nodes, volume cells, named groups of facets, nodes and cells, data."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from neml2fe.errors import MeshError, suggest
from neml2fe.fem.mesh.check import check_cells, orient_boundaries, orient_interfaces
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
    interfaces: named groups of facet pairs of no thickness (see `neml2fe.fem.mesh.interfaces`):
        (n, 2 k) node numbers under the facet's type, the minus side, then the plus side in the
        same order, which is turned so that the normal points from minus to plus.
    cell_data: for each block of `cells` the values (cells, ...) of a named quantity.
    point_data: nodal values (n_nodes, ...) of a named quantity.
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
    interfaces: dict[str, tuple[CellBlock, ...]] = field(default_factory=dict)
    cell_data: dict[str, tuple[NDArray, ...]] = field(default_factory=dict)
    point_data: dict[str, NDArray] = field(default_factory=dict)
    name: str = "mesh"

    def __post_init__(self) -> None:
        points = np.ascontiguousarray(self.points, dtype=np.float64)
        filled = [i for i, block in enumerate(self.cells) if len(block.connectivity)]
        cells = tuple(_int64(self.cells[i]) for i in filled)
        boundaries, interfaces = _without_empty(self.boundaries), _without_empty(self.interfaces)
        try:
            check_cells(points, cells)
            boundaries = orient_boundaries(cells, boundaries, len(points))
            interfaces = orient_interfaces(cells, interfaces, len(points))
            self._check_data(len(points))
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
        checked = {
            "points": points[used],
            "cells": _renumbered(cells, renumber),
            "boundaries": {n: _renumbered(blocks, renumber) for n, blocks in boundaries.items()},
            "interfaces": {n: _renumbered(blocks, renumber) for n, blocks in interfaces.items()},
            "node_sets": node_sets,
            "regions": {n: tuple(r[i] for i in filled) for n, r in self.regions.items()},
            "cell_data": {n: tuple(v[i] for i in filled) for n, v in self.cell_data.items()},
            "point_data": {n: np.asarray(v)[used] for n, v in self.point_data.items()},
        }
        for attribute, value in checked.items():
            object.__setattr__(self, attribute, value)

    def _check_data(self, n_nodes: int) -> None:
        sizes = [len(block.connectivity) for block in self.cells]
        for kind, groups in (("region", self.regions), ("cell data", self.cell_data)):
            for name, parts in groups.items():
                if len(parts) != len(sizes):
                    raise MeshError(
                        f"{kind} '{name}' has {len(parts)} arrays for {len(sizes)} blocks of cells"
                    )
        for name, values in self.cell_data.items():
            if [len(block) for block in values] != sizes:
                raise MeshError(
                    f"cell data '{name}' has {[len(block) for block in values]} values for blocks "
                    f"of {sizes} cells"
                )
        for name, value in self.point_data.items():
            if len(value) != n_nodes:
                raise MeshError(f"point data '{name}' has {len(value)} values for {n_nodes} nodes")

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

    def with_regions(self, data: str) -> Mesh:
        """The mesh with a region '<data>_<value>' for each value of integer cell data.

        For files that have no named groups. Raises MeshError if there are no such data.
        """
        if data not in self.cell_data:
            raise self._missing("cell data", data, self.cell_data)
        blocks = self.cell_data[data]
        if any(block.dtype.kind not in "iu" or block.ndim != 1 for block in blocks):
            raise MeshError(f"cell data '{data}' are not one integer for each cell", self.name)
        values = np.unique(np.concatenate(blocks))
        regions = {f"{data}_{v}": tuple(np.flatnonzero(b == v) for b in blocks) for v in values}
        return replace(self, regions=self.regions | regions)

    def digest(self) -> str:
        """Hash of nodes and cells: equal for two meshes on which nodal data mean the same.

        Groups and data are not part of it.
        """
        content = hashlib.blake2b(self.points.tobytes(), digest_size=16)
        for block in self.cells:
            content.update(block.cell_type.encode())
            content.update(block.connectivity.tobytes())
        return content.hexdigest()

    def _missing(self, kind: str, name: str, known: Iterable[str]) -> MeshError:
        return MeshError(f"no {kind} named '{name}'{suggest(name, known)}", self.name)


def _int64(block: CellBlock) -> CellBlock:
    return CellBlock(block.cell_type, np.ascontiguousarray(block.connectivity, dtype=np.int64))


def _without_empty(groups: dict[str, tuple[CellBlock, ...]]) -> dict[str, tuple[CellBlock, ...]]:
    filled = {
        name: tuple(_int64(block) for block in blocks if len(block.connectivity))
        for name, blocks in groups.items()
    }
    return {name: blocks for name, blocks in filled.items() if blocks}


def _renumbered(blocks: Sequence[CellBlock], number: Index) -> tuple[CellBlock, ...]:
    return tuple(CellBlock(b.cell_type, number[b.connectivity]) for b in blocks)
