"""Reference elements: shape functions, node order, quadrature, facet orientation."""

from __future__ import annotations

from itertools import product
from math import factorial

import numpy as np
import pytest

from neml2fe.errors import MeshError
from neml2fe.fem.mesh.elements import VOLUME_CELLS, jacobians, reference_element

ALL_CELLS = ("line", "line3", *VOLUME_CELLS)
# Quadrature points of the default rules, as documented.
DEFAULT_POINTS = {
    "line": 2,
    "line3": 3,
    "triangle": 1,
    "triangle6": 3,
    "quad": 4,
    "quad8": 9,
    "quad9": 9,
    "tetra": 1,
    "tetra10": 4,
    "wedge": 6,
    "hexahedron": 8,
    "hexahedron20": 27,
    "hexahedron27": 27,
}


def inner_points(dim: int, n: int = 7) -> np.ndarray:
    return np.random.default_rng(1).uniform(0, 1 / dim, (n, dim))


def is_simplex(cell_type: str) -> bool:
    return cell_type.startswith(("triangle", "tetra"))


def monomial(cell_type: str, powers: tuple[int, ...]) -> float:
    """The integral of x^p y^q z^r over the reference domain."""
    cell_type = cell_type.rstrip("0123456789")
    n = {"triangle": 2, "tetra": 3, "wedge": 2}.get(cell_type, 0)  # coordinates of a simplex
    over_simplex = np.prod([factorial(p) for p in powers[:n]]) / factorial(sum(powers[:n]) + n)
    return over_simplex * np.prod([1 / (p + 1) for p in powers[n:]])


@pytest.mark.parametrize("cell_type", ALL_CELLS)
def test_shape_functions_are_nodal_and_sum_to_one(cell_type):
    element = reference_element(cell_type)
    values, _ = element.tabulate(element.nodes)
    np.testing.assert_allclose(values, np.eye(element.n_nodes), atol=1e-13)
    values, gradients = element.tabulate(inner_points(element.dim))
    assert values.shape == (7, element.n_nodes)
    assert gradients.shape == (7, element.n_nodes, element.dim)
    np.testing.assert_allclose(values.sum(axis=1), 1, rtol=1e-13)
    np.testing.assert_allclose(gradients.sum(axis=1), 0, atol=1e-12)


@pytest.mark.parametrize("cell_type", ALL_CELLS)
def test_gradients_are_the_derivatives_of_the_shape_functions(cell_type):
    element = reference_element(cell_type)
    points, h = inner_points(element.dim), 1e-6
    _, gradients = element.tabulate(points)
    for axis, step in enumerate(h * np.eye(element.dim)):
        ahead, _ = element.tabulate(points + step)
        behind, _ = element.tabulate(points - step)
        np.testing.assert_allclose(gradients[:, :, axis], (ahead - behind) / (2 * h), atol=1e-8)


@pytest.mark.parametrize("cell_type", ALL_CELLS)
def test_polynomials_of_the_degree_are_interpolated_on_a_skew_element(cell_type):
    """A node in the wrong place of the order would spoil the interpolant."""
    element = reference_element(cell_type)
    dim, rng = element.dim, np.random.default_rng(2)
    affine = np.eye(dim) + 0.2 * rng.uniform(-1, 1, (dim, dim))

    def polynomial(x):
        linear = x @ np.arange(1.0, dim + 1)
        return linear if element.degree == 1 else 1 + linear + (x**2) @ np.arange(2.0, dim + 2)

    values, _ = element.tabulate(inner_points(dim))
    at_nodes = polynomial(element.nodes @ affine)
    np.testing.assert_allclose(
        values @ at_nodes, polynomial(inner_points(dim) @ affine), rtol=1e-12
    )


# Powers of the monomials that each element contains besides those of its total degree.
# Serendipity elements have all of superlinear degree 2: a coordinate to the power 1 counts
# nothing (Arnold and Awanou, Found. Comput. Math. 11, 2011).
BEYOND_THE_DEGREE = {
    "quad": [(1, 1)],
    "quad8": [(2, 1), (1, 2)],
    "quad9": [(2, 1), (1, 2), (2, 2)],
    "wedge": [(1, 0, 1), (0, 1, 1)],
    "hexahedron": [(1, 1, 0), (1, 0, 1), (0, 1, 1), (1, 1, 1)],
    "hexahedron20": [
        *[(1, 1, 1), (2, 1, 0), (2, 0, 1), (1, 2, 0), (0, 2, 1), (1, 0, 2), (0, 1, 2)],
        *[(2, 1, 1), (1, 2, 1), (1, 1, 2)],
    ],
    "hexahedron27": [p for p in product(range(3), repeat=3) if sum(p) > 2],
}


@pytest.mark.parametrize("cell_type", BEYOND_THE_DEGREE)
def test_the_space_of_the_element_is_complete(cell_type):
    element = reference_element(cell_type)
    at = inner_points(element.dim)
    values, _ = element.tabulate(at)
    for powers in BEYOND_THE_DEGREE[cell_type]:
        at_nodes = np.prod(element.nodes**powers, axis=1)
        np.testing.assert_allclose(
            values @ at_nodes, np.prod(at**powers, axis=1), atol=1e-13, err_msg=str(powers)
        )
    within = sum(sum(p) <= element.degree for p in product(range(3), repeat=element.dim))
    assert within + len(BEYOND_THE_DEGREE[cell_type]) == element.n_nodes


