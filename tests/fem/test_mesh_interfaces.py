"""Meshes cut open: copied nodes, orientation, crack fronts, junctions, groups and data."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from neml2fe.errors import MeshError
from neml2fe.fem.mesh.elements import VOLUME_CELLS, jacobians, reference_element
from neml2fe.fem.mesh.facets import connect_facets
from neml2fe.fem.mesh.generate import box, rectangle
from neml2fe.fem.mesh.interfaces import split, split_all_regions, split_regions
from neml2fe.fem.mesh.mesh import CellBlock, Mesh
from neml2fe.fem.mesh.polycrystal import voronoi_box


def grid(cell_type: str, n: int = 4) -> Mesh:
    """A square of 4 x 4 or a cube of 4 x 4 x 4 divisions of size 1."""
    if reference_element(cell_type).dim == 2:
        return rectangle(n, n, cell_type, (n, n))
    return box(n, n, n, cell_type, (n, n, n))


def with_regions(mesh: Mesh, *rules) -> Mesh:
    """Regions 'r0', 'r1', ...: the cells whose centroids fulfil each rule."""
    centroids = [mesh.points[block.connectivity].mean(axis=1).T for block in mesh.cells]
    chosen = {
        f"r{i}": tuple(np.flatnonzero(rule(*x)) for x in centroids) for i, rule in enumerate(rules)
    }
    return replace(mesh, regions=chosen)


def halves(mesh: Mesh) -> Mesh:
    return with_regions(mesh, lambda x, *_: x < 2, lambda x, *_: x > 2)


def with_facets(mesh: Mesh, on, name: str = "cut") -> Mesh:
    """The mesh with the group `name` of all facets whose nodes all fulfil on(points (n, dim))."""
    chosen = on(mesh.points)
    blocks = []
    for cell_type, connectivity in mesh.cells:
        for facet_type, local in reference_element(cell_type).facets:
            rows = connectivity[:, local].reshape(-1, local.shape[1])
            rows = rows[chosen[rows].all(axis=1)]
            _, first = np.unique(np.sort(rows, axis=1), axis=0, return_index=True)
            blocks.append(CellBlock(facet_type, rows[np.sort(first)]))
    return replace(mesh, boundaries=mesh.boundaries | {name: tuple(blocks)})


def normals(points: np.ndarray, facet_type: str, facets: np.ndarray) -> np.ndarray:
    """The integral of the normal over each facet, (n, dim)."""
    at, weights = reference_element(facet_type).quadrature()
    t = jacobians(points[facets], reference_element(facet_type).tabulate(at)[1])
    if points.shape[1] == 2:
        normal = np.stack([t[..., 1, 0], -t[..., 0, 0]], axis=-1)
    else:
        normal = np.cross(t[..., 0], t[..., 1])
    return np.einsum("q,eqi->ei", weights, normal)


def nodes_of(mesh: Mesh, region: str) -> set[int]:
    parts = zip(mesh.cells, mesh.region(region), strict=True)
    return set(np.concatenate([block.connectivity[r].ravel() for block, r in parts]).tolist())


def sides(block: CellBlock) -> tuple[np.ndarray, np.ndarray]:
    minus, plus = np.split(block.connectivity, 2, axis=1)
    return minus, plus


@pytest.mark.parametrize("cell_type", VOLUME_CELLS)
def test_two_bodies_part_with_normals_from_minus_to_plus(cell_type):
    mesh = halves(grid(cell_type))
    cut = split_regions(mesh, "r1", "r0", "bond")
    on_plane = np.flatnonzero(np.isclose(mesh.points[:, 0], 2))
    assert cut.n_nodes == mesh.n_nodes + len(on_plane)
    assert list(cut.interfaces) == ["bond"]
    total = np.zeros(mesh.dim)
    for block in cut.interfaces["bond"]:
        minus, plus = sides(block)
        assert (minus != plus).all()
        np.testing.assert_array_equal(cut.points[minus], cut.points[plus])
        total += normals(cut.points, block.cell_type, minus).sum(axis=0)
        for nodes, region in ((minus, "r1"), (plus, "r0")):
            assert set(nodes.ravel()) <= nodes_of(cut, region)
    # The minus side is the right half, whose normals point to the left.
    np.testing.assert_allclose(total, -(4.0 ** (mesh.dim - 1)) * np.eye(mesh.dim)[0], atol=1e-12)
    assert not nodes_of(cut, "r0") & nodes_of(cut, "r1")


@pytest.mark.parametrize("cell_type", VOLUME_CELLS)
def test_crack_front_in_the_body_keeps_single_nodes(cell_type):
    """A crack from the left side to the middle of the body."""
    mesh = with_facets(grid(cell_type), lambda x: np.isclose(x[:, 1], 2) & (x[:, 0] <= 2.0001))
    cut = split(mesh, "cut")
    opened = np.isclose(mesh.points[:, 1], 2) & (mesh.points[:, 0] < 1.9999)
    assert cut.n_nodes == mesh.n_nodes + opened.sum()
    area = np.zeros(mesh.dim)
    for block in cut.interfaces["cut"]:
        minus, plus = sides(block)
        closed = np.isclose(cut.points[minus][..., 0], 2)
        np.testing.assert_array_equal(minus == plus, closed)
        area += np.abs(normals(cut.points, block.cell_type, minus)).sum(axis=0)
    np.testing.assert_allclose(area, 2 * 4.0 ** (mesh.dim - 2) * np.eye(mesh.dim)[1], atol=1e-12)


def test_the_order_of_the_boundary_says_which_side_is_minus():
    mesh = rectangle(1, 2, "quad")
    (left,) = np.flatnonzero((mesh.points == [0, 0.5]).all(axis=1))
    (right,) = np.flatnonzero((mesh.points == [1, 0.5]).all(axis=1))
    for nodes, up in (([left, right], -1), ([right, left], 1)):
        group = {"cut": (CellBlock("line", np.array([nodes, nodes[::-1]])),)}
        cut = split(replace(mesh, boundaries=group), "cut", "bond")
        (block,) = cut.interfaces["bond"]
        assert block.connectivity.shape == (1, 4)  # the facet is named twice in the group
        np.testing.assert_allclose(normals(cut.points, "line", sides(block)[0]), [[0, up]])


@pytest.mark.parametrize("cell_type", ["triangle6", "quad", "quad8", "wedge", "hexahedron20"])
@pytest.mark.parametrize("at_once", [True, False])
def test_junction_of_three_bodies_gets_three_nodes(cell_type, at_once):
    mesh = with_regions(
        grid(cell_type),
        lambda x, y, *_: x < 2,
        lambda x, y, *_: (x > 2) & (y < 2),
        lambda x, y, *_: (x > 2) & (y > 2),
    )
    if at_once:
        cut = split_all_regions(mesh, ["r0", "r1", "r2"], "bond")
    else:
        cut = mesh
        for a, b in (("r0", "r1"), ("r0", "r2"), ("r1", "r2")):
            cut = split_regions(cut, a, b)
        assert list(cut.interfaces) == ["r0_r1", "r0_r2", "r1_r2"]
    x, y = mesh.points[:, 0], mesh.points[:, 1]
    on = np.isclose(x, 2).astype(int) + (np.isclose(y, 2) & (x > 1.9999))
    assert cut.n_nodes == mesh.n_nodes + on.sum()
    copies = [tuple(point) for point in cut.points]
    for point, extra in zip(mesh.points, on, strict=True):
        assert copies.count(tuple(point)) == 1 + extra
    nodes = [nodes_of(cut, region) for region in cut.regions]
    assert sum(map(len, nodes)) == cut.n_nodes == len(set.union(*nodes))
    # Earlier interfaces follow the nodes of their elements.
    for name, blocks in cut.interfaces.items():
        for block in blocks:
            for side, facets in zip((0, 1), sides(block), strict=True):
                if not at_once:
                    body = nodes[int(name[3 * side + 1])]
                    assert set(facets.ravel()) <= body
                assert all(any(set(f) <= body for body in nodes) for f in facets.tolist())


def count_fans(mesh: Mesh) -> int:
    """Over all nodes, the groups of elements of one grain that hang together there by facets."""
    ((cell_type, cells),), (grain,) = mesh.cells, mesh.cell_data["grain"]
    n_vertices = reference_element(cell_type).n_vertices
    total = 0
    for node in range(mesh.n_nodes):
        fans: list[set[int]] = []
        for e in np.flatnonzero((cells == node).any(axis=1)):
            corners = set(cells[e, :n_vertices])
            joined = [
                fan
                for fan in fans
                if any(
                    grain[f] == grain[e] and len(corners & set(cells[f, :n_vertices])) >= mesh.dim
                    for f in fan
                )
            ]
            fans = [fan for fan in fans if fan not in joined] + [{e}.union(*joined)]
        total += len(fans)
    return total


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    cell_type=st.sampled_from(["triangle", "quad9", "tetra", "wedge", "hexahedron"]),
)
def test_grains_that_are_all_parted_share_no_node(seed, cell_type):
    dim = reference_element(cell_type).dim
    try:
        mesh = voronoi_box(4, dim * [3], dim * [1.0], seed, cell_type)
    except MeshError:  # a grain without an element
        reject()
    cut = split_all_regions(mesh, list(mesh.regions), "borders")
    nodes = [nodes_of(cut, region) for region in cut.regions]
    assert sum(map(len, nodes)) == len(set.union(*nodes)) == cut.n_nodes
    assert cut.n_nodes == count_fans(mesh)
    whole, parted = (connect_facets(m.cells, m.n_nodes).count for m in (mesh, cut))
    n_pairs = sum(len(block.connectivity) for block in cut.interfaces["borders"])
    assert n_pairs == (whole == 2).sum() - (parted == 2).sum()
    for block in cut.interfaces["borders"]:
        minus, plus = sides(block)
        np.testing.assert_array_equal(cut.points[minus], cut.points[plus])
        grain = [
            [next(i for i, g in enumerate(nodes) if v in g) for v in side[:, 0]]
            for side in (minus, plus)
        ]
        assert (np.array(grain[0]) < np.array(grain[1])).all()


def test_border_one_facet_long_opens_only_together_with_the_others():
    """A cell, the one below it, and the rest of the square."""
    mesh = with_regions(
        rectangle(3, 3, "quad", (3, 3)),
        lambda x, y: (x < 2) & (x > 1) & (y > 1) & (y < 2),
        lambda x, y: (x < 2) & (x > 1) & (y < 1),
        lambda x, y: (x < 1) | (x > 2) | (y > 2),
    )
    with pytest.raises(MeshError, match=r"no facet of the border .* would open: all vertices"):
        split_regions(mesh, "r0", "r1")
    cut = split_all_regions(mesh, ["r0", "r1", "r2"], "bond")
    assert len(cut.interfaces["bond"][0].connectivity) == 6


@pytest.mark.parametrize("cell_type", ["tetra10", "hexahedron27"])
def test_closed_facets_at_the_front_are_left_out(cell_type):
    """A strip of the middle plane, and the facets of one square alone in the body."""
    mesh = grid(cell_type)
    inside = np.isclose(mesh.points[:, 2], 2) & (mesh.points[:, 0] <= 1.0001)
    lone = np.isclose(mesh.points[:, 2], 2) & (np.abs(mesh.points[:, :2] - 2.5) <= 0.5001).all(1)
    strip, alone = (with_facets(mesh, lambda x, on=on: on) for on in (inside, lone))
    assert len(alone.boundary("cut")[0].connectivity) in (1, 2)
    rows = [m.boundary("cut")[0].connectivity for m in (strip, alone)]
    group = {"cut": (CellBlock(strip.boundary("cut")[0].cell_type, np.vstack(rows)),)}
    both = replace(mesh, boundaries=group)
    cut, expected = split(both, "cut"), split(strip, "cut")
    assert cut.n_nodes == expected.n_nodes
    (ours,), (theirs,) = cut.interfaces["cut"], expected.interfaces["cut"]
    np.testing.assert_array_equal(ours.connectivity, theirs.connectivity)


def test_bodies_that_share_a_node_only_go_on_sharing_it():
    """Two squares that touch at a corner; a cut through the lower one leads to that corner."""
    points = np.array([[0, 0], [1, 0], [0, 1], [1, 1], [2, 1], [1, 2], [2, 2]], dtype=float)
    triangles = CellBlock("triangle", np.array([[0, 1, 3], [0, 3, 2]]))
    quads = CellBlock("quad", np.array([[3, 4, 6, 5]]))
    diagonal = {"cut": (CellBlock("line", np.array([[0, 3]])),)}
    cut = split(Mesh(points, (triangles, quads), diagonal), "cut")
    assert cut.n_nodes == 9
    first, second = cut.cells[0].connectivity
    assert not set(first) & set(second)
    assert len({*first, *second} & set(cut.cells[1].connectivity[0])) == 1


def test_groups_and_data_follow():
    mesh = halves(rectangle(4, 2, "quad", (4, 2)))
    (origin,) = np.flatnonzero((mesh.points == [2, 0]).all(axis=1))
    (middle,) = np.flatnonzero((mesh.points == [2, 1]).all(axis=1))
    mesh = replace(
        with_facets(mesh, lambda x: np.isclose(x[:, 0], 2), "plane"),
        node_sets={"origin": np.array([origin])},
        cell_data={"number": (np.arange(8),)},
        point_data={"x": mesh.points[:, :1] * 10},
    )
    cut = split_regions(mesh, "r0", "r1")
    assert len(cut.node_sets["origin"]) == 2
    np.testing.assert_array_equal(cut.points[cut.node_sets["origin"]], [[2, 0], [2, 0]])
    np.testing.assert_array_equal(cut.point_data["x"], cut.points[:, :1] * 10)
    np.testing.assert_array_equal(cut.cell_data["number"][0], np.arange(8))
    # The bottom has its four facets, on the nodes of their own elements.
    (bottom,) = cut.boundary("bottom")
    assert len(bottom.connectivity) == 4
    assert len(cut.boundary_nodes("bottom")) == len(mesh.boundary_nodes("bottom")) + 1
    # The plane now has two surfaces.
    (plane,) = cut.boundary("plane")
    assert len(plane.connectivity) == 4
    np.testing.assert_allclose(normals(cut.points, "line", plane.connectivity).sum(0), 0)
    assert len(cut.boundary_nodes("plane")) == 6
    assert middle in cut.boundary_nodes("plane")


def test_copy_of_a_boundary_node_without_a_facet_there_stays_in_the_group():
    """The fan above a wedge-shaped cut touches the bottom with a vertex only."""
    points = np.array([[0, 0], [1, 0], [2, 0], [0, 1], [2, 1]], dtype=float)
    triangles = np.array([[0, 1, 3], [1, 4, 3], [1, 2, 4]])
    boundaries = {
        "bottom": (CellBlock("line", np.array([[0, 1], [1, 2]])),),
        "cut": (CellBlock("line", np.array([[1, 3], [1, 4]])),),
    }
    cut = split(Mesh(points, (CellBlock("triangle", triangles),), boundaries), "cut")
    held = cut.points[cut.boundary_nodes("bottom")]
    assert sorted(map(tuple, held)) == [(0, 0), (1, 0), (1, 0), (1, 0), (2, 0)]


def test_impossible_splits_are_refused():
    mesh = halves(grid("quad"))
    with pytest.raises(MeshError, match="no boundary named 'lft'; did you mean 'left'"):
        split(mesh, "lft")
    with pytest.raises(MeshError, match="no facet of boundary 'left' lies between two elements"):
        split(mesh, "left")
    with pytest.raises(MeshError, match="no region named 'r2'"):
        split_regions(mesh, "r0", "r2")
    with pytest.raises(MeshError, match="regions 'r0' and 'r0' have elements in common"):
        split_regions(mesh, "r0", "r0")
    cut = split_regions(mesh, "r0", "r1", "bond")
    with pytest.raises(MeshError, match="no facet of the border"):
        split_regions(cut, "r0", "r1", "again")
    with pytest.raises(MeshError, match="has an interface named 'bond' already"):
        split_regions(cut, "r0", "r1", "bond")


def test_interfaces_made_by_hand_are_turned_and_checked():
    mesh = rectangle(2, 1, "quad", (2, 1))
    cut = split_regions(with_regions(mesh, lambda x, y: x < 1, lambda x, y: x > 1), "r0", "r1")
    (block,) = cut.interfaces["r0_r1"]
    turned = CellBlock("line", block.connectivity[:, [1, 0, 3, 2]])
    again = replace(cut, interfaces={"bond": (turned,)})
    np.testing.assert_array_equal(again.interfaces["bond"][0].connectivity, block.connectivity)
    with pytest.raises(MeshError, match="interface 'bond': 1 of 1 facets belong to no element"):
        replace(cut, interfaces={"bond": (CellBlock("line", np.array([[0, 3, 1, 2]])),)})
    with pytest.raises(MeshError, match="interface 'bond' has facets of type 'quad'"):
        replace(cut, interfaces={"bond": (CellBlock("quad", np.array([[0, 3, 1, 2]])),)})
    inner = np.array([[2, 3, 2, 3]])
    with pytest.raises(MeshError, match=r"nodes \[2, 3\] \(from 0\) lies between two elements"):
        replace(mesh, interfaces={"bond": (CellBlock("line", inner),)})
