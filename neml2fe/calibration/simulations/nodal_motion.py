"""`NodalMotion`: measured displacements, brought to the nodes of a mesh."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.linalg import splu
from scipy.spatial import cKDTree
from torch import Tensor

from neml2fe.calibration.fullfield import Correlation, FullField
from neml2fe.errors import InputError
from neml2fe.fem.conditions.conditions import COMPONENTS, Dirichlet
from neml2fe.fem.conditions.functions import SpaceFunction, on_lines
from neml2fe.fem.mesh.distribution import distribute
from neml2fe.fem.mesh.elements import jacobians, reference_element
from neml2fe.fem.mesh.facets import connect_facets
from neml2fe.fem.mesh.mesh import Mesh
from neml2fe.fem.results.location import farthest, locate_all

Array = NDArray[np.float64]
Spread: TypeAlias = Callable[[Array], Array]

EVERY_NODE = "every_node"
_UNDETERMINED = 1e-13  # least pivot, of the largest


@dataclass(frozen=True, eq=False)
class NodalMotion:
    """Displacements `(T, n_nodes, dim)` of all nodes of `mesh` at increasing `times` `(T,)`.

    `conditions` prescribe them on `mesh`, with straight lines from image to image, so that a
    simulation has no equilibrium to find. Under MPI every rank has the mesh and all values.

    - `deviations`: where they come from data with noise, gives from weights `(T, n_nodes, dim, k)`
      of the nodal values those of independent standard deviations of the data, `(., k)`.
    """

    mesh: Mesh
    times: Array
    displacements: Tensor
    deviations: Spread | None = None

    def __post_init__(self) -> None:
        mesh, n = self.mesh, self.mesh.n_nodes
        shape = (len(self.times), n, mesh.dim)
        if self.displacements.shape != shape or not bool(self.displacements.isfinite().all()):
            raise InputError(
                f"finite displacements {shape} of the nodes are needed, not "
                f"{tuple(self.displacements.shape)}"
            )
        if len(self.times) < 2 or not (np.diff(self.times) > 0.0).all():
            raise InputError("the times of a motion must increase, from its start to a first image")
        tree = cKDTree(mesh.points)
        if tree.query_pairs(1e-9 * float(np.ptp(mesh.points, axis=0).max())):
            raise InputError(
                "two nodes are in one place: the motion of a mesh with interfaces or unmerged "
                "nodes cannot be told by place"
            )
        every = {**mesh.node_sets, EVERY_NODE: np.arange(n)}
        object.__setattr__(self, "mesh", replace(mesh, node_sets=every))
        object.__setattr__(self, "_tree", tree)

    @classmethod
    def fitted(
        cls, mesh: Mesh, data: FullField, *, smoothing: float = 0.0, start_time: float = 0.0
    ) -> NodalMotion:
        """The nodal values whose interpolation by the mesh's shape functions is nearest to the
        `data` of each image, in units of their noise (least squares), from zero at `start_time`.

        `smoothing`, a length, is the noise of a displacement over the change of the displacement
        gradient that is to be expected within an element and from one to the next: the larger it
        is, the smoother are the strains. It needs to be positive where nodes have too few points.

        Raises `InputError` for points outside of the mesh and nodes that the data do not determine.
        """
        fit = _Fit(mesh, data, smoothing)
        first = [[start_time]] if data.times[0] > start_time else []
        u = np.zeros((len(first) + len(data.times), mesh.n_nodes, mesh.dim))
        u[len(first) :] = fit.nodal()

        def deviations(weights: Array) -> Array:
            return fit.deviations(weights[len(first) :])

        times = np.concatenate([*first, data.times])
        known = None if data.noise is None else deviations
        return cls(mesh, times, torch.from_numpy(u), known)

    def conditions(self) -> list[Dirichlet]:
        """They prescribe the motion of every node of `mesh` (the attribute, which has the set of
        nodes that they name)."""
        breakpoints = [float(t) for t in self.times]
        return [
            Dirichlet(
                EVERY_NODE,
                component,
                SpaceFunction(self._component(k), breakpoints, [self.displacements]),
            )
            for k, component in enumerate(COMPONENTS[: self.mesh.dim])
        ]

    def _component(self, k: int) -> Callable[[Tensor, Tensor], Tensor]:
        def value(time: Tensor, x: Tensor) -> Tensor:
            t = float(time)
            if not self.times[0] <= t <= self.times[-1] * (1.0 + 1e-12):
                raise InputError(
                    f"the motion of the nodes is known from time {self.times[0]:g} to "
                    f"{self.times[-1]:g}, not at {t:g}"
                )
            nodes = self._nodes_at(x.numpy())
            return on_lines(self.times, t, lambda n: self.displacements[n, nodes, k])

        return value

    def _nodes_at(self, x: Array) -> Tensor:
        key = x.tobytes()
        if self._last is None or self._last[0] != key:
            nodes = torch.from_numpy(self._tree.query(x)[1])
            object.__setattr__(self, "_last", (key, nodes))  # a cache in a frozen dataclass
            return nodes
        return self._last[1]

    _tree: cKDTree = field(init=False, repr=False)
    _last: tuple[bytes, Tensor] | None = field(init=False, repr=False, default=None)


class _Fit:
    """Least squares for the nodal values of each image and component."""

    def __init__(self, mesh: Mesh, data: FullField, smoothing: float) -> None:
        dim = mesh.dim
        if data.points.shape[1] != dim or data.displacements.shape[2] < dim:
            raise InputError(
                f"points in {data.points.shape[1]}-D for a mesh in {dim}-D (`in_plane` leaves out "
                "the displacement across it)"
            )
        if not 0.0 <= smoothing < np.inf:
            raise InputError(f"the smoothing is a length of at least 0, got {smoothing:g}")
        self._data, self._mesh = data, mesh
        local = distribute(mesh)
        found = locate_all(local, local.cells, data.points)
        if not found.found.all():
            outside = data.points[~found.found]
            number, distance = farthest(local, local.cells, outside)
            place = ", ".join(f"{c:g}" for c in outside[number])
            raise InputError(
                f"{len(outside)} points are outside of the mesh, ({place}) farthest, by "
                f"{distance:.4g}: mask them"
            )
        order = np.empty(len(found.mine), dtype=np.int64)
        order[found.mine] = np.arange(len(found.mine))
        at = sparse.csr_matrix(found.interpolation(local.n_local))[order]
        columns = np.argsort(local.nodes)
        self._shapes = at[:, columns].tocsr()
        self._penalty = sparse.csc_matrix((mesh.n_nodes, mesh.n_nodes))
        if smoothing > 0.0:
            changes = gradient_changes(mesh)
            self._penalty = smoothing**2 * (changes.T @ changes)
        self._solvers: dict[bytes, sparse.linalg.SuperLU] = {}
        u = data.displacements[..., :dim]
        self._u, self._valid = u, np.isfinite(u)
        noise = 1.0 if data.noise is None else np.asarray(data.noise)[..., :dim]
        self._noise = np.broadcast_to(noise, u.shape)
        mean = float(np.sqrt(np.mean(np.square(self._noise[self._valid]))))
        self._share = self._noise / mean

    def nodal(self) -> Array:
        """`(T, n_nodes, dim)`"""
        T, _, dim = self._u.shape
        found = np.empty((T, self._mesh.n_nodes, dim))
        for n in range(T):
            for c in range(dim):
                rows, weight, solver = self._normal(n, c)
                right = rows.T @ (weight * self._u[n, self._valid[n, :, c], c])
                found[n, :, c] = solver.solve(right)
        return found

    def deviations(self, weights: Array) -> Array:
        """See `NodalMotion.deviations`: the transpose of the fit, times the noise."""
        T, _, dim = self._u.shape
        correlation = _dense(self._data)
        parts = []
        for n in range(T):
            for c in range(dim):
                rows, weight, solver = self._normal(n, c)
                there = self._valid[n, :, c]
                part = weight[:, None] * (rows @ solver.solve(weights[n, :, c]))
                part *= self._noise[n, there, c][:, None]
                if correlation is not None:
                    part = np.linalg.cholesky(correlation[np.ix_(there, there)]).T @ part
                parts.append(part)
        return np.concatenate(parts)

    def _normal(self, n: int, c: int) -> tuple[sparse.csr_matrix, Array, sparse.linalg.SuperLU]:
        """Rows of shape functions of the valid points, their weights, the normal equations."""
        there = self._valid[n, :, c]
        rows, weight = self._shapes[there], 1.0 / np.square(self._share[n, there, c])
        key = there.tobytes() + weight.tobytes()
        if key not in self._solvers:
            matrix = (rows.T @ sparse.diags_array(weight) @ rows + self._penalty).tocsc()
            self._solvers[key] = self._factored(matrix, rows, n)
        return rows, weight, self._solvers[key]

    def _factored(
        self, matrix: sparse.csc_matrix, rows: sparse.csr_matrix, n: int
    ) -> sparse.linalg.SuperLU:
        try:
            solver = splu(matrix)
            pivots = np.abs(solver.U.diagonal())
            if pivots.min() > _UNDETERMINED * pivots.max():
                return solver
        except RuntimeError:  # exactly singular
            pass
        unseen = np.flatnonzero(np.asarray(np.abs(rows).sum(axis=0)).ravel() == 0.0)
        of = f"image {n + 1} does not determine the displacements of all nodes"
        if len(unseen):
            place = ", ".join(f"{x:g}" for x in self._mesh.points[unseen[0]])
            of += f": {len(unseen)} have no point nearby, the first at ({place})"
        raise InputError(f"{of}; take a coarser mesh, or smoothing")


def _dense(data: FullField) -> Array | None:
    """The correlation matrix of the noise at the points, `(m, m)`; None where it is independent."""
    matrix = data.correlation
    if isinstance(matrix, Correlation):
        matrix = matrix.matrix(data.points)
    return np.asarray(matrix.toarray()) if sparse.issparse(matrix) else matrix  # type: ignore[union-attr]


def gradient_changes(mesh: Mesh) -> sparse.csr_matrix:
    """Rows that give, from values `(n_nodes,)` at the nodes, the changes of their gradient: from
    the mean of each element to the root mean square within it, and from the mean of one element to
    that of each neighbour. All are zero where values are linear in the coordinates."""
    dim = mesh.dim
    within: list[sparse.csr_matrix] = []
    means: list[sparse.csr_matrix] = []
    for cell_type, connectivity in mesh.cells:
        element = reference_element(cell_type)
        xi, w = element.quadrature(max(2, 2 * element.degree))
        reference = element.tabulate(xi)[1]
        jacobian = jacobians(mesh.points[connectivity], reference)
        gradients = np.einsum("qkj,eqji->eqik", reference, np.linalg.inv(jacobian))
        share = w * np.linalg.det(jacobian)
        share /= share.sum(axis=1, keepdims=True)
        mean = np.einsum("eq,eqik->eik", share, gradients)
        local = np.sqrt(share)[..., None, None] * (gradients - mean[:, None])
        for rows, found in ((mean, means), (local.reshape(len(mean), -1, mean.shape[2]), within)):
            columns = np.repeat(connectivity[:, None], rows.shape[1], axis=1)
            start = np.arange(rows.shape[0] * rows.shape[1] + 1) * rows.shape[2]
            shape = (len(start) - 1, mesh.n_nodes)
            found.append(sparse.csr_matrix((rows.ravel(), columns.ravel(), start), shape=shape))
    pairs = connect_facets(mesh.cells, mesh.n_nodes).neighbours()
    every = sparse.vstack(means).tocsr()
    first, second = (every[(dim * pairs[:, [k]] + np.arange(dim)).ravel()] for k in (0, 1))
    return sparse.vstack([first - second, *within]).tocsr()