# Coordinates of nodes in the file format's published numbering (VTK cell types 22, 28, 24, 29,
# 23, 25); of the wedge in that of gmsh and Abaqus.
VTK_NODES = {
    "triangle6": {3: (0.5, 0), 4: (0.5, 0.5), 5: (0, 0.5)},
    "quad9": {2: (1, 1), 4: (0.5, 0), 5: (1, 0.5), 6: (0.5, 1), 7: (0, 0.5), 8: (0.5, 0.5)},
    "quad8": {2: (1, 1), 4: (0.5, 0), 5: (1, 0.5), 6: (0.5, 1), 7: (0, 0.5)},
    "wedge": {1: (1, 0, 0), 2: (0, 1, 0), 3: (0, 0, 1), 4: (1, 0, 1), 5: (0, 1, 1)},
    "hexahedron20": {
        **{2: (1, 1, 0), 6: (1, 1, 1), 8: (0.5, 0, 0), 9: (1, 0.5, 0), 10: (0.5, 1, 0)},
        **{11: (0, 0.5, 0), 12: (0.5, 0, 1), 15: (0, 0.5, 1), 16: (0, 0, 0.5), 18: (1, 1, 0.5)},
    },
    "tetra10": {
        **{4: (0.5, 0, 0), 5: (0.5, 0.5, 0), 6: (0, 0.5, 0)},
        **{7: (0, 0, 0.5), 8: (0.5, 0, 0.5), 9: (0, 0.5, 0.5)},
    },
    "hexahedron27": {
        **{2: (1, 1, 0), 6: (1, 1, 1), 8: (0.5, 0, 0), 9: (1, 0.5, 0), 10: (0.5, 1, 0)},
        **{11: (0, 0.5, 0), 12: (0.5, 0, 1), 15: (0, 0.5, 1), 16: (0, 0, 0.5), 18: (1, 1, 0.5)},
        **{20: (0, 0.5, 0.5), 21: (1, 0.5, 0.5), 22: (0.5, 0, 0.5), 23: (0.5, 1, 0.5)},
        **{24: (0.5, 0.5, 0), 25: (0.5, 0.5, 1), 26: (0.5, 0.5, 0.5)},
    },
}


@pytest.mark.parametrize("cell_type", VTK_NODES)
def test_node_order_is_that_of_vtk(cell_type):
    nodes = reference_element(cell_type).nodes
    for number, position in VTK_NODES[cell_type].items():
        assert tuple(nodes[number]) == position


@pytest.mark.parametrize("cell_type", ALL_CELLS)
@pytest.mark.parametrize("degree", [None, 1, 2, 3, 5])
def test_quadrature_integrates_monomials_exactly(cell_type, degree):
    element = reference_element(cell_type)
    points, weights = element.quadrature(degree)
    if degree is None:
        assert len(weights) == DEFAULT_POINTS[cell_type]
        assert (weights > 0).all()
        degree = (2 * element.degree - 2) if is_simplex(cell_type) else 2 * element.degree
    for powers in product(range(degree + 1), repeat=element.dim):
        if sum(powers) > degree:
            continue
        exact = monomial(cell_type, powers)
        np.testing.assert_allclose(weights @ np.prod(points**powers, axis=1), exact, rtol=1e-12)


@pytest.mark.parametrize("cell_type", VOLUME_CELLS)
def test_default_quadrature_gives_the_exact_stiffness_of_an_undistorted_element(cell_type):
    element = reference_element(cell_type)

    def stiffness(degree):
        points, weights = element.quadrature(degree)
        _, gradients = element.tabulate(points)
        return np.einsum("q,qai,qbj->aibj", weights, gradients, gradients)

    np.testing.assert_allclose(stiffness(None), stiffness(8), atol=1e-12)


@pytest.mark.parametrize("cell_type", VOLUME_CELLS)
def test_facet_normals_point_outward(cell_type):
    """The flux of x through the facets is dim times the volume, and through each positive
    about the centre."""
    element = reference_element(cell_type)
    centre = element.nodes.mean(axis=0)
    total, area = 0.0, np.zeros(element.dim)
    for facet_type, local in element.facets:
        facet = reference_element(facet_type)
        x = element.nodes[local] - centre
        points, weights = facet.quadrature()
        values, gradients = facet.tabulate(points)
        tangents = jacobians(x, gradients)
        if element.dim == 2:
            normals = np.stack([tangents[..., 1, 0], -tangents[..., 0, 0]], axis=-1)
        else:
            normals = np.cross(tangents[..., 0], tangents[..., 1])
        flux = np.einsum("q,qk,eki,eqi->e", weights, values, x, normals)
        assert (flux > 0).all()
        total += flux.sum()
        area += np.einsum("q,eqi->i", weights, normals)
    np.testing.assert_allclose(total, element.dim * element.quadrature()[1].sum(), rtol=1e-12)
    np.testing.assert_allclose(area, 0, atol=1e-14)


def test_a_prism_has_triangles_and_quadrilaterals():
    facets = dict(reference_element("wedge").facets)
    assert {cell_type: len(rows) for cell_type, rows in facets.items()} == {
        "triangle": 2,
        "quad": 3,
    }


def test_unknown_element_is_named_with_the_supported_ones():
    with pytest.raises(
        MeshError, match=r"'wedge15' is not supported; supported: triangle, .*quad9"
    ):
        reference_element("wedge15")
