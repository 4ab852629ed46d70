"""Writes meshes with their named groups as gmsh files, for the scripts beside it."""

from __future__ import annotations

from pathlib import Path

import meshio
import numpy as np

from neml2fe.fem import CellBlock, Mesh


def write(path: Path, mesh: Mesh, points: dict[str, int] | None = None) -> None:
    """Write `mesh` (2-D) to `path` in gmsh's format 2.2.

    Every boundary and region becomes a physical group, and every entry of `points` (name: node)
    one of a single node. A mesh without regions gets one, called `body`.
    """
    cells: list[CellBlock] = []
    tags: list[np.ndarray] = []
    names: dict[str, np.ndarray] = {}

    def add(name: str, block: CellBlock, dim: int) -> None:
        tag = names.setdefault(name, np.array([len(names) + 1, dim]))[0]
        cells.append(block)
        tags.append(np.full(len(block.connectivity), tag))

    for name, numbers in (mesh.regions or {"body": ()}).items():
        for k, block in enumerate(mesh.cells):
            rows = block.connectivity[numbers[k]] if numbers else block.connectivity
            add(name, CellBlock(block.cell_type, rows), mesh.dim)
    for name, blocks in mesh.boundaries.items():
        for block in blocks:
            add(name, block, mesh.dim - 1)
    for name, node in (points or {}).items():
        add(name, CellBlock("vertex", np.array([[node]])), 0)
    meshio.Mesh(
        np.column_stack([mesh.points, np.zeros(mesh.n_nodes)]),
        list(cells),
        cell_data={"gmsh:physical": tags, "gmsh:geometrical": tags},
        field_data=names,
    ).write(path, file_format="gmsh22", binary=False)
