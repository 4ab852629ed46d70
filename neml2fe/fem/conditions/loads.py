"""External nodal forces on one rank's part of the mesh: those that do not follow the body."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from neml2fe.errors import InputError, MeshError, suggest
from neml2fe.fem.algebra import Algebra
from neml2fe.fem.collective import collectively
from neml2fe.fem.conditions.conditions import (
    COMPONENTS,
    BodyForce,
    Centrifugal,
    Condition,
    Gravity,
    NodalForce,
    Pressure,
    Traction,
)
from neml2fe.fem.conditions.functions import (
    Function,
    SpaceFunction,
    Through,
    TimeFunction,
    breakpoints,
    tensor_at,
    tensors_at,
    value_at,
)
from neml2fe.fem.conditions.places import components, facet_blocks, nodes_of
from neml2fe.fem.conditions.tensors import named_tensors, requires_grad
from neml2fe.fem.conditions.unknowns import Unknowns
from neml2fe.fem.integrals.facets import FacetBlock
from neml2fe.fem.terms.solid import SolidTerm

Array = NDArray[np.float64]
Weight = Callable[[Array], torch.Tensor]
"""Places `(n, dim)` to values `(n,)`."""
Integral = Callable[[Weight], torch.Tensor]
"""A weight to nodal forces `(n_local * dim,)`, with a graph where the weight has one."""


@dataclass
class Load:
    """The integral of a function times a fixed direction. `pattern` is that of the function 1,
    where the function depends on time only; else the forces last asked for are kept, as results
    ask again for those of the step, unless there are tensors, which may have changed."""

    name: str
    function: Function
    integral: Integral
    unknowns: Unknowns
    pattern: Array | None = None
    _last: tuple[float, Array] | None = None

    @property
    def _what(self) -> str:
        return f"condition '{self.name}'"

    def forces(self, time: float) -> Array:
        """Owned nodal forces, `(n_owned * dim,)`. Collective."""
        function = self.function
        if not isinstance(function, SpaceFunction):
            return value_at(function, time, self._what) * self._unit()
        if self._last is None or self._last[0] != time or named_tensors(function):
            self._last = time, self._sum(lambda x: tensors_at(function, time, x, self._what))
        return self._last[1]

    def pull(self, bar: Array, time: float, through: Through) -> None:
        """Hand cotangents `bar` `(n_owned * dim,)` of the forces to the function's tensors.
        Collective."""
        function = self.function
        if not requires_grad(function):
            return
        in_space = isinstance(function, SpaceFunction)
        bars = self.unknowns.update_ghosts(bar) if in_space else bar @ self._unit()

        @torch.enable_grad()
        def hand_over() -> None:
            if isinstance(function, SpaceFunction):
                value = self.integral(lambda x: tensors_at(function, time, x, self._what))
            else:
                value = tensor_at(function, time, self._what)
            through(value, torch.as_tensor(bars))

        collectively(self.unknowns.local.comm, hand_over, every_rank=True)

    def _unit(self) -> Array:
        """Forces of the function 1. Collective."""
        if self.pattern is None:
            self.pattern = self._sum(lambda x: torch.ones(len(x), dtype=torch.float64))
        return self.pattern

    def _sum(self, weight: Weight) -> Array:
        comm = self.unknowns.local.comm
        with torch.no_grad():
            local = collectively(comm, lambda: self.integral(weight), every_rank=True)
        return self.unknowns.sum_to_owners(local.numpy())


class Loads:
    """External forces of all conditions. Raises `InputError` or `MeshError`."""

    def __init__(
        self,
        unknowns: Unknowns,
        solids: Sequence[SolidTerm],
        conditions: Sequence[Condition],
        algebra: Algebra,
    ) -> None:
        local = unknowns.local
        self._algebra, self._local, self._solids = algebra, local, solids
        self._measure = solids[0].block.measure
        self.loads: list[Load] = []
        for condition in conditions:
            what = f"condition '{condition.name}'"
            if isinstance(condition, Pressure) and not condition.follower:
                facets = facet_blocks(local, condition.boundary, condition.name, self._axisymmetric)
                integral = self._over_facets(facets, lambda f: -f.normals)
                self.loads.append(Load(condition.name, condition.value, integral, unknowns))
            elif isinstance(condition, Traction):
                facets = facet_blocks(local, condition.boundary, condition.name, self._axisymmetric)
                for i, value in enumerate(components(condition.value, local.dim, what)):
                    integral = self._over_facets(facets, _areas_along(i, local.dim))
                    self.loads.append(Load(condition.name, value, integral, unknowns))
            elif isinstance(condition, NodalForce):
                for i, value in enumerate(components(condition.value, local.dim, what)):
                    integral = self._on_nodes(condition, i)
                    self.loads.append(Load(condition.name, value, integral, unknowns))
            elif isinstance(condition, BodyForce):
                for i, value in enumerate(components(condition.value, local.dim, what)):
                    integral = self._over_volume(condition, _along(i, local.dim))
                    self.loads.append(Load(condition.name, value, integral, unknowns))
            elif isinstance(condition, Gravity):
                for i, value in enumerate(components(condition.acceleration, local.dim, what)):
                    integral = self._over_volume(condition, _along(i, local.dim), with_density=True)
                    self.loads.append(Load(condition.name, value, integral, unknowns))
            elif isinstance(condition, Centrifugal):
                direction = self._from_axis(condition)
                integral = self._over_volume(condition, direction, with_density=True)
                square = _Square(condition.angular_velocity)
                self.loads.append(Load(condition.name, square, integral, unknowns))

    @property
    def _axisymmetric(self) -> bool:
        return self._measure.axisymmetric

    # --- integrals -----------------------------------------------------------------------
    def _no_forces(self) -> torch.Tensor:
        return torch.zeros(self._local.n_local, self._local.dim, dtype=torch.float64)

    def _over_facets(
        self, facets: Sequence[FacetBlock], vectors: Callable[[FacetBlock], Array]
    ) -> Integral:
        """Of N times vectors `(f, q, dim)` that carry the area."""

        def integral(weight: Weight) -> torch.Tensor:
            forces = self._no_forces()
            for block in facets:
                at = block.positions
                values = weight(at.reshape(-1, at.shape[-1])).reshape(at.shape[:-1])
                shapes, along = torch.as_tensor(block.shapes), torch.as_tensor(vectors(block))
                nodal = torch.einsum("qk,fq,fqd->fkd", shapes, values, along)
                nodes = torch.as_tensor(block.connectivity).reshape(-1)
                forces = forces.index_add(0, nodes, nodal.flatten(0, 1))
            return forces.flatten()

        return integral

    def _on_nodes(self, condition: NodalForce, component: int) -> Integral:
        nodes = nodes_of(self._local, condition.nodes, condition.name)
        nodes = nodes[nodes < self._local.n_owned]

        def integral(weight: Weight) -> torch.Tensor:
            forces = self._no_forces()
            forces[nodes, component] = weight(self._local.points[nodes])
            return forces.flatten()

        return integral

    def _over_volume(
        self,
        condition: BodyForce | Gravity | Centrifugal,
        direction: Callable[[Array], Array],
        with_density: bool = False,
    ) -> Integral:
        """Of N times density (where asked for) times directions `(n, dim)` that depend on x."""
        local = self._local
        for region in condition.regions:
            if region not in local.regions:
                near = suggest(region, local.regions)
                raise MeshError(
                    f"condition '{condition.name}': the mesh has no region '{region}'{near}",
                    local.name,
                )
        parts = []
        for solid in self._solids:
            inside = np.ones(solid.block.n_elements, dtype=bool)
            if condition.regions:
                chosen = [local.regions[r][solid.cells] for r in condition.regions]
                inside = np.isin(solid.local_elements, np.concatenate(chosen))
            touched = self._algebra.allreduce(int(inside.any()))
            density = 1.0
            if with_density and touched:
                given = solid.body.density
                if not isinstance(given, (int, float)):
                    raise InputError(
                        f"condition '{condition.name}': body '{solid.body.name}' has no number "
                        "for its density; give it one, or name the regions that have"
                    )
                density = float(given)
            parts.append((solid.block, density * inside))

        def integral(weight: Weight) -> torch.Tensor:
            total = self._no_forces().flatten()
            for block, scale in parts:
                forces = total.to(block.points)
                for part in block.parts():
                    at = block.positions(part).cpu().numpy()
                    x = at.reshape(-1, local.dim)
                    values = torch.as_tensor(direction(x)) * weight(x)[:, None]
                    values = values.reshape(at.shape) * torch.as_tensor(scale[part])[:, None, None]
                    block.add_body_force(values.to(forces), part, forces)
                total = forces.cpu()
            return total

        return integral

    def _from_axis(self, condition: Centrifugal) -> Callable[[Array], Array]:
        """Vectors from the axis of rotation to places `(n, dim)`."""
        dim, what = self._local.dim, f"condition '{condition.name}'"
        if self._axisymmetric:
            if len(condition.point) or len(condition.direction):
                raise InputError(
                    f"{what}: an axisymmetric body turns about its axis; give no other"
                )
            return lambda x: x * [1.0, 0.0]
        point = np.asarray(condition.point if len(condition.point) else [0.0] * dim, float)
        if point.shape != (dim,):
            raise InputError(f"{what}: the point of the axis needs {dim} coordinates")
        if dim == 2:
            if len(condition.direction):
                raise InputError(f"{what}: the axis of a plane problem is along z; give none")
            return lambda x: x - point
        axis = np.asarray(condition.direction, float)
        if axis.shape != (3,) or not np.linalg.norm(axis) > 0:
            raise InputError(f"{what}: give the direction of the axis, a vector of 3 components")
        axis = axis / np.linalg.norm(axis)
        return lambda x: (x - point) - ((x - point) @ axis)[:, None] * axis

    # --- what they amount to -------------------------------------------------------------
    def forces(self, time: float) -> Array:
        """Owned external forces on the nodes of the mesh at `time`, `(n_owned * dim,)`.
        Collective."""
        total = np.zeros(self._local.n_owned * self._local.dim)
        for load in self.loads:
            total += load.forces(time)
        return total

    def pull(self, bar: Array, time: float, through: Through) -> None:
        """Hand `through` functions of the tensors that the forces at `time` depend on, and what
        cotangents `bar` `(n_owned * dim,)` of these forces make of theirs. Collective."""
        for load in self.loads:
            load.pull(bar, time, through)

    def resultants(self, time: float) -> dict[str, float]:
        """Total applied force of each condition at `time`, `<name>_<component>`."""
        found: dict[str, float] = {}
        for load in self.loads:
            forces = load.forces(time).reshape(-1, self._local.dim)
            total = self._algebra.allreduce(forces.sum(axis=0))
            for component, force in zip(COMPONENTS, total, strict=False):
                key = f"{load.name}_{component}"
                found[key] = found.get(key, 0.0) + float(force)
        return found


class _Square:
    """The square of a function of time."""

    def __init__(self, function: TimeFunction) -> None:
        self._function, self.breakpoints = function, breakpoints(function)
        self.tensors = function

    def __call__(self, time: float) -> torch.Tensor:
        return tensor_at(self._function, time, "the angular velocity") ** 2


def _along(component: int, dim: int) -> Callable[[Array], Array]:
    return lambda x: np.tile(np.eye(dim)[component], (len(x), 1))


def _areas_along(component: int, dim: int) -> Callable[[FacetBlock], Array]:
    return lambda facets: facets.areas[..., None] * np.eye(dim)[component]
