"""Boundary conditions and loads, each a function of time on a named part of the mesh.

Components are "x", "y", "z". Stresses and tractions act on the undeformed area; in plane
strain all forces are per unit of thickness.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from neml2fe.errors import InputError, suggest
from neml2fe.fem.conditions.functions import TimeFunction

COMPONENTS = ("x", "y", "z")


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
    load table: prescribed displacement and reaction.
    """

    boundary: str
    component: str
    value: TimeFunction = 0.0
    label: str = ""

    @property
    def name(self) -> str:
        return self.label or f"{self.boundary}_{self.component}"


@dataclass(frozen=True)
class Traction:
    """Force per area with components `value` on `boundary`."""

    boundary: str
    value: Sequence[TimeFunction]
    label: str = ""

    @property
    def name(self) -> str:
        return self.label or f"{self.boundary}_traction"


@dataclass(frozen=True)
class Pressure:
    """Force per area `value` against the outward normal of `boundary` (of the undeformed body)."""

    boundary: str
    value: TimeFunction
    label: str = ""

    @property
    def name(self) -> str:
        return self.label or f"{self.boundary}_pressure"


@dataclass(frozen=True)
class BodyForce:
    """Force per volume with components `value` in the whole body."""

    value: Sequence[TimeFunction]
    label: str = ""

    @property
    def name(self) -> str:
        return self.label or "body_force"


Condition = Dirichlet | Traction | Pressure | BodyForce


def functions_of(condition: Condition) -> list[TimeFunction]:
    """The time functions of a condition."""
    value = condition.value
    return list(value) if isinstance(value, Sequence) else [value]
