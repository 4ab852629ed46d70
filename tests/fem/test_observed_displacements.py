"""Observed displacements of nodes and of points on and off the mesh; how points are located."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from observations_on_ranks import transpose_error
from results_box import PLANE, SOLID, linear, mesh, problem, set_linear_displacements

from neml2fe.errors import InputError
from neml2fe.fem import Mesh, Problem
from neml2fe.fem.mesh.elements import reference_element
from neml2fe.fem.mesh.generate import rectangle
from neml2fe.fem.observations import (
    DisplacementsAt,
    Instant,
    NodalDisplacements,
    Observation,
    SurfaceDisplacementsAt,
)
from neml2fe.fem.results.inverse_map import closest
from neml2fe.fem.results.location import locate_all

QUADRATIC = ("triangle6", "quad8", "quad9", "tetra10", "hexahedron20", "hexahedron27")


def displaced(p: Problem, u: np.ndarray) -> Instant:
    """Displacements `(n_local, dim)` set by hand."""
    return Instant(torch.as_tensor(u).reshape(-1), p.q, p.q, [])


def value(p: Problem, observation: Observation, at: Instant) -> np.ndarray:
    return observation.bind(p).apply(at).numpy()


@pytest.mark.parametrize("cell_type", [*PLANE, *SOLID])
def test_linear_displacements_at_points(cell_type: str) -> None:
    p = problem(mesh(cell_type))
    dim = p.local.dim
    corners = np.array([[0.0] * dim, [1.0] * dim, [0.5, *[1.0] * (dim - 1)]])
    points = np.vstack([np.random.default_rng(0).uniform(size=(200, dim)), corners])
    bound = DisplacementsAt(points).bind(p)
    found = bound.apply(displaced(p, linear(p.local.points, dim)))
    assert np.abs(found.numpy() - linear(points, dim)).max() <= 1e-11
    assert transpose_error(p, bound) <= 1e-14


@pytest.mark.parametrize("cell_type", QUADRATIC)
def test_quadratic_displacements_at_points(cell_type: str) -> None:
    p = problem(mesh(cell_type, distortion=0.0))
    dim = p.local.dim

    def quadratic(x: np.ndarray) -> np.ndarray:
        return linear(x, dim) * linear(x, 1) + linear(x, dim)

    points = np.random.default_rng(0).uniform(size=(50, dim))
    found = value(p, DisplacementsAt(points), displaced(p, quadratic(p.local.points)))
    assert np.abs(found - quadratic(points)).max() <= 1e-11


def ring(cell_type: str, n: int = 3) -> Mesh:
    """A quarter of a ring, radii 1 to 2."""
    flat = rectangle(n, n, cell_type)
    r, angle = 1.0 + flat.points[:, 0], 0.5 * np.pi * flat.points[:, 1]
    return Mesh(np.stack([r * np.cos(angle), r * np.sin(angle)], 1), flat.cells, flat.boundaries)


def test_points_of_curved_elements() -> None:
    p = problem(ring("quad9"))
    element, connectivity = reference_element("quad9"), p.local.cells[0].connectivity
    xi = np.random.default_rng(0).uniform(size=(100, 2))
    shapes = element.tabulate(xi)[0]
    nodes = connectivity[np.arange(100) % len(connectivity)]
    points = np.einsum("mk,mkd->md", shapes, p.local.points[nodes])
    u = np.random.default_rng(1).normal(size=p.local.points.shape)
    expected = np.einsum("mk,mkd->md", shapes, u[nodes])
    assert np.abs(value(p, DisplacementsAt(points), displaced(p, u)) - expected).max() <= 1e-10


def test_nodes_are_in_the_order_of_the_mesh() -> None:
    p = problem(mesh("quad8"))
    set_linear_displacements(p)
    at = displaced(p, p.u)
    everywhere = NodalDisplacements().bind(p)
    assert everywhere.numbers.tolist() == list(range(p.local.n_global))
    assert everywhere.shape == (p.local.n_global, 2)
    right = NodalDisplacements("right").bind(p)
    assert np.all(right.coordinates[:, 0] == 1.0) and np.all(np.diff(right.numbers) > 0)
    assert len(right.numbers) == 7
    for bound in (everywhere, right):
        assert np.array_equal(bound.coordinates, mesh("quad8").points[bound.numbers])
        assert np.array_equal(bound.apply(at).numpy(), linear(bound.coordinates, 2))
        assert transpose_error(p, bound) <= 1e-14


@pytest.mark.parametrize("cell_type", ["triangle", "quad8", "tetra", "wedge", "hexahedron20"])
def test_points_just_outside_are_extrapolated(cell_type: str) -> None:
    p = problem(mesh(cell_type, distortion=0.0))
    dim = p.local.dim
    points = np.full((3, dim), 0.4)
    points[0, 0], points[1, 1], points[2, :2] = 1.01, -0.01, 1.009
    at = displaced(p, linear(p.local.points, dim))
    assert np.abs(value(p, DisplacementsAt(points), at) - linear(points, dim)).max() <= 1e-11
    points[0, 0] = 1.2
    found = value(p, DisplacementsAt(points, tolerance=0.21), at)
    assert np.abs(found - linear(points, dim)).max() <= 1e-11
    with pytest.raises(InputError, match=r"3 of 3 points .*by more than 0\.005; the farthest, "):
        DisplacementsAt(points, tolerance=0.005).bind(p)


def test_points_outside_are_refused_or_not_a_number() -> None:
    p = problem(mesh("quad"))
    points = np.array([[0.5, 0.5], [1.3, 1.4], [0.2, 0.1], [0.5, -0.2]])
    with pytest.raises(
        InputError,
        match=r"2 of 4 points are outside of the mesh .*number 1 \(from 0\) at \(1\.3, 1\.4\), is "
        r"0\.5 away",
    ):
        DisplacementsAt(points).bind(p)
    bound = DisplacementsAt(points, outside="nan").bind(p)
    assert bound.found.tolist() == [True, False, True, False]
    at = displaced(p, linear(p.local.points, 2))
    found = bound.apply(at)
    assert torch.isnan(found).all(1).tolist() == [False, True, False, True]
    to = at.zeros_like()
    bound.pull(torch.full((4, 2), torch.nan).index_fill(0, torch.tensor([0, 2]), 1.0), to)
    assert to.u.sum() == pytest.approx(4.0, rel=1e-14)


@pytest.mark.parametrize("cell_type", SOLID)
def test_points_near_a_surface_move_as_their_projection(cell_type: str) -> None:
    p = problem(mesh(cell_type))
    on = np.random.default_rng(0).uniform(0.05, 0.95, size=(40, 3))
    on[:, 2] = 1.0
    off = on + np.random.default_rng(1).normal(size=(40, 1)) * [0.0, 0.0, 0.005]
    at = displaced(p, linear(p.local.points, 3))
    bound = SurfaceDisplacementsAt("front", off).bind(p)
    assert np.abs(bound.apply(at).numpy() - linear(on, 3)).max() <= 1e-11
    assert transpose_error(p, bound) <= 1e-14
    off[7, 2] = 1.3
    with pytest.raises(
        InputError, match=r"1 of 40 points are outside of boundary 'front' .* 0\.3 "
    ):
        SurfaceDisplacementsAt("front", off).bind(p)
    lost = SurfaceDisplacementsAt("front", off, outside="nan").bind(p).found
    assert np.flatnonzero(~lost).tolist() == [7]


@pytest.mark.parametrize("cell_type", ["triangle6", "quad8", "quad", "tetra10", "wedge", "line3"])
def test_the_closest_place_is_the_best_of_many(cell_type: str) -> None:
    """Against a fine grid of places; no element has a closer one, and the grid comes near it."""
    element, rng = reference_element(cell_type), np.random.default_rng(2)
    space = max(element.dim, 2)
    flat = np.pad(element.nodes, ((0, 0), (0, space - element.dim)))
    m = 30
    corners = flat + 0.05 * rng.normal(size=(m, *flat.shape))
    x = rng.uniform(-0.7, 1.7, size=(m, space))
    xi, distance = closest(element, corners, x)
    places = np.einsum("mk,mkd->md", element.tabulate(xi)[0], corners)
    assert np.abs(np.linalg.norm(places - x, axis=1) - distance).max() <= 1e-12
    axes = np.linspace(0.0, 1.0, 25)
    grid = np.stack(np.meshgrid(*[axes] * element.dim), -1).reshape(-1, element.dim)
    if element.shape in ("triangle", "tetrahedron"):
        grid = grid[grid.sum(1) <= 1.0 + 1e-12]
    if element.shape == "prism":
        grid = grid[grid[:, :2].sum(1) <= 1.0 + 1e-12]
    where = np.einsum("gk,mkd->mgd", element.tabulate(grid)[0], corners)
    best = np.linalg.norm(where - x[:, None], axis=2).min(axis=1)
    assert np.all(distance <= best + 1e-9)
    assert np.all(distance >= best - 0.06)


def test_many_points_are_located_once_each() -> None:
    p = problem(rectangle(40, 40, "triangle", distortion=0.3))
    points = np.random.default_rng(0).uniform(size=(5000, 2))
    at = locate_all(p.local, p.local.cells, points)
    assert at.found.all() and at.mine.tolist() == list(range(5000))
    weights = at.interpolation(p.local.n_local)
    assert np.abs(weights @ p.local.points - points).max() <= 1e-14
    assert np.abs(weights.sum(axis=1) - 1.0).max() <= 1e-14
    assert weights.data.min() >= -1e-9  # truly inside
