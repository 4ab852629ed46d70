"""Abaqus input files: nodes, elements, sets and surfaces.

meshio's own reader keeps the last *NODE block only, may put the ELSET of an *ELEMENT line
on another block, and knows no plane-strain quadrilateral and no surfaces; hence this one.
Abaqus numbers the nodes of all these elements as VTK does.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

import meshio
import numpy as np

from neml2fe.errors import MeshError
from neml2fe.fem.mesh.elements import Index, reference_element

# Families with one geometry; letters after the number of nodes (R, H, I, M, T, ...) choose
# an integration rule or a formulation.
_FAMILIES = {
    r"(T2D2|T3D2|B21|B31)": "line",
    r"(T2D3|T3D3)": "line3",
    r"(CPE3|CPS3|CAX3|S3|STRI3|R3D3|M3D3|SFM3D3)": "triangle",
    r"(CPE4|CPS4|CAX4|S4|R3D4|M3D4|SFM3D4)": "quad",
    r"(CPE6|CPS6|CAX6|STRI65|M3D6|SFM3D6)": "triangle6",
    r"(CPE8|CPS8|CAX8|S8|M3D8|SFM3D8)": "quad8",
    r"C3D4": "tetra",
    r"C3D6": "wedge",
    r"C3D8": "hexahedron",
    r"C3D10": "tetra10",
    r"C3D20": "hexahedron20",
}
# Vertices, from 1, of the faces S1, S2, ... (Abaqus Elements Guide, "Element node ordering").
_FACES: dict[str, list[tuple[int, ...]]] = {
    "triangle": [(1, 2), (2, 3), (3, 1)],
    "quad": [(1, 2), (2, 3), (3, 4), (4, 1)],
    "tetra": [(1, 2, 3), (1, 4, 2), (2, 4, 3), (3, 4, 1)],
    "wedge": [(1, 2, 3), (4, 6, 5), (1, 4, 5, 2), (2, 5, 6, 3), (3, 6, 4, 1)],
    "hexahedron": [
        *[(1, 2, 3, 4), (5, 8, 7, 6), (1, 5, 6, 2)],
        *[(2, 6, 7, 3), (3, 7, 8, 4), (4, 8, 5, 1)],
    ],
}


def read_abaqus(path: Path) -> meshio.Mesh:
    """Nodes, elements, NSETs, ELSETs and SURFACEs of an .inp file (INCLUDEs followed).

    A surface of element faces becomes cells in a cell set of its name, one of nodes a point set.

    Element numbers and node numbers must be unique in the file: parts and instances are
    not assembled. Raises MeshError with file and line.
    """
    return _Reader(path).mesh()


class _Reader:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.nodes: dict[int, list[float]] = {}
        self.blocks: dict[str, dict[int, list[int]]] = defaultdict(dict)
        self.elements: set[int] = set()
        self.node_sets: dict[str, list[int]] = defaultdict(list)
        self.element_sets: dict[str, list[int]] = defaultdict(list)
        self.surfaces: dict[str, list[list[str]]] = defaultdict(list)  # [set or element, face]
        self.where = str(path)
        try:
            for keyword, options, data in _sections(self._lines(path)):
                self._take(keyword, options, data)
        except (ValueError, UnicodeDecodeError, OSError) as error:
            raise MeshError(f"cannot read this mesh: {error}", self.where) from None

    def mesh(self) -> meshio.Mesh:
        if not self.nodes or not self.blocks:
            raise MeshError("the file defines no nodes or no elements", str(self.path))
        widths = {len(position) for position in self.nodes.values()}
        if len(widths) > 1 or not widths <= {2, 3}:
            raise MeshError("all nodes need 2 or all need 3 coordinates", str(self.path))
        index = {number: i for i, number in enumerate(self.nodes)}
        blocks = {
            cell_type: np.array([self._look_up(n, index, "node") for n in rows.values()])
            for cell_type, rows in self.blocks.items()
        }
        cells = list(blocks.items())
        cell_sets = {name: self._split(numbers) for name, numbers in self.element_sets.items()}
        for name, faces in self.surfaces.items():
            for facet_type, nodes in self._faces(faces, blocks):
                cell_sets.setdefault(name, [])
                cells.append((facet_type, nodes))
                missing = len(cells) - 1 - len(cell_sets[name])
                cell_sets[name] += [*missing * [np.empty(0, np.int64)], np.arange(len(nodes))]
        return meshio.Mesh(
            np.array(list(self.nodes.values())),
            cells,
            point_sets={
                name: self._look_up(numbers, index, "node")
                for name, numbers in self.node_sets.items()
            },
            cell_sets={
                name: members + (len(cells) - len(members)) * [np.empty(0, np.int64)]
                for name, members in cell_sets.items()
            },
        )

    def _lines(self, path: Path) -> Iterator[str]:
        with path.open() as file:
            for number, line in enumerate(file, 1):
                self.where = f"{path}:{number}"
                line = line.strip()
                if line.upper().startswith("*INCLUDE"):
                    name = re.split(r"INPUT\s*=\s*", line, flags=re.IGNORECASE)[-1].strip()
                    yield from self._lines(path.parent / name)
                elif line and not line.startswith("**"):
                    yield line

    def _take(self, keyword: str, options: dict[str, str], data: list[list[str]]) -> None:
        if keyword == "NODE":
            for number, *position in data:
                if int(number) in self.nodes:
                    raise ValueError(f"node {number} is defined twice")
                self.nodes[int(number)] = [float(value) for value in position]
            if "NSET" in options:
                self.node_sets[options["NSET"]] += [int(row[0]) for row in data]
        elif keyword == "ELEMENT":
            self._take_elements(options, data)
        elif keyword == "NSET":
            self._take_set(self.node_sets, "NSET", options, data)
        elif keyword == "ELSET":
            self._take_set(self.element_sets, "ELSET", options, data)
        elif keyword == "SURFACE":
            self._take_surface(options, data)

    def _take_elements(self, options: dict[str, str], data: list[list[str]]) -> None:
        given = options.get("TYPE", "").upper()
        if given.startswith("COH"):
            raise ValueError(
                f"cohesive elements ({given}) are not read; let the bodies share their nodes and "
                "split the mesh between them (neml2fe.fem.mesh.interfaces)"
            )
        types = [t for family, t in _FAMILIES.items() if re.fullmatch(family + "[A-Z]*", given)]
        if not types:
            raise ValueError(f"element type '{given}' is not known")
        values = [int(value) for row in data for value in row]
        width = 1 + reference_element(types[0]).n_nodes
        if len(values) % width:
            raise ValueError(f"elements of type {given} have {width - 1} nodes each")
        rows = [values[i : i + width] for i in range(0, len(values), width)]
        for number, *nodes in rows:
            if number in self.elements:
                raise ValueError(f"element {number} is defined twice")
            self.elements.add(number)
            self.blocks[types[0]][number] = nodes
        if "ELSET" in options:
            self.element_sets[options["ELSET"]] += [row[0] for row in rows]

    @staticmethod
    def _take_set(
        sets: dict[str, list[int]], kind: str, options: dict[str, str], data: list[list[str]]
    ) -> None:
        if kind not in options:
            raise ValueError(f"*{kind} without a name ({kind}=...)")
        name = options[kind]
        for row in data:
            if "GENERATE" in options:
                start, stop, *step = (int(value) for value in row)
                sets[name] += range(start, stop + 1, *step)
                continue
            for value in row:
                if not value.isdigit() and value not in sets:
                    raise ValueError(f"no set named '{value}'")
                sets[name] += [int(value)] if value.isdigit() else sets[value]

    def _take_surface(self, options: dict[str, str], data: list[list[str]]) -> None:
        if "NAME" not in options:
            raise ValueError("*SURFACE without a name (NAME=...)")
        name, kind = options["NAME"], options.get("TYPE", "ELEMENT").upper()
        if kind == "NODE":
            self._take_set(self.node_sets, "NAME", options, [row[:1] for row in data])
        elif kind != "ELEMENT":
            raise ValueError(f"surface '{name}' is of type {kind}; supported: ELEMENT, NODE")
        for row in data if kind == "ELEMENT" else ():
            if not row[0].isdigit() and row[0] not in self.element_sets:
                raise ValueError(f"no set named '{row[0]}'")
            if len(row) != 2 or not re.fullmatch("S[1-6]", row[1].upper()):
                raise ValueError(f"surface '{name}' needs lines of the form 'elements, S1'")
            self.surfaces[name].append([row[0], row[1].upper()])

    def _faces(
        self, faces: list[list[str]], blocks: dict[str, Index]
    ) -> Iterator[tuple[str, Index]]:
        """The faces of a surface, (facet type, nodes) for each face number and cell type."""
        for members, face in faces:
            numbers = [int(members)] if members.isdigit() else self.element_sets[members]
            for (cell_type, rows), mine in zip(blocks.items(), self._split(numbers), strict=True):
                if not len(mine):
                    continue
                element = reference_element(cell_type)
                corners = _FACES.get(element.linear_type, [])
                if int(face[1]) > len(corners):
                    raise MeshError(f"{cell_type} elements have no face {face}", str(self.path))
                wanted = {vertex - 1 for vertex in corners[int(face[1]) - 1]}
                for facet_type, facets in element.facets:
                    for local in facets:
                        if set(local[: len(wanted)]) == wanted:
                            yield facet_type, rows[mine][:, local]

    def _look_up(self, numbers: Iterable[int], index: dict[int, int], kind: str) -> Index:
        try:
            return np.array([index[number] for number in numbers], dtype=np.int64)
        except KeyError as missing:
            raise MeshError(f"{kind} {missing} is not defined", str(self.path)) from None

    def _split(self, numbers: list[int]) -> list[Index]:
        """Element numbers of a set, as positions in each block."""
        unknown = set(numbers) - self.elements
        if unknown:
            raise MeshError(f"element {min(unknown)} is not defined", str(self.path))
        wanted = set(numbers)
        return [
            np.array([i for i, number in enumerate(rows) if number in wanted], dtype=np.int64)
            for rows in self.blocks.values()
        ]


def _sections(lines: Iterator[str]) -> Iterator[tuple[str, dict[str, str], list[list[str]]]]:
    """Keyword, options and data lines of each section; names keep their spelling."""
    keyword = ""
    options: dict[str, str] = {}
    data: list[list[str]] = []
    for line in lines:
        if not line.startswith("*"):
            data.append([value.strip() for value in line.rstrip(",").split(",")])
            continue
        yield keyword, options, data
        first, *rest = line.lstrip("*").split(",")
        pairs = (option.partition("=") for option in rest)
        keyword, data = first.strip().upper(), []
        options = {key.strip().upper(): value.strip().strip('"') for key, _, value in pairs}
    yield keyword, options, data
