"""Reactions, motions of control nodes, mean stresses and strains, virtual work."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_array

from neml2fe.errors import InputError, suggest
from neml2fe.fem.collective import collectively
from neml2fe.fem.conditions.conditions import ControlDisplacement, ControlForce
from neml2fe.fem.conditions.periodic import MeanStrain as CellStrain
from neml2fe.fem.conditions.periodic import Pairs
from neml2fe.fem.integrals.measures import PAIRS
from neml2fe.fem.observations.observation import BoundObservation, Instant, Observation

if TYPE_CHECKING:
    from neml2fe.fem.problem import Problem

Array = NDArray[np.float64]
Index = NDArray[np.int64]


class OfUnknowns(BoundObservation):
    """Sums `(*shape)` of owned unknowns, or of the forces on them, with `weights`: for each entry
    of the value, this rank's numbers of unknowns and their factors."""

    def __init__(
        self,
        problem: Problem,
        weights: list[tuple[Index, Array]],
        forces: bool,
        shape: tuple[int, ...] = (),
    ) -> None:
        self.shape, self._algebra, self._forces = shape, problem.algebra, forces
        rows = np.repeat(np.arange(len(weights)), [len(dofs) for dofs, _ in weights])
        columns = np.concatenate([dofs for dofs, _ in weights])
        entries = np.concatenate([factors for _, factors in weights]), (rows, columns)
        self._weights = csr_array(entries, shape=(len(weights), len(problem.q)))

    def apply(self, at: Instant) -> torch.Tensor:
        values = self._weights @ (at.forces if self._forces else at.q)
        return torch.from_numpy(np.asarray(self._algebra.allreduce(values))).reshape(self.shape)

    def pull(self, bar: torch.Tensor, to: Instant) -> None:
        target = to.forces if self._forces else to.q
        target += self._weights.T @ bar.detach().cpu().numpy().reshape(-1)


@dataclass(frozen=True)
class Reaction(Observation):
    """The total reaction force, `()`, of the `Dirichlet` or `ControlDisplacement` with the name
    `condition`: the column `<condition>_reaction` of the load table."""

    condition: str

    def bind(self, problem: Problem) -> OfUnknowns:
        """Raises `InputError` for a name that has no reaction."""
        known = {entry.name: entry for entry in problem.constraints.prescribed if entry.reported}
        if self.condition not in known:
            raise InputError(
                f"Reaction: no condition '{self.condition}' prescribes a displacement"
                f"{suggest(self.condition, known)}"
            )
        _refuse_force_on(problem, self.condition)
        entry = known[self.condition]
        return OfUnknowns(problem, [(entry.dofs, entry.signs)], forces=True)


def _refuse_force_on(problem: Problem, name: str) -> None:
    """A force on the very degree of freedom that a condition drives is not part of `Instant`."""
    held = {
        (c.body, c.component)
        for c in problem.conditions
        if isinstance(c, ControlDisplacement) and c.name == name
    }
    for c in problem.conditions:
        if isinstance(c, ControlForce) and (c.body, c.component) in held:
            raise InputError(
                f"Reaction: '{c.name}' puts a force on the component that '{name}' prescribes; "
                "leave that force out"
            )


@dataclass(frozen=True)
class ControlMotion(Observation):
    """The displacement, or rotation in radian, `()`, of the component of a rigid body that the
    `ControlForce` or `ControlDisplacement` with the name `condition` drives."""

    condition: str

    def bind(self, problem: Problem) -> OfUnknowns:
        """Raises `InputError` for a name of no such condition."""
        known = {
            c.name: c
            for c in problem.conditions
            if isinstance(c, (ControlForce, ControlDisplacement))
        }
        if self.condition not in known:
            raise InputError(
                f"ControlMotion: no ControlForce or ControlDisplacement '{self.condition}'"
                f"{suggest(self.condition, known)}"
            )
        driven = known[self.condition]
        link = next(r for r in problem.unknowns.rigid if r.name == driven.body)
        dofs = problem.unknowns.own(link.dof(driven.component))
        return OfUnknowns(problem, [(dofs, np.ones(len(dofs)))], forces=False)


