"""Finite strain: homogeneous solutions in closed form, rotations, volumetric locking."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.optimize import brentq

import neml2fe
from neml2fe.fem.body import Body
from neml2fe.fem.conditions.conditions import Condition, Dirichlet
from neml2fe.fem.mesh.generate import box, rectangle
from neml2fe.fem.mesh.mesh import Mesh
from neml2fe.fem.problem import Problem
from neml2fe.material import Material

DECK = Path(__file__).parent / "finite_strain.i"
UNIAXIAL = [Dirichlet("left", "x"), Dirichlet("bottom", "y"), Dirichlet("back", "z")]


def j2() -> Material:
    return Material(neml2fe.load_model(DECK, "j2"))


def rubber() -> Material:
    return Material(neml2fe.load_model(DECK, "rubber"), stress="pk1_stress")


def first_piola(problem: Problem) -> np.ndarray:
    return np.concatenate([solid.stress.numpy() for solid in problem.solids])


@pytest.mark.parametrize("correction", [False, True])
def test_neo_hookean_bar(correction: bool) -> None:
    """W = G/2 (J^(-2/3) tr C - 3) + K/4 (J^2 - 1 - 2 ln J), a = axial and b = lateral stretch:
    the nominal stress of a free bar, at stretches from 0.4 to 3."""
    g, k = 2.0, 50.0

    def stresses(a: float, b: float) -> tuple[float, float]:
        j = a * b * b
        shear = g * j ** (-2.0 / 3.0)
        mean, volumetric = (a * a + 2 * b * b) / 3.0, k / 2.0 * (j * j - 1.0)
        return (shear * (a * a - mean) + volumetric) / a, (shear * (b * b - mean) + volumetric) / b

    for direction, end in ((1.0, 2.0), (-1.0, 0.6)):
        pull = Dirichlet("right", "x", lambda t, d=direction: d * t)
        mesh = box(2, 2, 2, "hexahedron", distortion=0.3)
        body = Body(rubber(), volumetric_locking_correction=correction)
        problem = Problem(mesh, body, [*UNIAXIAL, pull], backend="scipy")
        for time in np.linspace(0.0, end, 9)[1:]:
            assert problem.advance(float(time)).converged
            a = 1.0 + direction * time
            b = brentq(lambda b, a=a: stresses(a, b)[1], 0.3, 2.0, xtol=1e-15)
            p = first_piola(problem)
            assert np.abs(p[:, 0, 0] - stresses(a, b)[0]).max() <= 1e-10 * g
            assert np.abs(np.delete(p.reshape(-1, 9), 0, axis=1)).max() <= 1e-10 * g


def test_j2_cube_in_ten_steps() -> None:
    """E = 1000, nu = 0.25, Y = 10, K = 100, stretched by 0.01 a step. With Hencky's elasticity and
    logarithmic strains the Kirchhoff stress is (E Y + E K ln a) / (E + K) once it flows, the
    lateral strain -nu e - (ln a - e) / 2 with the elastic strain e = tau / E."""
    pull = Dirichlet("right", "x", lambda t: 0.01 * t)
    mesh = box(2, 2, 2, "hexahedron", distortion=0.3)
    problem = Problem(mesh, j2(), [*UNIAXIAL, pull], kinematics="finite", backend="scipy")
    for step in range(1, 11):
        assert problem.advance(float(step)).converged
        strain = np.log(1.0 + 0.01 * step)
        tau = min(1000.0 * strain, (1000.0 * 10.0 + 1000.0 * 100.0 * strain) / 1100.0)
        elastic = tau / 1000.0
        lateral = np.exp(-0.25 * elastic - 0.5 * (strain - elastic))
        p = first_piola(problem)
        assert np.abs(p[:, 0, 0] - tau / (1.0 + 0.01 * step)).max() <= 1e-8 * 10.0
        x = problem.local.points
        u = problem.u.reshape(-1, 3)
        assert np.abs(u[:, 1:] - (lateral - 1.0) * x[:, 1:]).max() <= 1e-10


def moved(mesh: Mesh, gradient: object) -> tuple[Mesh, list[Condition]]:
    """The mesh with a node set for each surface node, and displacements (F(t) - I) X there."""
    surface = np.unique(np.concatenate([mesh.boundary_nodes(name) for name in mesh.boundaries]))
    mesh = replace(mesh, node_sets={f"n{k}": np.array([k]) for k in surface})
    conditions = [
        Dirichlet(
            f"n{k}", "xyz"[i],
            lambda t, k=k, i=i: float((gradient(t)[i] - np.eye(3)[i]) @ mesh.points[k]),
        )
        for k in surface
        for i in range(3)
    ]  # fmt: skip
    return mesh, conditions


def rotation(angle: float) -> np.ndarray:
    """About the axis (1, 2, 3)."""
    axis = np.array([1.0, 2.0, 3.0]) / np.sqrt(14.0)
    cross = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


@pytest.mark.parametrize("correction", [False, True])
@pytest.mark.parametrize("material", [j2, rubber])
def test_a_superposed_rotation_turns_the_stress_and_nothing_else(
    material: object, correction: bool
) -> None:
    """F' = Q(t) F(t) gives P' = Q P and the same state, also in plastic flow (objectivity)."""

    def stretch(t: float) -> np.ndarray:
        f = np.eye(3)
        f[0, 0], f[0, 1], f[2, 2] = 1.0 + 0.05 * t, 0.04 * t, 1.0 - 0.02 * t
        return f

    found = []
    for turn in (0.0, 0.7):
        path = lambda t, turn=turn: rotation(turn * t) @ stretch(t)  # noqa: E731
        mesh, conditions = moved(box(2, 2, 2, "hexahedron", distortion=0.3), path)
        body = Body(material(), volumetric_locking_correction=correction)
        problem = Problem(mesh, body, conditions, kinematics="finite", backend="scipy")
        for time in (0.5, 1.0, 1.5):
            assert problem.advance(time).converged
        found.append((first_piola(problem), problem.solids[0].state))
    (p, state), (turned, state_turned) = found
    assert np.abs(turned - rotation(0.7 * 1.5) @ p).max() <= 1e-9 * np.abs(p).max()
    for name in state:
        if name == "F":
            continue  # it turns
        assert torch.allclose(state[name], state_turned[name], rtol=1e-9, atol=1e-12), name


@pytest.mark.parametrize("stretch", [1e-8, 1e-6, 1e-4])
def test_small_loads_converge(stretch: float) -> None:
    """The round-off of F = 1 + H does not shrink with the load."""
    pull = Dirichlet("right", "x", lambda t: stretch * t)
    mesh = box(3, 3, 3, "hexahedron")
    problem = Problem(mesh, j2(), [*UNIAXIAL, pull], kinematics="finite", backend="scipy")
    result = problem.advance(1.0)
    assert result.converged, result.reason
    axial = first_piola(problem)[:, 0, 0]
    assert np.abs(axial - 1000.0 * stretch).max() <= 1e3 * (2.0 * stretch**2 + 1e-13)


def punch(correction: bool, n: int) -> float:
    """Force on a rigid punch pressed into nearly incompressible rubber in plane strain."""
    mesh = rectangle(n, n, "quad")
    top = mesh.boundary_nodes("top")
    under = top[mesh.points[top, 0] <= 0.5 + 1e-12]
    mesh = replace(mesh, node_sets={"punch": under})
    conditions = [
        Dirichlet("left", "x"),
        Dirichlet("bottom", "y"),
        Dirichlet("right", "x"),
        Dirichlet("punch", "y", lambda t: -0.03 * t),
    ]
    stiff = rubber()
    dict(stiff.model.named_parameters())["K"].data.fill_(1e3)
    body = Body(stiff, volumetric_locking_correction=correction)
    problem = Problem(mesh, body, conditions, backend="scipy")
    for time in np.linspace(0.0, 1.0, 4)[1:]:
        result = problem.advance(float(time))
        assert result.converged, result.reason
    return -problem.load_row()["punch_y_reaction"]


def test_f_bar_does_not_lock() -> None:
    """The force of standard quadrilaterals is far too large on a coarse mesh, that of F-bar
    converges."""
    coarse, fine = punch(True, 8), punch(True, 16)
    locked = punch(False, 8)
    assert abs(coarse - fine) <= 0.2 * fine
    assert locked >= 1.5 * fine
