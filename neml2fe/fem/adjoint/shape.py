"""Coordinates of nodes as inputs of gradients: `Shape`, and `follow`, which moves the nodes.

With S and the cotangents of the strain held, forces and states depend on the coordinates X through
volumes, strains and virtual strains: torch differentiates these by X, and the loads that are
distributed over areas and volumes (discrete derivatives with respect to shape; J. Haslinger,
R. A. E. Makinen, Introduction to Shape Optimization, 2003).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from neml2fe.errors import InputError, MeshError
from neml2fe.fem.collective import collectively
from neml2fe.fem.conditions.conditions import (
    BodyForce,
    Centrifugal,
    CohesiveInterface,
    Condition,
    Dirichlet,
    Gravity,
    PeriodicCell,
    Pressure,
    RigidBody,
    Springs,
    Traction,
    functions_of,
)
from neml2fe.fem.conditions.fields import ElementField, Field, FieldTable, NodalField
from neml2fe.fem.conditions.functions import SpaceFunction, value_at
from neml2fe.fem.conditions.loads import Loads
from neml2fe.fem.conditions.places import boundary_facets
from neml2fe.fem.mesh.elements import reference_element
from neml2fe.fem.mesh.facets import CellBlock
from neml2fe.fem.mesh.mesh import Mesh
from neml2fe.fem.observations import (
    BoundObservation,
    NodalDisplacements,
    PointValues,
    Reaction,
)
from neml2fe.fem.terms.solid import SolidTerm

if TYPE_CHECKING:
    from neml2fe.fem.problem import Problem

Tensor = torch.Tensor
OBSERVED = (Reaction, NodalDisplacements, PointValues)
"""Observations that depend on the shape through forces, displacements and states only."""


class Shape:
    """The nodes of a rank, as functions of `Problem.coordinates`."""

    def __init__(self, problem: Problem, coordinates: Tensor) -> None:
        self._problem, self.coordinates = problem, coordinates
        self._nodes = torch.as_tensor(problem.local.nodes)

    @classmethod
    def of(cls, problem: Problem) -> Shape | None:
        """None where no gradient by coordinates is asked for."""
        x = problem.coordinates
        return cls(problem, x) if x is not None and x.requires_grad else None

    @torch.enable_grad()
    def points(self) -> Tensor:
        """Coordinates of the local nodes, `(n_local, dim)`, with a graph."""
        return self.coordinates[self._nodes].to(self._problem.points)

    @torch.enable_grad()
    def moved(self, u: Tensor) -> Tensor:
        """Local displacements `u` plus a change of the coordinates that is zero, with a graph: for
        what depends on the deformed places only."""
        points = self.points()
        return u + (points - points.detach()).flatten()

    @torch.enable_grad()
    def external_work(self, w: Tensor, time: float) -> Tensor:
        """This rank's part of the work, `()`, of dead loads on local virtual displacements `w`
        `(n_local_dofs,)`, with a graph."""
        problem, local = self._problem, self._problem.local
        points, by_node = self.points(), w.reshape(-1, local.dim)
        total = points.new_zeros(())

        def values(functions: Iterable[Any], condition: Condition) -> Tensor:
            what = f"condition '{condition.name}'"
            return points.new_tensor([value_at(f, time, what) for f in functions])

        for c in problem.conditions:
            if isinstance(c, Traction) or (isinstance(c, Pressure) and not c.follower):
                for cells in boundary_facets(local, c.boundary, c.name):
                    normals, work_on = self._facets(cells, points, by_node)
                    if isinstance(c, Pressure):
                        total = total - (values([c.value], c) * normals * work_on).sum()
                    else:
                        along = work_on @ values(c.value, c)
                        total = total + (normals.norm(dim=-1) * along).sum()
            elif isinstance(c, (BodyForce, Gravity)):
                force = values(c.value if isinstance(c, BodyForce) else c.acceleration, c)
                for solid in problem.solids:
                    volumes = solid.block.moved(points).volumes() * self._share(c, solid)
                    work_on = solid.block.at_points(by_node).reshape(*volumes.shape, -1)
                    total = total + (volumes * (work_on @ force)).sum()
        return total

    def _facets(self, cells: CellBlock, points: Tensor, by_node: Tensor) -> tuple[Tensor, Tensor]:
        """Normals times areas, as in `FacetBlock`, and nodal values at the points, `(f, q, dim)`
        each."""
        element = reference_element(cells.cell_type)
        xi, weights = element.quadrature(2 * element.degree)
        shapes, gradients, own = (
            torch.as_tensor(a).to(points) for a in (*element.tabulate(xi), weights)
        )
        nodes = torch.as_tensor(cells.connectivity, device=points.device)
        t = torch.einsum("qkj,fkd->fqjd", gradients, points[nodes])
        if points.shape[1] == 2:
            normals = torch.stack([t[..., 0, 1], -t[..., 0, 0]], -1)
        else:
            normals = torch.linalg.cross(t[..., 0, :], t[..., 1, :])
        if self._problem.solids[0].block.measure.axisymmetric:
            radius = torch.einsum("qk,fk->fq", shapes, points[nodes][..., 0])
            normals = 2.0 * math.pi * radius[..., None] * normals
        at_points = torch.einsum("qk,fkd->fqd", shapes, by_node[nodes])
        return normals * own[:, None], at_points

    def _share(self, condition: BodyForce | Gravity, solid: SolidTerm) -> Tensor:
        """What the force per volume is multiplied by in each element of a solid, `(e, 1)`."""
        share = np.ones(solid.block.n_elements)
        if condition.regions:
            regions = self._problem.local.regions
            chosen = [regions[name][solid.cells] for name in condition.regions]
            share *= np.isin(solid.local_elements, np.concatenate(chosen))
        if isinstance(condition, Gravity) and share.any():
            share *= float(solid.body.density or 0.0)
        return torch.as_tensor(share).to(self._problem.points)[:, None]


def with_coordinates(mesh: Mesh, coordinates: Tensor) -> Mesh:
    """The mesh with its nodes elsewhere. Raises `InputError` for another shape or what is no
    number, `MeshError` where elements are turned inside out."""
    if coordinates.shape != mesh.points.shape or not coordinates.is_floating_point():
        raise InputError(
            f"coordinates are a tensor of numbers of shape {mesh.points.shape}, one row for each "
            f"node of the mesh; got {coordinates.dtype}, {tuple(coordinates.shape)}"
        )
    return replace(mesh, points=coordinates.detach().cpu().double().numpy())


def follow(problem: Problem) -> None:
    """Move the nodes to where `Problem.coordinates` are now. Collective."""
    if problem.coordinates is None:
        return
    at = problem.coordinates.detach()

    def move() -> bool:
        if at.shape != (problem.local.n_global, problem.local.dim):
            raise InputError(f"coordinates have become a tensor of shape {tuple(at.shape)}")
        points = at[torch.as_tensor(problem.local.nodes)].to(problem.points)
        if torch.equal(points, problem.points):
            return False
        for solid in problem.solids:
            bad = (~(solid.block.moved(points).volumes() > 0.0)).any(dim=1)
            if bad.any():
                raise MeshError(
                    f"coordinates turn {int(bad.sum())} elements of type {solid.block.cell_type} "
                    "inside out or degenerate them",
                    problem.local.name,
                )
        problem.local.points[...] = points.cpu().numpy()
        problem.points.copy_(points)
        return True

    if problem.algebra.allreduce(int(collectively(problem.comm, move, every_rank=True))):
        problem.loads = Loads(problem.unknowns, problem.solids, problem.conditions, problem.algebra)


def check_shape(problem: Problem) -> None:
    """Raises `InputError` for what would not follow the coordinates of nodes."""
    if problem.coordinates is None:
        return
    for condition in problem.conditions:
        _check_condition(condition)
    given = [problem.fields, *[f for b in problem.bodies for f in (b.fields, b.initial_state)]]
    for fields in given:
        for name, value in fields.items():
            if not _moves_along(value):
                raise InputError(
                    f"'{name}' depends on places, of which coordinates cannot be told: give it "
                    "by values of nodes or elements"
                )


def check_observations(problem: Problem, observe: Mapping[str, Any]) -> None:
    """Raises `InputError` for observations that depend on coordinates themselves."""
    if problem.coordinates is None:
        return
    for name, observation in observe.items():
        if isinstance(observation, BoundObservation):
            raise InputError(
                f"the observation '{name}' is bound to the problem already, which does not tell "
                "whether it depends on coordinates of nodes: give it as it was before `bind`"
            )
        if not isinstance(observation, OBSERVED):
            raise InputError(
                f"'{name}' cannot be observed while coordinates of nodes vary; what can: "
                f"{', '.join(kind.__name__ for kind in OBSERVED)}"
            )


def _check_condition(condition: Condition) -> None:
    reason = ""
    if isinstance(condition, (RigidBody, PeriodicCell, CohesiveInterface, Centrifugal)):
        reason = f"is a {type(condition).__name__}"
    elif isinstance(condition, Springs) and condition.per == "area":
        reason = "has a stiffness per area"
    elif isinstance(condition, Dirichlet) and condition.component == "normal":
        reason = "is along a normal"
    elif any(isinstance(function, SpaceFunction) for function in functions_of(condition)):
        reason = "varies in space"
    if reason:
        raise InputError(
            f"condition '{condition.name}' {reason}, which does not follow coordinates of nodes "
            "that are given as a tensor"
        )


def _moves_along(value: Any) -> bool:
    """Whether a field belongs to nodes or elements, or is uniform."""
    if isinstance(value, FieldTable):
        return all(_moves_along(field) for field in value.fields)
    if isinstance(value, NodalField):
        return not callable(value.values)
    return isinstance(value, ElementField) or not isinstance(value, (Field, SpaceFunction))
