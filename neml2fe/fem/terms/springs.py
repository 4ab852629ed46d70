"""`SpringTerm`: linear springs between a boundary and the ground."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray

from neml2fe.errors import InputError
from neml2fe.fem.conditions.conditions import COMPONENTS, Springs
from neml2fe.fem.conditions.places import facet_blocks, nodes_of
from neml2fe.fem.integrals.facets import FacetBlock
from neml2fe.fem.integrals.matrix import LocalMatrix
from neml2fe.fem.mesh.distribution import LocalMesh
from neml2fe.fem.terms.term import Term

Array = NDArray[np.float64]


class SpringTerm(Term):
    """Groups of `k` nodes with a constant stiffness `(n, k*dim, k*dim)` each."""

    def __init__(
        self, name: str, connectivity: NDArray[np.int64], stiffness: Array, like: torch.Tensor
    ) -> None:
        self.name, self.connectivity = name, (connectivity,)
        self._nodes = torch.as_tensor(connectivity, device=like.device)
        self._stiffness = torch.as_tensor(stiffness).to(like)
        self._dim = like.shape[1]
        self._slots: torch.Tensor | None = None

    def bind(self, matrix: LocalMatrix) -> None:
        self._slots = matrix.slots(self.connectivity[0])

    def _forces(self, u: torch.Tensor) -> torch.Tensor:
        """Forces that stretch the springs, `(n, k, dim)`."""
        at = u.reshape(-1, self._dim)[self._nodes]
        return torch.einsum("nij,nj->ni", self._stiffness, at.flatten(1)).view_as(at)

    def update(
        self,
        u: torch.Tensor,
        time: float,
        dt: float,
        forces: torch.Tensor,
        matrix: LocalMatrix | None,
    ) -> int:
        pull = self._forces(u).flatten(0, 1)
        forces.view(-1, self._dim).index_add_(0, self._nodes.reshape(-1), pull)
        if matrix is not None:
            assert self._slots is not None, "bind comes first"
            matrix.add(self._slots, self._nodes, self._stiffness)
        return 0

    def resultant(self, u: torch.Tensor, time: float) -> dict[str, float]:
        """This rank's part of the total force on the body, by component."""
        total = (-self._forces(u)).sum((0, 1)).tolist()
        return {f"{self.name}_{c}": f for c, f in zip(COMPONENTS, total, strict=False)}


def spring_terms(
    condition: Springs, local: LocalMesh, like: torch.Tensor, axisymmetric: bool
) -> list[SpringTerm]:
    """The terms of a condition. Raises `InputError` or `MeshError`."""
    what, dim = f"condition '{condition.name}'", local.dim
    directional = isinstance(condition.stiffness, Mapping)
    if isinstance(condition.stiffness, Mapping):
        if not condition.stiffness or set(condition.stiffness) - {"normal", "tangential"}:
            raise InputError(
                f"{what}: stiffnesses are those of the components, or 'normal' and 'tangential'; "
                f"got {sorted(condition.stiffness)}"
            )
        values = [condition.stiffness.get(n, 0.0) for n in ("normal", "tangential")]
    else:
        values = list(condition.stiffness)
        if len(values) != dim:
            raise InputError(f"{what}: {dim} stiffnesses are needed, got {len(values)}")
    if not all(np.isfinite(v) and v >= 0.0 for v in values):
        raise InputError(f"{what}: a stiffness must be a number, zero or greater, got {values}")
    if condition.per not in ("area", "node"):
        raise InputError(f"{what}: springs are per 'area' or 'node', not '{condition.per}'")
    if condition.per == "node":
        if directional:
            raise InputError(f"{what}: springs of nodes have no normal; give components")
        nodes = nodes_of(local, condition.boundary, condition.name)
        nodes = nodes[nodes < local.n_owned][:, None]
        each = np.broadcast_to(np.diag(values), (len(nodes), dim, dim))
        return [SpringTerm(condition.name, nodes, each.copy(), like)]
    terms = []
    for facets in facet_blocks(local, condition.boundary, condition.name, axisymmetric):
        if directional:
            n = facets.normals / facets.areas[..., None]
            nn = n[..., :, None] * n[..., None, :]
            k = values[0] * nn + values[1] * (np.eye(dim) - nn)
        else:
            k = np.broadcast_to(np.diag(values), (*facets.areas.shape, dim, dim))
        stiffness = _foundation(facets, k)
        terms.append(SpringTerm(condition.name, facets.connectivity, stiffness, like))
    return terms


def _foundation(facets: FacetBlock, k: Array) -> Array:
    """The integral of N^T k N, `(f, n*dim, n*dim)`, k per area `(f, q, dim, dim)`."""
    s = facets.shapes
    full = np.einsum("qa,qb,fq,fqij->faibj", s, s, facets.areas, k)
    size = s.shape[1] * k.shape[-1]
    return full.reshape(len(full), size, size)
