"""Loads and supports: what they integrate to, what follows the body, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import neml2fe
import neml2fe.models as m
from neml2fe.errors import InputError, MeshError
from neml2fe.fem.body import Body
from neml2fe.fem.conditions.conditions import (
    BodyForce,
    Centrifugal,
    Condition,
    Dirichlet,
    Gravity,
    NodalForce,
    Pressure,
    Springs,
    Traction,
)
from neml2fe.fem.conditions.functions import PiecewiseLinear, SpaceFunction, values_at
from neml2fe.fem.integrals.matrix import LocalMatrix
from neml2fe.fem.mesh.generate import box, quarter_annulus, rectangle
from neml2fe.fem.mesh.mesh import Mesh
from neml2fe.fem.problem import Problem
from neml2fe.fem.terms.pressure import FollowerPressure
from neml2fe.material import Material

HERE = Path(__file__).parent
E, NU = 70e3, 0.3
CLAMPED = [Dirichlet("left", "x"), Dirichlet("left", "y")]


def elastic() -> Material:
    return Material(neml2fe.load_model(HERE / "elastic.i", "model"))


def neo_hookean() -> Material:
    return Material(m.NeoHookean(bulk_modulus=500.0, shear_modulus=80.0))


def solved(mesh: Mesh, conditions: list[Condition], **options: object) -> Problem:
    given = {"backend": "scipy", "bodies": elastic(), **options}
    problem = Problem(mesh, conditions=conditions, **given)
    result = problem.advance(1.0)
    assert result.converged, result.reason
    return problem


def test_prescribed_displacements_vary_in_space() -> None:
    """The field u = (a x y, -a x^2 / 2 + b y^2) on the whole boundary of quadratic elements: the
    nodes carry it, and the mean strain is that of Gauss's theorem."""
    x = SpaceFunction(lambda t, x: t * 1e-3 * x[:, 0] * x[:, 1])
    mesh = rectangle(3, 3, "quad9")
    sides = ("left", "right", "bottom", "top")
    problem = solved(
        mesh, [*[Dirichlet(s, "x", x) for s in sides], *[Dirichlet(s, "y") for s in sides]]
    )
    u = problem.u.reshape(-1, 2)
    right = mesh.boundary_nodes("right")
    assert np.array_equal(u[right, 0], 1e-3 * mesh.points[right, 0] * mesh.points[right, 1])
    block = problem.solids[0].block
    strain = block.strain(torch.as_tensor(problem.u))
    mean = (block.volumes().reshape(-1, 1) * strain).sum(0)
    assert mean[0].item() == pytest.approx(0.5e-3, rel=1e-12)  # integral of y over the right side
    assert problem.load_row()["right_x_displacement"] == pytest.approx(0.5e-3, rel=1e-12)


def test_loads_that_vary_in_space_have_their_resultants() -> None:
    """Hydrostatic pressure, a traction and a body force, linear in space: exact integrals."""
    depth = SpaceFunction(lambda t, x: t * (2.0 - x[:, 1]))
    mesh = rectangle(2, 4, "quad", (3.0, 2.0))
    problem = solved(
        mesh,
        [
            *CLAMPED,
            Pressure("right", depth, label="water"),
            Traction("top", [SpaceFunction(lambda t, x: x[:, 0]), 5.0], label="drag"),
            BodyForce([0.0, SpaceFunction(lambda t, x: -x[:, 0])], label="weight"),
            NodalForce("right", [1.0, 0.0], label="nodes"),
        ],
    )
    row = problem.load_row()
    expected = {
        "water_x": -2.0, "water_y": 0.0, "drag_x": 4.5, "drag_y": 15.0,
        "weight_x": 0.0, "weight_y": -9.0, "nodes_x": 5.0, "nodes_y": 0.0,
    }  # fmt: skip
    for name, value in expected.items():
        assert row[f"{name}_force"] == pytest.approx(value, abs=1e-12), name
    for c in "xy":
        applied = sum(v for k, v in row.items() if k.endswith(f"_{c}_force"))
        assert row[f"left_{c}_reaction"] == pytest.approx(-applied, abs=1e-10)


def test_loads_that_vary_in_space_are_integrated_once_a_step() -> None:
    """Newton's method, the energies and the table all need them."""
    asked: list[float] = []

    def force(time: float, x: np.ndarray) -> np.ndarray:
        asked.append(time)
        return time * x[:, 0]

    mesh = rectangle(3, 2, "quad9", (2.0, 1.0))
    fixed = [Dirichlet("left", c) for c in "xy"]
    load = BodyForce([SpaceFunction(force), 0.0], label="load")
    problem = Problem(mesh, elastic(), [*fixed, load], backend="scipy")
    for time in (0.5, 1.0):
        asked.clear()
        assert problem.advance(time).converged
        first = problem.loads.forces(time)
        row = problem.load_row()
        assert row["load_x_force"] == pytest.approx(2.0 * time)
        assert np.array_equal(problem.loads.forces(time), first)
        assert asked == [time]


