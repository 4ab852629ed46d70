"""Mesh files through meshio, and the groups that their formats name in different ways."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import meshio
import numpy as np
from numpy.typing import NDArray

from neml2fe.errors import MeshError
from neml2fe.fem.mesh.abaqus import read_abaqus
from neml2fe.fem.mesh.elements import VOLUME_CELLS, Array, Index
from neml2fe.fem.mesh.facets import CellBlock
from neml2fe.fem.mesh.mesh import Mesh


def read_mesh_file(path: Path) -> Mesh:
    """Read `path`; raises MeshError naming the file when that fails."""
    if not path.is_file():
        raise MeshError("no such mesh file", str(path))
    if path.suffix.lower() == ".inp":
        return from_meshio(read_abaqus(path), str(path))
    # meshio prints its complaints, exits the interpreter on some, and lets others pass.
    said = io.StringIO()
    try:
        with (
            contextlib.redirect_stdout(said),
            contextlib.redirect_stderr(said),
            warnings.catch_warnings(),
        ):
            warnings.filterwarnings("error", message="string or file could not be read")
            mesh = meshio.read(path)
    except (Exception, SystemExit) as error:
        reason = said.getvalue().strip() or (
            str(error)
            if isinstance(error, meshio.ReadError)
            else f"the file is damaged or incomplete ({type(error).__name__}: {error})"
        )
        if "Incompatible cell data 'gmsh:physical'" in reason:
            reason = (
                "some of its elements are in a physical group and some in none; save the groups "
                "only (gmsh: Mesh.SaveAll = 0)"
            )
        raise MeshError(f"cannot read this mesh: {' '.join(reason.split())}", str(path)) from None
    if "not closed by" in said.getvalue():
        raise MeshError("cannot read this mesh: the file ends too early", str(path))
    return from_meshio(mesh, str(path))


def from_meshio(mesh: meshio.Mesh, name: str = "mesh") -> Mesh:
    """Sort the cells of a meshio mesh into volume cells and groups by their dimension.

    Groups come from cell sets, point sets, and gmsh's physical tags (a physical group
    without a name goes by its number). Groups of cells of full dimension become regions,
    of one dimension less boundaries, and of less still node sets.
    """
    try:
        return _convert(mesh, name)
    except MeshError as error:
        raise error if error.location else MeshError(error.message, name) from None


def _convert(mesh: meshio.Mesh, name: str) -> Mesh:
    blocks = [block for block in mesh.cells if len(block.data)]
    dim = max((block.dim for block in blocks), default=0)
    if dim < 2:
        raise MeshError(f"the mesh has no elements of type {', '.join(VOLUME_CELLS)}")
    cells, element_numbers = _merge_blocks(mesh, dim)

    boundaries: dict[str, tuple[CellBlock, ...]] = {}
    node_sets: dict[str, list[Index]] = defaultdict(list)
    regions: dict[str, tuple[Index, ...]] = {}
    for group, members in _cell_groups(mesh).items():
        region: dict[str, list[Index]] = defaultdict(list)
        facets: dict[str, list[Index]] = defaultdict(list)
        for number, selected in members:
            block = mesh.cells[number]
            if block.dim == dim:
                region[block.type].append(element_numbers[number][selected])
            elif block.dim == dim - 1:
                facets[block.type].append(block.data[selected])
            else:
                node_sets[group].append(block.data[selected].ravel())
        if facets:
            boundaries[group] = tuple(
                CellBlock(cell_type, _distinct_cells(np.concatenate(rows))[0])
                for cell_type, rows in facets.items()
            )
        if region:
            regions[group] = tuple(
                np.unique(np.concatenate(region.get(block.cell_type, [np.empty(0, np.int64)])))
                for block in cells
            )
    for group, nodes in mesh.point_sets.items():
        node_sets[group].append(np.asarray(nodes, dtype=np.int64))

    point_data = {name: np.asarray(values) for name, values in mesh.point_data.items()}
    return Mesh(
        points=_points(np.asarray(mesh.points, dtype=np.float64), dim),
        cells=cells,
        boundaries=boundaries,
        node_sets={group: np.concatenate(nodes) for group, nodes in node_sets.items()},
        regions=regions,
        cell_data=_cell_data(mesh, cells, element_numbers),
        point_data={n: v for n, v in point_data.items() if _is_data(n, v)},
        name=name,
    )


def _is_data(name: str, values: NDArray) -> bool:
    """Whether these are numbers, and not gmsh's tags."""
    return values.dtype.kind in "biuf" and not name.startswith("gmsh:")


