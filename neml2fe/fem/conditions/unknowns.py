"""The unknowns q of a problem, and how they determine the displacements: u = T q.

Without links the unknowns are the displacements. Rotated frames, rigid bodies and periodic cells
make others: components along local axes, and the degrees of freedom of control nodes, which are no
nodes of the mesh. The last rank owns these; they are numbered after all nodes of the mesh.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from neml2fe.errors import InputError
from neml2fe.fem.algebra import Algebra, DofLayout
from neml2fe.fem.collective import collectively
from neml2fe.fem.conditions.conditions import Condition, Dirichlet, PeriodicCell, RigidBody
from neml2fe.fem.conditions.entries import Entries
from neml2fe.fem.conditions.frames import Frames, boundary_normals, is_turned
from neml2fe.fem.conditions.periodic import MeanStrain, Pairs, find_pairs, rows
from neml2fe.fem.conditions.rigid import RigidLink
from neml2fe.fem.integrals.matrix import LocalMatrix
from neml2fe.fem.integrals.measures import Measure
from neml2fe.fem.mesh.distribution import LocalMesh, gather_nodes
from neml2fe.fem.mesh.mesh import Mesh

Array = NDArray[np.float64]
Index = NDArray[np.int64]


class Unknowns:
    """The unknowns of a problem. Raises `InputError` where two links move one node.

    - `layout`: of the algebra: nodes of the mesh as in `local`, with the control nodes among the
      owned ones of the last rank.
    - `linked`: whether u = q does not hold.
    - `n_control`: control nodes; `rigid` and `cells` say what they mean.
    - `followers`: mask of the owned nodes of the mesh that links move.
    """

    def __init__(
        self,
        local: LocalMesh,
        whole: Mesh | None,
        conditions: Sequence[Condition],
        measure: Measure,
    ) -> None:
        self.local = local
        self._prescribed = [c for c in conditions if isinstance(c, Dirichlet)]
        links = [c for c in conditions if isinstance(c, (RigidBody, PeriodicCell))]
        if links and measure.axisymmetric:
            raise InputError(
                f"condition '{links[0].name}': rigid bodies and periodic cells need a plane or "
                "three-dimensional problem"
            )
        self.rigid: list[RigidLink] = []
        self.cells: list[tuple[MeanStrain, Pairs]] = []
        self.n_control = 0
        for link in links:
            if isinstance(link, RigidBody):
                self.rigid.append(RigidLink(link, local, self.n_control, measure.finite))
                self.n_control += RigidLink.n_control
            else:
                strain = MeanStrain(link, self.n_control, local.dim, measure.finite)
                self.cells.append((strain, self._pairs(whole, link)))
                self.n_control += strain.n_control
        self._moving = [link for link in self.rigid if link.moves]
        self.linked = bool(links) or any(is_turned(c) for c in self._prescribed)
        self._mine = self.n_control if local.rank == local.size - 1 else 0
        self.layout = self._layout()

    def _pairs(self, whole: Mesh | None, cell: PeriodicCell) -> Pairs:
        """The pairs of the mesh, masters by their numbers in the parallel ordering. Collective."""
        local = self.local
        numbers = gather_nodes(local, local.global_nodes[: local.n_owned])

        def find() -> Pairs:
            assert whole is not None and numbers is not None
            pairs = find_pairs(whole, cell)
            return Pairs(
                pairs.slaves, numbers[pairs.masters], pairs.shifts, pairs.corner, pairs.volume
            )

        return collectively(local.comm, find)

    def _layout(self) -> DofLayout:
        local, n = self.local, self.local.n_owned
        control = local.n_global + np.arange(self._mine)
        points = [link.point for link in self.rigid for _ in range(link.n_control)]
        points += [np.zeros(local.dim)] * (self.n_control - len(points))
        coordinates = [np.array(points)] if self._mine else []
        return DofLayout(
            local.comm,
            local.dim,
            n + self._mine,
            np.insert(local.global_nodes, n, control),
            np.concatenate([local.points[:n], *coordinates, local.points[n:]]),
        )

    # --- T -------------------------------------------------------------------------------
    def bind(self, algebra: Algebra) -> None:
        """Find local axes and make T. Collective."""
        local = self.local
        self._algebra = algebra
        normals = boundary_normals(local, self._prescribed, self.sum_to_owners)
        self.frames = collectively(
            local.comm, lambda: Frames(local, self._prescribed, normals), every_rank=True
        )
        self.followers = collectively(local.comm, self._find_followers, every_rank=True)
        if self.linked:
            self._fixed_part = self._build_fixed_part()
            self._set_transform(np.zeros(self.n_control * local.dim))

    def _find_followers(self) -> NDArray[np.bool_]:
        local = self.local
        by = np.zeros(local.n_owned, dtype=np.int64)  # number of the link, from 1
        links: list[tuple[str, Index]] = [(r.name, self._own(r.nodes)) for r in self.rigid]
        links += [(s.name, self._own_slaves(pairs)[0]) for s, pairs in self.cells]

        def clash(nodes: Index) -> tuple[str, str] | None:
            """A link that moves one of the nodes already, and the place of the node."""
            taken = nodes[by[nodes] > 0]
            if not taken.size:
                return None
            where = ", ".join(f"{x:g}" for x in local.points[taken[0]])
            return links[by[taken[0]] - 1][0], where

        for number, (name, nodes) in enumerate(links, 1):
            if found := clash(nodes):
                other, where = found
                raise InputError(
                    f"conditions '{other}' and '{name}' both move the node at ({where})"
                )
            by[nodes] = number
        for condition, dofs in zip(self._prescribed, self.frames.dofs, strict=True):
            if found := clash(dofs // local.dim):
                other, where = found
                raise InputError(
                    f"condition '{condition.name}' prescribes the displacement of the node at "
                    f"({where}), which '{other}' moves; leave it out of one of them"
                )
        return by > 0

    def _own(self, nodes: Index) -> Index:
        return nodes[nodes < self.local.n_owned]

    def _own_slaves(self, pairs: Pairs) -> tuple[Index, Index]:
        """Owned nodes among the slaves, and their positions among these."""
        numbers = self.local.nodes[: self.local.n_owned]
        at = np.searchsorted(pairs.slaves, numbers)
        at = np.minimum(at, len(pairs.slaves) - 1)
        mine = np.flatnonzero(pairs.slaves[at] == numbers)
        return mine, at[mine]

    def _column(self, control: Index) -> Index:
        """Global number of degrees of freedom of control nodes."""
        return self.local.n_global * self.local.dim + control

    def _build_fixed_part(self) -> Entries:
        """T without what changes with the unknowns: without the rotations of rigid bodies."""
        local, dim = self.local, self.local.dim
        own, first = np.arange(local.n_owned), local.node_start * local.dim
        axes = np.arange(dim)
        plain = np.ones(local.n_owned, dtype=bool)
        plain[self.frames.nodes] = False
        plain[self.followers] = False
        found = Entries(
            (self.layout.n_owned_dofs, int(self._column(np.array(self.n_control * dim))))
        )
        dofs = own[plain][:, None] * dim + axes
        found.add(dofs, first + dofs, 1.0)
        control = local.n_owned * dim + np.arange(self._mine * dim)
        found.add(control, first + control, 1.0)
        turned = self.frames.nodes[:, None, None] * dim
        rotation = np.swapaxes(self.frames.axes, 1, 2)
        found.add(turned + axes[:, None], first + turned + axes, rotation)
        for link in self.rigid:
            dofs = self._own(link.nodes)[:, None] * dim + axes
            found.add(dofs, self._column(link.first * dim + axes), 1.0)
        for strain, pairs in self.cells:
            nodes, at = self._own_slaves(pairs)
            dofs = nodes[:, None] * dim + axes
            found.add(dofs, pairs.masters[at][:, None] * dim + axes, 1.0)
            controls, factors = rows(strain, pairs.shifts[at])
            found.add(dofs[..., None], self._column(controls), factors)
        return found

    def _set_transform(self, controls: Array) -> None:
        """T at the values of the control nodes."""
        found, dim = self._fixed_part.copy(), self.local.dim
        for link in self.rigid:
            owned = link.nodes < self.local.n_owned
            derivative = link.derivative(controls)[owned]
            dofs = link.nodes[owned][:, None] * dim + np.arange(dim)
            angles = np.arange(derivative.shape[-1])
            columns = self._column((link.first + 1) * dim + angles)
            found.add(dofs[..., None], columns, derivative)
        self._controls = controls
        self._algebra.set_transform(found.matrix())

    # --- from unknowns to displacements and back -----------------------------------------
    def own(self, control: int) -> Index:
        """A degree of freedom of a control node among the owned unknowns; none but on the last
        rank."""
        first = self.local.n_owned * self.local.dim
        return np.array([first + control] if self._mine else [], dtype=np.int64)

    def controls(self, q: Array) -> Array:
        """Values of the degrees of freedom of all control nodes, on every rank. Collective."""
        if not self.n_control:
            return np.zeros(0)
        mine = q[self.local.n_owned * self.local.dim :]
        return self._algebra.allreduce(
            mine if len(mine) else np.zeros(self.n_control * self.local.dim)
        )

    def displacements(self, q: Array) -> Array:
        """Local displacements of the mesh from owned unknowns. T is then that at q. Collective."""
        if not self.linked:
            return self._algebra.update_ghosts(q)
        u = self._of_mesh(self._algebra.update_ghosts(self._algebra.to_displacement(q)))
        if self._moving:
            controls = self.controls(q)
            if not np.array_equal(controls, self._controls):
                self._set_transform(controls)
            by_node = u.reshape(-1, self.local.dim)
            for link in self._moving:
                by_node[link.nodes] = link.displacements(controls)
        return u

    def tangent(self, dq: Array) -> Array:
        """Local displacements T dq of the mesh, with T as it is now. Collective."""
        du = self._algebra.to_displacement(dq) if self.linked else dq
        return self._of_mesh(self._algebra.update_ghosts(du))

    def reduced(self, forces: Array) -> Array:
        """Owned forces on the unknowns, T^T f, from those on the nodes of the mesh. Collective."""
        if not self.linked:
            return forces
        padded = np.concatenate([forces, np.zeros(self._mine * self.local.dim)])
        return self._algebra.to_reduced(padded)

    # --- vectors over the nodes of the mesh ----------------------------------------------
    def sum_to_owners(self, local: Array) -> Array:
        """Owned values of nodes of the mesh after ghosts were added to them. Collective."""
        n = self.local.n_owned * self.local.dim
        if self._mine:
            local = np.insert(local, [n] * (self._mine * self.local.dim), 0.0)
        return self._algebra.sum_to_owners(local)[:n]

    def update_ghosts(self, owned: Array) -> Array:
        """Owned values of nodes of the mesh, extended by those of the ghosts. Collective."""
        padded = np.concatenate([owned, np.zeros(self._mine * self.local.dim)])
        return self._of_mesh(self._algebra.update_ghosts(padded))

    def _of_mesh(self, values: Array) -> Array:
        """Local values without those of control nodes."""
        if not self._mine:
            return values
        n = self.local.n_owned * self.local.dim
        return np.delete(values, np.s_[n : n + self._mine * self.local.dim])

    # --- the matrix ----------------------------------------------------------------------
    def pattern(self, matrix: LocalMatrix) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
        """The pattern of the mesh's matrix with a block on the diagonal for each control node."""
        n, mine = self.local.n_owned, self._mine
        indptr, indices = matrix.indptr, matrix.indices
        if not mine:
            return indptr, indices
        shifted = np.where(indices >= n, indices + mine, indices)
        own = n + np.arange(mine)
        rows_before = indptr[: n + 1]
        middle = indptr[n] + 1 + np.arange(mine)
        return (
            np.concatenate([rows_before, middle, indptr[n + 1 :] + mine]),
            np.insert(shifted, indptr[n], own).astype(np.int32),
        )

    def values(self, matrix: LocalMatrix, unbalanced: Array) -> Array:
        """Values in that pattern; `unbalanced` are the owned forces on the nodes of the mesh. The
        blocks of control nodes hold what the turning of rigid bodies makes. Collective."""
        values = matrix.values.cpu().numpy()
        if not self.n_control:
            return values
        dim = self.local.dim
        blocks = np.zeros((self.n_control, dim, dim))
        for link, part in self._turning(unbalanced):
            blocks[link.first + 1, : len(part), : len(part)] = part
        if not self._mine:
            return values
        place = dim * dim * int(matrix.indptr[self.local.n_owned])
        return np.concatenate([values[:place], blocks.ravel(), values[place:]])

    def turning(self, w: Array, unbalanced: Array) -> Array:
        """What the turning of rigid bodies adds to the product of the tangent and owned unknowns
        `w`; symmetric. Collective."""
        found = np.zeros_like(w)
        if not self._moving:
            return found
        controls = self.controls(w)
        for link, part in self._turning(unbalanced):
            first = (link.first + 1) * self.local.dim
            for k, value in enumerate(part @ controls[first : first + len(part)]):
                found[self.own(first + k)] = value
        return found

    def _turning(self, unbalanced: Array) -> list[tuple[RigidLink, Array]]:
        """Stiffness `(1 or 3, 1 or 3)` against rotation that forces on turning arms make."""
        dim, found = self.local.dim, []
        for link in self._moving:
            owned = link.nodes < self.local.n_owned
            forces = np.zeros((len(owned), dim))
            forces[owned] = unbalanced.reshape(-1, dim)[link.nodes[owned]]
            part = self._algebra.allreduce(link.second_order(self._controls, forces))
            found.append((link, part))
        return found
