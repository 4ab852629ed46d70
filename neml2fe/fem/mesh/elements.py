"""Lagrange reference elements under their meshio names, tabulated by basix.

Every array here follows the VTK node order that meshio uses: vertices, then edge
nodes, then face nodes, then the centre. basix numbers the same nodes differently;
the permutation between the two is found from the node positions.

The reference domains are the unit simplex and the unit cube [0, 1]^dim.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import basix
import numpy as np
from numpy.typing import NDArray

from neml2fe.errors import InputError, MeshError

Array = NDArray[np.float64]
Index = NDArray[np.int64]

# Vertices on the reference domain, in VTK order.
_VERTICES = {
    "interval": [(0,), (1,)],
    "triangle": [(0, 0), (1, 0), (0, 1)],
    "quadrilateral": [(0, 0), (1, 0), (1, 1), (0, 1)],
    "tetrahedron": [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)],
    "hexahedron": [
        *[(0, 0, 0), (1, 0, 0), (1, 1, 0), (0, 1, 0)],
        *[(0, 0, 1), (1, 0, 1), (1, 1, 1), (0, 1, 1)],
    ],
}

# The vertices whose mean is each further node of the quadratic element, in VTK order:
# edges; faces (hexahedron: -x, +x, -y, +y, -z, +z); centre.
_QUADRILATERAL_EDGES = [(0, 1), (1, 2), (2, 3), (3, 0)]
_MID_NODES: dict[str, list[tuple[int, ...]]] = {
    "interval": [(0, 1)],
    "triangle": [(0, 1), (1, 2), (2, 0)],
    "quadrilateral": [*_QUADRILATERAL_EDGES, (0, 1, 2, 3)],
    "tetrahedron": [(0, 1), (1, 2), (2, 0), (0, 3), (1, 3), (2, 3)],
    "hexahedron": [
        *[*_QUADRILATERAL_EDGES, (4, 5), (5, 6), (6, 7), (7, 4), (0, 4), (1, 5), (2, 6), (3, 7)],
        *[(0, 3, 7, 4), (1, 2, 6, 5), (0, 1, 5, 4), (3, 2, 6, 7), (0, 1, 2, 3), (4, 5, 6, 7)],
        (0, 1, 2, 3, 4, 5, 6, 7),
    ],
}

# meshio name: (shape, degree, meshio name of the facets)
_CELLS = {
    "line": ("interval", 1, "vertex"),
    "line3": ("interval", 2, "vertex"),
    "triangle": ("triangle", 1, "line"),
    "triangle6": ("triangle", 2, "line3"),
    "quad": ("quadrilateral", 1, "line"),
    "quad9": ("quadrilateral", 2, "line3"),
    "tetra": ("tetrahedron", 1, "triangle"),
    "tetra10": ("tetrahedron", 2, "triangle6"),
    "hexahedron": ("hexahedron", 1, "quad"),
    "hexahedron27": ("hexahedron", 2, "quad9"),
}

MAX_DEGREE = 30  # of quadrature rules; basix has no scheme beyond for every shape
VOLUME_CELLS = tuple(cell for cell in _CELLS if not cell.startswith("line"))
"""Cell types that may fill a mesh (2-D and 3-D), by their meshio names."""


@dataclass(frozen=True, eq=False)
class ReferenceElement:
    """One Lagrange element.

    nodes: (n_nodes, dim) reference positions; the vertices come first.
    facet_nodes: (n_facets, nodes of a facet) local node numbers of each facet, ordered as
        a `facet_type` cell whose isoparametric normal points out of the element: in 2-D
        the tangent turned clockwise, (t_y, -t_x); in 3-D dX/dxi x dX/deta.
    """

    cell_type: str
    shape: str
    dim: int
    degree: int
    facet_type: str
    n_vertices: int
    nodes: Array
    facet_nodes: Index
    _basix: basix.finite_element.FiniteElement
    _permutation: Index

    @property
    def n_nodes(self) -> int:
        return len(self.nodes)

    @property
    def facet_vertices(self) -> Index:
        """(n_facets, vertices of a facet) local node numbers."""
        return self.facet_nodes[:, : reference_element(self.facet_type).n_vertices]

    def tabulate(self, points: Array) -> tuple[Array, Array]:
        """Shape functions at `points` (q, dim): N (q, n_nodes), dN/dxi (q, n_nodes, dim)."""
        at = np.ascontiguousarray(points, dtype=np.float64)
        values = np.asarray(self._basix.tabulate(1, at))[:, :, self._permutation, 0]
        return values[0].copy(), np.moveaxis(values[1:], 0, -1).copy()

    def quadrature(self, degree: int | None = None) -> tuple[Array, Array]:
        """Points (q, dim) and weights (q,), exact for polynomials of total `degree`.

        The default integrates the stiffness of an undistorted element exactly: degree
        2(p - 1) on simplices (triangle 1 point, triangle6 3, tetra 1, tetra10 4) and 2p on
        the others (line and quad 2 points a direction, line3 and quad9 3, hexahedra alike).
        """
        if degree is None:
            simplex = self.shape in ("triangle", "tetrahedron")
            degree = 2 * (self.degree - 1) if simplex else 2 * self.degree
        if not 0 <= degree <= MAX_DEGREE:
            raise InputError(f"quadrature degree {degree} is not within 0 to {MAX_DEGREE}")
        points, weights = basix.make_quadrature(basix.CellType[self.shape], degree)
        return np.asarray(points), np.asarray(weights)


def jacobians(x: Array, gradients: Array) -> Array:
    """dX/dxi (e, q, space dim, dim) of the map X(xi) = sum_k N_k(xi) x_k.

    x: (e, k, space dim) node positions; gradients: (q, k, dim) from `tabulate`.
    """
    return np.einsum("eki,qkj->eqij", x, gradients, optimize=True)


@cache
def reference_element(cell_type: str) -> ReferenceElement:
    """The element that meshio calls `cell_type`.

    Raises MeshError when that type is not supported.
    """
    if cell_type not in _CELLS:
        raise MeshError(
            f"element type '{cell_type}' is not supported; supported: {', '.join(VOLUME_CELLS)}"
        )
    shape, degree, facet_type = _CELLS[cell_type]
    vertices = np.array(_VERTICES[shape], dtype=np.float64)
    nodes = vertices
    if degree == 2:
        nodes = np.vstack([vertices, [vertices[list(mid)].mean(0) for mid in _MID_NODES[shape]]])
    element = basix.create_element(
        basix.ElementFamily.P,
        basix.CellType[shape],
        degree,
        lagrange_variant=basix.LagrangeVariant.equispaced,
    )
    return ReferenceElement(
        cell_type=cell_type,
        shape=shape,
        dim=nodes.shape[1],
        degree=degree,
        facet_type=facet_type,
        n_vertices=len(vertices),
        nodes=nodes,
        facet_nodes=_facet_nodes(shape, nodes, facet_type),
        _basix=element,
        _permutation=_match(nodes, np.asarray(element.points)),
    )


def _match(points: Array, candidates: Array) -> Index:
    """Index of each of `points` (n, dim) among `candidates` (m, dim)."""
    distance = np.abs(points[:, None] - candidates[None]).max(axis=-1)
    if distance.min(axis=1).max() > 1e-12:
        raise AssertionError("the reference nodes do not coincide with those of basix")
    return distance.argmin(axis=1)


def _facet_nodes(shape: str, nodes: Array, facet_type: str) -> Index:
    """Local node numbers of the facets, each ordered so that its normal points outward."""
    if facet_type == "vertex":
        return np.array([[0], [1]])
    facet = reference_element(facet_type)
    corners = np.array(_VERTICES[shape], dtype=np.float64)
    found = []
    for vertices in _outward_facets(corners):
        # Map the facet's reference nodes onto this facet and look them up.
        shape_values, _ = reference_element(facet_type.rstrip("0123456789")).tabulate(facet.nodes)
        found.append(_match(shape_values @ vertices, nodes))
    return np.array(found)


def _outward_facets(corners: Array) -> list[Array]:
    """Vertex positions of every facet of a reference domain, in outward order.

    The facets lie in the planes x_i = 0, x_i = 1 (cube) and sum(x) = 1 (simplex).
    """
    dim = corners.shape[1]
    planes = [(-np.eye(dim)[i], 0.0) for i in range(dim)]
    if len(corners) == dim + 1:
        planes.append((np.ones(dim), 1.0))
    else:
        planes += [(np.eye(dim)[i], 1.0) for i in range(dim)]
    return [
        _outward_order(corners[np.isclose(corners @ normal, offset)], normal)
        for normal, offset in planes
    ]


def _outward_order(vertices: Array, normal: Array) -> Array:
    """The vertices of one flat facet, counter-clockwise seen from where `normal` points."""
    if len(normal) == 2:
        tangent = np.array([-normal[1], normal[0]])
        return vertices[np.argsort(vertices @ tangent)]
    arms = vertices - vertices.mean(axis=0)
    across = np.cross(normal, arms[0])
    angle = np.arctan2(arms @ across / np.linalg.norm(normal), arms @ arms[0])
    return vertices[np.argsort(angle)]
