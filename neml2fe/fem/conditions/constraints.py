"""Which unknowns are prescribed, to what values, and the forces that this takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neml2fe.errors import InputError, suggest
from neml2fe.fem.algebra import Algebra
from neml2fe.fem.collective import collectively
from neml2fe.fem.conditions.conditions import (
    Condition,
    ControlDisplacement,
    ControlForce,
    Dirichlet,
)
from neml2fe.fem.conditions.functions import (
    Function,
    SpaceFunction,
    Through,
    TimeFunction,
    pull_at,
    value_at,
    values_at,
)
from neml2fe.fem.conditions.unknowns import Unknowns

Array = NDArray[np.float64]
Index = NDArray[np.int64]


@dataclass(frozen=True)
class Prescribed:
    """Owned unknowns with the values of a function at `places` `(n, dim)` times `signs`."""

    name: str
    component: str
    function: Function
    dofs: Index
    places: Array
    signs: Array
    reported: bool = True

    def values(self, time: float) -> Array:
        what = f"condition '{self.name}'"
        return self.signs * values_at(self.function, time, self.places, what)

    def pull(self, bar: Array, time: float, through: Through) -> None:
        """Hand cotangents `bar` `(n_dofs,)` of the `values` at `time` to the function's tensors."""
        what = f"condition '{self.name}'"
        pull_at(self.function, time, self.places, self.signs * bar, what, through)


