"""Several cell types in one mesh: which go together, and which do not."""

from __future__ import annotations

import numpy as np
import pytest

from neml2fe.errors import MeshError
from neml2fe.fem.mesh.elements import jacobians, reference_element
from neml2fe.fem.mesh.generate import box, rectangle
from neml2fe.fem.mesh.mesh import CellBlock, Mesh


def joined(*meshes: Mesh) -> Mesh:
    """One mesh of several, with the nodes at equal places made one."""
    points = np.concatenate([mesh.points for mesh in meshes])
    _, first, number = np.unique(points.round(9), axis=0, return_index=True, return_inverse=True)
    cells: dict[str, list] = {}
    boundaries, start = {}, 0
    for i, mesh in enumerate(meshes):
        mine = number.ravel()[start : start + mesh.n_nodes]
        for t, rows in mesh.cells:
            cells.setdefault(t, []).append(mine[rows])
        for name, blocks in mesh.boundaries.items():
            boundaries[f"{name} {i}"] = tuple(CellBlock(t, mine[rows]) for t, rows in blocks)
        start += mesh.n_nodes
    blocks = tuple(CellBlock(t, np.concatenate(rows)) for t, rows in cells.items())
    return Mesh(points[first], blocks, boundaries, name="joined")


def beside(left: str, right: str) -> Mesh:
    """Two cubes or squares of unlike elements side by side."""
    make = rectangle if reference_element(left).dim == 2 else box
    one, other = (make(*reference_element(left).dim * [2], cell_type=t) for t in (left, right))
    moved = Mesh(other.points + np.eye(other.dim)[0], other.cells, other.boundaries)
    return joined(one, moved)


def surface_flux(mesh: Mesh) -> float:
    """The flux of x through all boundaries: dim times the volume if all point outward."""
    total = 0.0
    for name in mesh.boundaries:
        for facet_type, rows in mesh.boundary(name):
            facet = reference_element(facet_type)
            at, weights = facet.quadrature()
            values, gradients = facet.tabulate(at)
            t = jacobians(mesh.points[rows], gradients)
            if mesh.dim == 2:
                normal = np.stack([t[..., 1, 0], -t[..., 0, 0]], axis=-1)
            else:
                normal = np.cross(t[..., 0], t[..., 1])
            x = np.einsum("qk,eki->eqi", values, mesh.points[rows])
            total += np.einsum("q,eqi,eqi->", weights, x, normal)
    return total


@pytest.mark.parametrize(
    "left, right",
    [
        ("quad", "triangle"),
        ("quad8", "triangle6"),
        ("quad9", "triangle6"),
        ("quad8", "quad9"),
        ("hexahedron", "wedge"),
    ],
)
def test_elements_with_equal_facets_share_them(left, right):
    mesh = beside(left, right)
    separate = sum(m.n_nodes for m in (beside(left, left), beside(right, right))) / 2
    assert mesh.n_nodes == separate
    assert {b.cell_type for b in mesh.cells} == {left, right}
    # The facets between the halves keep the order they came with: one from each side.
    np.testing.assert_allclose(surface_flux(mesh), 2 * mesh.dim, rtol=1e-12)


def test_wedges_meet_tetrahedra_at_triangles():
    """A prism with a tetrahedron on its top, its volume and its five kinds of facets."""
    points = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 0, 1], [0, 1, 1], [0, 0, 2]])
    cells = (
        CellBlock("wedge", np.array([[0, 1, 2, 3, 4, 5]])),
        CellBlock("tetra", np.array([[3, 4, 5, 6]])),
    )
    around = (
        CellBlock("quad", np.array([[0, 1, 4, 3], [1, 2, 5, 4], [0, 2, 5, 3]])),
        CellBlock("triangle", np.array([[0, 1, 2], [3, 4, 6], [4, 5, 6], [3, 5, 6]])),
    )
    mesh = Mesh(points.astype(float), cells, {"all": around})
    np.testing.assert_allclose(surface_flux(mesh), 3 * (1 / 2 + 1 / 6), rtol=1e-12)


def test_facets_with_other_nodes_on_the_same_vertices_are_refused():
    with pytest.raises(
        MeshError,
        match=r"joined: hexahedron27 element \d+ and hexahedron20 element \d+ have facets on the "
        "same vertices, but one is of type quad9 and the other quad8",
    ):
        beside("hexahedron27", "hexahedron20")
    with pytest.raises(MeshError, match="linear and quadratic cells are mixed"):
        beside("quad8", "triangle")
    # Two quadratic triangles with a mid-side node each on their common edge.
    points = np.array([[0, 0], [1, 0], [1, 1], [0, 1]] + 6 * [[0, 0]], dtype=float)
    points[4:] = [[0.5, 0], [1, 0.5], [0.5, 0.5], [0.5, 0.5], [0.5, 1], [0, 0.5]]
    triangles = np.array([[0, 1, 2, 4, 5, 6], [0, 2, 3, 7, 8, 9]])
    with pytest.raises(MeshError, match="the nodes between these are not the same"):
        Mesh(points, (CellBlock("triangle6", triangles),))


def test_boundary_facets_must_be_of_the_type_of_their_element():
    apart = box(1, 1, 1, "hexahedron20")
    serendipity = Mesh(apart.points + 3.0, apart.cells)
    mesh = joined(box(1, 1, 1, "hexahedron27"), serendipity)
    (block,) = mesh.boundary("left 0")
    wrong = {"side": (CellBlock("quad8", block.connectivity[:, :8]),)}
    with pytest.raises(
        MeshError, match=r"the quad8 facet with nodes .* facet there is of type qua"
    ):
        Mesh(mesh.points, mesh.cells, wrong)
