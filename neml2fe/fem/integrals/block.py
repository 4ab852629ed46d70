"""Integrals over elements and facets, all quadrature points of a rank at once, in torch."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from neml2fe.fem.mesh.elements import jacobians, reference_element
from neml2fe.fem.mesh.facets import CellBlock
from neml2fe.fem.integrals.measures import Kinematics

# Strain operators are made anew for so many doubles at a time: storing all of them would
# take three quarters of the memory of a large run.
_CHUNK = 4_000_000


class ElementBlock:
    """Quadrature of the cells of one type on this rank.

    Quadrature points are numbered element by element: n = n_elements * n_quadrature.
    """

    def __init__(
        self,
        cells: CellBlock,
        points: NDArray[np.float64],
        kinematics: Kinematics,
        degree: int | None,
        device: torch.device,
    ) -> None:
        element = reference_element(cells.cell_type)
        xi, weights = element.quadrature(degree)
        shapes, reference_gradients = element.tabulate(xi)
        j = jacobians(points[cells.connectivity], reference_gradients)
        gradients = np.einsum("qkr,eqrd->eqkd", reference_gradients, np.linalg.inv(j))
        dofs = cells.connectivity[:, :, None] * kinematics.dim + np.arange(kinematics.dim)
        self.kinematics = kinematics
        self.cell_type = cells.cell_type
        self.n_elements, self.n_quadrature = gradients.shape[:2]
        self.dofs = dofs.reshape(self.n_elements, element.n_nodes * kinematics.dim)
        self.shapes = torch.as_tensor(shapes, device=device)
        self.gradients = torch.as_tensor(gradients, device=device)
        self.volumes = torch.as_tensor(np.linalg.det(j) * weights, device=device)
        self._dofs = torch.as_tensor(self.dofs, device=device)

    @property
    def n_points(self) -> int:
        return self.n_elements * self.n_quadrature

    def position(self, point: int, nodes: NDArray[np.float64]) -> NDArray[np.float64]:
        """Coordinates `(dim,)` of quadrature point number `point`."""
        element, q = divmod(point, self.n_quadrature)
        corners = self.dofs[element, :: self.kinematics.dim] // self.kinematics.dim
        return self.shapes[q].cpu().numpy() @ nodes[corners]

    def _chunks(self) -> Iterator[tuple[slice, torch.Tensor]]:
        """Slices of elements with their strain operators `(e, q, c, k*dim)`."""
        per_element = self.n_quadrature * len(self.kinematics.components) * self.dofs.shape[1]
        step = max(1, _CHUNK // per_element)
        for start in range(0, self.n_elements, step):
            part = slice(start, min(start + step, self.n_elements))
            yield part, self.kinematics.strain_operator(self.gradients[part])

    def strain(self, u: torch.Tensor) -> torch.Tensor:
        """Mandel strains `(n, 6)` of local displacements `u` `(n_dofs,)`."""
        strain = u.new_zeros(self.n_elements, self.n_quadrature, 6)
        for part, b in self._chunks():
            here = torch.einsum("eqcj,ej->eqc", b, u[self._dofs[part]])
            strain[part][..., list(self.kinematics.components)] = here
        return strain.reshape(-1, 6)

    def add_forces(self, stress: torch.Tensor, forces: torch.Tensor) -> None:
        """Add the integral of B^T stress, stress `(n, 6)`, to local `forces` `(n_dofs,)`."""
        work = stress.reshape(self.n_elements, self.n_quadrature, 6)
        work = work[..., list(self.kinematics.components)] * self.volumes[..., None]
        for part, b in self._chunks():
            f = torch.einsum("eqcj,eqc->ej", b, work[part])
            forces.index_add_(0, self._dofs[part].reshape(-1), f.reshape(-1))

    def stiffness(self, tangent: torch.Tensor) -> torch.Tensor:
        """Element matrices `(n_elements, k*dim, k*dim)`, the integral of B^T C B."""
        active = list(self.kinematics.components)
        c = tangent.reshape(self.n_elements, self.n_quadrature, 6, 6)
        c = c[..., active, :][..., active] * self.volumes[..., None, None]
        size = self.dofs.shape[1]
        matrices = tangent.new_empty(self.n_elements, size, size)
        for part, b in self._chunks():
            rows = b.flatten(1, 2)  # (e, q*c, k*dim): one product sums over points as well
            torch.matmul(rows.mT, (c[part] @ b).flatten(1, 2), out=matrices[part])
        return matrices

    def add_body_force(self, force: torch.Tensor, forces: torch.Tensor) -> None:
        """Add the integral of N^T force, `force` `(dim,)` per volume."""
        nodal = torch.einsum("eq,qk,d->ekd", self.volumes, self.shapes, force)
        forces.index_add_(0, self._dofs.reshape(-1), nodal.reshape(-1))

    def cell_average(self, values: torch.Tensor) -> torch.Tensor:
        """Volume averages `(n_elements, ...)` of values at the points `(n, ...)`."""
        v = values.reshape(self.n_elements, self.n_quadrature, *values.shape[1:])
        w = (self.volumes / self.volumes.sum(1, keepdim=True)).reshape(
            self.n_elements, self.n_quadrature, *(1,) * (values.ndim - 1)
        )
        return (v * w).sum(1)


def facet_forces(facets: CellBlock, points: NDArray[np.float64]) -> tuple[NDArray, NDArray]:
    """Nodal weights of one block of boundary facets.

    Returns the integrals of N `(f, k)` and of N n `(f, k, dim)`, n the unit outward normal
    (facets of the mesh's surface are ordered so that it points outwards).
    """
    element = reference_element(facets.cell_type)
    xi, weights = element.quadrature(2 * element.degree)
    shapes, gradients = element.tabulate(xi)
    j = jacobians(points[facets.connectivity], gradients)
    if points.shape[1] == 2:
        t = j[..., 0]
        normal = np.stack([t[..., 1], -t[..., 0]], axis=-1)
    else:
        normal = np.cross(j[..., 0], j[..., 1])
    area = np.linalg.norm(normal, axis=-1)
    return (
        np.einsum("q,qk,fq->fk", weights, shapes, area),
        np.einsum("q,qk,fqd->fkd", weights, shapes, normal),
    )
