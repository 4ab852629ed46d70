"""Meshes: files of every element type, groups, boundary orientation, and errors."""

from __future__ import annotations

from pathlib import Path

import meshio
import numpy as np
import pytest

from neml2fe.errors import InputError, MeshError
from neml2fe.fem.mesh.elements import VOLUME_CELLS, jacobians, reference_element
from neml2fe.fem.mesh.generate import box, quarter_annulus, rectangle, with_sides
from neml2fe.fem.mesh.mesh import CellBlock, Mesh

DATA = Path(__file__).parent / "data"
PLANE_CELLS = [c for c in VOLUME_CELLS if reference_element(c).dim == 2]
SOLID_CELLS = [c for c in VOLUME_CELLS if reference_element(c).dim == 3]

SQUARE = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]])
QUAD = (CellBlock("quad", np.array([[0, 1, 2, 3]])),)


def volume(mesh: Mesh) -> float:
    total = 0.0
    for cell_type, connectivity in mesh.cells:
        points, weights = reference_element(cell_type).quadrature()
        _, gradients = reference_element(cell_type).tabulate(points)
        total += (np.linalg.det(jacobians(mesh.points[connectivity], gradients)) @ weights).sum()
    return total


def area_vector(mesh: Mesh, name: str) -> np.ndarray:
    """The integral of the unit normal over a boundary."""
    total = np.zeros(mesh.dim)
    for cell_type, connectivity in mesh.boundary(name):
        points, weights = reference_element(cell_type).quadrature()
        _, gradients = reference_element(cell_type).tabulate(points)
        t = jacobians(mesh.points[connectivity], gradients)
        if mesh.dim == 2:
            normal = np.stack([t[..., 1, 0], -t[..., 0, 0]], axis=-1)
        else:
            normal = np.cross(t[..., 0], t[..., 1])
        total += np.einsum("q,eqi->i", weights, normal)
    return total


def generated(cell_type: str, **options) -> Mesh:
    if reference_element(cell_type).dim == 2:
        return rectangle(3, 2, cell_type, (2.0, 1.5), **options)
    return box(3, 2, 2, cell_type, (2.0, 1.5, 1.0), **options)


# --- files ---


@pytest.mark.parametrize("name", [f"{c}.msh" for c in VOLUME_CELLS] + ["quad.inp"])
def test_files_of_gmsh_give_nodes_in_the_right_order(name):
    """Formats 2.2 and 4.1, text and binary: on straight edges every further node lies where
    the (multi)linear map of the vertices puts it, which no other order would satisfy."""
    mesh = Mesh.read(DATA / name)
    ((cell_type, connectivity),) = mesh.cells
    assert cell_type == name.split(".")[0]
    element = reference_element(cell_type)
    linear = reference_element(element.linear_type)
    values, _ = linear.tabulate(element.nodes)
    vertices = mesh.points[connectivity[:, : element.n_vertices]]
    np.testing.assert_allclose(
        mesh.points[connectivity], np.einsum("kv,evi->eki", values, vertices), atol=1e-10
    )
    edges = np.array([[2, 0.3, 0.1], [0.5, 1.1, 0.2], [0.2, -0.4, 0.9]])[: mesh.dim, : mesh.dim]
    np.testing.assert_allclose(volume(mesh), np.linalg.det(edges), rtol=1e-10)


@pytest.mark.parametrize(
    "name", ["quad.msh", "triangle6.msh", "quad8.msh", "quad9.msh", "quad.inp"]
)
def test_groups_of_plane_files(name):
    mesh = Mesh.read(DATA / name)
    assert mesh.dim == 2
    assert {"bottom", "sides"} <= set(mesh.boundaries)
    assert mesh.boundary("bottom")[0].connectivity.shape[0] == 2
    np.testing.assert_allclose(area_vector(mesh, "bottom"), [0.3, -2], atol=1e-12)
    np.testing.assert_allclose(area_vector(mesh, "sides"), [0, 0], atol=1e-12)
    np.testing.assert_allclose(mesh.points[mesh.boundary_nodes("corner")], [[2.5, 1.4]])
    bottom = mesh.points[mesh.boundary_nodes("bottom")]
    np.testing.assert_allclose(bottom[:, 1], 0.15 * bottom[:, 0], atol=1e-10)
    assert [len(numbers) for numbers in mesh.region("body")] == [mesh.n_elements]


