"""The pressurised thick cylinder in plane strain, elastic and elastic-plastic.

Inner radius a = 1, outer b = 1.3, E = 70 GPa, nu = 0.3, yield stress 250 MPa, tangent modulus
E / 100; a quarter with symmetry, internal pressure. Sources of the exact results:

- elastic: G. Lame (1852); S. P. Timoshenko, J. N. Goodier, Theory of Elasticity, section 28;
- limit pressure 2 / sqrt(3) sigma_0 ln(b / a) of the perfectly plastic von Mises cylinder:
  R. Hill, The Mathematical Theory of Plasticity (1950), chapter V; J. Lubliner, Plasticity
  Theory, section 4.3.5;
- with hardening: a radial finite-element solution written here without any part of neml2fe
  (`RadialCylinder`), and its slope in the fully plastic regime in closed form.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.linalg import solve_banded

import neml2fe
from neml2fe.fem.conditions.conditions import Dirichlet, Pressure
from neml2fe.fem.mesh.generate import quarter_annulus
from neml2fe.fem.problem import Problem
from neml2fe.material import Material

Array = NDArray[np.float64]

DECKS = Path(__file__).parent.parent / "fem"
A, B = 1.0, 1.3
E, NU, YIELD = 70e3, 0.3, 250.0
HARDENING = E / 99.0
SHEAR, BULK = E / (2 * (1 + NU)), E / (3 * (1 - 2 * NU))
LIMIT = 2.0 / np.sqrt(3.0) * YIELD * np.log(B / A)
ELEMENTS = ["triangle", "triangle6", "quad", "quad9"]


def lame_displacement(r: Array, pressure: float) -> Array:
    factor = pressure * A**2 * (1 + NU) / (E * (B**2 - A**2))
    return factor * ((1 - 2 * NU) * r + B**2 / r)


def lame_stress(r: Array, pressure: float) -> tuple[Array, Array, float]:
    """Radial, hoop and axial stress."""
    mean = pressure * A**2 / (B**2 - A**2)
    return mean * (1 - B**2 / r**2), mean * (1 + B**2 / r**2), 2 * NU * mean


def lame_mises(r: Array, pressure: float) -> Array:
    s = lame_stress(r, pressure)
    return np.sqrt(((s[0] - s[1]) ** 2 + (s[1] - s[2]) ** 2 + (s[2] - s[0]) ** 2) / 2)


FIRST_YIELD = YIELD / float(lame_mises(np.array(A), 1.0))


def material(deck: str, hardening: float = HARDENING) -> Material:
    model = neml2fe.load_model(DECKS / f"{deck}.i", "model")
    if deck == "j2":
        named = dict(model.named_parameters())
        named["return_map.surface.isoharden.K"].data.fill_(hardening)
    return Material(model)


def cylinder(
    n_radial: int, n_hoop: int, cell_type: str, of: Material, loaded: bool = True
) -> Problem:
    """The quarter under pressure t, or, unloaded, only its symmetry conditions."""
    mesh = quarter_annulus(n_radial, n_hoop, cell_type, A, B)
    symmetry = [Dirichlet("left", "x"), Dirichlet("bottom", "y")]
    return Problem(mesh, of, [*symmetry, Pressure("inner", lambda t: t)], backend="scipy")


def radii(problem: Problem) -> Array:
    return np.hypot(*problem.local.points.T)


def point_radii(problem: Problem) -> Array:
    x = problem.solids[0].block.positions().numpy()
    return np.hypot(x[..., 0], x[..., 1]).reshape(-1)


def radial_displacement(problem: Problem) -> Array:
    u = problem.u.reshape(-1, 2)
    return np.einsum("nd,nd->n", u, problem.local.points) / radii(problem)


def inner_displacement(problem: Problem) -> float:
    at_inner = np.abs(radii(problem) - A) < 1e-12
    return float(radial_displacement(problem)[at_inner].mean())


# --- elastic ---------------------------------------------------------------------------
@pytest.mark.parametrize("cell_type", ELEMENTS)
def test_elastic_solution_of_lame(cell_type: str) -> None:
    """Displacements and stresses at every node and point; errors fall with the order of the
    element: nodal displacements at least with h^2 (degree 1) or h^3 (degree 2), point
    stresses with h or h^2."""
    degree = 2 if cell_type in ("triangle6", "quad9") else 1
    u_errors, s_errors = [], []
    for n in (2, 4, 8):
        problem = cylinder(n, 5 * n, cell_type, material("elastic"))
        assert problem.advance(50.0).converged
        exact = lame_displacement(radii(problem), 50.0)
        u_errors.append(np.abs(radial_displacement(problem) - exact).max() / exact.max())
        stress = problem.point_fields()[0]["stress"].numpy()
        mises = np.sqrt(
            ((stress[:, 0] - stress[:, 1]) ** 2 + (stress[:, 1] - stress[:, 2]) ** 2) / 2
            + (stress[:, 2] - stress[:, 0]) ** 2 / 2
            + 1.5 * stress[:, 5] ** 2
        )
        exact = lame_mises(point_radii(problem), 50.0)
        s_errors.append(np.abs(mises - exact).max() / exact.max())
    assert np.log2(u_errors[1] / u_errors[2]) > degree + 0.8
    assert np.log2(s_errors[1] / s_errors[2]) > degree - 0.2
    assert u_errors[-1] < {1: 5e-3, 2: 5e-6}[degree]
    assert s_errors[-1] < {1: 3e-2, 2: 2e-4}[degree]


def test_first_yield() -> None:
    """The first point to yield is the innermost, at the pressure that Lame's stresses give."""
    problem = cylinder(4, 12, "quad9", material("j2"))
    innermost = point_radii(problem).min()
    pressure = YIELD / float(lame_mises(np.array(innermost), 1.0))
    assert FIRST_YIELD < pressure < 1.05 * FIRST_YIELD
    assert problem.advance(0.999 * pressure).converged
    assert problem.solids[0].state["equivalent_plastic_strain"].max() <= 1e-12
    assert problem.advance(1.001 * pressure).converged
    plastic = problem.solids[0].state["equivalent_plastic_strain"].numpy() > 1e-9
    assert plastic.any()
    assert point_radii(problem)[plastic].max() < innermost * (1 + 1e-6)


