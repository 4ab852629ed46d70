"""`Energies`: where the work done on a body went, step by step.

The internal energy is the time integral of the integral of S : dE over the body, the external work
that of the forces on its nodes (applied ones and reactions) times their displacements. Both use
the trapezoidal rule over each step, in which S and E are the stress and strain at the quadrature
points. Since E is linear in the displacements, the integral of S : dE is that of the nodal
forces of S times the increment of the displacements, which is how it is summed, F-bar included.
The two then differ by the work of the forces that are out of balance: a check of the solution.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from neml2fe.fem.problem import Problem
from neml2fe.fem.results.nodal import Averages
from neml2fe.fem.results.stored_energy import StoredEnergy
from neml2fe.fem.terms.pressure import FollowerPressure

Array = NDArray[np.float64]

INTERNAL, EXTERNAL, OTHER = "internal_energy", "external_work", "other_energy"
STORED, DISSIPATED, BALANCE = "stored_energy", "dissipated_energy", "energy_balance"


@dataclass(frozen=True)
class _Forces:
    """Owned forces at the end of a step.

    internal: of the stresses in the solids, at the nodes; applied: of the loads, at the nodes,
    those that follow the body included; held: on the unknowns, reactions of prescribed ones and
    forces on control nodes; other: of interfaces and springs, at the nodes.
    """

    internal: Array
    applied: Array
    held: Array
    other: Array


class Energies:
    """Energies of a problem since its start. Collective throughout.

    The unit is force times length; in plane strain and plane stress, per unit of thickness.

    - `internal_energy`: taken up by the materials.
    - `external_work`: of applied forces, follower pressures and reactions. Loads that act at the
      start already are brought on in the first step.
    - `other_energy`, where there are such: taken up by interfaces, what they dissipate included,
      and by springs.
    - `stored_energy`, where every material has one (see `StoredEnergy`): the elastic energy.
    - `dissipated_energy` = internal - stored, of the bodies; what hardening stores counts as
      dissipated. Not where a material reads fields: an energy that changes with the temperature
      does so at no work.
    - `energy_balance` = (internal + other - external) / the largest of the three: round-off and
      the forces that Newton's method left out of balance. Where rigid bodies turn, the
      trapezoidal rule for their moments adds an error of second order in the step.
    """

    def __init__(self, problem: Problem, averages: Averages) -> None:
        self.problem = problem
        self._stored = [
            StoredEnergy(solid, averages.volumes[k], problem.time)
            for k, solid in enumerate(problem.solids)
        ]
        self.has_stored = bool(
            problem.algebra.allreduce(int(all(s.available for s in self._stored)), "min")
        )
        self.has_dissipated = self.has_stored and not any(
            solid.material.field_spec for solid in problem.solids
        )
        self._followers = [t for t in problem.terms if isinstance(t, FollowerPressure)]
        self.has_others = len(problem.terms) > len(problem.solids) + len(self._followers)
        self.totals = {INTERNAL: 0.0, EXTERNAL: 0.0, OTHER: 0.0}
        none = np.zeros(len(problem.unbalanced))
        self._last = _Forces(self._integrated(), none, np.zeros(len(problem.q)), none)
        self._motion = self._unknowns()

    def update(self) -> None:
        """Add the step that the problem has just made."""
        before, now = self._last, self._present()
        u, q = (a - b for a, b in zip(self._unknowns(), self._motion, strict=True))
        work = 0.5 * np.array(
            [
                (before.internal + now.internal) @ u,
                (before.applied + now.applied) @ u + (before.held + now.held) @ q,
                (before.other + now.other) @ u,
            ]
        )
        work = self.problem.algebra.allreduce(work)
        for name, share in zip((INTERNAL, EXTERNAL, OTHER), work.tolist(), strict=True):
            self.totals[name] += share
        self._last, self._motion = now, self._unknowns()

    def restore(self, totals: dict[str, float]) -> None:
        """Continue with these `totals` from the state that the problem has been given."""
        self.totals = dict(totals)
        self._last, self._motion = self._present(), self._unknowns()

    def _unknowns(self) -> tuple[Array, Array]:
        """Owned displacements of the mesh and owned unknowns."""
        problem = self.problem
        return problem.u[: len(problem.unbalanced)].copy(), problem.q.copy()

    def _present(self) -> _Forces:
        problem = self.problem
        problem.unknowns.displacements(problem.q)  # makes T that at q
        internal = self._integrated()
        applied = problem.loads.forces(problem.time) + self._following()
        control = problem.constraints.control_forces(problem.time)
        reactions = problem.unknowns.reduced(problem.unbalanced) - control
        held = control + np.where(problem.constraints.fixed, reactions, 0.0)
        other = np.zeros_like(internal)
        if self.has_others:
            other = problem.unbalanced + applied - internal
        return _Forces(internal, applied, held, other)

    def row(self) -> dict[str, float]:
        """The energies now, by the names of their columns."""
        internal, external, other = (self.totals[n] for n in (INTERNAL, EXTERNAL, OTHER))
        found = {INTERNAL: internal, EXTERNAL: external}
        if self.has_others:
            found[OTHER] = other
        largest = max(map(abs, found.values()))
        if self.has_stored:
            stored = self.problem.algebra.allreduce(
                sum(s.total(self.problem) for s in self._stored)
            )
            found[STORED] = stored
            if self.has_dissipated:
                found[DISSIPATED] = internal - stored
        gap = internal + other - external
        found[BALANCE] = gap / largest if largest > 0 else 0.0
        return found

    def _integrated(self) -> Array:
        """Owned nodal forces of the stresses in the solids."""
        problem = self.problem
        u = torch.as_tensor(problem.u, device=problem.device)
        forces = torch.zeros_like(u)
        for solid in problem.solids:
            for part in solid.block.parts():
                solid.block.strain(u, part)  # F-bar integrates at the strain of its last call
                solid.block.add_forces(solid.stress[solid.block.points_of(part)], part, forces)
        return problem.unknowns.sum_to_owners(forces.cpu().numpy())

    def _following(self) -> Array:
        """Owned nodal forces that the follower pressures put on the body."""
        problem = self.problem
        if not self._followers:
            return np.zeros_like(problem.unbalanced)
        u = torch.as_tensor(problem.u, device=problem.device)
        forces = torch.zeros_like(u)
        for term in self._followers:
            term.update(u, problem.time, 0.0, forces, None)  # adds the opposite
        return -problem.unknowns.sum_to_owners(forces.cpu().numpy())
