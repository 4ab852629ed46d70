"""`FollowerPressure`: a pressure on the deformed boundary, with its load stiffness."""

from __future__ import annotations

import math
from functools import partial

import torch

from neml2fe.fem.conditions.conditions import COMPONENTS, Pressure
from neml2fe.fem.conditions.functions import Function, tensors_at
from neml2fe.fem.integrals.matrix import LocalMatrix
from neml2fe.fem.mesh.elements import reference_element
from neml2fe.fem.mesh.facets import CellBlock
from neml2fe.fem.terms.term import Term


class FollowerPressure(Term):
    """The integral of p n over the deformed facets of one type.

    The normal times area per reference area is a product of the tangents of the facet, polynomial
    in the displacements; the stiffness is its derivative, which has no symmetry unless the
    facets close a volume (or its border is held). A pressure that varies in space is that of the
    undeformed place.
    """

    def __init__(
        self, condition: Pressure, cells: CellBlock, points: torch.Tensor, axisymmetric: bool
    ) -> None:
        self.name = condition.name
        self._value: Function = condition.value
        self._axisymmetric = axisymmetric
        element = reference_element(cells.cell_type)
        # Exact for the product of shape function, tangents and radius on straight facets.
        xi, weights = element.quadrature(3 * element.degree)
        shapes, gradients = element.tabulate(xi)
        self._points, self._dim = points, points.shape[1]
        self._shapes, self._gradients, self._weights = (
            torch.as_tensor(a, device=points.device) for a in (shapes, gradients, weights)
        )
        self.connectivity = (cells.connectivity,)
        self._nodes = torch.as_tensor(cells.connectivity, device=points.device)
        places = torch.einsum("qk,fkd->fqd", self._shapes, points[self._nodes])
        self._places = places.cpu().numpy()
        self._slots: torch.Tensor | None = None

    def bind(self, matrix: LocalMatrix) -> None:
        self._slots = matrix.slots(self.connectivity[0])

    def _pressure(self, time: float) -> torch.Tensor:
        """Pressure times quadrature weight, `(f, q)`."""
        at = self._places.reshape(-1, self._dim)
        values = tensors_at(self._value, time, at, f"condition '{self.name}'")
        return values.to(self._points).reshape(self._places.shape[:2]) * self._weights

    def _nodal(self, x: torch.Tensor, pressure: torch.Tensor) -> torch.Tensor:
        """Nodal forces `(f, k, dim)` that a pressure `(f, q)` puts on facets with nodes at x
        `(f, k, dim)`."""
        tangents = torch.einsum("qkj,fkd->fqjd", self._gradients, x)
        scale = -pressure
        if self._dim == 2:
            t = tangents[..., 0, :]
            normal = torch.stack([t[..., 1], -t[..., 0]], -1)
            if self._axisymmetric:
                scale = scale * 2.0 * math.pi * torch.einsum("qk,fk->fq", self._shapes, x[..., 0])
        else:
            normal = torch.linalg.cross(tangents[..., 0, :], tangents[..., 1, :])
        return torch.einsum("qk,fq,fqd->fkd", self._shapes, scale, normal)

    def _deformed(self, u: torch.Tensor) -> torch.Tensor:
        return self._points[self._nodes] + u.reshape(-1, self._dim)[self._nodes]

    def update(
        self,
        u: torch.Tensor,
        time: float,
        dt: float,
        forces: torch.Tensor,
        matrix: LocalMatrix | None,
    ) -> int:
        x = self._deformed(u)
        with torch.no_grad():
            pressure = self._pressure(time)
        applied = self._nodal(x, pressure)
        forces.view(-1, self._dim).index_add_(0, self._nodes.reshape(-1), -applied.flatten(0, 1))
        if matrix is not None and len(x):
            assert self._slots is not None, "bind comes first"
            push = partial(self._nodal, pressure=pressure)
            # The derivative of all facets by their dof j, for each of the few j of a facet.
            units = torch.eye(x[0].numel()).to(x)
            columns = [
                torch.func.jvp(push, (x,), (unit.view_as(x[0]).expand_as(x),))[1].flatten(1)
                for unit in units
            ]
            matrix.add(self._slots, self._nodes, -torch.stack(columns, -1))
        return 0

    def virtual_work(self, u: torch.Tensor, w: torch.Tensor, time: float) -> torch.Tensor:
        """This rank's part of the forces of `update` times virtual displacements `w`, `()`, with a
        graph to the tensors that the pressure reads."""
        applied = self._nodal(self._deformed(u), self._pressure(time))
        return -(applied * w.reshape(-1, self._dim)[self._nodes]).sum()

    def resultant(self, u: torch.Tensor, time: float) -> dict[str, float]:
        """This rank's part of the total force on the body, by component."""
        with torch.no_grad():
            total = self._nodal(self._deformed(u), self._pressure(time)).sum((0, 1)).tolist()
        return {f"{self.name}_{c}": f for c, f in zip(COMPONENTS, total, strict=False)}
