"""Integrals over the elements of one type, all quadrature points at once, in torch."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator

import numpy as np
import torch

from neml2fe.fem.integrals.matrix import LocalMatrix
from neml2fe.fem.integrals.measures import Measure
from neml2fe.fem.integrals.native import NativeElement, prepared
from neml2fe.fem.mesh.elements import reference_element
from neml2fe.fem.mesh.facets import CellBlock

PART = 32_768  # quadrature points that are worked on at a time; their tangents take 9 MB


class ElementBlock:
    """Elements of one type and the strain measure at their quadrature points.

    Points are numbered element by element: n = n_elements * n_quadrature. A part is a slice of
    elements. Nothing but node numbers is kept for an element: gradients of shape functions are
    made anew from the coordinates `points` `(n_local_nodes, dim)`. On a CPU a compiled kernel
    takes the place of torch where there are points enough (`native.py`).
    """

    def __init__(
        self,
        cells: CellBlock,
        points: torch.Tensor,
        measure: Measure,
        degree: int | None = None,
    ) -> None:
        element = reference_element(cells.cell_type)
        xi, weights = element.quadrature(degree)
        shapes, gradients = element.tabulate(xi)
        self.cell_type, self.measure, self.points = cells.cell_type, measure, points
        self.n_elements, self.n_quadrature = len(cells.connectivity), len(weights)
        self.connectivity = np.ascontiguousarray(cells.connectivity, dtype=np.int64)
        self.nodes = torch.as_tensor(self.connectivity, device=points.device)
        self.shapes, self.reference_gradients, self.weights = (
            torch.as_tensor(a, device=points.device) for a in (shapes, gradients, weights)
        )
        self._slots: torch.Tensor | None = None
        self._native: NativeElement | None = None
        if points.device.type == "cpu":
            self._native = prepared(self.cell_type, measure, degree, self.n_points)

    def moved(self, points: torch.Tensor) -> ElementBlock:
        """The same elements with their nodes at other `points`, in torch, which differentiates by
        these."""
        block = copy.copy(self)
        block.points, block._native = points, None
        return block

    @property
    def n_points(self) -> int:
        return self.n_elements * self.n_quadrature

    def parts(self) -> Iterator[slice]:
        """Slices of elements that are worked on at a time."""
        step = max(1, PART // self.n_quadrature)
        for start in range(0, self.n_elements, step):
            yield slice(start, min(start + step, self.n_elements))

    def points_of(self, part: slice) -> slice:
        """The quadrature points of a part."""
        return slice(part.start * self.n_quadrature, part.stop * self.n_quadrature)

    # --- geometry ------------------------------------------------------------------------
    def positions(self, part: slice = slice(None)) -> torch.Tensor:
        """Coordinates of quadrature points, `(e, q, dim)`."""
        return torch.einsum("qk,ekd->eqd", self.shapes, self.points[self.nodes[part]])

    def jacobians(self, part: slice) -> torch.Tensor:
        """dX/dxi at quadrature points, `(e, q, dim, dim)`."""
        x = self.points[self.nodes[part]]
        return torch.einsum("eki,qkj->eqij", x, self.reference_gradients)

    def _geometry(self, part: slice) -> tuple[torch.Tensor, torch.Tensor]:
        """Gradients of shape functions `(e, q, k, n_gradients)` and volumes `(e, q)`."""
        jacobian = self.jacobians(part)
        gradients = self.reference_gradients @ torch.linalg.inv(jacobian)
        if self.measure.axisymmetric:
            hoop = self.shapes / self.positions(part)[..., :1]
            gradients = torch.cat([gradients, hoop[..., None]], -1)
        return gradients, self._volumes(jacobian, part)

    def _volumes(self, jacobian: torch.Tensor, part: slice) -> torch.Tensor:
        volumes = torch.linalg.det(jacobian) * self.weights
        if self.measure.axisymmetric:
            volumes = 2 * math.pi * self.positions(part)[..., 0] * volumes
        return volumes

    def volumes(self, part: slice = slice(None)) -> torch.Tensor:
        """Volumes of quadrature points, `(e, q)`."""
        if self._native is not None:
            return self._native.volumes(self.points, self.nodes[part])
        return self._volumes(self.jacobians(part), part)

    def _operator(self, part: slice) -> tuple[torch.Tensor, torch.Tensor]:
        """G `(e, q, c, k*dim)` and volumes `(e, q)`."""
        gradients, volumes = self._geometry(part)
        mean = None
        if self.measure.mean_dilatation:
            mean = torch.einsum("eq,eqkj->ekj", volumes, gradients) / volumes.sum(1)[:, None, None]
            mean = mean[:, None].expand_as(gradients)
        return self.measure.operator(gradients, mean), volumes

    # --- integrals -----------------------------------------------------------------------
    def strain(self, u: torch.Tensor, part: slice = slice(None)) -> torch.Tensor:
        """Strains `(n, 6)` or `(n, 3, 3)` at the points of a part from local displacements `u`
        `(n_local_nodes * dim,)`."""
        if self._native is not None:
            return self._native.strain(self.points, self.nodes[part], u)
        return self._change(u, part) + self.measure.reference(u)

    def _change(self, u: torch.Tensor, part: slice) -> torch.Tensor:
        """G u at the points of a part."""
        if self._native is not None:
            return self._native.strain(self.points, self.nodes[part], u, change=True)
        g, volumes = self._operator(part)
        local = u.reshape(-1, self.measure.dim)[self.nodes[part]].flatten(1)
        strain = u.new_zeros(*volumes.shape, self.measure.size)
        strain[..., list(self.measure.components)] = torch.einsum("eqcj,ej->eqc", g, local)
        return strain.reshape(-1, *self.measure.shape)

    def push_strain(self, du: torch.Tensor, part: slice) -> torch.Tensor:
        """The change of the strains `(n, 6)` or `(n, 3, 3)` at the points of a part with a change
        `du` `(n_local_nodes * dim,)` of the displacements, to first order."""
        return self._change(du, part)

    def pull_strain(self, bar: torch.Tensor, part: slice, nodal: torch.Tensor) -> None:
        """Add to `nodal` `(n_local_nodes * dim,)` the transpose of `push_strain` times `bar`
        `(n, 6)` or `(n, 3, 3)`: the derivatives by the displacements of a function that has the
        derivatives `bar` by the strains."""
        volumes = self.volumes(part).reshape(-1, *[1] * len(self.measure.shape))
        ElementBlock.add_forces(self, bar / volumes, part, nodal)

    def virtual_strain(self, w: torch.Tensor, part: slice) -> torch.Tensor:
        """The strains `(n, 6)` or `(n, 3, 3)` on which the stress works under virtual displacements
        `w` `(n_local_nodes * dim,)`: the forces of a stress S do the work on `w` that is the sum of
        volume * S : virtual_strain over the points of the part."""
        return self._change(w, part)

    def add_forces(self, stress: torch.Tensor, part: slice, forces: torch.Tensor) -> None:
        """Add the integral of G^T S over a part, S `(n, 6)` or `(n, 3, 3)`, to local `forces`
        `(n_local_nodes * dim,)`."""
        if self._native is not None:
            stress = stress.contiguous()
            return self._native.add_forces(self.points, self.nodes[part], stress, forces)
        g, volumes = self._operator(part)
        work = stress.reshape(*volumes.shape, self.measure.size)
        work = work[..., list(self.measure.components)] * volumes[..., None]
        nodal = torch.einsum("eqcj,eqc->ej", g, work).reshape(-1, self.measure.dim)
        forces.view(-1, self.measure.dim).index_add_(0, self.nodes[part].reshape(-1), nodal)

    def matrices(self, tangent: torch.Tensor, part: slice) -> torch.Tensor:
        """Element matrices `(e, k*dim, k*dim)` of a part, the integral of G^T C G."""
        g, volumes = self._operator(part)
        size, active = self.measure.size, list(self.measure.components)
        c = tangent.reshape(*volumes.shape, size, size)[..., active, :][..., active]
        rows = g.flatten(1, 2)  # (e, q*c, k*dim): one product sums over points as well
        return rows.mT @ (c * volumes[..., None, None] @ g).flatten(1, 2)

    def bind(self, matrix: LocalMatrix) -> None:
        """Remember where the element matrices go in `matrix`."""
        self._slots = matrix.slots(self.connectivity)

    def add_stiffness(self, tangent: torch.Tensor, part: slice, matrix: LocalMatrix) -> None:
        """Add the integral of G^T C G over a part, C `(n, 6, 6)` or `(n, 3, 3, 3, 3)`."""
        assert self._slots is not None, "bind comes first"
        if self._native is not None:
            tangent, slots = tangent.contiguous(), self._slots[part]
            nodes = self.nodes[part]
            return self._native.add_stiffness(self.points, nodes, tangent, slots, matrix)
        matrix.add(self._slots[part], self.nodes[part], self.matrices(tangent, part))

    def add_body_force(self, force: torch.Tensor, part: slice, forces: torch.Tensor) -> None:
        """Add the integral of N^T b over a part, b per volume, `(e, q, dim)`, to `forces`."""
        nodal = torch.einsum("eq,qk,eqd->ekd", self.volumes(part), self.shapes, force)
        forces.view(-1, self.measure.dim).index_add_(
            0, self.nodes[part].reshape(-1), nodal.flatten(0, 1)
        )

    def at_points(self, nodal: torch.Tensor, part: slice = slice(None)) -> torch.Tensor:
        """Nodal values `(n_local_nodes, ...)` interpolated to the points of a part, `(n, ...)`."""
        return torch.einsum("qk,ek...->eq...", self.shapes, nodal[self.nodes[part]]).flatten(0, 1)
