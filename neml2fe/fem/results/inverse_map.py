"""Positions in elements of points of space: the inverse of the isoparametric map, and the nearest
place of an element or facet. Many pairs of an element and a point at once."""

from __future__ import annotations

from functools import cache
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import null_space

from neml2fe.fem.mesh.elements import ReferenceElement, reference_element

Array = NDArray[np.float64]

_STEP = 1e-10  # where steps of Newton's method are that small, the next would be round-off
_ITERATIONS = 25


def _linearised(
    element: ReferenceElement, corners: Array, xi: Array, x: Array
) -> tuple[Array, Array]:
    """Gap `(m, d)` from the places of `xi` to `x`, and derivative `(m, d, dim)` of the map."""
    shapes, gradients = element.tabulate(xi)
    gap = x - np.einsum("mk,mkd->md", shapes, corners)
    return gap, np.einsum("mkd,mkr->mdr", corners, gradients)


def _centre(element: ReferenceElement, m: int) -> Array:
    return np.tile(element.nodes[: element.n_vertices].mean(axis=0), (m, 1))


def inverse_map(element: ReferenceElement, corners: Array, x: Array) -> tuple[Array, Array]:
    """Reference positions `(m, dim)` of `x` `(m, dim)` in elements with nodes at `corners`
    `(m, k, dim)` by Newton's method, and how far outside of the reference element these are `(m,)`,
    negative inside. NaN and infinite where the method fails."""
    xi, left = _centre(element, len(x)), np.arange(len(x))
    for _ in range(_ITERATIONS):
        gap, jacobian = _linearised(element, corners[left], xi[left], x[left])
        jacobian[np.abs(np.linalg.det(jacobian)) < 1e-300] = np.eye(element.dim)
        step = np.linalg.solve(jacobian, gap[..., None])[..., 0]
        xi[left] = np.clip(xi[left] + step, -3.0, 4.0)  # far outside the map may fold
        left = left[np.abs(step).max(axis=1) > _STEP]
        if not len(left):
            break
    gap, _ = _linearised(element, corners, xi, x)
    size = np.ptp(corners, axis=1).max(axis=1)
    xi[np.abs(gap).max(axis=1) > 1e-8 * size] = np.nan
    return xi, _excess(element, xi)


def _half_spaces(element: ReferenceElement) -> tuple[Array, Array]:
    """The reference element as A xi <= b."""
    eye = np.eye(element.dim)
    above = {
        "simplex": np.ones((1, element.dim)),
        "cube": eye,
        "prism": np.array([[1.0, 1.0, 0.0], [0.0, 0.0, 1.0]]),
    }
    kind = {"triangle": "simplex", "tetrahedron": "simplex", "prism": "prism"}
    upper = above[kind.get(element.shape, "cube")]
    return np.vstack([-eye, upper]), np.concatenate([np.zeros(element.dim), np.ones(len(upper))])


def _excess(element: ReferenceElement, xi: Array) -> Array:
    a, b = _half_spaces(element)
    outside = (xi @ a.T - b).max(axis=1)
    return np.where(np.isnan(outside), np.inf, outside)


@cache
def _planes(cell_type: str) -> list[tuple[Array, Array]]:
    """The planes of the reference element and of its faces, edges and vertices: a point in each,
    and unit vectors `(dim, plane's dim)` that span it."""
    element = reference_element(cell_type)
    a, b = _half_spaces(element)
    found = [(np.zeros(element.dim), np.eye(element.dim))]
    for n in range(1, element.dim + 1):
        for rows in map(list, combinations(range(len(a)), n)):
            if np.linalg.matrix_rank(a[rows]) == n:
                found.append((np.linalg.pinv(a[rows]) @ b[rows], null_space(a[rows])))
    return found


def closest(element: ReferenceElement, corners: Array, x: Array) -> tuple[Array, Array]:
    """Reference positions `(m, dim)` of the places of elements or facets that are closest to `x`
    `(m, d)`, and the distances `(m,)`, by the Gauss-Newton method."""
    xi, left = _centre(element, len(x)), np.arange(len(x))
    for _ in range(_ITERATIONS):
        gap, jacobian = _linearised(element, corners[left], xi[left], x[left])
        new = _closest_linearised(element, xi[left], gap, jacobian)
        step = np.abs(new - xi[left]).max(axis=1)
        xi[left] = new
        left = left[step > _STEP]
        if not len(left):
            break
    gap, _ = _linearised(element, corners, xi, x)
    return xi, np.linalg.norm(gap, axis=1)


def _closest_linearised(element: ReferenceElement, xi: Array, gap: Array, jacobian: Array) -> Array:
    """Where in the reference element |gap - J (new - xi)| is least: the best of the least values in
    the planes of its faces that lie in the element (the problem is convex)."""
    a, b = _half_spaces(element)
    best, least = xi, np.full(len(xi), np.inf)
    for point, basis in _planes(element.cell_type):
        new = np.broadcast_to(point, xi.shape)
        if basis.size:
            aim = gap - np.einsum("mdr,mr->md", jacobian, point - xi)
            across = jacobian @ basis
            normal = np.swapaxes(across, 1, 2)
            gram = normal @ across
            scale = np.trace(gram, axis1=1, axis2=2)[:, None, None]
            gram = gram + 1e-14 * scale * np.eye(basis.shape[1])  # where the map is singular
            t = np.linalg.solve(gram, normal @ aim[..., None])[..., 0]
            new = point + t @ basis.T
        rest = np.linalg.norm(gap - np.einsum("mdr,mr->md", jacobian, new - xi), axis=1)
        better = ((new @ a.T - b).max(axis=1) < 1e-9) & (rest < least)
        best, least = np.where(better[:, None], new, best), np.where(better, rest, least)
    return best
