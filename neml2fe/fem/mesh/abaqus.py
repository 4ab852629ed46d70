"""Abaqus input files: nodes, elements and sets.

meshio's own reader keeps the last *NODE block only, may put the ELSET of an *ELEMENT line
on another block, and knows no plane-strain quadrilateral; hence this one.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

import meshio
import numpy as np

from neml2fe.errors import MeshError
from neml2fe.fem.mesh.elements import Index

# Families with one geometry; letters after the number of nodes (R, H, I, M, T, ...) choose
# an integration rule or a formulation.
_FAMILIES = {
    r"(T2D2|T3D2|B21|B31)": "line",
    r"(T2D3|T3D3)": "line3",
    r"(CPE3|CPS3|S3|STRI3|R3D3|M3D3|SFM3D3)": "triangle",
    r"(CPE4|CPS4|S4|R3D4|M3D4|SFM3D4)": "quad",
    r"(CPE6|CPS6|STRI65|M3D6|SFM3D6)": "triangle6",
    r"(CPE8|CPS8|S8|M3D8|SFM3D8)": "quad8",
    r"C3D4": "tetra",
    r"C3D6": "wedge",
    r"C3D8": "hexahedron",
    r"C3D10": "tetra10",
    r"C3D20": "hexahedron20",
}
_NODES = {"line": 2, "line3": 3, "triangle": 3, "quad": 4, "triangle6": 6, "quad8": 8}
_NODES |= {"tetra": 4, "wedge": 6, "hexahedron": 8, "tetra10": 10, "hexahedron20": 20}


def read_abaqus(path: Path) -> meshio.Mesh:
    """Nodes, elements, NSETs and ELSETs of an .inp file (INCLUDEs followed).

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
        cells = [
            (cell_type, np.array([self._look_up(nodes, index, "node") for nodes in rows.values()]))
            for cell_type, rows in self.blocks.items()
        ]
        return meshio.Mesh(
            np.array(list(self.nodes.values())),
            cells,
            point_sets={
                name: self._look_up(numbers, index, "node")
                for name, numbers in self.node_sets.items()
            },
            cell_sets={name: self._split(numbers) for name, numbers in self.element_sets.items()},
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

    def _take_elements(self, options: dict[str, str], data: list[list[str]]) -> None:
        given = options.get("TYPE", "").upper()
        types = [t for family, t in _FAMILIES.items() if re.fullmatch(family + "[A-Z]*", given)]
        if not types:
            raise ValueError(f"element type '{given}' is not known")
        values = [int(value) for row in data for value in row]
        width = 1 + _NODES[types[0]]
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
