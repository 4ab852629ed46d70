"""Patch tests of the formulations: every element holds a homogeneous state exactly, in plane
stress, around an axis, at finite strain, and with the volumetric corrections; and tangents are
derivatives of forces."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import neml2fe
from neml2fe.errors import InputError
from neml2fe.fem.body import Body
from neml2fe.fem.conditions.conditions import Condition, Dirichlet
from neml2fe.fem.mesh.elements import VOLUME_CELLS, reference_element
from neml2fe.fem.mesh.facets import CellBlock
from neml2fe.fem.mesh.generate import box, rectangle
from neml2fe.fem.mesh.mesh import Mesh
from neml2fe.fem.problem import Problem
from neml2fe.fem.terms.make import LOCKING
from neml2fe.material import Material

HERE = Path(__file__).parent
PLANE = [name for name in VOLUME_CELLS if reference_element(name).dim == 2]
GRADIENT = np.array([[0.10, 0.07, -0.03], [0.02, -0.06, 0.05], [0.04, -0.01, 0.08]])


def elastic() -> Material:
    return Material(neml2fe.load_model(HERE / "elastic.i", "model"))


def rubber() -> Material:
    return Material(neml2fe.load_model(HERE.parent / "verification" / "finite_strain.i", "rubber"))


def patch(cell_type: str, offset: float = 0.0) -> Mesh:
    """A distorted block of elements, moved by `offset` along x."""
    if reference_element(cell_type).dim == 2:
        mesh = rectangle(3, 2, cell_type, distortion=0.4)
    else:
        mesh = box(2, 2, 2, cell_type, distortion=0.4)
    points = mesh.points + np.eye(mesh.dim)[0] * offset
    sets = {f"n{k}": np.array([k]) for k in range(mesh.n_nodes)}
    return replace(mesh, points=points, node_sets=sets)


def on_surface(mesh: Mesh, gradient: np.ndarray) -> list[Condition]:
    surface = np.unique(np.concatenate([mesh.boundary_nodes(name) for name in mesh.boundaries]))
    u = mesh.points @ gradient.T
    return [Dirichlet(f"n{k}", "xyz"[i], float(u[k, i])) for k in surface for i in range(mesh.dim)]


@pytest.mark.parametrize("finite", [False, True])
@pytest.mark.parametrize(
    ("cell_type", "correction"),
    [*((c, False) for c in VOLUME_CELLS), *((c, True) for c in LOCKING)],
)
def test_an_element_has_no_motion_without_stiffness_but_rigid_ones(
    cell_type: str, correction: bool, finite: bool
) -> None:
    """Zero eigenvalues of the stiffness of one undeformed element: 3 in the plane, 6 in space."""
    element = reference_element(cell_type)
    mesh = Mesh(element.nodes, (CellBlock(cell_type, np.arange(element.n_nodes)[None]),))
    body = Body(rubber() if finite else elastic(), volumetric_locking_correction=correction)
    problem = Problem(mesh, body, [], backend="scipy")
    (term,) = problem.solids
    u = torch.zeros(problem.u.shape, dtype=torch.float64)
    term.update(u, 1.0, 1.0, torch.zeros_like(u), problem.equations.matrix)
    matrix = np.stack([problem.equations.matrix.product(e) for e in np.eye(len(u))])
    values = np.linalg.eigvalsh((matrix + matrix.T) / 2)
    n_rigid = 3 if mesh.dim == 2 else 6
    assert (np.abs(values) <= 1e-10 * values.max()).sum() == n_rigid
    assert values[n_rigid] >= 1e-4 * values.max()


def solved(mesh: Mesh, body: Body, gradient: np.ndarray, **options: object) -> Problem:
    conditions = on_surface(mesh, gradient)
    problem = Problem(mesh, body, conditions, backend="scipy", **options)
    result = problem.advance(1.0)
    assert result.converged, result.reason
    u = problem.u.reshape(mesh.points.shape)
    assert np.abs(u - mesh.points @ gradient.T).max() <= 1e-12
    return problem


@pytest.mark.parametrize("cell_type", PLANE)
def test_plane_stress(cell_type: str) -> None:
    """sigma = E / (1 - nu^2) (eps + nu eps'), E = 70e3, nu = 0.3."""
    gradient = 1e-2 * GRADIENT[:2, :2]
    problem = solved(patch(cell_type), Body(elastic()), gradient, formulation="plane_stress")
    xx, yy, xy = gradient[0, 0], gradient[1, 1], (gradient[0, 1] + gradient[1, 0]) / 2
    c = 70e3 / 0.91
    expected = [c * (xx + 0.3 * yy), c * (yy + 0.3 * xx), 0, 0, 0, 70e3 / 1.3 * xy * np.sqrt(2)]
    stress = problem.point_fields()[0]["stress"].numpy()
    assert np.abs(stress - expected).max() <= 1e-10 * max(expected)


@pytest.mark.parametrize("correction", [False, True])
@pytest.mark.parametrize("cell_type", PLANE)
def test_axisymmetric(cell_type: str, correction: bool) -> None:
    """u_r = a r, u_z = b z: hoop strain a everywhere, and the force through a cross-section."""
    if correction and cell_type not in LOCKING:
        with pytest.raises(InputError, match="volumetric_locking_correction is for"):
            solved(patch(cell_type, 0.5), Body(elastic(), (), {}, {}, True), np.eye(2))
        return
    a, b = 1e-3, -4e-4
    mesh = patch(cell_type, 0.5)
    body = Body(elastic(), volumetric_locking_correction=correction)
    problem = solved(mesh, body, np.diag([a, b]), formulation="axisymmetric")
    lame, shear = 70e3 * 0.3 / (1.3 * 0.4), 70e3 / 2.6
    trace = lame * (2 * a + b)
    expected = [trace + 2 * shear * a, trace + 2 * shear * b, trace + 2 * shear * a, 0, 0, 0]
    stress = problem.point_fields()[0]["stress"].numpy()
    assert np.abs(stress - expected).max() <= 1e-11 * abs(expected[0])
    top = mesh.boundary_nodes("top")
    force = problem.unbalanced.reshape(-1, 2)[top, 1].sum()
    area = np.pi * (1.5**2 - 0.5**2)
    assert force == pytest.approx(expected[1] * area, rel=1e-11)


@pytest.mark.parametrize("cell_type", [c for c in VOLUME_CELLS if c in LOCKING])
def test_mean_dilatation(cell_type: str) -> None:
    mesh = patch(cell_type)
    gradient = 1e-2 * GRADIENT[: mesh.dim, : mesh.dim]
    body = Body(elastic(), volumetric_locking_correction=True)
    corrected = solved(mesh, body, gradient).point_fields()[0]["stress"]
    standard = solved(mesh, Body(elastic()), gradient).point_fields()[0]["stress"]
    assert torch.allclose(corrected[:, [0, 1, 5]], standard[:, [0, 1, 5]], rtol=0, atol=1e-9)


@pytest.mark.parametrize(
    ("cell_type", "correction"),
    [*((c, False) for c in VOLUME_CELLS), *((c, True) for c in VOLUME_CELLS if c in LOCKING)],
)
def test_finite_strain(cell_type: str, correction: bool) -> None:
    """P is that of the law at F = I + H at every point."""
    mesh = patch(cell_type)
    gradient = GRADIENT[: mesh.dim, : mesh.dim]
    body = Body(rubber(), volumetric_locking_correction=correction)
    problem = solved(mesh, body, gradient)
    f = torch.eye(3, dtype=torch.float64)
    f[: mesh.dim, : mesh.dim] += torch.as_tensor(gradient)
    law = rubber()
    expected = law.update(f[None], law.initial_state(1), 1.0, 1.0).stress
    assert torch.allclose(problem.solids[0].stress, expected, rtol=0, atol=1e-11)


@pytest.mark.parametrize("correction", [False, True])
@pytest.mark.parametrize("finite", [False, True])
@pytest.mark.parametrize(
    ("formulation", "cell_type"),
    [
        ("three_dimensional", "hexahedron"),
        ("three_dimensional", "wedge"),
        ("plane_strain", "quad"),
        ("axisymmetric", "quad"),
    ],
)
def test_the_matrix_is_the_derivative_of_the_forces(
    formulation: str, cell_type: str, finite: bool, correction: bool
) -> None:
    """Central differences along a random direction: an error of order h^2 down to round-off."""
    body = Body(rubber() if finite else elastic(), volumetric_locking_correction=correction)
    mesh = patch(cell_type, 0.5)
    clamped = [Dirichlet("left", axis) for axis in "xyz"[: mesh.dim]]
    problem = Problem(mesh, body, clamped, formulation=formulation, backend="scipy")
    random = np.random.default_rng(0)
    u, direction = (0.02 * random.normal(size=problem.u.shape) for _ in range(2))
    (term,) = problem.solids

    def forces(u: np.ndarray) -> np.ndarray:
        found = torch.zeros(u.shape, dtype=torch.float64)
        problem.equations.matrix.zero()
        assert term.update(torch.as_tensor(u), 1.0, 1.0, found, problem.equations.matrix) == 0
        return found.numpy()

    forces(u)
    exact = problem.equations.matrix.product(direction)
    errors = []
    for h in (1e-1, 1e-2, 1e-3, 1e-4):
        slope = (forces(u + h * direction) - forces(u - h * direction)) / (2 * h)
        errors.append(np.abs(slope - exact).max() / np.abs(exact).max())
    assert min(errors) <= 1e-9
    if finite:
        assert 1.9 <= np.log10(errors[0] / errors[1]) <= 2.1
