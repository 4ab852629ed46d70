"""A time series of fields as XDMF and HDF5 (`pip install 'neml2fe[hdf5]'`).

Each rank writes the mesh and fields of a step into an HDF5 file of its own, `stem_0003_1.h5` (one
rank: `stem_0003.h5`), so a run killed while it writes leaves every earlier file untouched.
`stem.xdmf` lists the steps, each a spatial collection of the ranks' grids; node order is VTK's.
Symmetric tensors are written with all nine components, which every reader understands alike.
"""

from __future__ import annotations

import os
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from typing import Any

import meshio
import numpy as np
from numpy.typing import NDArray

from neml2fe.errors import InputError
from neml2fe.io.arrays import Fields
from neml2fe.io.paths import replacing
from neml2fe.io.series import ArrayInfo, Entry, FieldSeries, Piece

# meshio type: XDMF's name, its number in mixed topologies, nodes
_TOPOLOGY = {
    "vertex": ("Polyvertex", 0x1, 1),
    "triangle": ("Triangle", 0x4, 3),
    "quad": ("Quadrilateral", 0x5, 4),
    "tetra": ("Tetrahedron", 0x6, 4),
    "wedge": ("Wedge", 0x8, 6),
    "hexahedron": ("Hexahedron", 0x9, 8),
    "quad9": ("Quadrilateral_9", 0x23, 9),
    "triangle6": ("Triangle_6", 0x24, 6),
    "quad8": ("Quadrilateral_8", 0x25, 8),
    "tetra10": ("Tetrahedron_10", 0x26, 10),
    "hexahedron20": ("Hexahedron_20", 0x30, 20),
    "hexahedron27": ("Hexahedron_27", 0x32, 27),
}
_WEDGE = [0, 2, 1, 3, 5, 4]  # meshio numbers wedges as gmsh does


class XdmfSeries(FieldSeries):
    """A series of HDF5 files, compressed, and the `.xdmf` that lists them."""

    list_suffix = ".xdmf"
    suffixes = (".h5",)

    def __init__(self, directory: str | os.PathLike[str], stem: str) -> None:
        super().__init__(directory, stem)
        _hdf5()  # refuses at the start of a run, not at its first step

    def write_piece(self, name: str, fields: Fields, rank: int | None = None) -> Piece:
        mesh = fields.mesh(full_tensors=True)
        file = f"{name}.h5" if rank is None else f"{name}_{rank}.h5"
        piece = Piece.of(file, mesh)
        arrays: dict[str, NDArray[np.generic]] = {"points": mesh.points, "cells": _cells(mesh)}
        arrays |= {f"point_data/{n}": data for n, data in mesh.point_data.items()}
        arrays |= {f"cell_data/{n}": np.concatenate(d) for n, d in mesh.cell_data.items()}
        with replacing(self.directory / file) as temporary, _hdf5().File(temporary, "w") as out:
            for path, data in arrays.items():
                packed = {"compression": "gzip", "compression_opts": 1, "shuffle": True}
                out.create_dataset(path, data=data, **(packed if data.size else {}))
        return piece

    def _content(self, time: float, name: str, pieces: Sequence[Piece]) -> str:
        if len(pieces) == 1:
            grid = _grid(name, pieces[0])
        else:
            grid = ET.Element("Grid", Name=name, GridType="Collection", CollectionType="Spatial")
            grid.extend(_grid(f"piece {k}", piece) for k, piece in enumerate(pieces))
        grid.insert(0, ET.Element("Time", Value=repr(float(time))))
        return ET.tostring(grid, encoding="unicode")

    def _list(self, entries: Sequence[Entry]) -> ET.Element:
        root = ET.Element("Xdmf", Version="3.0")
        domain = ET.SubElement(root, "Domain")
        steps = ET.SubElement(
            domain, "Grid", Name=self.stem, GridType="Collection", CollectionType="Temporal"
        )
        steps.extend(ET.fromstring(entry.content) for entry in entries)
        return root

    def _read_list(self, root: ET.Element) -> list[Entry]:
        return [
            Entry(
                float(grid.find("Time").attrib["Value"]),  # type: ignore[union-attr]
                grid.attrib["Name"],
                ET.tostring(grid, encoding="unicode"),
            )
            for grid in root.iterfind("Domain/Grid/Grid")
        ]


def _hdf5() -> Any:
    try:
        import h5py
    except ImportError as error:
        raise InputError(
            "results as XDMF need h5py, which is not installed: pip install 'neml2fe[hdf5]', or "
            "choose the format vtu"
        ) from error
    return h5py


def _cells(mesh: meshio.Mesh) -> NDArray[np.int64]:
    """Connectivity (cells, nodes) of one type, or the flat list of XDMF's mixed topology."""
    blocks = [
        (block.type, block.data[:, _WEDGE] if block.type == "wedge" else block.data)
        for block in mesh.cells
    ]
    for kind, _ in blocks:
        if kind not in _TOPOLOGY:
            raise InputError(f"cells of type '{kind}' cannot be written as XDMF")
    if len(blocks) == 1:
        return blocks[0][1]
    rows = []
    for kind, nodes in blocks:
        _, number, count = _TOPOLOGY[kind]
        # Only points, lines and polygons carry their number of nodes.
        head = [number, count] if kind == "vertex" else [number]
        rows.append(np.hstack([np.tile(head, (len(nodes), 1)), nodes]).ravel())
    return np.concatenate(rows)


def _grid(name: str, piece: Piece) -> ET.Element:
    grid = ET.Element("Grid", Name=name, GridType="Uniform")
    total = sum(n for _, n in piece.cells)
    if len(piece.cells) == 1:
        kind, nodes = _TOPOLOGY[piece.cells[0][0]][0], _TOPOLOGY[piece.cells[0][0]][2]
        shape: tuple[int, ...] = (total, nodes)
    else:
        kind = "Mixed"
        shape = (sum(n * (1 + _TOPOLOGY[t][2] + (t == "vertex")) for t, n in piece.cells),)
    topology = ET.SubElement(grid, "Topology", TopologyType=kind, NumberOfElements=str(total))
    if kind == "Polyvertex":
        topology.set("NodesPerElement", "1")
    _item(topology, piece.file, "cells", ArrayInfo("int64", shape))
    geometry = ET.SubElement(grid, "Geometry", GeometryType="XYZ")
    _item(geometry, piece.file, "points", piece.points)
    for centre, group, arrays in (
        ("Node", "point_data", piece.point_data),
        ("Cell", "cell_data", piece.cell_data),
    ):
        for field, info in arrays.items():
            kind = {1: "Scalar", 3: "Vector", 9: "Tensor"}.get(info.n_components, "Matrix")
            attribute = ET.SubElement(
                grid, "Attribute", Name=field, AttributeType=kind, Center=centre
            )
            _item(attribute, piece.file, f"{group}/{field}", info)
    return grid


def _item(parent: ET.Element, file: str, path: str, info: ArrayInfo) -> None:
    item = ET.SubElement(
        parent,
        "DataItem",
        Dimensions=" ".join(map(str, info.shape)),
        NumberType="Float" if info.dtype.startswith("float") else "Int",
        Precision="8",
        Format="HDF",
    )
    item.text = f"{file}:/{path}"
