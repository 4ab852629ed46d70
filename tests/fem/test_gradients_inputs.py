"""Gradients by all kinds of inputs, with all kinds of conditions and observations."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TypeAlias

import numpy as np
import pytest
import torch
from gradients_box import (
    EP,
    LAWS,
    assert_right,
    assert_transposed,
    deck_model,
    held,
    law,
    param,
    parametrised,
    path,
    sides,
)

import neml2fe.models as m
from neml2fe.fem import (
    Body,
    BodyForce,
    Centrifugal,
    CohesiveInterface,
    ControlDisplacement,
    ControlForce,
    Dirichlet,
    ElementField,
    FieldTable,
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
from neml2fe.fem.mesh.interfaces import split_regions
from neml2fe.fem.observations import (
    ControlMotion,
    DisplacementsAt,
    ElementMeans,
    MeanStrain,
    MeanStress,
    NodalDisplacements,
    Observation,
    PointValues,
    Reaction,
    SurfaceDisplacementsAt,
    VirtualWork,
    VolumeIntegral,
)
from neml2fe.material import Material

Setting: TypeAlias = tuple[Problem, dict[str, Observation]]
SETTINGS: dict[str, Callable[[], Setting]] = {}
PLATE = rectangle(2, 2, "quad", distortion=0.2)
NODES = {"nodes": NodalDisplacements("right"), "points": DisplacementsAt([[0.3, 0.4], [0.9, 0.2]])}
STRAIN = VirtualWork(lambda x: np.stack([x[:, 0] ** 2, x[:, 0] * x[:, 1]], axis=1))


def setting(make: Callable[[], Setting]) -> Callable[[], Setting]:
    SETTINGS[make.__name__] = make
    return make


def halves(mesh: Mesh) -> Mesh:
    """With the regions `low` and `high` in y."""
    low, high = mesh.bounding_box
    up = mesh.points[mesh.cells[0].connectivity].mean(axis=1)[:, 1] > (low[1] + high[1]) / 2
    regions = {"low": (np.flatnonzero(~up),), "high": (np.flatnonzero(up),)}
    return Mesh(mesh.points, mesh.cells, mesh.boundaries, regions=regions)


def neo_hookean(factor: float = 1.0) -> Material:
    law = m.NeoHookean(bulk_modulus=500.0 * factor, shear_modulus=80.0 * factor)
    return Material(parametrised(law), backend="kernel")


def known(field: str) -> str:
    """A block that makes a variable known to the rest of a deck."""
    return f"[Bodies]\n[all]\nmaterial = 'law'\nfield_names = '{field}'\n[]\n[]"


@cache
def fed() -> Material:
    """Plasticity whose yield stress `sy` is a field."""
    body = LAWS["voce"].replace("yield_stress = 200", "yield_stress = 'sy'")
    return Material(parametrised(deck_model(body, known("sy"))), backend="kernel")


@setting
def per_element() -> Setting:
    mesh = rectangle(12, 9, "quad")
    values = param(200.0 + 30.0 * np.sin(np.arange(108.0)))
    return Problem(mesh, fed(), sides(2), fields={"sy": ElementField(values)}), {
        "force": Reaction("pull"), "plastic": ElementMeans(EP), "points": PointValues(EP)
    }  # fmt: skip


@setting
def at_nodes_in_time() -> Setting:
    fields = [NodalField(param(180.0 + 9.0 * np.arange(9.0))), ElementField(param([150.0] * 4))]
    table = FieldTable([0.0, 1.0], fields)
    return Problem(PLATE, fed(), sides(2), fields={"sy": table}), {
        "force": Reaction("pull"), "volume": VolumeIntegral(EP), "stress": ElementMeans("stress")
    }  # fmt: skip


@setting
def of_place() -> Setting:
    a = param([190.0, 40.0])
    place = SpaceFunction(lambda t, x: a[0] + a[1] * t * x[:, 0] ** 2, tensors=[a])
    return Problem(PLATE, fed(), sides(2), fields={"sy": place}), {"force": Reaction("pull")}


@setting
def initial_state() -> Setting:
    old = ElementField(param([0.002, 0.001, 0.003, 0.0015]))
    plastic = param([1e-3, -5e-4, -5e-4, 0.0, 0.0, 4e-4])
    body = Body(law("j2"), initial_state={EP: old, "plastic_strain": plastic})
    return Problem(PLATE, body, sides(2)), {"force": Reaction("pull"), "plastic": PointValues(EP)}


@setting
def prescribed() -> Setting:
    table = PiecewiseLinear([0.0, 0.5, 1.0], [0.0, param(0.004), param(0.001)])
    a = param([0.003, 0.001])
    bent = SpaceFunction(lambda t, x: t * (a[0] * x[:, 1] + a[1] * x[:, 1] ** 2), tensors=[a])
    conditions = [
        *held(2), Dirichlet("right", "x", table, label="pull"), Dirichlet("right", "y", bent)
    ]  # fmt: skip
    return Problem(PLATE, law("j2"), conditions), {
        "force": Reaction("pull"), "other": Reaction("left_y"), "work": STRAIN,
        "plastic": ElementMeans(EP),
    }  # fmt: skip


class Growing(torch.nn.Module):
    """p (1 - exp(-t / tau))."""

    def __init__(self) -> None:
        super().__init__()
        self.p, self.tau = (torch.nn.Parameter(param(v)) for v in (150.0, 0.4))

    def forward(self, t: torch.Tensor) -> torch.Tensor:
        return self.p * (1.0 - torch.exp(-t / self.tau))


@setting
def loads() -> Setting:
    conditions = [
        *held(2),
        Traction("right", [Growing(), param(40.0)]),
        Pressure("top", SpaceFunction(Wave())),
        BodyForce([param(10.0), lambda t: 20.0 * t]),
        Gravity([0.0, param(-9.81)]),
        Centrifugal(param(2.0)),
        NodalForce("bottom", [0.0, param(3.0)]),
        Springs("top", [1e4, 2e4]),
    ]
    body = Body(law("j2"), density=2.0)
    return Problem(PLATE, body, conditions), {**NODES, "reaction": Reaction("left_y")}


class Wave(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.wave = torch.nn.Parameter(param([1.5, 0.7]))

    def forward(self, t: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        return 30.0 * t * torch.sin(x @ self.wave)


@setting
def follower() -> Setting:
    mesh = box(1, 1, 2, "hexahedron", distortion=0.1)
    conditions = [
        *[Dirichlet("back", c) for c in "xyz"],
        Pressure("front", param(20.0), follower=True),
        Springs("right", {"normal": 5.0, "tangential": 2.0}),
    ]
    surface = SurfaceDisplacementsAt("front", [[0.5, 0.5, 1.0], [0.2, 0.1, 1.0]])
    return Problem(mesh, neo_hookean(), conditions), {
        "surface": surface,
        "hold": Reaction("back_z"),
    }


@setting
def rotated() -> Setting:
    axes = np.array([[np.cos(0.4), np.sin(0.4)], [-np.sin(0.4), np.cos(0.4)]])
    mesh = Mesh(PLATE.points @ axes, PLATE.cells, PLATE.boundaries)
    conditions = [
        Dirichlet("left", "normal"),
        Dirichlet("bottom", "y", frame=axes.tolist()),
        Dirichlet(
            "right", "normal", PiecewiseLinear([0.0, 1.0], param([0.0, 0.006])), label="pull"
        ),
    ]
    return Problem(mesh, law("j2"), conditions), {
        "force": Reaction("pull"), "nodes": NodalDisplacements("top"), "plastic": ElementMeans(EP)
    }  # fmt: skip


@setting
def rigid() -> Setting:
    mesh = box(1, 1, 2, "hexahedron", distortion=0.1)
    conditions = [
        *[Dirichlet("back", c) for c in "xyz"],
        RigidBody("front", (0.5, 0.5, 1.3), label="head"),
        ControlDisplacement("head", "rz", PiecewiseLinear([0.0, 1.0], param([0.0, 0.8]))),
        ControlForce("head", "x", param(5.0)),
        ControlForce("head", "ry", lambda t: 2.0 * t),
    ]
    return Problem(mesh, neo_hookean(), conditions), {
        "moment": Reaction("head_rz"), "held": Reaction("back_x"), "nodes": NodalDisplacements(),
        "motion": ControlMotion("head_x"), "angle": ControlMotion("head_ry"),
    }  # fmt: skip


@setting
def cell() -> Setting:
    mesh = halves(rectangle(3, 2, "quad", (2.0, 1.5)))
    bodies = [Body(law("j2"), ["low"]), Body(law("elastic"), ["high"])]
    given = PeriodicCell(
        {"xx": PiecewiseLinear([0.0, 0.5, 1.0], param([0.0, 0.004, 0.001])), "xy": param(0.001)},
        {"yy": param(30.0)},
    )
    return Problem(mesh, bodies, [given]), {
        "stress": MeanStress(), "strain": MeanStrain(), "plastic": ElementMeans(EP, "low")
    }  # fmt: skip


@setting
def cell_finite() -> Setting:
    mesh = halves(rectangle(3, 2, "quad", (2.0, 1.5)))
    bodies = [Body(neo_hookean(), ["low"]), Body(neo_hookean(3.0), ["high"])]
    strain = {"xx": PiecewiseLinear([0.0, 1.0], param([0.0, 0.2])), "xy": lambda t: 0.3 * t}
    return Problem(mesh, bodies, [PeriodicCell(strain, {"yy": param(20.0)})]), {
        "stress": MeanStress(), "strain": MeanStrain()
    }  # fmt: skip


INTERFACE = """
  [parts]
    type = VecComponents
    from = jump
    to   = 'normal tangential_separation_1 tangential_separation_2'
  []
  [contact]
    type        = MacaulaySplit
    from        = normal
    to_positive = normal_separation
    to_negative = normal_penetration
  []
  [effective]
    type     = ScalarPNorm
    from     = 'normal_separation tangential_separation_1 tangential_separation_2'
    to       = effective_separation
    exponent = 2
  []
  [bilinear]
    type                = BilinearTraction
    normal_penetration  = normal_penetration
    penalty_stiffness   = 1e5
    critical_separation = onset
    full_separation     = 0.02
  []