@pytest.mark.parametrize("cell_type", SOLID_CELLS)
def test_groups_of_solid_files_with_normals_turned_outward(cell_type):
    """gmsh orders the base facets with their normals into the body."""
    mesh = Mesh.read(DATA / f"{cell_type}.msh")
    base = np.cross([2, 0.3, 0.1], [0.5, 1.1, 0.2])
    np.testing.assert_allclose(area_vector(mesh, "base"), -base, atol=1e-10)
    np.testing.assert_allclose(area_vector(mesh, "top"), base, atol=1e-10)
    edge = mesh.points[mesh.boundary_nodes("edge")]
    np.testing.assert_allclose(edge - np.outer(edge[:, 0] / 2, [2, 0.3, 0.1]), 0, atol=1e-10)


@pytest.mark.parametrize("cell_type", VOLUME_CELLS)
def test_vtu_round_trip_keeps_nodes_and_cells(tmp_path, cell_type):
    mesh = generated(cell_type, distortion=0.3)
    points = np.zeros((mesh.n_nodes, 3))
    points[:, : mesh.dim] = mesh.points
    meshio.Mesh(points, list(mesh.cells)).write(tmp_path / "mesh.vtu")
    assert Mesh.read(tmp_path / "mesh.vtu").digest() == mesh.digest()


@pytest.mark.parametrize("binary", [False, True])
def test_mixed_cells_and_overlapping_groups(tmp_path, binary):
    """One quadrilateral and two triangles; unused node 0; one group over both types."""
    points = np.array([[9, 9], [0, 0], [1, 0], [2, 0], [0, 1], [1, 1], [2, 1]], dtype=float)
    cells = [
        ("quad", np.array([[1, 2, 5, 4]])),
        ("triangle", np.array([[2, 3, 6], [2, 6, 5]])),
        ("line", np.array([[1, 2], [3, 2]])),
    ]
    tags = [np.array([7]), np.array([7, 8]), np.array([9, 9])]
    meshio.Mesh(
        np.column_stack([points, np.zeros(7)]),
        cells,
        cell_data={"gmsh:physical": tags, "gmsh:geometrical": tags},
        field_data={"all but one": np.array([7, 2]), "bottom": np.array([9, 1])},
    ).write(tmp_path / "mixed.msh", file_format="gmsh22", binary=binary)
    mesh = Mesh.read(tmp_path / "mixed.msh")
    assert mesh.n_nodes == 6
    assert [block.cell_type for block in mesh.cells] == ["quad", "triangle"]
    assert [numbers.tolist() for numbers in mesh.region("all but one")] == [[0], [0]]
    assert [numbers.tolist() for numbers in mesh.region("8")] == [[], [1]]  # it has no name
    assert mesh.boundary_nodes("bottom").tolist() == [0, 1, 2]
    np.testing.assert_allclose(area_vector(mesh, "bottom"), [0, -2])


def test_element_repeated_for_each_of_its_groups_in_format_22_is_one(tmp_path):
    text = (DATA / "quad.msh").read_text()
    text = text.replace("$Elements\n7", "$Elements\n8").replace(
        "$EndElements", "8 3 2 9 1 5 2 3 6\n$EndElements"
    )
    text = text.replace("$PhysicalNames\n4", "$PhysicalNames\n5").replace(
        "$EndPhysicalNames", '2 9 "right half"\n$EndPhysicalNames'
    )
    (tmp_path / "mesh.msh").write_text(text)
    mesh = Mesh.read(tmp_path / "mesh.msh")
    assert mesh.n_elements == 2
    assert mesh.region("right half")[0].tolist() == [1]
    assert mesh.region("body")[0].tolist() == [0, 1]