# --- the radial reference --------------------------------------------------------------
class RadialCylinder:
    """Radial displacements u(r) in plane strain: strains (u', u/r, 0), J2 return mapping with
    linear isotropic hardening (J. C. Simo, T. J. R. Hughes, Computational Inelasticity, box
    3.2), 3-node elements with 2 Gauss points, in NumPy alone."""

    def __init__(self, n: int, hardening: float) -> None:
        self.h = hardening
        self.r = np.linspace(A, B, 2 * n + 1)
        self.nodes = 2 * np.arange(n)[:, None] + np.arange(3)
        xi = np.array([-1.0, 1.0]) / np.sqrt(3.0)
        shapes = np.stack([xi * (xi - 1) / 2, 1 - xi**2, xi * (xi + 1) / 2], axis=1)
        slopes = np.stack([xi - 0.5, -2 * xi, xi + 0.5], axis=1)
        length = (B - A) / n
        radius = np.einsum("qk,ek->eq", shapes, self.r[self.nodes])
        self.b = np.zeros((n, 2, 2, 3))
        self.b[:, :, 0, :] = slopes * 2 / length
        self.b[:, :, 1, :] = shapes / radius[..., None]
        self.weight = radius * length / 2
        self.u = np.zeros(2 * n + 1)
        self.plastic = np.zeros((n, 2, 3))
        self.alpha = np.zeros((n, 2))

    def update(self, u: Array) -> tuple[Array, ...]:
        """Stress (radial, hoop, axial), tangent, and the new plastic state."""
        strain = np.zeros_like(self.plastic)
        strain[..., :2] = np.einsum("eqck,ek->eqc", self.b, u[self.nodes])
        elastic = strain - self.plastic
        trace = elastic.sum(-1, keepdims=True)
        deviator = 2 * SHEAR * (elastic - trace / 3)
        size = np.maximum(np.linalg.norm(deviator, axis=-1), 1e-300)
        q = np.sqrt(1.5) * size
        excess = np.maximum(q - YIELD - self.h * self.alpha, 0.0)
        step = excess / (3 * SHEAR + self.h)
        n = deviator / size[..., None]
        stress = BULK * trace + deviator - np.sqrt(6.0) * SHEAR * step[..., None] * n
        theta = 1 - 3 * SHEAR * step / q
        bar = np.where(step > 0, 3 * SHEAR / (3 * SHEAR + self.h), 0.0) - (1 - theta)
        one = np.ones((3, 3))
        tangent = (
            BULK * one
            + 2 * SHEAR * theta[..., None, None] * (np.eye(3) - one / 3)
            - 2 * SHEAR * bar[..., None, None] * n[..., :, None] * n[..., None, :]
        )
        plastic = self.plastic + np.sqrt(1.5) * step[..., None] * n
        return stress, tangent, plastic, self.alpha + step

    def advance(self, pressure: float) -> float:
        """Equilibrium at `pressure`; the displacement of the inner radius."""
        u = self.u.copy()
        for _ in range(30):
            stress, tangent, plastic, alpha = self.update(u)
            force = np.zeros_like(u)
            local = np.einsum("eqck,eqc,eq->ek", self.b, stress[..., :2], self.weight)
            np.add.at(force, self.nodes, local)
            force[0] -= pressure * A
            if np.linalg.norm(force) <= 1e-9 * pressure:
                break
            k = np.einsum(
                "eqci,eqcd,eqdj,eq->eij", self.b, tangent[..., :2, :2], self.b, self.weight
            )
            bands = np.zeros((5, len(u)))
            for i in range(3):
                for j in range(3):
                    np.add.at(bands, (2 + i - j, self.nodes[:, j]), k[:, i, j])
            u -= solve_banded((2, 2), bands, force)
        else:
            raise AssertionError("the radial reference did not converge")
        self.u, self.plastic, self.alpha = u, plastic, alpha
        return float(u[0])


