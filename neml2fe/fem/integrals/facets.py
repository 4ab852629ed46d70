"""Integrals over boundary facets."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from neml2fe.fem.mesh.elements import jacobians, reference_element
from neml2fe.fem.mesh.facets import CellBlock

Array = NDArray[np.float64]


class FacetBlock:
    """Quadrature of the facets of one type.

    shapes: (q, k) shape functions; positions: (f, q, dim); normals: (f, q, dim) unit outward
    normals times the area of the point (around the whole circumference where `axisymmetric`).
    """

    def __init__(self, facets: CellBlock, points: Array, axisymmetric: bool = False) -> None:
        element = reference_element(facets.cell_type)
        xi, weights = element.quadrature(2 * element.degree)
        self.connectivity = facets.connectivity
        self.shapes, gradients = element.tabulate(xi)
        nodes = points[facets.connectivity]
        j = jacobians(nodes, gradients)
        self.positions = np.einsum("qk,fkd->fqd", self.shapes, nodes)
        if points.shape[1] == 2:
            t = j[..., 0]
            normal = np.stack([t[..., 1], -t[..., 0]], axis=-1)
        else:
            normal = np.cross(j[..., 0], j[..., 1])
        if axisymmetric:
            normal = normal * (2.0 * math.pi * self.positions[..., :1])
        self.normals = normal * weights[:, None]

    @property
    def areas(self) -> Array:
        """Areas of the points, (f, q)."""
        return np.linalg.norm(self.normals, axis=-1)

    def nodal(self, values: Array) -> Array:
        """Integral of N_k times the values at the points, which carry their area: (f, q, ...) to
        (f, k, ...)."""
        return np.einsum("qk,fq...->fk...", self.shapes, values)