ABAQUS = """*Heading
** two blocks of nodes, an element line over two lines, sets of sets
*NODE, NSET=LOWER
 10, 0., 0., 0.
 20, 1., 0., 0.
 30, 2., 0., 0.
*NODE
 40, 0., 1., 0.
 50, 1., 1., 0.
 60, 2., 1., 0.
*ELEMENT, TYPE=CPE4R
 1, 10, 20,
    50, 40
*ELEMENT, TYPE=CPE4R, ELSET=SECOND
 7, 20, 30, 60, 50
*NSET, NSET=RIGHT, GENERATE
 30, 60, 30
*ELSET, ELSET=BOTH
 SECOND, 1
*STEP
"""


def test_abaqus_sets(tmp_path):
    (tmp_path / "mesh.inp").write_text(ABAQUS)
    mesh = Mesh.read(tmp_path / "mesh.inp")
    assert mesh.n_elements == 2
    assert mesh.region("SECOND")[0].tolist() == [1]
    assert mesh.region("BOTH")[0].tolist() == [0, 1]
    assert mesh.boundary_nodes("LOWER").tolist() == [0, 1, 2]
    assert mesh.boundary_nodes("RIGHT").tolist() == [2, 5]
    with pytest.raises(MeshError, match="'RIGHT' is a group of nodes; a group of facets"):
        mesh.boundary("RIGHT")


@pytest.mark.parametrize(
    "old, new, message",
    [
        ("TYPE=CPE4R\n", "TYPE=CPX4\n", r"mesh\.inp:\d+: .*'CPX4' is not known"),
        ("50, 40", "50, 41", "node 41 is not defined"),
        ("SECOND, 1", "SECOND, 5", "element 5 is not defined"),
        ("SECOND, 1", "SECONDS", "no set named 'SECONDS'"),
        (" 40, 0.", " 30, 0.", "node 30 is defined twice"),
        ("60, 50\n", "60\n", "have 4 nodes each"),
        ("1., 1., 0.", "1., one, 0.", "could not convert string to float"),
    ],
)
def test_wrong_abaqus_files_say_where(tmp_path, old, new, message):
    assert old in ABAQUS
    (tmp_path / "mesh.inp").write_text(ABAQUS.replace(old, new))
    with pytest.raises(MeshError, match=message):
        Mesh.read(tmp_path / "mesh.inp")


@pytest.mark.parametrize("name", ["quad.msh", "quad9.msh", "hexahedron.msh"])
def test_damaged_files_give_one_line_and_print_nothing(tmp_path, capfd, name):
    content = (DATA / name).read_bytes()
    path = tmp_path / name
    for part in np.linspace(0, 0.97, 30):
        path.write_bytes(content[: int(part * len(content))])
        with pytest.raises(MeshError) as caught:
            Mesh.read(path)
        assert str(caught.value).startswith(str(path))
        assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


def test_missing_and_unknown_files(tmp_path):
    with pytest.raises(MeshError, match=r"nowhere\.msh: no such mesh file"):
        Mesh.read(tmp_path / "nowhere.msh")
    (tmp_path / "mesh.docx").write_text("hello")
    with pytest.raises(MeshError, match="Could not deduce file format"):
        Mesh.read(tmp_path / "mesh.docx")


# --- generated meshes ---


@pytest.mark.parametrize("cell_type", VOLUME_CELLS)
@pytest.mark.parametrize("distortion", [0.0, 0.4])
def test_generated_meshes_fill_the_box_and_their_sides_point_outward(cell_type, distortion):
    mesh = generated(cell_type, distortion=distortion, seed=3)
    np.testing.assert_allclose(volume(mesh), 3.0, rtol=1e-12)
    areas = {
        name: vector * (1.5, 2.0, 3.0)[i] if mesh.dim == 3 else vector * (1.5, 2.0)[i]
        for i, pair in enumerate([("left", "right"), ("bottom", "top"), ("back", "front")])
        for name, vector in zip(pair, np.array([-1, 1])[:, None] * np.eye(3)[i], strict=True)
        if i < mesh.dim
    }
    assert set(mesh.boundaries) == set(areas)
    for name, vector in areas.items():
        np.testing.assert_allclose(area_vector(mesh, name), vector[: mesh.dim], atol=1e-12)
    low, high = mesh.bounding_box
    np.testing.assert_allclose(high - low, (2.0, 1.5, 1.0)[: mesh.dim])


