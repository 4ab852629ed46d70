"""Lagrange and serendipity reference elements under their meshio names, tabulated by basix.

Every array here follows the VTK node order that meshio uses: vertices, then edge
nodes, then face nodes, then the centre. basix numbers the same nodes differently;
the permutation between the two is found from the node positions.

The reference domains are the unit simplex, the unit cube [0, 1]^dim, and the prism between
the unit triangles at z = 0 and z = 1.
"""

from __future__ import annotations

import atexit
from dataclasses import dataclass
from functools import cache
from itertools import product
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from neml2fe.errors import InputError, MeshError

Array = NDArray[np.float64]
Index = NDArray[np.int64]

# Vertices on the reference domain, in VTK order.
_VERTICES: dict[str, list[tuple[int, ...]]] = {
    "interval": [(0,), (1,)],
    "triangle": [(0, 0), (1, 0), (0, 1)],
    "quadrilateral": [(0, 0), (1, 0), (1, 1), (0, 1)],
    "tetrahedron": [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)],
    "prism": [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 0, 1), (0, 1, 1)],
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

# meshio name: (shape, degree, meshio names of the facets)
_CELLS: dict[str, tuple[str, int, tuple[str, ...]]] = {
    "line": ("interval", 1, ()),
    "line3": ("interval", 2, ()),
    "triangle": ("triangle", 1, ("line",)),
    "triangle6": ("triangle", 2, ("line3",)),
    "quad": ("quadrilateral", 1, ("line",)),
    "quad8": ("quadrilateral", 2, ("line3",)),
    "quad9": ("quadrilateral", 2, ("line3",)),
    "tetra": ("tetrahedron", 1, ("triangle",)),
    "tetra10": ("tetrahedron", 2, ("triangle6",)),
    "wedge": ("prism", 1, ("triangle", "quad")),
    "hexahedron": ("hexahedron", 1, ("quad",)),
    "hexahedron20": ("hexahedron", 2, ("quad8",)),
    "hexahedron27": ("hexahedron", 2, ("quad9",)),
}
_SERENDIPITY = ("quad8", "hexahedron20")  # nodes at vertices and edges only

MAX_DEGREE = 30  # of quadrature rules; basix has no scheme beyond for every shape
VOLUME_CELLS = tuple(cell for cell in _CELLS if not cell.startswith("line"))
"""Cell types that may fill a mesh (2-D and 3-D), by their meshio names."""


class CellBlock(NamedTuple):
    """Cells of one type: meshio name and node numbers (n, nodes of a cell), VTK order."""

    cell_type: str
    connectivity: Index


@dataclass(frozen=True, eq=False)
class ReferenceElement:
    """One element.

    nodes: (n_nodes, dim) reference positions; the vertices come first.
    facets: local node numbers of the facets, a block for each facet type (a prism has
        triangles and quadrilaterals). Each is ordered so that its isoparametric normal points
        out of the element: in 2-D the tangent turned clockwise, (t_y, -t_x); in 3-D
        dX/dxi x dX/deta. Empty for lines.
    """

    cell_type: str
    shape: str
    dim: int
    degree: int
    n_vertices: int
    nodes: Array
    facets: tuple[CellBlock, ...]
    _combination: Array  # (functions of basix, n_nodes)

    @property
    def n_nodes(self) -> int:
        return len(self.nodes)

    @property
    def linear_type(self) -> str:
        """The element of degree 1 on the same vertices."""
        return self.cell_type.rstrip("0123456789")

    def tabulate(self, points: Array) -> tuple[Array, Array]:
        """Shape functions at `points` (q, dim): N (q, n_nodes), dN/dxi (q, n_nodes, dim)."""
        at = np.ascontiguousarray(points, dtype=np.float64)
        values = (
            np.asarray(_lagrange(self.shape, self.degree).tabulate(1, at))[..., 0]
            @ self._combination
        )
        return values[0].copy(), np.moveaxis(values[1:], 0, -1).copy()

    def quadrature(self, degree: int | None = None) -> tuple[Array, Array]:
        """Points (q, dim) and weights (q,), exact for polynomials of total `degree`.

        The default integrates the stiffness of an undistorted element exactly: degree
        2(p - 1) on simplices (triangle 1 point, triangle6 3, tetra 1, tetra10 4) and 2p on
        the others (line and quad 2 points a direction, line3, quad8 and quad9 3, hexahedra
        alike; wedge 3 times 2). On the prism the rules of triangle and line are multiplied.
        """
        if degree is None:
            simplex = self.shape in ("triangle", "tetrahedron")
            degree = 2 * (self.degree - 1) if simplex else 2 * self.degree
        if not 0 <= degree <= MAX_DEGREE:
            raise InputError(f"quadrature degree {degree} is not within 0 to {MAX_DEGREE}")
        if self.shape == "prism":
            (xy, w), (z, v) = (
                reference_element(t).quadrature(degree) for t in ("triangle", "line")
            )
            xyz = np.hstack([np.repeat(xy, len(z), axis=0), np.tile(z, (len(xy), 1))])
            return xyz, np.outer(w, v).ravel()
        import basix

        points, weights = basix.make_quadrature(basix.CellType[self.shape], degree)
        return np.asarray(points), np.asarray(weights)