@dataclass(frozen=True)
class MeanStress(Observation):
    """The mean stress of the periodic cell with the name `cell` (empty: of the only one).

    Small strain: Mandel components `(6,)`, in the plane 11, 22, 12 `(3,)`; finite strain: the first
    Piola-Kirchhoff stress `(dim, dim)`, as `homogenised_stress`.
    """

    cell: str = ""

    def bind(self, problem: Problem) -> OfUnknowns:
        """Raises `InputError` for an unknown cell."""
        strain, pairs = _cell(problem, self.cell, "MeanStress")

        def factor(i: int, j: int) -> float:
            return 1.0 / (pairs.volume * strain.weight(i, j))

        return _of_cell(problem, strain, factor, forces=True)


@dataclass(frozen=True)
class MeanStrain(Observation):
    """The mean strain of the periodic cell with the name `cell` (empty: of the only one), in the
    components of `MeanStress`; at finite strain the mean displacement gradient F - I."""

    cell: str = ""

    def bind(self, problem: Problem) -> OfUnknowns:
        """Raises `InputError` for an unknown cell."""
        strain, _ = _cell(problem, self.cell, "MeanStrain")
        return _of_cell(problem, strain, lambda i, j: 1.0, forces=False)


def _cell(problem: Problem, name: str, what: str) -> tuple[CellStrain, Pairs]:
    cells = {strain.name: (strain, pairs) for strain, pairs in problem.unknowns.cells}
    if not name and len(cells) == 1:
        return next(iter(cells.values()))
    if name not in cells:
        raise InputError(f"{what}: no periodic cell '{name}'{suggest(name, cells)}")
    return cells[name]


def _of_cell(
    problem: Problem, strain: CellStrain, factor: Callable[[int, int], float], forces: bool
) -> OfUnknowns:
    dim = strain.dim
    if strain.finite:
        components = [(i, j, 1.0) for i in range(dim) for j in range(dim)]
        shape: tuple[int, ...] = (dim, dim)
    else:
        pairs = [pair for pair in PAIRS if max(pair) < dim]
        components = [(i, j, 1.0 if i == j else math.sqrt(2.0)) for i, j in pairs]
        shape = (len(pairs),)
    weights = []
    for i, j, mandel in components:
        dofs = problem.unknowns.own(strain.dof(i, j))
        weights.append((dofs, np.full(len(dofs), mandel * factor(i, j))))
    return OfUnknowns(problem, weights, forces, shape)


@dataclass(frozen=True, eq=False)
class VirtualWork(Observation):
    """The work, `()`, of the reactions on all fixed displacements in a virtual displacement.

    In equilibrium it is the work of internal less external forces, as these vanish elsewhere.
    `displacement`: a function of coordinates `(n, dim)` with values `(n, dim)`, or an array
    `(nodes of the mesh, dim)`, the same on every rank.
    """

    displacement: Callable[[Array], Array] | Array

    def bind(self, problem: Problem) -> OfUnknowns:
        """Raises `InputError` where displacements are linked (rigid bodies, periodic cells, local
        axes) and for values of another shape or that are not finite."""
        if problem.unknowns.linked:
            raise InputError(
                "VirtualWork: rigid bodies, periodic cells, local axes and normal components link "
                "displacements; virtual work needs each of them to be an unknown"
            )
        local = problem.local
        values = collectively(local.comm, lambda: self._values(problem), every_rank=True)
        dofs = np.flatnonzero(problem.constraints.fixed)
        return OfUnknowns(problem, [(dofs, values.reshape(-1)[dofs])], forces=True)

    def _values(self, problem: Problem) -> Array:
        """On the owned nodes."""
        local = problem.local
        n = local.n_owned
        if callable(self.displacement):
            values, expected = np.asarray(self.displacement(local.points[:n])), (n, local.dim)
        else:
            values, expected = np.asarray(self.displacement), (local.n_global, local.dim)
        if values.shape != expected:
            raise InputError(
                f"VirtualWork: virtual displacements {expected} are needed, got {values.shape}"
            )
        values = values if callable(self.displacement) else values[local.nodes[:n]]
        if not np.isfinite(values).all():
            raise InputError("VirtualWork: a virtual displacement is no finite number")
        return values.astype(np.float64)
