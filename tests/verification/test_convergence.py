"""Orders of convergence of every element in linear elasticity.

The exact solution is u = grad(phi) with phi harmonic: then div u = 0 and laplace u = 0, so that
the Navier equations hold without body force, whatever the moduli. Displacements are prescribed
on the whole surface. The meshes are images of regular ones by one smooth map, so that no element
is a parallelogram, and those of second order have bent edges. Expected are the orders p + 1 of
displacements and p of their gradients in the L2 norm (P. G. Ciarlet, The Finite Element Method
for Elliptic Problems, sections 3.2 and 4.3).
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import neml2fe
from neml2fe.fem.conditions.conditions import Dirichlet
from neml2fe.fem.conditions.functions import SpaceFunction
from neml2fe.fem.mesh.elements import VOLUME_CELLS, jacobians, reference_element
from neml2fe.fem.mesh.generate import box, rectangle
from neml2fe.fem.mesh.mesh import Mesh
from neml2fe.fem.problem import Problem
from neml2fe.material import Material

Array = NDArray[np.float64]
DECK = Path(__file__).parent.parent / "fem" / "elastic.i"


def displacement(x: Array) -> Array:
    """grad(phi) at points (..., dim): phi = e^x cos y, or e^(sqrt(2) x) cos y cos z."""
    cos, sin = np.cos(x), np.sin(x)
    if x.shape[-1] == 2:
        return np.exp(x[..., :1]) * np.stack([cos[..., 1], -sin[..., 1]], axis=-1)
    growth = np.exp(np.sqrt(2.0) * x[..., :1])
    parts = [
        np.sqrt(2.0) * cos[..., 1] * cos[..., 2],
        -sin[..., 1] * cos[..., 2],
        -cos[..., 1] * sin[..., 2],
    ]
    return growth * np.stack(parts, axis=-1)


def gradient(x: Array) -> Array:
    """du_i/dx_j at points (..., dim), the Hessian of phi."""
    step = 1e-6  # central differences: error 1e-12, far below that of the elements
    columns = [
        (displacement(x + step * e) - displacement(x - step * e)) / (2 * step)
        for e in np.eye(x.shape[-1])
    ]
    return np.stack(columns, axis=-1)


def bent(mesh: Mesh) -> Mesh:
    """The unit square or cube with its inside moved, and its surface as a node set."""
    bulge = 0.08 * np.sin(np.pi * mesh.points).prod(axis=1)
    surface = np.unique(np.concatenate([mesh.boundary_nodes(b) for b in mesh.boundaries]))
    return replace(
        mesh,
        points=mesh.points + bulge[:, None] * [1.0, -0.7, 0.5][: mesh.dim],
        node_sets={"surface": surface},
    )


def solve(mesh: Mesh) -> tuple[float, float]:
    """L2 errors of displacements and of their gradients, relative to the exact norms."""
    conditions = [
        Dirichlet("surface", axis, SpaceFunction(lambda t, x, i=i: displacement(x)[:, i]))
        for i, axis in enumerate("xyz"[: mesh.dim])
    ]
    material = Material(neml2fe.load_model(DECK, "model"))
    problem = Problem(mesh, material, conditions, backend="scipy")
    result = problem.advance(1.0)
    assert result.converged, result.reason
    (cells,) = mesh.cells
    element = reference_element(cells.cell_type)
    xi, weights = element.quadrature(2 * element.degree + 2)
    shapes, slopes = element.tabulate(xi)
    nodes = mesh.points[cells.connectivity]
    u = problem.u.reshape(-1, mesh.dim)[cells.connectivity]
    jacobian = jacobians(nodes, slopes)
    volume = np.linalg.det(jacobian) * weights
    x = np.einsum("qk,eki->eqi", shapes, nodes)
    found = np.einsum("qk,eki->eqi", shapes, u)
    found_gradient = np.einsum("eki,qkr,eqrj->eqij", u, slopes, np.linalg.inv(jacobian))

    def norm(values: Array) -> float:
        return float(np.sqrt((volume * (values**2).reshape(*volume.shape, -1).sum(-1)).sum()))

    return (
        norm(found - displacement(x)) / norm(displacement(x)),
        norm(found_gradient - gradient(x)) / norm(gradient(x)),
    )


@pytest.mark.parametrize("cell_type", VOLUME_CELLS)
def test_order_of_convergence(cell_type: str) -> None:
    element = reference_element(cell_type)
    if element.dim == 2:
        sizes = (12, 24) if element.degree == 1 else (8, 16)
        meshes = [rectangle(n, n, cell_type) for n in sizes]
    else:
        sizes = (6, 12) if element.degree == 1 else (4, 8)
        meshes = [box(n, n, n, cell_type) for n in sizes]
    (u0, g0), (u1, g1) = (solve(bent(mesh)) for mesh in meshes)
    assert np.log2(u0 / u1) == pytest.approx(element.degree + 1, abs=0.1)
    assert np.log2(g0 / g1) == pytest.approx(element.degree, abs=0.1)
