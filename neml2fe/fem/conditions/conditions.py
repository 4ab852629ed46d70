"""Boundary conditions, loads and constraints, each a function of time on a named part of the mesh.

Components are "x", "y", "z". Values are numbers, functions of time, or `SpaceFunction`s of
time and place; the numbers may be tensors `()`, as inputs of gradients. Stresses, tractions and
body forces act on the undeformed area or volume; in plane strain and plane stress all forces are
per unit of thickness, and an axisymmetric body takes them around its whole circumference.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any

import torch

from neml2fe.errors import InputError, suggest
from neml2fe.fem.conditions.functions import Function, TimeFunction
from neml2fe.material.interface import PointMaterial

COMPONENTS = ("x", "y", "z")
ROTATIONS = ("rx", "ry", "rz")


def component_index(component: str, dim: int, what: str) -> int:
    """0, 1 or 2. Raises `InputError` for a component that the mesh does not have."""
    known = COMPONENTS[:dim]
    if component not in known:
        raise InputError(f"{what}: no component '{component}'{suggest(component, known)}")
    return known.index(component)


@dataclass(frozen=True)
class Dirichlet:
    """Displacement `component` has the given `value` on all nodes of `boundary`.

    `boundary` names a boundary or a node set of the mesh. `label` heads the columns of the
    load table: prescribed displacement (its mean, where it varies in space) and reaction.

    `frame` turns the axes that the components refer to: unit vectors along the local x, y (, z).
    The component "normal" is along the outward normal of `boundary` at each node, the average of
    its facets. All conditions on a node must use one frame.
    """

    boundary: str
    component: str
    value: Function = 0.0
    label: str = ""
    frame: Sequence[Sequence[float]] | None = None

    @property
    def name(self) -> str:
        return self.label or f"{self.boundary}_{self.component}"


@dataclass(frozen=True)
class Traction:
    """Force per area with components `value` on `boundary`."""

    boundary: str
    value: Sequence[Function]
    label: str = ""

    @property
    def name(self) -> str:
        return self.label or f"{self.boundary}_traction"


@dataclass(frozen=True)
class Pressure:
    """Force per area `value` against the outward normal of `boundary`.

    Of the undeformed body, or, where it is a `follower`, of the deformed one: on its present
    area, with a load stiffness. A follower needs a material of finite strain.
    """

    boundary: str
    value: Function
    label: str = ""
    follower: bool = False

    @property
    def name(self) -> str:
        return self.label or f"{self.boundary}_pressure"


@dataclass(frozen=True)
class BodyForce:
    """Force per volume with components `value` in `regions` (none: the whole mesh)."""

    value: Sequence[Function]
    regions: Sequence[str] = ()
    label: str = ""

    @property
    def name(self) -> str:
        return self.label or "body_force"


@dataclass(frozen=True)
class Gravity:
    """Force `acceleration` times the density of the body, in `regions` (none: the whole mesh)."""

    acceleration: Sequence[Function]
    regions: Sequence[str] = ()
    label: str = ""

    @property
    def name(self) -> str:
        return self.label or "gravity"


@dataclass(frozen=True)
class Centrifugal:
    """Density times the square of `angular_velocity` (radian per time) times the distance from the
    axis through `point` along `direction`, outward.

    In plane problems the axis is along z through `point` (by default the origin), in axisymmetric
    ones the axis of symmetry. At finite strain the distance is that of the undeformed body.
    """

    angular_velocity: TimeFunction
    point: Sequence[float] = ()
    direction: Sequence[float] = ()
    regions: Sequence[str] = ()
    label: str = ""

    @property
    def name(self) -> str:
        return self.label or "centrifugal"


@dataclass(frozen=True)
class NodalForce:
    """Force with components `value` on each node of `nodes`, a boundary or node set."""

    nodes: str
    value: Sequence[Function]
    label: str = ""

    @property
    def name(self) -> str:
        return self.label or f"{self.nodes}_force"


@dataclass(frozen=True)
class Springs:
    """Linear springs between `boundary` and the ground.

    `stiffness` lists a number for each component, or is {"normal": k, "tangential": k} in the
    direction of the outward normal of the undeformed boundary and across it. Per area of
    `boundary` (a foundation), or, with `per="node"`, of each node of a boundary or node set.
    """

    boundary: str
    stiffness: Sequence[float] | Mapping[str, float]
    per: str = "area"
    label: str = ""

    @property
    def name(self) -> str:
        return self.label or f"{self.boundary}_springs"


@dataclass(frozen=True)
class RigidBody:
    """The nodes of `boundary` (a boundary or node set) move as one rigid body.

    The motion is that of a reference `point`: its displacement and its rotation, a rotation vector
    in radian (3-D) or an angle (2-D). Small strain: linear. Finite strain: the exact rotation.
    `ControlDisplacement` and `ControlForce` of this `label` drive it; what is not driven is free.
    """

    boundary: str
    point: Sequence[float]
    label: str = ""

    @property
    def name(self) -> str:
        return self.label or f"{self.boundary}_rigid"


@dataclass(frozen=True)
class ControlDisplacement:
    """The rigid body labelled `body` moves by `value` in `component`: "x", "y", "z", "rx", "ry" or
    "rz" (2-D: "x", "y", "rz")."""

    body: str
    component: str
    value: TimeFunction = 0.0
    label: str = ""

    @property
    def name(self) -> str:
        return self.label or f"{self.body}_{self.component}"


@dataclass(frozen=True)
class ControlForce:
    """Force, or moment, `value` on `component` of the rigid body labelled `body`."""

    body: str
    component: str
    value: TimeFunction = 0.0
    label: str = ""

    @property
    def name(self) -> str:
        return self.label or f"{self.body}_{self.component}"


@dataclass(frozen=True)
class PeriodicCell:
    """The mesh is one period of a body under the mean strain H: u(X + a) = u(X) + H a.

    - `pairs`: "auto" for the faces of a box, or pairs of names (boundary, the same boundary one
      period further).
    - `strain`, `stress`: prescribed components "xx", "yy", "zz", "yz", "xz", "xy" of the mean
      strain (small strain; tensor, not engineering, shear components) or of the mean displacement
      gradient F - I and first Piola-Kirchhoff stress (finite strain; "yx", "zx", "zy" too). What
      neither prescribes is free of stress; at finite strain "yx", "zx" and "zy" are then zero
      displacement gradients, which fixes the rotation.

    Translation is fixed at one corner. Mean stresses are over the volume of the period (area in
    2-D), holes included.
    """

    strain: Mapping[str, TimeFunction] = field(default_factory=dict)
    stress: Mapping[str, TimeFunction] = field(default_factory=dict)
    pairs: str | Sequence[tuple[str, str]] = "auto"
    label: str = ""

    @property
    def name(self) -> str:
        return self.label or "cell"


@dataclass(frozen=True)
class CohesiveInterface:
    """A traction-separation `material` on the interface `interface` of the mesh.

    The local axes are those of the undeformed interface, so that sliding and rotation must be
    small. `quadrature`: "gauss", or "nodes" (Newton-Cotes), which keeps tractions of stiff
    interfaces from oscillating.
    """

    interface: str
    material: PointMaterial
    quadrature: str = "gauss"
    fields: Mapping[str, TimeFunction] = field(default_factory=dict)
    label: str = ""

    @property
    def name(self) -> str:
        return self.label or self.interface


Condition = (
    Dirichlet
    | Traction
    | Pressure
    | BodyForce
    | Gravity
    | Centrifugal
    | NodalForce
    | Springs
    | RigidBody
    | ControlDisplacement
    | ControlForce
    | PeriodicCell
    | CohesiveInterface
)


def functions_of(condition: Condition) -> list[Any]:
    """The functions of a condition, tensors among them."""
    found: list[Any] = []
    assert is_dataclass(condition)
    for entry in fields(condition):
        value = getattr(condition, entry.name)
        if isinstance(value, Mapping):
            found += value.values()
        elif isinstance(value, Sequence) and not isinstance(value, str):
            found += value
        else:
            found.append(value)
    return [f for f in found if callable(f) or isinstance(f, torch.Tensor)]


def check_conditions(conditions: Sequence[Condition]) -> list[Condition]:
    """The conditions as a list. Raises `InputError` for a name that appears twice."""
    names = set()
    for condition in conditions:
        if not isinstance(condition, Condition):
            raise InputError(f"{condition!r} is no boundary condition or load")
        if condition.name in names:
            raise InputError(f"two conditions have the name '{condition.name}'; give each a label")
        names.add(condition.name)
    return list(conditions)
