"""From quadrature points to elements and nodes.

In each element the values at the points are fitted by least squares with the shape functions of
its vertices: exact for linear fields in elements with straight sides, and, in quadratic
elements, of the order at which stresses converge. Elements with too few points for that (one
point) take their mean. At a node, the elements around it are averaged by volume, over all ranks.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from neml2fe.fem.integrals.block import ElementBlock
from neml2fe.fem.mesh.elements import reference_element
from neml2fe.fem.problem import Problem
from neml2fe.fem.results.fields import FieldInfo, values_at_points

Array = NDArray[np.float64]


class PointFit:
    """The fit of values at the quadrature points of an element of `block`."""

    def __init__(self, block: ElementBlock) -> None:
        element = reference_element(block.cell_type)
        shapes = block.shapes.cpu().numpy()
        at_points = _basis(element.linear_type, shapes @ element.nodes)
        self._linear = element.linear_type
        determined = np.linalg.matrix_rank(at_points) == at_points.shape[1]
        if not determined:
            at_points, self._linear = np.ones((len(shapes), 1)), ""
        self._coefficients = np.linalg.pinv(at_points)
        self.at_nodes = self.weights(element.nodes)

    def weights(self, xi: Array) -> Array:
        """Weights `(m, n_quadrature)` of the values for those at reference positions `(m, dim)`."""
        basis = _basis(self._linear, xi) if self._linear else np.ones((len(xi), 1))
        return basis @ self._coefficients


def _basis(cell_type: str, xi: Array) -> Array:
    return reference_element(cell_type).tabulate(xi)[0]


class Averages:
    """Averages of fields at quadrature points over the elements and around the nodes of a
    problem, of which it keeps the volumes of the points."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.volumes = [solid.block.volumes() for solid in problem.solids]
        self.fits = [PointFit(solid.block) for solid in problem.solids]
        self._weights: dict[tuple[int, ...], Array] = {}

    def cells(self, info: FieldInfo) -> list[Array]:
        """Volume averages, for each block of cells `(cells, *info.shape)`; NaN where the
        material has no such field."""
        problem = self.problem
        found = [
            np.full((len(block.connectivity), *info.shape), np.nan) for block in problem.local.cells
        ]
        for k in info.sources:
            solid, volumes = problem.solids[k], self.volumes[k]
            values = self._by_element(info, k)
            share = volumes / volumes.sum(1, keepdim=True)
            mean = torch.einsum("eq,eqc->ec", share, values)
            rows = mean.cpu().numpy().reshape(solid.block.n_elements, *info.shape)
            found[solid.cells][solid.local_elements] = rows
        return found

    def nodes(self, info: FieldInfo, body: str | None = None) -> Array:
        """Averages at all local nodes, `(n_local, *info.shape)`; NaN where no element has the
        field. Of the elements of one `body` only, if given. Collective."""
        problem = self.problem
        chosen = [k for k in info.sources if body is None or problem.solids[k].name == body]
        size = int(np.prod(info.shape, dtype=int))
        total = problem.points.new_zeros(problem.local.n_local, size)
        for k in chosen:
            block = problem.solids[k].block
            fit = torch.as_tensor(self.fits[k].at_nodes, device=problem.device)
            weight = self.volumes[k].sum(1)
            corner = torch.einsum("e,nq,eqc->enc", weight, fit, self._by_element(info, k))
            total.index_add_(0, block.nodes.reshape(-1), corner.reshape(-1, size))
        summed = sum_at_nodes(problem, total.cpu().numpy())
        weights = self._node_weights(chosen)
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = np.where(weights[:, None] > 0, summed / weights[:, None], np.nan)
        return mean.reshape(-1, *info.shape)

    def _by_element(self, info: FieldInfo, k: int) -> torch.Tensor:
        """(elements, points of each, components)"""
        block = self.problem.solids[k].block
        values = values_at_points(self.problem, info, k)
        return values.reshape(
            block.n_elements, block.n_quadrature, int(np.prod(info.shape, dtype=int))
        )

    def _node_weights(self, chosen: Sequence[int]) -> Array:
        """Volume of the elements of the chosen solids around each local node. Collective."""
        key = tuple(chosen)
        if key not in self._weights:
            problem = self.problem
            total = problem.points.new_zeros(problem.local.n_local, 1)
            for k in chosen:
                block = problem.solids[k].block
                share = self.volumes[k].sum(1)[:, None].expand(block.nodes.shape)
                total.index_add_(0, block.nodes.reshape(-1), share.reshape(-1, 1))
            self._weights[key] = sum_at_nodes(problem, total.cpu().numpy())[:, 0]
        return self._weights[key]


def sum_at_nodes(problem: Problem, values: Array) -> Array:
    """`values` `(n_local, c)` of shared nodes summed over the ranks, ghosts too. Collective."""
    n, c = values.shape
    dim, unknowns = problem.local.dim, problem.unknowns
    padded = np.pad(values, ((0, 0), (0, -c % dim)))
    for start in range(0, c, dim):  # vectors of the problem have dim components a node
        owned = unknowns.sum_to_owners(padded[:, start : start + dim].reshape(-1))
        padded[:, start : start + dim] = unknowns.update_ghosts(owned).reshape(n, dim)
    return padded[:, :c]
