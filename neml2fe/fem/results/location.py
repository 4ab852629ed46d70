"""Where a point of space lies in the mesh: its element and the position in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import LinearConstraint, minimize

from neml2fe.errors import InputError
from neml2fe.fem.mesh.distribution import LocalMesh
from neml2fe.fem.mesh.elements import Index, ReferenceElement, reference_element

Array = NDArray[np.float64]

_INSIDE = 1e-6  # so far outside, in lengths of the reference element, a point is on the border
_NEAREST = 20  # elements tried for the distance of a point outside of the mesh


@dataclass(frozen=True)
class Location:
    """A point in an element of this rank.

    cells: number of the block of cells; element: number in it; xi: (dim,) reference position;
    weights: (k,) shape functions there.
    """

    cells: int
    element: int
    xi: Array
    weights: Array


def locate(local: LocalMesh, point: Sequence[float], what: str) -> Location | None:
    """The element that holds `point`, on one rank; None on the others. Collective.

    On a border, one of the elements that share it. Raises `InputError`, which begins with
    `what`, on every rank for a point outside of the mesh.
    """
    x = np.asarray(point, dtype=np.float64)
    if x.shape != (local.dim,) or not np.isfinite(x).all():
        raise InputError(f"{what}: a point of {local.dim} coordinates is needed, got {point!r}")
    best, excess = _find(local, x)
    found = _gathered(local, excess)
    winner = int(np.argmin(found))
    if found[winner] <= _INSIDE:
        return best if winner == local.rank else None
    distance = min(_gathered(local, _distance(local, x)))
    place = ", ".join(f"{c:g}" for c in x)
    raise InputError(f"{what}: the point ({place}) is outside of the mesh, {distance:.4g} away")


def _gathered(local: LocalMesh, value: float) -> list[float]:
    return [value] if local.comm is None else local.comm.allgather(value)


def _find(local: LocalMesh, x: Array) -> tuple[Location | None, float]:
    """The element of this rank in which `x` lies deepest, and how far outside (negative: in)."""
    best, least = None, np.inf
    for k, cells in enumerate(local.cells):
        element = reference_element(cells.cell_type)
        near = _near(local.points, cells.connectivity, x)
        if not len(near):
            continue
        corners = local.points[cells.connectivity[near]]
        xi = _inverse_map(element, corners, x)
        outside = _excess(element, xi)
        i = int(np.argmin(outside))
        if outside[i] < least:
            least = float(outside[i])
            weights = element.tabulate(xi[i : i + 1])[0][0]
            best = Location(k, int(near[i]), xi[i], weights)
    return best, least


def _near(points: Array, connectivity: Index, x: Array) -> Index:
    """Elements whose box, grown by a fifth for curved sides, holds `x`."""
    corners = points[connectivity]
    low, high = corners.min(axis=1), corners.max(axis=1)
    margin = 0.1 * (high - low).max(axis=1, keepdims=True)
    return np.flatnonzero(((x >= low - margin) & (x <= high + margin)).all(axis=1))


def _inverse_map(element: ReferenceElement, corners: Array, x: Array) -> Array:
    """Reference positions `(m, dim)` of `x` by Newton's method; NaN where that fails."""
    xi = np.tile(element.nodes[: element.n_vertices].mean(axis=0), (len(corners), 1))
    for _ in range(25):
        shapes, gradients = element.tabulate(xi)
        gap = x - np.einsum("mk,mkd->md", shapes, corners)
        jacobian = np.einsum("mkd,mkr->mdr", corners, gradients)
        singular = np.abs(np.linalg.det(jacobian)) < 1e-300
        jacobian[singular] = np.eye(len(x))
        step = np.linalg.solve(jacobian, gap[..., None])[..., 0]
        xi = np.clip(xi + step, -3.0, 4.0)  # far outside the map may fold
        if np.abs(step).max() < 1e-13:
            break
    shapes, _ = element.tabulate(xi)
    gap = np.abs(x - np.einsum("mk,mkd->md", shapes, corners)).max(axis=1)
    size = np.ptp(corners, axis=1).max(axis=1)
    xi[gap > 1e-8 * size] = np.nan
    return xi


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
    """How far outside of the reference element; negative inside, infinite for NaN."""
    a, b = _half_spaces(element)
    outside = (xi @ a.T - b).max(axis=1)
    return np.where(np.isnan(outside), np.inf, outside)


def _distance(local: LocalMesh, x: Array) -> float:
    """From `x` to this rank's elements: to the nearest point of those with the nearest nodes."""
    least = np.inf
    for cells in local.cells:
        if not len(cells.connectivity):
            continue
        element = reference_element(cells.cell_type)
        a, b = _half_spaces(element)
        corners = local.points[cells.connectivity]
        nearest = np.linalg.norm(corners - x, axis=2).min(axis=1)
        for e in np.argsort(nearest)[:_NEAREST]:
            nodes = corners[e]
            size = np.ptp(nodes, axis=0).max()

            def squared(xi: Array, nodes: Array = nodes, size: float = size) -> float:
                here = element.tabulate(xi[None])[0][0] @ nodes  # noqa: B023
                return float(np.square((here - x) / size).sum())

            start = element.nodes[: element.n_vertices].mean(axis=0)
            found = minimize(squared, start, method="SLSQP", constraints=LinearConstraint(a, ub=b))
            least = min(least, size * float(np.sqrt(found.fun)))
    return least