@pytest.mark.parametrize("cell_type", ["triangle6", "quad8", "wedge", "hexahedron20"])
def test_sides_are_found_again(cell_type):
    mesh = generated(cell_type, distortion=0.2)
    found = with_sides(Mesh(mesh.points + 7.0, mesh.cells))
    assert list(found.boundaries) == list(mesh.boundaries)
    for name, blocks in mesh.boundaries.items():
        assert [b.cell_type for b in found.boundary(name)] == [b.cell_type for b in blocks]
        for ours, block in zip(found.boundary(name), blocks, strict=True):
            assert sorted(ours.connectivity.tolist()) == sorted(block.connectivity.tolist())


def test_regions_from_integer_cell_data():
    mesh = rectangle(2, 1, "quad")
    data = {"body": (np.array([7, 3]),), "k": (np.array([1.5, 2.0]),)}
    mesh = Mesh(mesh.points, mesh.cells, cell_data=data).with_regions("body")
    assert {n: r[0].tolist() for n, r in mesh.regions.items()} == {"body_3": [1], "body_7": [0]}
    with pytest.raises(MeshError, match="no cell data named 'bdy'; did you mean 'body'"):
        mesh.with_regions("bdy")
    with pytest.raises(MeshError, match="'k' are not one integer for each cell"):
        mesh.with_regions("k")


def test_distortion_moves_interior_vertices_only_and_depends_on_the_seed():
    regular, moved = rectangle(4, 4, "quad"), rectangle(4, 4, "quad", distortion=0.3, seed=1)
    shifted = (regular.points != moved.points).any(axis=1)
    assert shifted.sum() == 9
    assert moved.digest() == rectangle(4, 4, "quad", distortion=0.3, seed=1).digest()
    assert moved.digest() != rectangle(4, 4, "quad", distortion=0.3, seed=2).digest()


@pytest.mark.parametrize("cell_type", PLANE_CELLS)
def test_quarter_annulus_has_its_nodes_on_the_circles(cell_type):
    mesh = quarter_annulus(2, 6, cell_type, 1.0, 1.3)
    for name, radius in [("inner", 1.0), ("outer", 1.3)]:
        nodes = mesh.boundary_nodes(name)
        np.testing.assert_allclose(np.linalg.norm(mesh.points[nodes], axis=1), radius, rtol=1e-14)
    assert (mesh.points[mesh.boundary_nodes("left")][:, 0] == 0).all()
    assert (mesh.points[mesh.boundary_nodes("bottom")][:, 1] == 0).all()
    quadratic = reference_element(cell_type).degree == 2
    exact = np.pi / 4 * (1.3**2 - 1)
    np.testing.assert_allclose(volume(mesh), exact, rtol=2e-5 if quadratic else 2e-2)
    np.testing.assert_allclose(area_vector(mesh, "inner"), [-1, -1], rtol=1e-12)


def test_impossible_generation_is_refused():
    with pytest.raises(InputError, match="distortion must lie between"):
        rectangle(2, 2, "quad", distortion=0.9)
    with pytest.raises(InputError, match="3-D elements of type tetra need 3 counts"):
        rectangle(2, 2, "tetra")


# --- errors of content ---


def test_missing_group_suggests_the_nearest_and_names_the_file():
    mesh = Mesh.read(DATA / "quad.msh")
    with pytest.raises(MeshError, match=r"quad\.msh: no boundary named 'botom'; did you mean 'bot"):
        mesh.boundary("botom")
    with pytest.raises(MeshError, match="did you mean 'corner'"):
        mesh.boundary_nodes("cornr")
    with pytest.raises(MeshError, match="did you mean 'body'"):
        mesh.region("bdy")


def turned(connectivity):
    return (CellBlock("quad", np.array(connectivity)),)