def _cell_data(
    mesh: meshio.Mesh, cells: tuple[CellBlock, ...], element_numbers: dict[int, Index]
) -> dict[str, tuple[NDArray, ...]]:
    """Numbers on the volume cells, in the blocks into which these have been merged."""
    found = {}
    for name, given in mesh.cell_data.items():
        arrays = {number: np.asarray(given[number]) for number in element_numbers}
        if not all(_is_data(name, values) for values in arrays.values()):
            continue
        blocks = []
        for cell_type, rows in cells:
            parts = [number for number in arrays if mesh.cells[number].type == cell_type]
            values = np.concatenate([arrays[number] for number in parts])
            merged = np.empty((len(rows), *values.shape[1:]), values.dtype)
            merged[np.concatenate([element_numbers[number] for number in parts])] = values
            blocks.append(merged)
        found[name] = tuple(blocks)
    return found


def _merge_blocks(mesh: meshio.Mesh, dim: int) -> tuple[tuple[CellBlock, ...], dict[int, Index]]:
    """One block for each type, and where each cell of meshio's blocks went in it.

    gmsh's format 2.2 writes an element once for every group that it is in: these are one.
    """
    by_type: dict[str, list[int]] = defaultdict(list)
    for number, block in enumerate(mesh.cells):
        if block.dim == dim and len(block.data):
            by_type[block.type].append(number)
    merged = []
    element_numbers: dict[int, Index] = {}
    for cell_type, numbers in by_type.items():
        if cell_type not in VOLUME_CELLS:
            raise MeshError(
                f"{sum(len(mesh.cells[n].data) for n in numbers)} cells are of type "
                f"'{cell_type}', which is not supported; supported: {', '.join(VOLUME_CELLS)}"
            )
        rows = np.concatenate([np.asarray(mesh.cells[n].data, np.int64) for n in numbers])
        new_numbers = np.arange(len(rows))
        if "gmsh:physical" in mesh.cell_data:
            rows, new_numbers = _distinct_cells(rows)
        merged.append(CellBlock(cell_type, rows))
        splits = np.cumsum([len(mesh.cells[n].data) for n in numbers])[:-1]
        element_numbers.update(zip(numbers, np.split(new_numbers, splits), strict=True))
    return tuple(merged), element_numbers


def _distinct_cells(rows: Index) -> tuple[Index, Index]:
    """The cells (n, k) without those whose nodes appeared before, and each row's new number."""
    _, first, inverse = np.unique(
        np.sort(rows, axis=1), axis=0, return_index=True, return_inverse=True
    )
    new_number = np.empty(len(first), dtype=np.int64)
    new_number[np.argsort(first)] = np.arange(len(first))
    return rows[np.sort(first)], new_number[inverse.ravel()]


def _cell_groups(mesh: meshio.Mesh) -> dict[str, list[tuple[int, Index]]]:
    """Named groups as (block number, cells of that block)."""
    groups: dict[str, list[tuple[int, Index]]] = defaultdict(list)
    for name, members in mesh.cell_sets.items():
        if not name.startswith("gmsh:"):
            groups[name] += _members(members)
    names = {(int(dim), int(tag)): name for name, (tag, dim) in _physical_names(mesh)}
    for number, tags in enumerate(mesh.cell_data.get("gmsh:physical", [])):
        for tag in np.unique(tags[tags != 0]):
            name = names.get((mesh.cells[number].dim, int(tag)), str(tag))
            groups[name].append((number, np.flatnonzero(tags == tag)))
    return groups


def _members(members: Sequence[Index | None]) -> list[tuple[int, Index]]:
    return [
        (number, np.asarray(cells, dtype=np.int64))
        for number, cells in enumerate(members)
        if cells is not None and len(cells)
    ]


def _physical_names(mesh: meshio.Mesh) -> list[tuple[str, Index]]:
    return [(name, np.asarray(value)) for name, value in mesh.field_data.items()]


def _points(points: Array, dim: int) -> Array:
    """Drop the coordinate z of a plane mesh."""
    if points.ndim != 2 or points.shape[1] < dim:
        raise MeshError(f"{dim}-D cells need points with {dim} coordinates; got {points.shape}")
    if dim == 2 and points.shape[1] == 3:
        z = points[:, 2]
        extent = np.ptp(points, axis=0).max()
        if np.ptp(z) > 1e-10 * extent:
            raise MeshError(
                "the mesh has surface cells only, but z varies "
                f"from {z.min():.6g} to {z.max():.6g}; a 2-D mesh must lie in a plane z = constant"
            )
    return points[:, :dim]
