"""Conditions on one rank's part of the mesh: constrained dofs and external nodal forces."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_array

from neml2fe.errors import InputError, MeshError, suggest
from neml2fe.fem.algebra import Algebra
from neml2fe.fem.conditions.conditions import (
    COMPONENTS,
    BodyForce,
    Condition,
    Dirichlet,
    Pressure,
    Traction,
    component_index,
)
from neml2fe.fem.mesh.distribution import LocalMesh
from neml2fe.fem.conditions.functions import TimeFunction, value_at
from neml2fe.fem.integrals.block import ElementBlock, facet_forces

Array = NDArray[np.float64]


class Constraints:
    """Prescribed displacements. Raises `InputError` for conditions that contradict each other
    on a common node and `MeshError` for unknown boundaries."""

    def __init__(self, local: LocalMesh, conditions: Sequence[Dirichlet], algebra: Algebra) -> None:
        self.conditions = list(conditions)
        self._algebra = algebra
        self._n_owned = local.n_owned * local.dim
        self.dofs: list[NDArray[np.int64]] = []
        for condition in self.conditions:
            what = f"condition '{condition.name}'"
            nodes = local.node_sets.get(condition.boundary)
            if nodes is None:
                near = suggest(condition.boundary, local.node_sets)
                raise MeshError(
                    f"{what}: the mesh has no boundary '{condition.boundary}'{near}", local.name
                )
            self.dofs.append(
                nodes * local.dim + component_index(condition.component, local.dim, what)
            )
        self.mask = np.zeros(local.n_local * local.dim, dtype=bool)
        for dofs in self.dofs:
            self.mask[dofs] = True
        self._overlaps = self._find_overlaps()

    def _find_overlaps(self) -> list[tuple[int, int]]:
        """Pairs of conditions that share dofs, on any rank."""
        owners = np.repeat(np.arange(len(self.dofs)), [len(dofs) for dofs in self.dofs])
        dofs = np.concatenate([*self.dofs, np.empty(0, dtype=np.int64)])
        shape = (len(self.mask), len(self.dofs))
        incidence = csr_array((np.ones(len(dofs)), (dofs, owners)), shape=shape)
        shared = np.tril((incidence.T @ incidence).toarray(), k=-1)
        shared = self._algebra.allreduce(shared)
        return [(int(i), int(j)) for i, j in np.argwhere(shared > 0)]

    def values(self, time: float) -> list[float]:
        """The prescribed value of each condition at `time`."""
        found = [value_at(c.value, time, f"condition '{c.name}'") for c in self.conditions]
        for i, j in self._overlaps:
            if found[i] != found[j]:
                a, b = self.conditions[i], self.conditions[j]
                raise InputError(
                    f"conditions '{a.name}' and '{b.name}' prescribe {found[i]:g} and "
                    f"{found[j]:g} for {a.component} on common nodes at time {time:g}"
                )
        return found

    def apply(self, u: Array, time: float) -> Array:
        """Local displacements `u` with the prescribed values at `time` put in."""
        u = u.copy()
        for dofs, value in zip(self.dofs, self.values(time), strict=True):
            u[dofs] = value
        return u

    def reactions(self, unbalanced: Array) -> dict[str, float]:
        """Total force of each condition from owned internal minus external forces."""
        totals = np.array([unbalanced[dofs[dofs < self._n_owned]].sum() for dofs in self.dofs])
        totals = self._algebra.allreduce(totals)
        return {c.name: float(f) for c, f in zip(self.conditions, totals, strict=True)}


class Loads:
    """External forces: constant nodal patterns times functions of time."""

    def __init__(
        self,
        local: LocalMesh,
        blocks: Sequence[ElementBlock],
        conditions: Sequence[Condition],
        algebra: Algebra,
    ) -> None:
        self._algebra = algebra
        self._n = local.n_owned * local.dim
        self.terms: list[tuple[str, TimeFunction, Array]] = []  # name, f(t), forces
        self._dim = local.dim
        for condition in conditions:
            if isinstance(condition, Pressure):
                pattern = -self._on_boundary(local, condition.boundary, condition.name)[1]
                self._add(condition.name, condition.value, pattern)
            elif isinstance(condition, (Traction, BodyForce)):
                if isinstance(condition.value, str) or not isinstance(condition.value, Sequence):
                    raise InputError(
                        f"condition '{condition.name}': the value must list {local.dim} "
                        f"components, got {condition.value!r}"
                    )
                if len(condition.value) != local.dim:
                    raise InputError(
                        f"condition '{condition.name}': {local.dim} components are needed, "
                        f"got {len(condition.value)}"
                    )
                scalar = self._nodal_weights(local, blocks, condition)
                for i, value in enumerate(condition.value):
                    pattern = np.zeros((local.n_local, local.dim))
                    pattern[:, i] = scalar
                    self._add(condition.name, value, pattern)

    def _add(self, name: str, value: TimeFunction, pattern: Array) -> None:
        """Keep the owned part of a nodal pattern `(n_local, dim)`."""
        self.terms.append((name, value, self._algebra.sum_to_owners(pattern.reshape(-1))))

    def _nodal_weights(
        self, local: LocalMesh, blocks: Sequence[ElementBlock], condition: Traction | BodyForce
    ) -> Array:
        """Integrals of the shape functions, `(n_local,)`, over the boundary or the body."""
        if isinstance(condition, Traction):
            return self._on_boundary(local, condition.boundary, condition.name)[0]
        total = torch.zeros(local.n_local * local.dim, dtype=torch.float64)
        unit = torch.zeros(local.dim, dtype=torch.float64)
        unit[0] = 1.0
        for block in blocks:
            forces = total.to(block.volumes.device)
            block.add_body_force(unit.to(forces.device), forces)
            total = forces.cpu()
        return total.numpy().reshape(-1, local.dim)[:, 0]

    def _on_boundary(self, local: LocalMesh, boundary: str, name: str) -> tuple[Array, Array]:
        """Integrals over a boundary of N `(n_local,)` and N n `(n_local, dim)`."""
        if boundary not in local.boundaries:
            near = suggest(boundary, local.boundaries)
            if boundary in local.node_sets:
                near = "; it is a set of nodes, which has no area"
            raise MeshError(
                f"condition '{name}': the mesh has no boundary of facets '{boundary}'{near}",
                local.name,
            )
        scalar, normal = np.zeros(local.n_local), np.zeros((local.n_local, local.dim))
        for facets in local.boundaries[boundary]:
            weights, vectors = facet_forces(facets, local.points)
            np.add.at(scalar, facets.connectivity, weights)
            np.add.at(normal, facets.connectivity, vectors)
        return scalar, normal

    def forces(self, time: float) -> Array:
        """Owned external forces at `time`."""
        total = np.zeros(self._n)
        for name, function, pattern in self.terms:
            total += value_at(function, time, f"condition '{name}'") * pattern
        return total

    def resultants(self, time: float) -> dict[str, float]:
        """Total applied force of each condition at `time`, `<name>_<component>`."""
        found: dict[str, float] = {}
        for name, function, pattern in self.terms:
            total = self._algebra.allreduce(pattern.reshape(-1, self._dim).sum(axis=0))
            value = value_at(function, time, f"condition '{name}'")
            for component, force in zip(COMPONENTS, total, strict=False):
                key = f"{name}_{component}"
                found[key] = found.get(key, 0.0) + value * float(force)
        return found
