"""Gradients by the coordinates of nodes: against differences, against sensitivities, on ranks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from gradients_box import EP, assert_right, assert_transposed, held, law, param, sides
from test_gradients_inputs import Setting, fed, halves, neo_hookean

from neml2fe.errors import Error, InputError, MeshError
from neml2fe.fem import (
    Body,
    BodyForce,
    Centrifugal,
    Dirichlet,
    ElementField,
    Gravity,
    Mesh,
    NodalField,
    NodalForce,
    PeriodicCell,
    PiecewiseLinear,
    Pressure,
    Problem,
    RigidBody,
    SpaceFunction,
    Springs,
    Traction,
)
from neml2fe.fem.mesh.generate import box, rectangle
from neml2fe.fem.observations import (
    DisplacementsAt,
    NodalDisplacements,
    PointValues,
    Reaction,
)

PLATE = rectangle(2, 2, "quad", distortion=0.2)
CURVED = rectangle(1, 2, "quad8")
BLOCK = box(1, 2, 1, "hexahedron", distortion=0.2)
RING = Mesh(PLATE.points + np.array([0.5, 0.0]), PLATE.cells, PLATE.boundaries)
WHAT = {"force": Reaction("pull"), "nodes": NodalDisplacements("right")}
PLASTIC = {"force": Reaction("pull"), "cross": Reaction("shear"), "plastic": PointValues(EP)}


def shaped(mesh: Mesh, *given: Any, **options: Any) -> Problem:
    """A problem with the coordinates of the mesh as an input."""
    return Problem(mesh, *given, coordinates=param(mesh.points), **options)


def loads(dim: int) -> list[Any]:
    """All that follow the shape."""
    value = [param(20.0), 30.0, 10.0][:dim]
    return [
        Traction("right", value),
        Pressure("top", PiecewiseLinear([0.0, 1.0], [0.0, 15.0])),
        BodyForce(value, ["low"]),
        Gravity([0.0, 9.81, 2.0][:dim]),
        NodalForce("right", [0.0, 2.0, 1.0][:dim]),
        Springs("right", [1e3] * dim, per="node"),
    ]


SETTINGS: dict[str, Callable[[], Setting]] = {
    "elastic": lambda: (shaped(PLATE, law("elastic"), sides(2)), WHAT),
    "curved": lambda: (shaped(CURVED, law("j2"), sides(2)), PLASTIC),
    "axisymmetric": lambda: (
        shaped(RING, law("j2"), sides(2), formulation="axisymmetric"), PLASTIC
    ),
    "history": lambda: (shaped(BLOCK, law("chaboche"), sides(3)), PLASTIC),
    "b_bar": lambda: (
        shaped(PLATE, Body(law("voce"), volumetric_locking_correction=True), sides(2)), PLASTIC
    ),
    "plane_stress": lambda: (
        shaped(PLATE, law("j2"), sides(2), formulation="plane_stress"), PLASTIC
    ),
    "logarithmic": lambda: (
        shaped(PLATE, law("j2"), sides(2, 0.1), kinematics="finite"), PLASTIC
    ),
    "f_bar": lambda: (
        shaped(
            BLOCK, Body(neo_hookean(), volumetric_locking_correction=True), sides(3, 0.3)
        ), WHAT
    ),
    "loads": lambda: (
        shaped(halves(PLATE), Body(law("elastic"), density=2.0), [*held(2), *loads(2)]),
        {"reaction": Reaction("left_x"), "nodes": NodalDisplacements()},
    ),
    "loads_on_curves": lambda: (
        shaped(
            halves(Mesh(CURVED.points + np.array([0.3, 0.0]), CURVED.cells, CURVED.boundaries)),
            Body(law("elastic"), density=2.0), [*held(2), *loads(2)], formulation="axisymmetric",
        ),
        {"reaction": Reaction("left_x"), "nodes": NodalDisplacements()},
    ),
    "loads_in_space": lambda: (
        shaped(halves(BLOCK), Body(law("elastic"), density=2.0), [*held(3), *loads(3)]),
        {"reaction": Reaction("left_x"), "nodes": NodalDisplacements()},
    ),
    "follower": lambda: (
        shaped(BLOCK, neo_hookean(), [*held(3), Pressure("right", param(20.0), follower=True)]),
        {"reaction": Reaction("left_x"), "nodes": NodalDisplacements("right")},
    ),
    "turned": lambda: (
        shaped(
            PLATE, law("j2"),
            [
                *[Dirichlet("left", c, frame=[[0.8, 0.6], [-0.6, 0.8]]) for c in "xy"],
                *sides(2)[2:],
            ],
        ),
        PLASTIC,
    ),
    "fields": lambda: (
        shaped(
            PLATE, Body(fed(), initial_state={EP: ElementField(param([0.002, 0.0, 0.001, 0.0]))}),
            sides(2), fields={"sy": NodalField(param(180.0 + 9.0 * np.arange(9.0)))},
        ),
        PLASTIC,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SETTINGS)
def test_gradients_are_those_of_differences(name: str) -> None:
    assert_right(*SETTINGS[name](), names=["coordinates"], sizes=(1e-4, 1e-5))


@pytest.mark.parametrize("name", SETTINGS)
def test_sensitivities_and_gradients_are_transposes(name: str) -> None:
    assert_transposed(*SETTINGS[name]())


def test_the_nodes_follow_the_tensor() -> None:
    """What a run after a change in place gives is that of a new problem there; the mesh that the
    problem was made of stays as it is."""
    before = PLATE.points.copy()
    moved = torch.tensor(PLATE.points * [1.3, 0.8] + 0.02 * np.sin(7.0 * PLATE.points[:, ::-1]))
    conditions = [*held(2), Traction("right", [20.0, 30.0]), BodyForce([5.0, 1.0])]
    observe = {"u": NodalDisplacements(), "force": Reaction("left_x")}
    x = param(PLATE.points)
    problem = Problem(PLATE, law("elastic"), conditions, coordinates=x)
    first = problem.solve([1.0], observe)
    with torch.no_grad():
        x.copy_(moved)
    second = problem.solve([1.0], observe)
    new = Problem(Mesh(moved.numpy(), PLATE.cells, PLATE.boundaries), law("elastic"), conditions)
    expected = new.solve([1.0], observe)
    for name in observe:
        assert torch.allclose(second[name], expected[name], rtol=1e-12, atol=0.0)
    assert not torch.allclose(first["u"], second["u"], rtol=1e-2, atol=0.0)
    assert np.array_equal(PLATE.points, before)
    with pytest.raises((Error, RuntimeError), match=r"modified|changed"):
        first["u"].sum().backward()


def test_other_parameters_of_the_shape() -> None:
    """A scale of the whole body: without gravity the displacements of elasticity scale along."""
    scale = param(1.5)
    conditions = [*held(2), Traction("right", [20.0, 30.0])]
    x = scale * torch.tensor(PLATE.points)
    problem = Problem(PLATE, law("elastic"), conditions, coordinates=x)
    total = problem.solve([1.0], {"u": NodalDisplacements()})["u"].square().sum()
    (found,) = torch.autograd.grad(total, scale)
    assert float(found) == pytest.approx(2.0 * float(total.detach()) / 1.5, rel=1e-9)


CENTRE = SpaceFunction(lambda t, x: 0.001 * x[:, 1])
REFUSED: dict[str, tuple[Any, str]] = {
    "body": (RigidBody("right", (1.0, 0.5)), "'right_rigid' is a RigidBody"),
    "cell": (PeriodicCell({"xx": 0.01}), "'cell' is a PeriodicCell"),
    "spin": (Centrifugal(1.0), "'centrifugal' is a Centrifugal"),
    "springs": (Springs("right", [1.0, 1.0]), "'right_springs' has a stiffness per area"),
    "normal": (Dirichlet("right", "normal"), "'right_normal' is along a normal"),
    "place": (Dirichlet("right", "x", CENTRE), "'right_x' varies in space"),
    "load": (Traction("right", [CENTRE, 0.0]), "'right_traction' varies in space"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_conditions_that_do_not_follow_are_refused(name: str) -> None:
    condition, message = REFUSED[name]
    with pytest.raises(InputError, match=message):
        shaped(PLATE, law("elastic"), [condition])


def test_what_else_is_refused() -> None:
    def yielding(x: np.ndarray) -> np.ndarray:
        return 200.0 + x[:, 0]

    for field in (NodalField(yielding), SpaceFunction(lambda t, x: yielding(x))):
        with pytest.raises(InputError, match="'sy' depends on places"):
            shaped(PLATE, fed(), sides(2), fields={"sy": field})
    problem = shaped(PLATE, law("elastic"), sides(2))
    points = DisplacementsAt([[0.5, 0.5]])
    with pytest.raises(InputError, match="'u' cannot be observed while coordinates"):
        problem.solve([1.0], {"u": points})
    with pytest.raises(InputError, match="'force' is bound to the problem already"):
        problem.solve([1.0], {"force": Reaction("pull").bind(problem)})
    with pytest.raises(InputError, match="one row for each node"):
        Problem(PLATE, law("elastic"), sides(2), coordinates=param(np.zeros((3, 2))))
    assert problem.coordinates is not None
    with torch.no_grad():
        problem.coordinates[4] += 5.0
    for _ in range(2):
        with pytest.raises(MeshError, match=r"turn . elements of type quad inside out"):
            problem.solve([1.0], WHAT)