def jacobians(x: Array, gradients: Array) -> Array:
    """dX/dxi (e, q, space dim, dim) of the map X(xi) = sum_k N_k(xi) x_k.

    x: (e, k, space dim) node positions; gradients: (q, k, dim) from `tabulate`.
    """
    return np.einsum("eki,qkj->eqij", x, gradients, optimize=True)


@cache
def _lagrange(shape: str, degree: int) -> Any:
    """The element of basix."""
    import basix  # here and below: see the end of this file

    return basix.create_element(
        basix.ElementFamily.P,
        basix.CellType[shape],
        degree,
        lagrange_variant=basix.LagrangeVariant.equispaced,
    )


@cache
def reference_element(cell_type: str) -> ReferenceElement:
    """The element that meshio calls `cell_type`.

    Raises MeshError when that type is not supported.
    """
    if cell_type not in _CELLS:
        raise MeshError(
            f"element type '{cell_type}' is not supported; supported: {', '.join(VOLUME_CELLS)}"
        )
    shape, degree, facet_types = _CELLS[cell_type]
    vertices = np.array(_VERTICES[shape], dtype=np.float64)
    nodes = vertices
    if degree == 2:
        nodes = np.vstack([vertices, [vertices[list(mid)].mean(0) for mid in _MID_NODES[shape]]])
    points = np.asarray(_lagrange(shape, degree).points)
    combination = np.eye(len(nodes))[_match(points, nodes)]
    if cell_type in _SERENDIPITY:
        combination = combination @ _serendipity_values(shape)
        nodes = nodes[: combination.shape[1]]
    return ReferenceElement(
        cell_type=cell_type,
        shape=shape,
        dim=nodes.shape[1],
        degree=degree,
        n_vertices=len(vertices),
        nodes=nodes,
        facets=_facets(vertices, nodes, facet_types),
        _combination=combination,
    )


def _serendipity_values(shape: str) -> Array:
    """Values of the serendipity functions at the nodes of the full quadratic element.

    (full nodes, serendipity nodes). The serendipity functions are full quadratics too, hence
    their sums with these factors: 1 at the own node; at the centre of a face or of the cube,
    -1/4 for each of its vertices and equal shares of the rest for its edges.
    """
    n_vertices = len(_VERTICES[shape])
    edges = [mid for mid in _MID_NODES[shape] if len(mid) == 2]
    rows = [*np.eye(n_vertices + len(edges))]
    for centre in _MID_NODES[shape][len(edges) :]:
        around = [n_vertices + i for i, edge in enumerate(edges) if set(edge) <= set(centre)]
        row = np.zeros(n_vertices + len(edges))
        row[list(centre)] = -1 / 4
        row[around] = (1 + len(centre) / 4) / len(around)
        rows.append(row)
    return np.array(rows)


def _match(points: Array, candidates: Array) -> Index:
    """Index of each of `points` (n, dim) among `candidates` (m, dim)."""
    distance = np.abs(points[:, None] - candidates[None]).max(axis=-1)
    if distance.min(axis=1).max() > 1e-12:
        raise AssertionError("the reference nodes do not coincide with those of basix")
    return distance.argmin(axis=1)


def _facets(corners: Array, nodes: Array, facet_types: tuple[str, ...]) -> tuple[CellBlock, ...]:
    """Local node numbers of the facets of each type, each with its normal pointing outward."""
    blocks = []
    for facet_type in facet_types:
        facet = reference_element(facet_type)
        # Map the facet's reference nodes onto each such facet and look them up.
        shape_values, _ = reference_element(facet.linear_type).tabulate(facet.nodes)
        found = [
            _match(shape_values @ vertices, nodes)
            for vertices in _outward_facets(corners)
            if len(vertices) == facet.n_vertices
        ]
        blocks.append(CellBlock(facet_type, np.array(found)))
    return tuple(blocks)


def _outward_facets(corners: Array) -> list[Array]:
    """Vertex positions of every facet of a reference domain, in outward order.

    The facets lie in planes x_i = 0, or where some of the coordinates add up to 1.
    """
    dim = corners.shape[1]
    planes = [(-normal, 0.0) for normal in np.eye(dim)]
    planes += [(np.array(some), 1.0) for some in product([0.0, 1.0], repeat=dim) if any(some)]
    facets = []
    for normal, offset in planes:
        height = corners @ normal - offset
        vertices = corners[np.isclose(height, 0)]
        if height.max() < 1e-12 and len(vertices) >= dim:
            facets.append(_outward_order(vertices, normal))
    return facets


def _outward_order(vertices: Array, normal: Array) -> Array:
    """The vertices of one flat facet, counter-clockwise seen from where `normal` points."""
    if len(normal) == 2:
        tangent = np.array([-normal[1], normal[0]])
        return vertices[np.argsort(vertices @ tangent)]
    arms = vertices - vertices.mean(axis=0)
    across = np.cross(normal, arms[0])
    angle = np.arctan2(arms @ across / np.linalg.norm(normal), arms @ arms[0])
    return vertices[np.argsort(angle)]


# torch never frees graphs that live to the end of a process, nor what these refer to; basix, where
# this module held on to it, would then print a hundred lines of what has leaked.
atexit.register(_lagrange.cache_clear)
