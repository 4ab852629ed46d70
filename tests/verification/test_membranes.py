"""Plane problems with known answers: the patch of MacNeal and Harder, and Cook's membrane."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import neml2fe
from neml2fe.fem.body import Body
from neml2fe.fem.conditions.conditions import Dirichlet, Traction
from neml2fe.fem.mesh.facets import CellBlock
from neml2fe.fem.mesh.generate import rectangle
from neml2fe.fem.mesh.mesh import Mesh
from neml2fe.fem.problem import Problem
from neml2fe.material import Material

DECK = Path(__file__).parent.parent / "fem" / "elastic.i"


def elastic(youngs_modulus: float, poissons_ratio: float) -> Material:
    overrides = [f"Models/model/coefficients={youngs_modulus} {poissons_ratio}"]
    return Material(neml2fe.load_input(DECK, overrides).get_model("model"))


@pytest.mark.parametrize("cell_type", ["quad", "triangle"])
def test_patch_of_macneal_and_harder(cell_type: str) -> None:
    """R. H. MacNeal and R. L. Harder, "A proposed standard set of problems to test finite element
    accuracy", Finite Elem. Anal. Des. 1 (1985): plane stress, E = 1e6, nu = 0.25, boundary
    displacements u = 1e-3 (x + y/2), v = 1e-3 (y + x/2); sigma_xx = sigma_yy = 1333.333,
    sigma_xy = 400."""
    outer = [(0.0, 0.0), (0.24, 0.0), (0.24, 0.12), (0.0, 0.12)]
    inner = [(0.04, 0.02), (0.18, 0.03), (0.16, 0.08), (0.08, 0.08)]
    points = np.array(outer + inner)
    quads = np.array([[0, 1, 5, 4], [1, 2, 6, 5], [2, 3, 7, 6], [3, 0, 4, 7], [4, 5, 6, 7]])
    if cell_type == "triangle":
        quads = np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])
    sets = {f"n{k}": np.array([k]) for k in range(4)}
    mesh = Mesh(points, (CellBlock(cell_type, quads),), node_sets=sets)
    conditions = []
    for k, (x, y) in enumerate(outer):
        conditions += [
            Dirichlet(f"n{k}", "x", 1e-3 * (x + y / 2)),
            Dirichlet(f"n{k}", "y", 1e-3 * (y + x / 2)),
        ]
    material = elastic(1e6, 0.25)
    problem = Problem(mesh, material, conditions, formulation="plane_stress", backend="scipy")
    assert problem.advance(1.0).converged
    stress = problem.point_fields()[0]["stress"].numpy()
    expected = [4000.0 / 3.0, 4000.0 / 3.0, 0.0, 0.0, 0.0, 400.0 * np.sqrt(2.0)]
    assert np.abs(stress - expected).max() <= 1e-9 * 1333.0


def cooks_membrane(n: int, cell_type: str) -> Mesh:
    """The tapered panel with corners (0, 0), (48, 44), (48, 60), (0, 44)."""
    square = rectangle(n, n, cell_type)
    x, y = square.points.T
    points = np.column_stack([48.0 * x, 44.0 * x + y * (44.0 - 28.0 * x)])
    return Mesh(points, square.cells, square.boundaries)


def tip(n: int, cell_type: str, body: Body, force: float) -> float:
    """Vertical displacement of the upper right corner under a shear force on the right end."""
    conditions = [
        Dirichlet("left", "x"),
        Dirichlet("left", "y"),
        Traction("right", [0.0, force / 16.0]),
    ]
    mesh = cooks_membrane(n, cell_type)
    problem = Problem(mesh, body, conditions, formulation="plane_strain", backend="scipy")
    result = problem.advance(1.0)
    assert result.converged, result.reason
    corner = np.abs(problem.local.points - [48.0, 60.0]).sum(axis=1).argmin()
    return float(problem.u[2 * corner + 1])


def test_cooks_membrane_at_the_incompressible_limit() -> None:
    """E = 250, nu = 0.4999, force 100 (J. C. Simo and M. S. Rifai, Int. J. Numer. Meth. Engng 29,
    1990). The corner at the clamped end is singular, so that errors fall with h: the limit is
    extrapolated from full quadratic elements. Standard bilinear elements lock."""
    body = Body(elastic(250.0, 0.4999))
    coarse, medium, fine = (tip(n, "quad9", body, 100.0) for n in (8, 16, 32))
    limit = fine - (fine - medium) ** 2 / ((fine - medium) - (medium - coarse))
    assert limit == pytest.approx(7.77, abs=0.02)
    corrected = Body(elastic(250.0, 0.4999), volumetric_locking_correction=True)
    tips = np.array([tip(n, "quad", corrected, 100.0) for n in (8, 16, 32)])
    assert np.all(np.diff(tips) > 0) and abs(tips[-1] / limit - 1.0) <= 0.011
    assert tip(32, "quad", body, 100.0) <= 0.4 * limit
