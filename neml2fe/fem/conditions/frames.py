"""Rotated frames: the local axes of nodes whose prescribed components are not along x, y, z."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from neml2fe.errors import InputError
from neml2fe.fem.conditions.conditions import Dirichlet, component_index
from neml2fe.fem.conditions.places import facet_blocks, nodes_of
from neml2fe.fem.mesh.distribution import LocalMesh

Array = NDArray[np.float64]
Index = NDArray[np.int64]

SAME_DIRECTION = 1e-9
NEARLY_NORMAL = 0.3
"""Cosine up to which an averaged normal is turned to be at right angles to what else is
prescribed at its node: at the end of a curved boundary it is that of the last facets alone."""


class Frames:
    """Orthonormal axes of this rank's owned nodes, made of the directions that their conditions
    prescribe.

    - `nodes`: the owned nodes with axes of their own; `axes` `(n, dim, dim)`, one in a row.
    - `dofs`, `signs`: for each condition the owned unknowns that it prescribes, and whether its
      direction is along the axis or against it.

    Raises `InputError` where the directions of two conditions on a node are neither the same nor
    at right angles.
    """

    def __init__(
        self, local: LocalMesh, conditions: Sequence[Dirichlet], normals: dict[str, Array]
    ) -> None:
        self._local = local
        found = [self._directions(condition, normals) for condition in conditions]
        turned = [nodes for c, (nodes, _) in zip(conditions, found, strict=True) if is_turned(c)]
        self.nodes = np.unique(np.concatenate([*turned, np.empty(0, dtype=np.int64)]))
        n, dim = len(self.nodes), local.dim
        self._used, self.axes = np.zeros(n, dtype=np.int64), np.zeros((n, dim, dim))
        nothing = np.empty(0, dtype=np.int64)
        self.dofs: list[Index] = [nothing] * len(found)
        self.signs: list[Array] = [np.empty(0)] * len(found)
        # Normals last: they give way to exact directions.
        for c in sorted(range(len(found)), key=lambda c: conditions[c].component == "normal"):
            condition, (nodes, directions) = conditions[c], found[c]
            dofs, signs = np.empty(len(nodes), dtype=np.int64), np.ones(len(nodes))
            own = np.isin(nodes, self.nodes)
            if not own.all():  # no turned condition here
                axis = component_index(condition.component, dim, "")
                dofs[~own] = nodes[~own] * dim + axis
            rows = np.searchsorted(self.nodes, nodes[own])
            axes, signs[own] = self._add(condition, rows, directions[own])
            dofs[own] = nodes[own] * dim + axes
            self.dofs[c], self.signs[c] = dofs, signs
        self._complete()

    def _directions(self, condition: Dirichlet, normals: dict[str, Array]) -> tuple[Index, Array]:
        """Owned nodes of a condition and the unit vectors that it prescribes there."""
        local, what = self._local, f"condition '{condition.name}'"
        nodes = nodes_of(local, condition.boundary, condition.name)
        nodes = nodes[nodes < local.n_owned]
        if condition.component == "normal":
            directions = normals[condition.boundary][nodes]
            size = np.linalg.norm(directions, axis=1)
            if np.any(size < 1e-300):
                raise InputError(f"{what}: the facets around a node of the boundary have no normal")
            return nodes, directions / size[:, None]
        index = component_index(condition.component, local.dim, what)
        frame = np.eye(local.dim)
        if condition.frame is not None:
            frame = np.asarray(condition.frame, dtype=np.float64)
            if (
                frame.shape != (local.dim,) * 2
                or np.abs(frame @ frame.T - np.eye(local.dim)).max() > 1e-6
            ):
                raise InputError(
                    f"{what}: a frame is {local.dim} unit vectors at right angles, got "
                    f"{condition.frame}"
                )
            frame, upper = np.linalg.qr(frame.T)  # to the last digit
            frame = (frame * np.sign(np.diag(upper))).T
        return nodes, np.broadcast_to(frame[index], (len(nodes), local.dim))

    def _add(self, condition: Dirichlet, rows: Index, directions: Array) -> tuple[Index, Array]:
        """Put directions among the axes of nodes; which axis each is, and its sign."""
        cosines = np.einsum("nad,nd->na", self.axes[rows], directions)
        if condition.component == "normal":
            turn = np.abs(cosines).max(axis=1) < NEARLY_NORMAL
            across = np.einsum("na,nad->nd", cosines[turn], self.axes[rows[turn]])
            directions = directions.copy()
            directions[turn] -= across
            directions[turn] /= np.linalg.norm(directions[turn], axis=1, keepdims=True)
            cosines[turn] = 0.0
        axis = np.abs(cosines).argmax(axis=1)
        largest = cosines[np.arange(len(rows)), axis]
        known = np.abs(largest) > 1.0 - SAME_DIRECTION
        new = np.abs(largest) < SAME_DIRECTION
        wrong = np.flatnonzero(~(known | new))
        if wrong.size:
            where = ", ".join(f"{x:g}" for x in self._local.points[self.nodes[rows[wrong[0]]]])
            raise InputError(
                f"condition '{condition.name}': at the node at ({where}) its direction is neither "
                "that of another condition nor at right angles to it; leave the node out of one"
            )
        axis[new] = self._used[rows[new]]
        self.axes[rows[new], axis[new]] = directions[new]
        self._used[rows[new]] += 1
        return axis, np.where(known, np.sign(largest), 1.0)

    def _complete(self) -> None:
        """Fill up the axes of nodes with fewer conditions than directions."""
        for k in range(1, self._local.dim):
            rows = np.flatnonzero(self._used == k)
            columns = np.swapaxes(self.axes[rows, :k], 1, 2)
            full = np.swapaxes(np.linalg.qr(columns, mode="complete")[0], 1, 2)
            self.axes[rows, k:] = full[:, k:]


def is_turned(condition: Dirichlet) -> bool:
    """Whether the components of a condition are not along the axes of the mesh."""
    return condition.frame is not None or condition.component == "normal"


def boundary_normals(
    local: LocalMesh, conditions: Sequence[Dirichlet], sum_to_owners: Callable[[Array], Array]
) -> dict[str, Array]:
    """The integral of N n over the boundaries of conditions on normal components, at owned nodes
    `(n_owned, dim)`. Collective."""
    found = {}
    for condition in conditions:
        if condition.component != "normal" or condition.boundary in found:
            continue
        total = np.zeros((local.n_local, local.dim))
        for facets in facet_blocks(local, condition.boundary, condition.name, False):
            np.add.at(total, facets.connectivity, facets.nodal(facets.normals))
        found[condition.boundary] = sum_to_owners(total.reshape(-1)).reshape(-1, local.dim)
    return found
