"""Probes: values at points and over parts of the mesh, and what cannot be probed."""

from __future__ import annotations

import numpy as np
import pytest
from results_box import (
    PLANE,
    SOLID,
    linear,
    mesh,
    problem,
    set_linear_displacements,
    set_linear_stress,
    two_bodies,
)

from neml2fe.errors import InputError
from neml2fe.fem import Mesh
from neml2fe.fem.mesh.elements import reference_element
from neml2fe.fem.results.location import locate
from neml2fe.fem.results.nodal import Averages
from neml2fe.fem.results.probes import Probe, Probes


def read(p, *probes: Probe) -> dict[str, float]:
    return Probes(p, probes, Averages(p)).read()


@pytest.mark.parametrize("cell_type", [*PLANE, *SOLID])
def test_linear_fields_at_points(cell_type: str) -> None:
    p = problem(mesh(cell_type))
    set_linear_displacements(p)
    set_linear_stress(p)
    dim = p.local.dim
    inside = np.random.default_rng(0).uniform(0.02, 0.98, size=(6, dim))
    corners = np.array([[0.0] * dim, [1.0] * dim, [0.5, *[1.0] * (dim - 1)]])
    for k, x in enumerate([*inside, *corners]):
        found = read(p, Probe("u", "displacement_y", x), Probe("s", "stress_xx", tuple(x)))
        assert found["u"] == pytest.approx(linear(x, dim)[1], rel=1e-11), k
        if cell_type not in ("triangle", "tetra"):
            assert found["s"] == pytest.approx(linear(x, 6)[0], rel=1e-11), k


@pytest.mark.parametrize("cell_type", ["quad8", "quad9"])
def test_points_in_curved_elements(cell_type: str) -> None:
    """A quarter of a ring: every reference position maps to a point that is found again."""
    flat = mesh(cell_type, distortion=0.0)
    r, angle = 1.0 + flat.points[:, 0], 0.5 * np.pi * flat.points[:, 1]
    ring = Mesh(np.stack([r * np.cos(angle), r * np.sin(angle)], 1), flat.cells, flat.boundaries)
    p = problem(ring)
    element = reference_element(cell_type)
    for xi in np.random.default_rng(0).uniform(size=(10, 2)):
        for e in (0, 4, 8):
            nodes = p.local.points[p.local.cells[0].connectivity[e]]
            place = locate(p.local, element.tabulate(xi[None])[0][0] @ nodes, "test")
            assert place is not None and place.element == e
            assert place.xi == pytest.approx(xi, abs=1e-10)


def test_statistics_over_the_mesh_and_its_parts() -> None:
    p = two_bodies()
    set_linear_stress(p)
    set_linear_displacements(p)
    for solid, value in zip(p.solids, (1.0, 3.0), strict=True):
        solid.stress[:, 0] = value
    p.solids[0].state["equivalent_plastic_strain"][5] = 0.25
    found = read(
        p,
        Probe("mean", "stress_xx"),
        Probe("least", "stress_xx", statistic="min"),
        Probe("low", "stress_xx", on="low", statistic="max"),
        Probe("high", "stress_xx", on="high"),
        Probe("left", "stress_xx", on="left"),
        Probe("most", "equivalent_plastic_strain", statistic="max"),
        Probe("over_low", "equivalent_plastic_strain", on="low"),
        Probe("u_right", "displacement_x", on="right", statistic="max"),
        Probe("u_sum", "displacement_x", on="right", statistic="sum"),
        Probe("u_low", "displacement_x", on="low", statistic="max"),
    )
    u, x = p.u.reshape(-1, 2)[:, 0], p.local.points[:, 0]
    assert found == pytest.approx(
        {
            "mean": 2.0,
            "least": 1.0,
            "low": 1.0,
            "high": 3.0,
            "left": 1.0,
            "most": 0.25,
            "over_low": 0.25 / p.solids[0].block.n_points,
            "u_right": u[x == 1.0].max(),
            "u_sum": u[x == 1.0].sum(),
            "u_low": u[x <= 0.5].max(),
        },
        rel=1e-12,
    )


def test_mises_is_that_of_the_stress_at_the_point() -> None:
    p = problem(mesh("quad"))
    p.solids[0].stress[:] = 0.0
    p.solids[0].stress[:, 5] = np.sqrt(2.0) * 100.0
    found = read(p, Probe("m", "mises", (0.3, 0.4)), Probe("s", "stress_xy", (0.3, 0.4)))
    assert found == pytest.approx({"m": np.sqrt(3.0) * 100.0, "s": 100.0})


@pytest.mark.parametrize(
    ("probe", "message"),
    [
        (Probe("a", "displacement_x", (1.3, 0.5)), r"\(1\.3, 0\.5\) is outside of the mesh, 0\.3 "),
        (Probe("a", "displacement_x", (1.3, -0.4)), "outside of the mesh, 0.5 away"),
        (Probe("a", "stress_xx", (0.5, 0.5, 0.5)), "a point of 2 coordinates"),
        (Probe("a", "displacment_x", (0.5, 0.5)), "did you mean 'displacement_x'"),
        (Probe("a", "displacement_z", (0.5, 0.5)), "no scalar field 'displacement_z'"),
        (Probe("a", "stress_xx", on="rigth"), "no part 'rigth'; did you mean 'right'"),
        (Probe("a", "stress_xx", on="right", statistic="avg"), "no statistic 'avg'"),
        (Probe("a", "stress_xx", statistic="sum"), "a sum is that of displacements"),
        (Probe("a", "equivalent_plastic_strain", on="high"), "no node or element of that part"),
        (Probe("a", "equivalent_plastic_strain", (0.9, 0.5)), "has no such field"),
        (Probe("a", "stress_xx", (0.5, 0.5), on="right"), "a point, or the name"),
        (Probe("", "stress_xx"), "a name of its own"),
    ],
)
def test_what_cannot_be_probed(probe: Probe, message: str) -> None:
    with pytest.raises(InputError, match=f"probe '{probe.name}'.*{message}"):
        read(two_bodies(), probe)


def test_distance_from_a_solid() -> None:
    p = problem(mesh("hexahedron", distortion=0.0))
    with pytest.raises(InputError, match=r"outside of the mesh, 0\.25 away"):
        read(p, Probe("a", "displacement_x", (0.3, 0.6, 1.25)))
