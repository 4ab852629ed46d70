"""A time series of fields for ParaView as VTU: see `arrays` for how fields are written.

One rank writes `stem_0003.vtu` for step 3. Of several, each writes its own `stem_0003_1.vtu`, and
`stem_0003.pvtu` puts them together. `stem.pvd` lists the steps.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from pathlib import Path

import meshio

from neml2fe.errors import InputError
from neml2fe.io.arrays import Fields, mises, symmetric_tensor
from neml2fe.io.paths import replacing
from neml2fe.io.series import ArrayInfo, Entry, FieldSeries, Piece

__all__ = ["VtuSeries", "mises", "read_pvd", "symmetric_tensor"]

_TYPES = {"float64": "Float64", "int64": "Int64"}


class VtuSeries(FieldSeries):
    """A series of `.vtu` files, compressed, and the `.pvd` that lists them."""

    list_suffix = ".pvd"
    suffixes = (".vtu", ".pvtu")

    def write_piece(self, name: str, fields: Fields, rank: int | None = None) -> Piece:
        mesh = fields.mesh()
        file = f"{name}.vtu" if rank is None else f"{name}_{rank}.vtu"
        with replacing(self.directory / file) as temporary:
            meshio.vtu.write(str(temporary), mesh, binary=True, compression="zlib")
        return Piece.of(file, mesh)

    def _content(self, time: float, name: str, pieces: Sequence[Piece]) -> str:
        if len(pieces) == 1:
            return pieces[0].file
        root = ET.Element("VTKFile", type="PUnstructuredGrid", version="0.1")
        grid = ET.SubElement(root, "PUnstructuredGrid", GhostLevel="0")
        first = pieces[0]
        _declare(grid, "PPoints", {"Points": first.points})
        _declare(grid, "PPointData", first.point_data)
        _declare(grid, "PCellData", first.cell_data)
        for piece in pieces:
            ET.SubElement(grid, "Piece", Source=piece.file)
        ET.indent(root)
        with replacing(self.directory / f"{name}.pvtu") as temporary:
            ET.ElementTree(root).write(temporary, encoding="utf-8", xml_declaration=True)
        return f"{name}.pvtu"

    def _list(self, entries: Sequence[Entry]) -> ET.Element:
        root = ET.Element("VTKFile", type="Collection", version="0.1")
        collection = ET.SubElement(root, "Collection")
        for entry in entries:
            ET.SubElement(
                collection, "DataSet", timestep=repr(entry.time), part="0", file=entry.content
            )
        return root

    def _read_list(self, root: ET.Element) -> list[Entry]:
        return [
            Entry(
                float(item.attrib["timestep"]), Path(item.attrib["file"]).stem, item.attrib["file"]
            )
            for item in root.iterfind("Collection/DataSet")
        ]


def _declare(grid: ET.Element, tag: str, arrays: Mapping[str, ArrayInfo]) -> None:
    parent = ET.SubElement(grid, tag)
    for name, info in arrays.items():
        array = ET.SubElement(parent, "PDataArray", type=_TYPES[info.dtype], Name=name)
        if len(info.shape) > 1:
            array.set("NumberOfComponents", str(info.shape[1]))


def read_pvd(path: Path) -> tuple[list[float], list[Path]]:
    """Times and files of a series, by time. Raises `InputError` for a file that is none."""
    try:
        sets = ET.parse(path).getroot().iter("DataSet")
        entries = sorted((float(s.attrib["timestep"]), s.attrib["file"]) for s in sets)
    except (OSError, ET.ParseError, KeyError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise InputError(f"cannot read the series: {reason}", str(path)) from error
    if not entries:
        raise InputError("the series is empty", str(path))
    return [time for time, _ in entries], [path.parent / file for _, file in entries]
