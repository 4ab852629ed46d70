"""Fields at points brought to elements and nodes, and what they are called."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from results_box import (
    PLANE,
    SOLID,
    halves,
    linear,
    material,
    mesh,
    problem,
    set_linear_stress,
    two_bodies,
)

from neml2fe.fem import Body
from neml2fe.fem.mesh.elements import reference_element
from neml2fe.fem.results.fields import cauchy_stress, point_fields, scalars
from neml2fe.fem.results.nodal import Averages, PointFit

ONE_POINT = ("triangle", "tetra")


@pytest.mark.parametrize("cell_type", [*PLANE, *SOLID])
def test_linear_fields_are_exact_at_nodes(cell_type: str) -> None:
    """On distorted elements with straight sides; those of one point give its value."""
    p = problem(mesh(cell_type))
    set_linear_stress(p)
    stress = point_fields(p)["stress"]
    at_nodes, in_cells = Averages(p).nodes(stress), Averages(p).cells(stress)[0]
    corners = p.local.points[p.local.cells[0].connectivity]
    element = reference_element(cell_type)
    if cell_type in ONE_POINT:
        assert np.abs(in_cells - linear(corners.mean(axis=1), 6)).max() < 1e-13
        return
    assert np.abs(at_nodes - linear(p.local.points, 6)).max() < 1e-12
    xi, weights = element.quadrature(6)
    shapes, gradients = element.tabulate(xi)
    volumes = weights * np.linalg.det(np.einsum("eki,qkj->eqij", corners, gradients))
    x = np.einsum("qk,eki->eqi", shapes, corners)
    centroid = np.einsum("eq,eqi->ei", volumes, x) / volumes.sum(1)[:, None]
    if cell_type in ("triangle6", "tetra10", "quad", "quad8", "quad9", "hexahedron27"):
        # The rule of the problem integrates the position over such elements exactly.
        assert np.abs(in_cells - linear(centroid, 6)).max() < 1e-12


def test_one_point_elements_are_averaged_by_volume() -> None:
    p = problem(mesh("triangle", distortion=0.3))
    block = p.solids[0].block
    values = torch.arange(block.n_elements, dtype=torch.float64)
    p.solids[0].stress.copy_(values[:, None].expand(-1, 6))
    found = Averages(p).nodes(point_fields(p)["stress"])[:, 0]
    volumes = block.volumes()[:, 0].numpy()
    for node in range(p.local.n_local):
        around = np.flatnonzero((block.connectivity == node).any(axis=1))
        expected = (volumes[around] * around).sum() / volumes[around].sum()
        assert found[node] == pytest.approx(expected, rel=1e-13)


def test_quadratic_elements_are_fitted_not_interpolated() -> None:
    """A spike at one of nine points must not come back larger at the corner next to it."""
    p = problem(mesh("quad9"))
    weights = PointFit(p.solids[0].block).at_nodes
    assert np.abs(weights.sum(axis=1) - 1.0).max() < 1e-13
    assert np.abs(weights).max() < 1.0


def test_bodies_apart_and_together() -> None:
    p = two_bodies()
    averages, fields = Averages(p), point_fields(p)
    for solid, value in zip(p.solids, (1.0, 3.0), strict=True):
        solid.stress.fill_(value)
    x = p.local.points[:, 0]
    together = averages.nodes(fields["stress"])[:, 0]
    assert together == pytest.approx(np.where(x < 0.5, 1.0, np.where(x > 0.5, 3.0, 2.0)))
    low = averages.nodes(fields["stress"], "low")[:, 0]
    assert np.array_equal(np.isnan(low), x > 0.5) and np.nanmax(np.abs(low - 1.0)) < 1e-14
    strain = fields["equivalent_plastic_strain"]
    assert strain.sources.keys() == {0}
    assert np.array_equal(np.isnan(averages.nodes(strain)), x > 0.5)
    centres = p.local.points[p.local.cells[0].connectivity].mean(axis=1)[:, 0]
    assert np.array_equal(np.isnan(averages.cells(strain)[0]), centres > 0.5)


def test_fields_of_one_name_and_two_shapes_are_told_apart() -> None:
    bodies = [Body(material("j2"), ["low"]), Body(material("j2"), ["high"])]
    p = problem(halves(), bodies)
    state = p.solids[1].state
    state["equivalent_plastic_strain"] = torch.zeros(p.solids[1].block.n_points, 4)
    fields = point_fields(p)
    assert fields["equivalent_plastic_strain"].shape == ()
    apart = fields["equivalent_plastic_strain_high"]
    assert apart.shape == (4, 1) and apart.sources.keys() == {1}
    assert list(scalars(apart.name, apart.shape)) == [f"{apart.name}_{k}" for k in (1, 2, 3, 4)]


def test_cauchy_stress_of_a_turned_and_stretched_body() -> None:
    rng = np.random.default_rng(1)
    f = torch.as_tensor(np.eye(3) + 0.3 * rng.normal(size=(5, 3, 3)))
    sigma = rng.normal(size=(5, 3, 3))
    sigma = torch.as_tensor(sigma + sigma.swapaxes(1, 2))
    p = torch.linalg.det(f)[:, None, None] * sigma @ torch.linalg.inv(f).mT
    found = cauchy_stress(f, p).numpy()
    true = {name: take(found) for name, take in scalars("s", (6,)).items()}
    for i, a in enumerate("xyz"):
        for j, b in enumerate("xyz"):
            name = f"s_{a}{b}" if f"s_{a}{b}" in true else f"s_{b}{a}"
            assert true[name] == pytest.approx(sigma[:, i, j].numpy(), rel=1e-12)
