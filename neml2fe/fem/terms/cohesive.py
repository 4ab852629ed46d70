"""`CohesiveTerm`: an interface of no thickness between two faces of the mesh."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray

from neml2fe.errors import InputError, ModelError, suggest
from neml2fe.fem.conditions.conditions import CohesiveInterface
from neml2fe.fem.conditions.functions import TimeFunction, tensor_at
from neml2fe.fem.integrals.matrix import LocalMatrix
from neml2fe.fem.mesh.distribution import LocalMesh
from neml2fe.fem.mesh.elements import Index, ReferenceElement, jacobians, reference_element
from neml2fe.fem.mesh.facets import CellBlock
from neml2fe.fem.terms.term import History, Term
from neml2fe.material import State, current_name
from neml2fe.types import Vec

Array = NDArray[np.float64]


class CohesiveTerm(Term):
    """Facet pairs of one type: minus side, then plus side.

    The jump is the displacement of the plus side less that of the minus side in the axes of the
    undeformed interface: normal (from minus to plus), first and second tangent. So it holds for
    small sliding and small rotation. In 2-D the second tangential jump is zero.

    - `state`: by name `(n, *base)`; `traction` `(n, 3)`, both of the end of the last step, with
      points facet by facet.
    - `numbers` `(f,)`: numbers of the pairs in the whole interface.
    - `positions` `(n, dim)`, `areas` `(n,)` of the points.
    """

    def __init__(
        self,
        condition: CohesiveInterface,
        cells: CellBlock,
        numbers: Index,
        points: torch.Tensor,
        axisymmetric: bool,
        time: float,
    ) -> None:
        self.name, self.material = condition.name, condition.material
        self._numbers = numbers
        self._given: Mapping[str, TimeFunction] = condition.fields
        self.connectivity = (cells.connectivity,)
        self._nodes = torch.as_tensor(cells.connectivity, device=points.device)
        self._dim = points.shape[1]
        element = reference_element(cells.cell_type)
        xi, weights = rule(element, condition.quadrature)
        shapes, gradients = element.tabulate(xi)
        x = points.cpu().numpy()[cells.connectivity]
        middle = (x[:, : element.n_nodes] + x[:, element.n_nodes :]) / 2.0
        axes, areas = local_axes(jacobians(middle, gradients))
        positions = np.einsum("qk,fkd->fqd", shapes, middle)
        areas = areas * weights
        if axisymmetric:
            areas = areas * (2.0 * math.pi * positions[..., 0])
        self.n_quadrature = len(weights)
        self.positions = torch.as_tensor(positions).to(points).reshape(-1, self._dim)
        self.areas = torch.as_tensor(areas).to(points).reshape(-1)
        both = np.concatenate([-shapes, shapes], axis=1)  # plus less minus
        operator = np.einsum("qk,fqci->fqcki", both, axes)
        self._operator = torch.as_tensor(operator).to(points).flatten(3).flatten(0, 1)  # n, 3, k*d
        self._slots: torch.Tensor | None = None
        self.reset(time)

    @torch.no_grad()
    def reset(self, time: float) -> None:
        self.take(self.initial_state(time))

    def initial_state(self, time: float) -> State:
        """The state at the start, at `time`."""
        fields, n = self.fields(time), len(self.areas)
        state = self.material.initial_state(n, device=self.areas.device, fields=fields)
        for name in state:
            if current_name(name) in fields:
                state[name] = fields[current_name(name)]
        return state

    def take(self, state: State) -> None:
        """Go on from `state`."""
        self.state, self.traction = state, self.areas.new_zeros(len(self.areas), 3)
        self._trial, self._trial_traction = self.state, self.traction

    def fields(self, time: float) -> dict[str, torch.Tensor]:
        n, like = len(self.areas), self.areas
        return {
            name: tensor_at(self._given[name], time, f"interface '{self.name}': field '{name}'")
            .to(like)
            .expand(n, *kind.BASE_SHAPE)  # type: ignore[attr-defined]
            .clone(memory_format=torch.contiguous_format)
            for name, kind in self.material.field_spec.items()
        }

    def bind(self, matrix: LocalMatrix) -> None:
        self._slots = matrix.slots(self.connectivity[0])

    def jump(self, u: torch.Tensor) -> torch.Tensor:
        """Normal and tangential displacement jumps `(n, 3)` from local displacements."""
        local = u.reshape(-1, self._dim)[self._nodes].flatten(1)
        local = local.repeat_interleave(self.n_quadrature, dim=0)
        return torch.einsum("ncj,nj->nc", self._operator, local)

    def pull_jump(self, bar: torch.Tensor, nodal: torch.Tensor) -> None:
        """Add the transpose of `jump`, of cotangents `(n, 3)`, to `nodal` `(n_local_dofs,)`."""
        local = torch.einsum("ncj,nc->nj", self._operator, bar)
        local = local.reshape(len(self._nodes), self.n_quadrature, local.shape[1]).sum(1)
        at = nodal.view(-1, self._dim)
        at.index_add_(0, self._nodes.reshape(-1), local.reshape(-1, self._dim))

    @torch.no_grad()
    def update(
        self,
        u: torch.Tensor,
        time: float,
        dt: float,
        forces: torch.Tensor,
        matrix: LocalMatrix | None,
    ) -> int:
        result = self.material.update(
            self.jump(u), self.state, time, dt, self.fields(time), tangent=matrix is not None
        )
        self._trial, self._trial_traction = result.state, result.stress
        self.pull_jump(result.stress * self.areas[:, None], forces)
        if matrix is not None:
            assert self._slots is not None and result.tangent is not None, "bind comes first"
            n, weighted = len(self._nodes), self._operator * self.areas[:, None, None]
            local = weighted.mT @ result.tangent @ self._operator
            stiffness = local.reshape(n, self.n_quadrature, *local.shape[1:]).sum(1)
            matrix.add(self._slots, self._nodes, stiffness)
        return len(result.failed)

    def accept(self) -> None:
        self.state, self.traction = self._trial, self._trial_traction

    def history(self, local: LocalMesh) -> History:
        return History(self._numbers, {"traction": self.traction, **self.state})

    def resultant(self, u: torch.Tensor, time: float) -> dict[str, float]:
        """This rank's part of the total normal and tangential tractions over the interface."""
        total = (self.areas[:, None] * self.traction).sum(0).tolist()
        names = ("normal", "tangential_1", "tangential_2")[: self._dim]
        return {f"{self.name}_{n}": f for n, f in zip(names, total, strict=False)}