def two_regions() -> Mesh:
    mesh = rectangle(4, 2, "quad", (2.0, 1.0))
    centre = mesh.points[mesh.cells[0].connectivity].mean(axis=1)[:, 0]
    regions = {"light": (np.flatnonzero(centre < 1),), "heavy": (np.flatnonzero(centre > 1),)}
    return Mesh(mesh.points, mesh.cells, mesh.boundaries, regions=regions)


def test_gravity_and_centrifugal_force_use_the_density_of_each_body() -> None:
    bodies = [
        Body(elastic(), ["light"], density=2.0),
        Body(elastic(), ["heavy"], density=7.0),
    ]
    loads = [
        Gravity([0.0, lambda t: -10.0 * t], label="all"),
        Gravity([0.0, -10.0], regions=["heavy"], label="one"),
        Centrifugal(lambda t: 3.0 * t, point=(0.5, 0.5), label="spin"),
        BodyForce([4.0, 0.0], regions=["light"], label="part"),
    ]
    row = solved(two_regions(), [*CLAMPED, *loads], bodies=bodies).load_row()
    assert row["all_y_force"] == pytest.approx(-90.0)
    assert row["one_y_force"] == pytest.approx(-70.0)
    # density times the area times the distance of its centre from the axis
    assert row["spin_x_force"] == pytest.approx(9.0 * (2.0 * 0.0 + 7.0 * 1.0))
    assert row["spin_y_force"] == pytest.approx(0.0, abs=1e-12)
    assert row["part_x_force"] == pytest.approx(4.0)


def test_spinning_bodies_in_three_dimensions_and_about_their_axis() -> None:
    body = Body(elastic(), density=2.0)
    held = [Dirichlet("back", c) for c in "xyz"]
    spin = Centrifugal(3.0, point=(0.0, 0.0, 5.0), direction=(0.0, 0.0, 2.0), label="spin")
    row = solved(box(2, 2, 2, "hexahedron"), [*held, spin], bodies=body).load_row()
    assert [row[f"spin_{c}_force"] for c in "xyz"] == pytest.approx([9.0, 9.0, 0.0], abs=1e-12)
    ring = rectangle(2, 2, "quad", (1.0, 1.0))
    ring = Mesh(ring.points + np.array([1.0, 0.0]), ring.cells, ring.boundaries)
    row = solved(
        ring,
        [Dirichlet("bottom", "y"), Centrifugal(3.0, label="spin")],
        bodies=body,
        formulation="axisymmetric",
    ).load_row()
    # 2 pi times the integral of r^2 from 1 to 2
    assert row["spin_x_force"] == pytest.approx(18.0 * 2.0 * np.pi * 7.0 / 3.0, rel=1e-12)


def test_foundation_of_springs_carries_a_pressed_block() -> None:
    """A column on springs per area: the reaction is the load, the base sinks by load / k."""
    conditions = [
        Dirichlet("left", "x"),
        Dirichlet("right", "x"),
        Springs("bottom", {"normal": 50.0}, label="soil"),
        Pressure("top", lambda t: 3.0 * t),
    ]
    problem = solved(rectangle(3, 2, "quad9"), conditions)
    u = problem.u.reshape(-1, 2)
    base = problem.local.node_sets["bottom"]
    assert u[base, 1] == pytest.approx(np.full(len(base), -3.0 / 50.0), rel=1e-9)
    row = problem.load_row()
    assert row["soil_y_force"] == pytest.approx(3.0, rel=1e-9)
    assert row["soil_x_force"] == pytest.approx(0.0, abs=1e-9)


def test_springs_of_nodes() -> None:
    conditions = [
        Dirichlet("bottom", "y"),
        Springs("left", [10.0, 0.0], per="node", label="springs"),
        Traction("right", [2.0, 0.0]),
    ]
    problem = solved(rectangle(2, 2, "quad"), conditions)
    mean = problem.u.reshape(-1, 2)[problem.local.node_sets["left"], 0].mean()
    assert mean == pytest.approx(2.0 / 30.0, rel=1e-9)
    assert problem.load_row()["springs_x_force"] == pytest.approx(-2.0, rel=1e-9)


MESHES = {
    "quad8": lambda: rectangle(2, 2, "quad8", distortion=0.2),
    "tetra10": lambda: box(1, 1, 1, "tetra10"),
    "hexahedron": lambda: box(1, 2, 1, "hexahedron"),
    "annulus": lambda: quarter_annulus(2, 3, "quad9", 1.0, 2.0),
}


