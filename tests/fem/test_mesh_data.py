"""Numbers on nodes and cells that a mesh carries along, and surfaces of Abaqus files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import meshio
import numpy as np
import pytest

from neml2fe.errors import MeshError
from neml2fe.fem.mesh.distribution import distribute, scatter_elements, scatter_nodes
from neml2fe.fem.mesh.elements import VOLUME_CELLS, reference_element
from neml2fe.fem.mesh.generate import box, rectangle
from neml2fe.fem.mesh.mesh import CellBlock, Mesh

SQUARES = np.array([[9, 9], [0, 0], [1, 0], [2, 0], [0, 1], [1, 1], [2, 1]], dtype=float)


def test_data_of_a_vtu_file_follow_dropped_nodes_and_merged_blocks(tmp_path):
    """Node 0 is unused; quadrilaterals come in two blocks; lines carry values that go."""
    cells = [
        ("quad", np.array([[1, 2, 5, 4]])),
        ("line", np.array([[1, 2]])),
        ("quad", np.array([[2, 3, 6, 5]])),
    ]
    direction = [np.eye(3)[:1], np.eye(3)[1:2], np.eye(3)[2:]]
    meshio.Mesh(
        np.column_stack([SQUARES, np.zeros(7)]),
        cells,
        point_data={"temperature": 300.0 + np.arange(7), "u": np.arange(21.0).reshape(7, 3)},
        cell_data={"grain": [np.array([4]), np.array([0]), np.array([7])], "axis": direction},
    ).write(tmp_path / "mesh.vtu")
    mesh = Mesh.read(tmp_path / "mesh.vtu")
    np.testing.assert_array_equal(mesh.point_data["temperature"], 300.0 + np.arange(1, 7))
    np.testing.assert_array_equal(mesh.point_data["u"], np.arange(3.0, 21.0).reshape(6, 3))
    assert [values.tolist() for values in mesh.cell_data["grain"]] == [[4, 7]]
    np.testing.assert_array_equal(mesh.cell_data["axis"][0], [[1, 0, 0], [0, 0, 1]])
    assert mesh.digest() == replace(mesh, cell_data={}, point_data={}).digest()


def test_gmsh_data_without_its_tags(tmp_path):
    mesh = rectangle(2, 1, "triangle")
    tags = [np.full(4, 3)]
    meshio.Mesh(
        np.column_stack([mesh.points, np.zeros(mesh.n_nodes)]),
        list(mesh.cells),
        point_data={"height": mesh.points[:, 1]},
        cell_data={"gmsh:physical": tags, "gmsh:geometrical": tags, "load": [np.arange(4.0)]},
    ).write(tmp_path / "mesh.msh", file_format="gmsh22", binary=True)
    read = Mesh.read(tmp_path / "mesh.msh")
    assert (list(read.cell_data), list(read.point_data)) == (["load"], ["height"])
    np.testing.assert_array_equal(read.cell_data["load"][0], np.arange(4.0))
    np.testing.assert_array_equal(read.point_data["height"], read.points[:, 1])


def test_data_can_be_handed_to_the_ranks():
    mesh = rectangle(3, 2, "quad")
    mesh = replace(mesh, cell_data={"k": (np.arange(6),)}, point_data={"t": np.arange(12)})
    local = distribute(mesh)
    (k,) = scatter_elements(local, mesh.cell_data["k"])
    np.testing.assert_array_equal(k, np.arange(6)[local.elements[0]])
    np.testing.assert_array_equal(scatter_nodes(local, mesh.point_data["t"]), local.nodes)


def test_wrong_sizes_are_refused_and_empty_blocks_dropped_with_their_data():
    mesh = rectangle(2, 1, "quad")
    with pytest.raises(MeshError, match=r"'k' has \[3\] values for blocks of \[2\] cells"):
        replace(mesh, cell_data={"k": (np.zeros(3),)})
    with pytest.raises(MeshError, match="cell data 'k' has 2 arrays for 1 blocks of cells"):
        replace(mesh, cell_data={"k": (np.zeros(2), np.zeros(0))})
    with pytest.raises(MeshError, match="point data 't' has 2 values for 6 nodes"):
        replace(mesh, point_data={"t": np.zeros(2)})
    with pytest.raises(MeshError, match="region 'r' has 0 arrays for 1 blocks of cells"):
        replace(mesh, regions={"r": ()})
    none = CellBlock("triangle", np.empty((0, 3), np.int64))
    both = Mesh(
        mesh.points,
        (none, *mesh.cells),
        regions={"r": (np.empty(0, np.int64), np.array([1]))},
        cell_data={"k": (np.empty(0), np.array([3.0, 4.0]))},
    )
    assert [values.tolist() for values in both.cell_data["k"]] == [[3.0, 4.0]]
    assert [numbers.tolist() for numbers in both.regions["r"]] == [[1]]


# --- Abaqus ---

ABAQUS_TYPES = {
    "triangle": ["CPE3", "CAX3", "CAX3H"],
    "quad": ["CPS4R", "CAX4", "CAX4RH"],
    "triangle6": ["CPE6", "CAX6M"],
    "quad8": ["CPE8R", "CAX8", "CAX8RH"],
    "tetra": ["C3D4"],
    "tetra10": ["C3D10M"],
    "wedge": ["C3D6"],
    "hexahedron": ["C3D8R"],
    "hexahedron20": ["C3D20R"],
}
# Where the faces of the reference element lie, as Abaqus numbers them: (normal axis, side).
FACES = {
    "triangle": ["y=0", "x+y=1", "x=0"],
    "quad": ["y=0", "x=1", "y=1", "x=0"],
    "tetra": ["z=0", "y=0", "x+y+z=1", "x=0"],
    "wedge": ["z=0", "z=1", "y=0", "x+y=1", "x=0"],
    "hexahedron": ["z=0", "z=1", "y=0", "x=1", "y=1", "x=0"],
}


def write_abaqus(path: Path, abaqus_type: str, points, rows, more: str = "") -> None:
    lines = ["*NODE"]
    lines += [f"{i}, " + ", ".join(map(repr, map(float, x))) for i, x in enumerate(points, 1)]
    lines += [f"*ELEMENT, TYPE={abaqus_type}, ELSET=ALL"]
    for e, nodes in enumerate(rows, 1):
        numbers = [e, *(n + 1 for n in nodes)]
        lines += [", ".join(map(str, numbers[:9])) + ("," if len(numbers) > 9 else "")]
        lines += [", ".join(map(str, numbers[9:]))] if len(numbers) > 9 else []
    path.write_text("\n".join(lines) + "\n" + more)


@pytest.mark.parametrize(
    "cell_type, abaqus_type", [(c, a) for c, names in ABAQUS_TYPES.items() for a in names]
)
def test_element_types_and_faces_of_abaqus(tmp_path, cell_type, abaqus_type):
    element = reference_element(cell_type)
    planes = FACES[element.linear_type]
    more = "".join(
        f"*SURFACE, NAME=F{i}, TYPE=ELEMENT\n{who}, S{i}\n"
        for i, who in zip(range(1, len(planes) + 1), 3 * ["ALL", "1"], strict=False)
    )
    more += "*SURFACE, NAME=TWO\nALL, S1\n1, S2\n*SURFACE, TYPE=NODE, NAME=SOME\n1, 1.0\n2,\n"
    write_abaqus(tmp_path / "mesh.inp", abaqus_type, element.nodes, [range(element.n_nodes)], more)
    mesh = Mesh.read(tmp_path / "mesh.inp")
    assert mesh.cells[0].cell_type == cell_type
    assert set(mesh.boundaries) == {"TWO", *(f"F{i + 1}" for i in range(len(planes)))}
    for i, plane in enumerate(planes):
        (block,) = mesh.boundary(f"F{i + 1}")
        axes, offset = plane.split("=")
        x = mesh.points[block.connectivity[0]]
        height = sum(x[:, "xyz".index(axis)] for axis in axes.split("+"))
        np.testing.assert_allclose(height, float(offset), atol=1e-15)
    assert sum(len(block.connectivity) for block in mesh.boundary("TWO")) == 2
    assert mesh.boundary_nodes("SOME").tolist() == [0, 1]
    assert mesh.region("ALL")[0].tolist() == [0]


def test_surface_over_several_elements_and_cell_types(tmp_path):
    mesh = box(2, 2, 1, "hexahedron20")
    rows = mesh.cells[0].connectivity
    more = "*ELSET, ELSET=PART\n1, 2\n*SURFACE, NAME=BASE\nPART, S1\n3, S1\n 4, s1\n"
    write_abaqus(tmp_path / "mesh.inp", "C3D20", mesh.points, rows, more)
    read = Mesh.read(tmp_path / "mesh.inp")
    assert read.digest() == mesh.digest()
    assert read.boundary("BASE")[0].cell_type == "quad8"
    expected = np.sort(mesh.boundary("back")[0].connectivity, axis=1)
    np.testing.assert_array_equal(np.sort(read.boundary("BASE")[0].connectivity, axis=1), expected)


@pytest.mark.parametrize(
    "abaqus_type, more, message",
    [
        ("COH2D4", "", r"mesh\.inp:\d+: .*: cohesive elements \(COH2D4\) are not read; .*split"),
        ("CPE4", "*SURFACE, NAME=A\nALL, S5\n", "quad elements have no face S5"),
        ("CPE4", "*SURFACE, NAME=A\nALL, SPOS\n", "surface 'A' needs lines of the form"),
        ("CPE4", "*SURFACE, NAME=A\nNONE, S1\n", r"mesh\.inp:\d+: .*: no set named 'NONE'"),
        ("CPE4", "*SURFACE, NAME=A\n9, S1\n", "element 9 is not defined"),
        ("CPE4", "*SURFACE, NAME=A, TYPE=CYLINDER\n1, S1\n", "'A' is of type CYLINDER; supp"),
        ("CPE4", "*SURFACE\n1, S1\n", r"\*SURFACE without a name"),
    ],
)
def test_wrong_surfaces_and_cohesive_elements_say_where(tmp_path, abaqus_type, more, message):
    square = [[0, 0], [1, 0], [1, 1], [0, 1]]
    write_abaqus(tmp_path / "mesh.inp", abaqus_type, square, [range(4)], more)
    with pytest.raises(MeshError, match=message):
        Mesh.read(tmp_path / "mesh.inp")


def test_every_cell_type_but_hexahedron27_and_quad9_comes_from_abaqus():
    assert set(VOLUME_CELLS) - set(ABAQUS_TYPES) == {"quad9", "hexahedron27"}