PATH = [0.95 * FIRST_YIELD, 0.96 * LIMIT, 0.99 * LIMIT, LIMIT, 1.01 * LIMIT, 1.03 * LIMIT]


def test_the_reference_itself() -> None:
    """Lame's solution, mesh independence, and the closed form of the fully plastic slope:
    with u = c / r and equivalent strain 2 c / (sqrt(3) r^2) all along, equilibrium gives
    dp / du_a = 2 H / 3 a (1 / a^2 - 1 / b^2), up to the elastic part of order H / G."""
    coarse, fine = RadialCylinder(60, HARDENING), RadialCylinder(240, HARDENING)
    assert fine.advance(PATH[0]) == pytest.approx(
        float(lame_displacement(np.array(A), PATH[0])), rel=1e-8
    )
    coarse.advance(PATH[0])
    for pressure in PATH[1:]:
        assert coarse.advance(pressure) == pytest.approx(fine.advance(pressure), rel=1e-5)
    u1, u2 = fine.advance(1.04 * LIMIT), fine.advance(1.06 * LIMIT)
    slope = 2 * HARDENING / 3 * A * (1 / A**2 - 1 / B**2)
    assert 0.02 * LIMIT / (u2 - u1) == pytest.approx(slope, rel=HARDENING / SHEAR)


# --- elastic-plastic -------------------------------------------------------------------
@pytest.mark.parametrize("cell_type", ["quad9", pytest.param("triangle6", marks=pytest.mark.slow)])
def test_pressure_and_displacement_with_hardening(cell_type: str) -> None:
    """From elastic over the limit pressure into the fully plastic regime. The error is largest
    while the plastic front crosses the wall, since it crosses elements, and falls with h."""
    partly, fully = [], []
    for n in (2, 4, 8):
        problem = cylinder(n, 2 * n + 2, cell_type, material("j2"))
        reference = RadialCylinder(120, HARDENING)
        errors = []
        for pressure in PATH:
            assert problem.advance(pressure).converged
            errors.append(abs(inner_displacement(problem) / reference.advance(pressure) - 1))
        partly.append(max(errors[1:3]))
        fully.append(max(errors[3:]))
    assert partly[2] < partly[0] / 4 and partly[2] < 1e-3
    assert fully[2] < fully[0] / 4 and fully[2] < 1e-4


def front(problem: Problem) -> float:
    """Part of the points that have yielded."""
    return float((problem.solids[0].state["equivalent_plastic_strain"] > 1e-9).double().mean())


def test_plastic_zone_reaches_the_outside_at_the_limit_pressure() -> None:
    """With hardening the pressure may pass the limit, but hardly before all has yielded."""
    problem = cylinder(4, 16, "quad9", material("j2"))
    zones = {}
    for part in (0.90, 0.97, 1.005):
        assert problem.advance(part * LIMIT).converged
        zones[part] = front(problem)
    assert 0.2 < zones[0.90] < zones[0.97] < 1.0
    assert zones[1.005] == 1.0


@pytest.mark.parametrize("cell_type", ["quad9", pytest.param("triangle6", marks=pytest.mark.slow)])
def test_limit_pressure_of_perfect_plasticity(cell_type: str) -> None:
    """Equilibrium is found up to 1 % below the limit, and not 1 % above it."""
    problem = cylinder(3, 8, cell_type, material("j2", 0.0))
    for part in (0.6, 0.9, 0.96, 0.98, 0.99):
        assert problem.advance(part * LIMIT).converged
    assert not problem.advance(1.01 * LIMIT).converged


def test_linear_quadrilaterals_lock() -> None:
    """A limit of what is offered, stated: fully integrated linear quadrilaterals cannot flow at
    constant volume everywhere, and carry a pressure at which the cylinder has collapsed."""
    problem = cylinder(3, 8, "quad", material("j2", 0.0))
    for part in (0.6, 0.9, 1.0, 1.02):
        assert problem.advance(part * LIMIT).converged