"""


@setting
def cohesive() -> Setting:
    model = deck_model(
        "type = ComposedModel\n models = 'parts contact effective bilinear'\n"
        "additional_outputs = 'traction damage'",
        f"[Models]\n{INTERFACE}\n[]\n{known('onset')}",
    )
    glue = Material(parametrised(model), backend="kernel")
    mesh = split_regions(halves(PLATE), "low", "high", "glue")
    conditions = [
        CohesiveInterface("glue", glue, fields={"onset": param(0.001)}),
        *[Dirichlet("bottom", c) for c in "xy"],
        Dirichlet("top", "y", PiecewiseLinear([0.0, 0.5, 1.0], param([0.0, 0.006, 0.003]))),
        Dirichlet("top", "x", lambda t: 0.002 * path(t)),
    ]
    return Problem(mesh, law("elastic"), conditions), {
        "force": Reaction("top_y"), "nodes": NodalDisplacements("left"),
        "work": VirtualWork(lambda x: x),
    }  # fmt: skip


@setting
def one_material_in_two_bodies() -> Setting:
    mesh = halves(PLATE)
    bodies = [
        Body(law("j2"), ["low"]), Body(law("j2"), ["high"], volumetric_locking_correction=True)
    ]  # fmt: skip
    return Problem(mesh, bodies, sides(2)), {
        "force": Reaction("pull"), "high": ElementMeans(EP, "high")
    }  # fmt: skip


# Where points yield close by, smaller steps.
OPTIONS = {"per_element": {"sizes": (1e-4, 3e-5), "seed": 1}, "rotated": {"sizes": (1e-4, 1e-5)}}


@pytest.mark.parametrize("name", SETTINGS)
def test_gradients_are_those_of_differences(name: str) -> None:
    assert_right(*SETTINGS[name](), **OPTIONS.get(name, {}))


@pytest.mark.parametrize("name", SETTINGS)
def test_sensitivities_and_gradients_are_transposes(name: str) -> None:
    assert_transposed(*SETTINGS[name]())