TWO = np.vstack([SQUARE, [[2.0, 0.0], [2.0, 1.0]]])


@pytest.mark.parametrize(
    "points, cells, message",
    [
        (SQUARE, (), "no elements"),
        (
            SQUARE,
            (CellBlock("wedge15", np.zeros((3, 15))),),
            "3 cells are of type 'wedge15'.*quad9",
        ),
        (SQUARE, turned([[0, 1, 2, 7]]), "quad element 0 refers to nodes that do not exist"),
        (SQUARE, turned([[0, 1, 2, 2]]), "element 0 has the same node twice"),
        (SQUARE, turned([[0, 3, 2, 1]]), "all 1 quad elements are numbered clockwise"),
        (
            TWO,
            turned([[0, 1, 2, 3], [1, 2, 5, 4]]),
            r"quad element 1 .*centroid at \(1\.5, 0\.5\) is inverted",
        ),
        (SQUARE * [1, 0], QUAD, r"element 0 .*centroid at \(0\.5, 0\) has no volume"),
        (SQUARE * [1, np.nan], QUAD, "coordinates of node 0 are not finite"),
        (np.eye(4, 3), QUAD, r"2-D cells \(quad\) need points of shape \(n, 2\)"),
        (TWO, turned([[0, 1, 2, 3], [0, 1, 2, 3], [1, 4, 5, 2]]), "elements overlap: .*share one"),
    ],
)
def test_unusable_cells(points, cells, message):
    with pytest.raises(MeshError, match=message):
        Mesh(points, cells, name="plate.msh")


def test_inverted_solid_element_is_reported_with_its_place():
    mesh = box(2, 1, 1, "tetra10")
    connectivity = mesh.cells[0].connectivity.copy()
    mirrored = [1, 0, 2, 3, 4, 6, 5, 8, 7, 9]
    connectivity[4] = connectivity[4, mirrored]
    with pytest.raises(MeshError, match=r"plate\.msh: tetra10 element 4 .*\) is inverted"):
        Mesh(mesh.points, (CellBlock("tetra10", connectivity),), name="plate.msh")


def facet(*nodes, cell_type="line"):
    return {"side": (CellBlock(cell_type, np.array([nodes])),)}


def test_facets_that_do_not_fit_the_cells_are_refused():
    with pytest.raises(MeshError, match="boundary 'side': 1 of 1 facets belong to no element"):
        Mesh(SQUARE, QUAD, facet(0, 2))
    with pytest.raises(MeshError, match=r"boundary 'side' has facets of type 'line3'.*type line"):
        Mesh(SQUARE, QUAD, facet(0, 1, 2, cell_type="line3"))
    fine = rectangle(1, 1, "quad9")
    with pytest.raises(MeshError, match="do not agree"):
        Mesh(fine.points, fine.cells, facet(0, 2, 3, cell_type="line3"))


def test_interior_facets_keep_their_order_and_surface_facets_turn_outward():
    given = {"side": (CellBlock("line", np.array([[2, 1], [1, 0], [1, 2]])),)}
    mesh = Mesh(TWO, turned([[0, 1, 2, 3], [1, 4, 5, 2]]), given)
    assert mesh.boundary("side")[0].connectivity.tolist() == [[2, 1], [0, 1], [1, 2]]


def test_surface_mesh_out_of_plane_is_refused():
    points = np.column_stack([SQUARE, [0, 0, 0.1, 0]])
    with pytest.raises(MeshError, match=r"z varies from 0 to 0\.1"):
        Mesh.from_meshio(meshio.Mesh(points, [("quad", np.array([[0, 1, 2, 3]]))]))


def test_unsupported_cells_of_a_file_are_named():
    points = np.random.default_rng(0).uniform(size=(5, 3))
    pyramid = meshio.Mesh(points, [("pyramid", np.array([[0, 1, 2, 3, 4]]))])
    with pytest.raises(MeshError, match=r"part\.msh: 1 cells are of type 'pyramid'.*hexahedron27"):
        Mesh.from_meshio(pyramid, "part.msh")