@pytest.mark.parametrize("axisymmetric", [False, True])
@pytest.mark.parametrize("name", list(MESHES))
def test_stiffness_of_a_follower_pressure_is_the_derivative_of_its_forces(
    name: str, axisymmetric: bool
) -> None:
    mesh = MESHES[name]()
    if axisymmetric and mesh.dim == 3:
        pytest.skip("plane meshes only")
    boundary = next(iter(mesh.boundaries))
    condition = Pressure(boundary, lambda t: 3.0 * t, follower=True)
    points = torch.as_tensor(mesh.points)
    term = FollowerPressure(condition, mesh.boundaries[boundary][0], points, axisymmetric)
    every = np.arange(mesh.n_nodes)[None]
    matrix = LocalMatrix([every], mesh.n_nodes, mesh.dim)
    term.bind(matrix)
    random = np.random.default_rng(0)
    u = torch.as_tensor(0.05 * random.standard_normal(mesh.points.size))
    direction = torch.as_tensor(random.standard_normal(mesh.points.size))

    def forces(u: torch.Tensor, with_matrix: bool = False) -> torch.Tensor:
        f = torch.zeros_like(u)
        assert term.update(u, 2.0, 1.0, f, matrix if with_matrix else None) == 0
        return f

    forces(u, with_matrix=True)
    h = 1e-6
    expected = (forces(u + h * direction) - forces(u - h * direction)) / (2.0 * h)
    found = torch.as_tensor(matrix.product(direction.numpy()))
    assert (found - expected).abs().max() <= 1e-8 * expected.abs().max()


def test_a_follower_pressure_inflates_a_thick_cylinder_quadratically() -> None:
    """A quarter ring at finite strain; the force on the opened bore is pressure times its present
    projection, the deformed radius."""
    mesh = quarter_annulus(3, 6, "quad9", 1.0, 2.0)
    conditions = [
        Dirichlet("bottom", "y"),
        Dirichlet("left", "x"),
        Pressure("inner", lambda t: 30.0 * t, follower=True, label="bore"),
    ]
    problem = Problem(mesh, neo_hookean(), conditions, backend="scipy")
    for time in (0.5, 1.0):
        result = problem.advance(time)
        assert result.converged, result.reason
    norms = [r for r in result.residual_norms if r > 1e-10]
    order = np.log(norms[-1] / norms[-2]) / np.log(norms[-2] / norms[-3])
    assert order > 1.7
    corner = np.argmin(np.abs(mesh.points - [1.0, 0.0]).sum(axis=1))
    radius = 1.0 + problem.u.reshape(-1, 2)[corner, 0]
    row = problem.load_row()
    assert radius > 1.15
    assert row["bore_x_force"] == pytest.approx(30.0 * radius, rel=1e-9)
    assert row["bore_x_force"] == pytest.approx(-row["left_x_reaction"], rel=1e-9)


REFUSED = {
    "no condition": (InputError, "is no boundary condition", "nonsense"),
    "density": (InputError, "no number for its density", Gravity([0.0, -1.0])),
    "components": (InputError, "2 components are needed, got 3", BodyForce([1.0, 2.0, 3.0])),
    "region": (MeshError, "no region 'haevy'; did you mean 'heavy'", BodyForce([1, 1], ["haevy"])),
    "axis": (InputError, "along z", Centrifugal(1.0, direction=(0, 0, 1))),
    "follower": (InputError, "needs finite strain", Pressure("top", 1.0, follower=True)),
    "springs": (InputError, "'normal' and 'tangential'", Springs("top", {"nomal": 1.0})),
    "negative": (InputError, "zero or greater", Springs("top", [1.0, -1.0])),
    "per": (InputError, "per 'area' or 'node'", Springs("top", [1.0, 1.0], per="length")),
    "nodes": (MeshError, "did you mean 'top'", NodalForce("topp", [1.0, 0.0])),
    "shape": (InputError, "one value for each of",
              Pressure("top", SpaceFunction(lambda t, x: x))),
    "nan": (InputError, "not a finite number",
            Dirichlet("top", "x", SpaceFunction(lambda t, x: np.log(x[:, 0] - 0.5 - 1e9)))),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("case", list(REFUSED))
def test_wrong_conditions_are_refused(case: str) -> None:
    kind, message, condition = REFUSED[case]
    with pytest.raises(kind, match=message):
        Problem(two_regions(), elastic(), [condition], backend="scipy").advance(1.0)


def test_functions_of_time_serve_where_functions_of_place_do() -> None:
    x = np.zeros((3, 2))
    table = PiecewiseLinear([0.0, 1.0], [0.0, 4.0])
    assert np.array_equal(values_at(table, 0.5, x, "it"), [2.0, 2.0, 2.0])
    assert np.array_equal(values_at(SpaceFunction(lambda t, x: 1.0), 0.5, x, "it"), np.ones(3))
