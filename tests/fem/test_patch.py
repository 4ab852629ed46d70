"""Patch tests: every element, in every shape, reproduces homogeneous states to round-off.

The tests follow B. M. Irons and A. Razzaque, "Experience with the patch test for convergence of
finite elements" (1972), and R. L. Taylor, J. C. Simo, O. C. Zienkiewicz, A. C. H. Chan, "The
patch test - a condition for assessing FEM convergence", Int. J. Numer. Meth. Engng 22 (1986):
displacements prescribed around the patch, and tractions with the least support.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import neml2fe
from neml2fe.fem.conditions.conditions import BodyForce, Condition, Dirichlet, Pressure, Traction
from neml2fe.fem.mesh.elements import VOLUME_CELLS, reference_element
from neml2fe.fem.mesh.generate import box, quarter_annulus, rectangle
from neml2fe.fem.mesh.mesh import Mesh
from neml2fe.fem.problem import Problem
from neml2fe.material import Material

Array = NDArray[np.float64]

HERE = Path(__file__).parent
AXES = "xyz"
LENGTHS = (1.5, 1.0, 1.25)
QUADRATIC = [name for name in VOLUME_CELLS if reference_element(name).degree == 2]
SERENDIPITY = ("quad8", "hexahedron20")
NORMALS = {
    "left": (0, -1.0),
    "right": (0, 1.0),
    "bottom": (1, -1.0),
    "top": (1, 1.0),
    "back": (2, -1.0),
    "front": (2, 1.0),
}
# Curved tetrahedra need one degree more than the default rule: the cofactor of their Jacobian
# matrix is quadratic, the shape gradients are linear.
DEGREES = {("tetra10", "curved"): 3}
SHAPES = [
    *[(name, shape) for name in VOLUME_CELLS for shape in ("regular", "distorted")],
    *[(name, "curved") for name in QUADRATIC],
]
QUADRATICALLY_COMPLETE = [
    (name, shape)
    for name, shape in SHAPES
    if name in QUADRATIC
    and (shape == "regular" or (shape == "distorted" and name not in SERENDIPITY))
]

GRADIENT = np.array([[1.0, 0.7, -0.3], [0.2, -0.6, 0.5], [0.4, -0.1, 0.8]]) * 1e-3
LAME, SHEAR = 70e3 * 0.3 / (1.3 * 0.4), 70e3 / 2.6


def mandel(tensor: Array) -> Array:
    """The Mandel components (6,) of a symmetric 3 x 3 tensor."""
    i, j = np.array([0, 1, 2, 1, 0, 0]), np.array([0, 1, 2, 2, 2, 1])
    return tensor[i, j] * np.array([1, 1, 1, *[np.sqrt(2)] * 3])


def hooke(gradient: Array) -> tuple[Array, Array]:
    """Mandel strain and stress of a displacement gradient, material `elastic.i`."""
    strain = np.zeros((3, 3))
    n = len(gradient)
    strain[:n, :n] = (gradient + gradient.T) / 2
    stress = LAME * np.trace(strain) * np.eye(3) + 2 * SHEAR * strain
    return mandel(strain), mandel(stress)


def patch(cell_type: str, shape: str) -> Mesh:
    """A small block of elements: with one or more interior vertices, moved when distorted;
    curved: with all interior edges bent as well. A node set `n<k>` holds each node alone."""
    element = reference_element(cell_type)
    distortion = 0.0 if shape == "regular" else 0.4
    if element.dim == 2:
        mesh = rectangle(3, 2, cell_type, LENGTHS[:2], distortion)
    else:
        mesh = box(2, 2, 2, cell_type, LENGTHS, distortion)
    points = mesh.points.copy()
    if shape == "curved":
        movable = np.ones(mesh.n_nodes, dtype=bool)
        movable[surface_nodes(mesh)] = False
        movable[mesh.cells[0].connectivity[:, : element.n_vertices]] = False
        shift = np.random.default_rng(1).uniform(-0.04, 0.04, points.shape)
        points[movable] += shift[movable]
        assert movable.any()
    sets = {f"n{k}": np.array([k]) for k in range(mesh.n_nodes)}
    return replace(mesh, points=points, node_sets=sets)


def surface_nodes(mesh: Mesh) -> NDArray[np.int64]:
    return np.unique(np.concatenate([mesh.boundary_nodes(name) for name in mesh.boundaries]))


def on_surface(mesh: Mesh, gradient_at: object) -> list[Condition]:
    """Displacements u = H(t) X of all surface nodes; `gradient_at(t)` is H."""
    return [
        Dirichlet(f"n{k}", AXES[i], lambda t, k=k, i=i: float(gradient_at(t)[i] @ mesh.points[k]))
        for k in surface_nodes(mesh)
        for i in range(mesh.dim)
    ]


def least_support(mesh: Mesh) -> list[Condition]:
    """Dirichlet conditions that take the rigid-body motion and nothing else."""

    def corner(*ends: int) -> str:
        at = np.array([length * end for length, end in zip(LENGTHS, ends, strict=False)])
        return f"n{np.abs(mesh.points - at).sum(axis=1).argmin()}"

    if mesh.dim == 2:
        fixed = [((0, 0), "xy"), ((1, 0), "y")]
    else:
        fixed = [((0, 0, 0), "xyz"), ((1, 0, 0), "yz"), ((0, 1, 0), "z")]
    return [Dirichlet(corner(*ends), axis) for ends, axes in fixed for axis in axes]


def elastic() -> Material:
    return Material(neml2fe.load_model(HERE / "elastic.i", "model"))


def solve(mesh: Mesh, conditions: list[Condition], **options: object) -> Problem:
    problem = Problem(mesh, elastic(), conditions, **{"backend": "scipy", **options})
    result = problem.advance(1.0)
    assert result.converged, result.reason
    return problem


def error(found: torch.Tensor, expected: Array) -> float:
    """Largest error at any point, relative to the largest component."""
    return float(np.abs(found.numpy() - expected).max() / np.abs(expected).max())


def assert_homogeneous(problem: Problem, strain: Array, stress: Array) -> None:
    (fields,) = problem.point_fields()
    assert len(fields["strain"]) == problem.n_points
    assert error(fields["strain"], strain) <= 1e-12
    assert error(fields["stress"], stress) <= 1e-12


@pytest.mark.parametrize(("cell_type", "shape"), SHAPES)
def test_prescribed_linear_displacement(cell_type: str, shape: str) -> None:
    mesh = patch(cell_type, shape)
    gradient = GRADIENT[: mesh.dim, : mesh.dim]
    degree = DEGREES.get((cell_type, shape))
    problem = solve(mesh, on_surface(mesh, lambda t: t * gradient), quadrature_degree=degree)
    assert_homogeneous(problem, *hooke(gradient))
    exact = mesh.points @ gradient.T
    assert np.abs(problem.u.reshape(exact.shape) - exact).max() <= 1e-12 * np.abs(exact).max()


@pytest.mark.parametrize(("cell_type", "shape"), SHAPES)
def test_tractions_of_a_homogeneous_stress(cell_type: str, shape: str) -> None:
    mesh = patch(cell_type, shape)
    dim = mesh.dim
    gradient = (GRADIENT + GRADIENT.T)[:dim, :dim] / 2
    strain, stress = hooke(gradient)
    tensor = LAME * np.trace(gradient) * np.eye(dim) + 2 * SHEAR * gradient
    tractions = [
        Traction(name, [float(v) for v in NORMALS[name][1] * tensor[:, NORMALS[name][0]]])
        for name in mesh.boundaries
    ]
    degree = DEGREES.get((cell_type, shape))
    support = least_support(mesh)
    problem = solve(mesh, [*support, *tractions], quadrature_degree=degree)
    assert_homogeneous(problem, strain, stress)
    # The tractions balance each other: the support carries nothing.
    largest = max(abs(v) for k, v in problem.load_row().items() if k.endswith("_force"))
    for condition in support:
        assert abs(problem.load_row()[f"{condition.name}_reaction"]) <= 1e-11 * largest


@pytest.mark.parametrize("cell_type", ["quad9", "hexahedron"])
def test_patch_with_petsc(cell_type: str) -> None:
    pytest.importorskip("petsc4py", reason="petsc4py is not installed")
    mesh = patch(cell_type, "distorted")
    gradient = GRADIENT[: mesh.dim, : mesh.dim]
    problem = solve(mesh, on_surface(mesh, lambda t: t * gradient), backend="petsc")
    assert_homogeneous(problem, *hooke(gradient))
    problem.close()


@pytest.mark.parametrize(("cell_type", "shape"), SHAPES)
def test_rigid_motion_is_free_of_stress(cell_type: str, shape: str) -> None:
    """A translation with a linearised rotation, prescribed at every node."""
    mesh = patch(cell_type, shape)
    spin = (GRADIENT - GRADIENT.T)[: mesh.dim, : mesh.dim] * 100
    shift = np.array([3.0, -2.0, 1.0])[: mesh.dim]
    conditions = [
        Dirichlet(f"n{k}", AXES[i], float(spin[i] @ mesh.points[k] + shift[i]))
        for k in range(mesh.n_nodes)
        for i in range(mesh.dim)
    ]
    (fields,) = solve(mesh, conditions).point_fields()
    # Round-off of displacements of size 3 over elements of size 1/2, and no more.
    assert fields["strain"].abs().max() <= 1e-13
    assert fields["stress"].abs().max() <= 1e-13 * 3 * LAME


@pytest.mark.parametrize(("cell_type", "shape"), QUADRATICALLY_COMPLETE)
def test_own_weight_is_exact_in_quadratic_elements(cell_type: str, shape: str) -> None:
    """Laterally confined column: sigma_yy = b (y - L), a quadratic displacement. Serendipity
    elements hold all quadratics as parallelograms only (N. S. Lee and K. J. Bathe, Int. J. Numer.
    Meth. Engng 36, 1993)."""
    mesh = patch(cell_type, shape)
    weight, height = -5.0, LENGTHS[1]
    sides = {"left": "x", "right": "x", "back": "z", "front": "z", "bottom": "y"}
    conditions = [Dirichlet(s, axis) for s, axis in sides.items() if s in mesh.boundaries]
    force = [0.0, weight, 0.0][: mesh.dim]
    problem = solve(mesh, [*conditions, BodyForce(force)])
    y = mesh.points[:, 1]
    exact = weight / (LAME + 2 * SHEAR) * (height * y - y**2 / 2)
    u = problem.u.reshape(mesh.points.shape)
    assert np.abs(u[:, 1] - exact).max() <= 1e-12 * np.abs(exact).max()
    assert np.abs(np.delete(u, 1, axis=1)).max() <= 1e-12 * np.abs(exact).max()
    row = problem.load_row()
    total = weight * np.prod(LENGTHS[: mesh.dim])
    assert row["body_force_y_force"] == pytest.approx(total, rel=1e-13)
    assert row["bottom_y_reaction"] == pytest.approx(-total, rel=1e-12)


@pytest.mark.parametrize(("cell_type", "shape"), SHAPES)
def test_resultant_of_body_force(cell_type: str, shape: str) -> None:
    """The support takes density times volume, whatever the elements look like."""
    mesh = patch(cell_type, shape)
    force = [3.0, -5.0, 2.0][: mesh.dim]
    held = [Dirichlet("bottom", axis) for axis in AXES[: mesh.dim]]
    # Volumes of elements with curved edges need a rule for polynomials of high degree.
    degree = 6 if shape == "curved" else None
    row = solve(mesh, [*held, BodyForce(force)], quadrature_degree=degree).load_row()
    for axis, value in zip(AXES, force, strict=False):
        total = value * np.prod(LENGTHS[: mesh.dim])
        assert row[f"bottom_{axis}_reaction"] == pytest.approx(-total, rel=1e-12)


@pytest.mark.parametrize(("cell_type", "shape"), SHAPES)
def test_pressure_all_around(cell_type: str, shape: str) -> None:
    mesh = patch(cell_type, shape)
    pressures = [Pressure(name, 100.0) for name in mesh.boundaries]
    degree = DEGREES.get((cell_type, shape))
    problem = solve(mesh, [*least_support(mesh), *pressures], quadrature_degree=degree)
    (fields,) = problem.point_fields()
    stress = fields["stress"].numpy()
    out_of_plane = -100.0 if mesh.dim == 3 else -0.3 * 200.0
    expected = np.array([-100.0, -100.0, out_of_plane, 0.0, 0.0, 0.0])
    assert np.abs(stress - expected).max() <= 1e-12 * 100.0


@pytest.mark.parametrize("cell_type", ["triangle", "triangle6", "quad", "quad9"])
def test_resultant_of_pressure_on_a_curved_boundary(cell_type: str) -> None:
    """On the inner quarter circle: pressure times the projected width, exactly."""
    mesh = quarter_annulus(2, 3, cell_type, 1.0, 1.3)
    held = [Dirichlet("outer", axis) for axis in "xy"]
    row = solve(mesh, [*held, Pressure("inner", 7.0)]).load_row()
    for axis in "xy":
        assert row[f"outer_{axis}_reaction"] == pytest.approx(-7.0, rel=1e-12)
        assert row[f"inner_pressure_{axis}_force"] == pytest.approx(7.0, rel=1e-12)


@pytest.mark.parametrize("cell_type", VOLUME_CELLS)
def test_viscoplastic_patch_follows_the_material_point(cell_type: str) -> None:
    """Homogeneous but non-proportional: every point has the stress and state that the
    material alone has under the same strains."""
    mesh = patch(cell_type, "distorted")
    dim = mesh.dim
    material = Material(neml2fe.load_model(HERE / "perzyna.i", "model"))

    def gradient_at(time: float) -> Array:
        turned = np.roll(GRADIENT, 1, axis=0)
        return (4 * time * GRADIENT + 3 * np.sin(3 * time) * turned)[:dim, :dim]

    problem = Problem(mesh, material, on_surface(mesh, gradient_at), backend="scipy")
    state = material.initial_state(1)
    old = 0.0
    for time in (0.3, 0.7, 1.0, 1.2):
        result = problem.advance(time)
        assert result.converged, result.reason
        strain = torch.as_tensor(hooke(gradient_at(time))[0]).unsqueeze(0)
        point = material.update(strain, state, time, time - old)
        state, old = point.state, time
        assert_homogeneous_to(problem, point.stress, state)
    assert float(state["equivalent_plastic_strain"]) > 1e-3


def assert_homogeneous_to(
    problem: Problem, stress: torch.Tensor, state: dict[str, torch.Tensor]
) -> None:
    (fields,), states = problem.point_fields(), problem.solids[0].state
    assert error(fields["stress"], stress.numpy()) <= 1e-10
    for name, value in state.items():
        assert error(states[name], value.numpy()) <= 1e-10, name


def test_default_rule_of_tetra10_is_inexact_when_curved() -> None:
    """States a limit: with its 4 points a curved tetra10 misses constant stress by a little."""
    mesh = patch("tetra10", "curved")
    problem = solve(mesh, on_surface(mesh, lambda t: t * GRADIENT))
    (fields,) = problem.point_fields()
    assert 1e-9 < error(fields["stress"], hooke(GRADIENT)[1]) < 1e-2