class Constraints:
    """Prescribed unknowns and forces on control nodes. Raises `InputError` for conditions that
    contradict each other on a common node and `MeshError` for unknown boundaries.

    - `fixed`: mask of the owned unknowns that are prescribed, follow others or mean nothing.
    """

    def __init__(
        self, unknowns: Unknowns, conditions: Sequence[Condition], algebra: Algebra
    ) -> None:
        self._unknowns, self._algebra, self._local = unknowns, algebra, unknowns.local
        self.conditions = [c for c in conditions if isinstance(c, Dirichlet)]
        self.prescribed: list[Prescribed] = []
        frames = unknowns.frames
        for given, dofs, signs in zip(self.conditions, frames.dofs, frames.signs, strict=True):
            places = self._local.points[dofs // self._local.dim]
            self.prescribed.append(
                Prescribed(given.name, given.component, given.value, dofs, places, signs)
            )
        self._driven: list[tuple[ControlDisplacement | ControlForce, int]] = []
        for condition in conditions:
            if isinstance(condition, (ControlDisplacement, ControlForce)):
                dof = self._control_dof(condition)
                self._driven.append((condition, dof))
                if isinstance(condition, ControlDisplacement):
                    self._prescribe(condition.name, condition.component, condition.value, dof, True)
        for strain, pairs in unknowns.cells:
            for dof, (name, function) in strain.prescribed().items():
                self._prescribe(f"{strain.name}_{name}", name, function, dof, False)
            mine = np.flatnonzero(self._local.nodes[: self._local.n_owned] == pairs.corner)
            for i in range(self._local.dim):
                dofs = mine * self._local.dim + i
                self.prescribed.append(
                    Prescribed(
                        f"{strain.name}_corner", "xyz"[i], 0.0, dofs,
                        self._local.points[mine], np.ones(len(mine)), False,
                    )
                )  # fmt: skip
        self.fixed = self._find_fixed()
        self._overlaps = self._find_overlaps()

    def _control_dof(self, condition: ControlDisplacement | ControlForce) -> int:
        bodies = {link.name: link for link in self._unknowns.rigid}
        what = f"condition '{condition.name}'"
        if condition.body not in bodies:
            near = suggest(condition.body, bodies)
            raise InputError(f"{what}: there is no rigid body '{condition.body}'{near}")
        link = bodies[condition.body]
        if condition.component not in link.components:
            near = suggest(condition.component, link.components)
            raise InputError(f"{what}: no component '{condition.component}'{near}")
        return link.dof(condition.component)

    def _prescribe(
        self, name: str, component: str, function: Function, control: int, reported: bool
    ) -> None:
        dofs = self._unknowns.own(control)
        places, signs = np.zeros((len(dofs), self._local.dim)), np.ones(len(dofs))
        self.prescribed.append(Prescribed(name, component, function, dofs, places, signs, reported))

    def _find_fixed(self) -> NDArray[np.bool_]:
        """Mask of the owned unknowns that are prescribed, or mean nothing."""
        fixed = np.zeros(self._unknowns.layout.n_owned_dofs, dtype=bool)
        for entry in self.prescribed:
            fixed[entry.dofs] = True
        followers = np.repeat(self._unknowns.followers, self._local.dim)
        fixed[: len(followers)] |= followers
        unused = [control for link in self._unknowns.rigid for control in link.unused]
        unused += [control for strain, _ in self._unknowns.cells for control in strain.unused]
        for control in unused:
            fixed[self._unknowns.own(control)] = True
        return fixed

    def _find_overlaps(self) -> list[tuple[int, int, Index, Index]]:
        """Pairs of conditions that share unknowns of this rank, and where."""
        owner: dict[int, list[int]] = {}
        counts = np.zeros(len(self.fixed), dtype=np.int64)
        for entry in self.prescribed:
            counts[entry.dofs] += 1
        for k, entry in enumerate(self.prescribed):
            for dof in entry.dofs[counts[entry.dofs] > 1].tolist():
                owner.setdefault(dof, []).append(k)
        pairs = {(ks[0], k) for ks in owner.values() for k in ks[1:]}
        found = []
        for i, j in sorted(pairs):
            a, b = self.prescribed[i].dofs, self.prescribed[j].dofs
            _, at_i, at_j = np.intersect1d(a, b, return_indices=True)
            found.append((i, j, at_i, at_j))
        return found

    def _values(self, time: float) -> list[Array]:
        found = [entry.values(time) for entry in self.prescribed]
        for i, j, at_i, at_j in self._overlaps:
            differ = np.flatnonzero(found[i][at_i] != found[j][at_j])
            if differ.size:
                a, b = self.prescribed[i], self.prescribed[j]
                raise InputError(
                    f"conditions '{a.name}' and '{b.name}' prescribe "
                    f"{found[i][at_i][differ[0]]:g} and {found[j][at_j][differ[0]]:g} for "
                    f"{a.component} on common nodes at time {time:g}"
                )
        return found

    def apply(self, q: Array, time: float) -> Array:
        """Owned unknowns `q` with the prescribed values at `time` put in. Collective."""
        values = collectively(self._local.comm, lambda: self._values(time), every_rank=True)
        q = q.copy()
        for entry, value in zip(self.prescribed, values, strict=True):
            q[entry.dofs] = value
        return q

    def control_forces(self, time: float) -> Array:
        """Forces on the owned unknowns: those on control nodes at `time`."""
        forces = np.zeros(len(self.fixed))
        for condition, dof in self._driven:
            if isinstance(condition, ControlForce):
                value = value_at(condition.value, time, f"condition '{condition.name}'")
                forces[self._unknowns.own(dof)] += value
        for strain, pairs in self._unknowns.cells:
            for dof, force in strain.forces(time, pairs.volume).items():
                forces[self._unknowns.own(dof)] += force
        return forces

    def pull(self, bar: Array, time: float, through: Through) -> None:
        """Hand `through` the functions that `apply` takes the prescribed unknowns at `time` from,
        and what cotangents `bar` `(n_unknowns,)` of the owned unknowns make of theirs. Where two
        conditions share an unknown, the last has set it. Collective."""
        setter = np.full(len(self.fixed), -1)
        for k, entry in enumerate(self.prescribed):
            setter[entry.dofs] = k

        def each() -> None:
            for k, entry in enumerate(self.prescribed):
                mine = setter[entry.dofs] == k
                entry.pull(np.where(mine, bar[entry.dofs], 0.0), time, through)

        collectively(self._local.comm, each, every_rank=True)

    def pull_control(self, bar: Array, time: float, through: Through) -> None:
        """The same for `control_forces`, of cotangents `bar` `(n_unknowns,)` of these.
        Collective."""

        def hand_over(function: TimeFunction, dof: int, factor: float, name: str) -> None:
            own = factor * bar[self._unknowns.own(dof)]
            places = np.zeros((len(own), self._local.dim))
            pull_at(function, time, places, own, f"condition '{name}'", through)

        def each() -> None:
            for condition, dof in self._driven:
                if isinstance(condition, ControlForce):
                    hand_over(condition.value, dof, 1.0, condition.name)
            for strain, pairs in self._unknowns.cells:
                for name, function in strain.cell.stress.items():
                    i, j = strain.components[name]
                    factor = pairs.volume * strain.weight(i, j)
                    hand_over(function, strain.dof(i, j), factor, strain.name)

        collectively(self._local.comm, each, every_rank=True)

    def load_row(self, q: Array, unbalanced: Array, time: float) -> dict[str, float]:
        """Prescribed values and reactions, motions of loaded control nodes, mean strains and
        stresses. `unbalanced`: owned internal minus external forces on the unknowns. Collective."""
        row: dict[str, float] = {}
        shown = [entry for entry in self.prescribed if entry.reported]
        sums = [[(e.signs * unbalanced[e.dofs]).sum(), len(e.dofs)] for e in shown]
        sums = [[*s, (e.signs * q[e.dofs]).sum()] for s, e in zip(sums, shown, strict=True)]
        total = self._algebra.allreduce(np.array(sums).reshape(-1, 3))
        for entry, (force, n, displacement) in zip(shown, total.tolist(), strict=True):
            if isinstance(entry.function, SpaceFunction):
                value = displacement / n
            else:
                value = value_at(entry.function, time, f"condition '{entry.name}'")
            row[f"{entry.name}_displacement"] = value
            row[f"{entry.name}_reaction"] = force
        if not self._unknowns.n_control:
            return row
        controls = self._unknowns.controls(q)
        forces = self._unknowns.controls(unbalanced + self.control_forces(time))
        for condition, dof in self._driven:
            if isinstance(condition, ControlForce):
                row[f"{condition.name}_displacement"] = float(controls[dof])
                row[f"{condition.name}_force"] = float(forces[dof])
        for strain, pairs in self._unknowns.cells:
            for name, (i, j) in strain.components.items():
                dof = strain.dof(i, j)
                row[f"{strain.name}_strain_{name}"] = float(controls[dof])
                force = float(forces[dof]) / (pairs.volume * strain.weight(i, j))
                row[f"{strain.name}_stress_{name}"] = force
        return row