def rule(element: ReferenceElement, quadrature: str) -> tuple[Array, Array]:
    """Quadrature of facets: Gauss, or at the nodes (of triangle6 and quad8 with a weight that
    integrates its shape functions, which is zero or negative at vertices: refused)."""
    if quadrature == "gauss":
        return element.quadrature(2 * element.degree)
    if quadrature != "nodes":
        raise InputError(
            f"the quadrature of an interface is 'gauss' or 'nodes', not '{quadrature}'"
        )
    xi, weights = element.quadrature(2 * element.degree)
    at_nodes = weights @ element.tabulate(xi)[0]
    if at_nodes.min() <= 1e-12:
        raise InputError(
            f"facets of type {element.cell_type} have no positive weights at their nodes: use "
            "quadrature 'gauss'"
        )
    return element.nodes, at_nodes


def local_axes(tangents: Array) -> tuple[Array, Array]:
    """Axes `(f, q, 3, dim)`, normal and tangents, and areas `(f, q)` from dX/dxi
    `(f, q, dim, dim - 1)`."""
    if tangents.shape[2] == 2:
        t = tangents[..., 0]
        area = np.linalg.norm(t, axis=-1)
        t = t / area[..., None]
        normal = np.stack([t[..., 1], -t[..., 0]], axis=-1)
        return np.stack([normal, t, np.zeros_like(t)], axis=2), area
    normal = np.cross(tangents[..., 0], tangents[..., 1])
    area = np.linalg.norm(normal, axis=-1)
    normal = normal / area[..., None]
    first = tangents[..., 0] / np.linalg.norm(tangents[..., 0], axis=-1)[..., None]
    return np.stack([normal, first, np.cross(normal, first)], axis=2), area


def cohesive_terms(
    condition: CohesiveInterface,
    local: LocalMesh,
    points: torch.Tensor,
    axisymmetric: bool,
    time: float,
) -> list[CohesiveTerm]:
    """A term for each facet type of an interface. Raises `InputError` or `ModelError`."""
    what = f"interface '{condition.name}'"
    if condition.interface not in local.interfaces:
        near = suggest(condition.interface, local.interfaces)
        raise InputError(
            f"{what}: the mesh has no interface '{condition.interface}'{near}; split the mesh there"
        )
    material = condition.material
    if material.strain_kind is not Vec:
        raise ModelError(
            f"{what}: the material must be driven by a displacement jump (Vec), with a traction; "
            f"'{material.label}' is driven by {material.strain_kind.__name__}"
        )
    missing = [n for n in material.field_spec if n not in condition.fields]
    unknown = [n for n in condition.fields if n not in material.field_spec]
    if missing or unknown:
        raise ModelError(
            f"{what}: the material reads the fields {sorted(material.field_spec)}; "
            f"given are {sorted(condition.fields)}"
        )
    return [
        CohesiveTerm(condition, cells, numbers, points, axisymmetric, time)
        for cells, numbers in zip(
            local.interfaces[condition.interface],
            local.interface_numbers[condition.interface],
            strict=True,
        )
    ]
