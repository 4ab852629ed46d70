"""Homogenised stress and tangent of a periodic cell, from the forces on its mean strain.

The mean stress is the force on a component of the mean strain over the volume of the cell, and
its derivative comes from one linear solve for each component (C. Miehe and A. Koch, Arch. Appl.
Mech. 72, 2002).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from neml2fe.errors import ConvergenceError, InputError, suggest
from neml2fe.fem.conditions.periodic import MeanStrain, Pairs
from neml2fe.fem.integrals.measures import PAIRS
from neml2fe.fem.problem import Problem

Array = NDArray[np.float64]


def homogenised_strain(problem: Problem, cell: str = "") -> Array:
    """The mean strain at the end of the last step, in the components of `homogenised_stress`; at
    finite strain the mean deformation gradient. Collective."""
    strain, _ = _cell(problem, cell)
    values = problem.unknowns.controls(problem.q)
    mean = np.array([[values[strain.dof(i, j)] for j in _axes(strain)] for i in _axes(strain)])
    return mean + np.eye(strain.dim) if strain.finite else _mandel(mean)


def homogenised_stress(problem: Problem, cell: str = "") -> Array:
    """The mean stress at the end of the last step.

    Small strain: Mandel components `(6,)`, in the plane 11, 22, 12 `(3,)`. Finite strain: the first
    Piola-Kirchhoff stress `(dim, dim)`. `cell` names the periodic cell where there are several.
    Collective. Raises `InputError` for a problem without one.
    """
    strain, pairs = _cell(problem, cell)
    forces = problem.unknowns.controls(_control_forces(problem))
    mean = np.array(
        [
            [forces[strain.dof(i, j)] / (pairs.volume * strain.weight(i, j)) for j in _axes(strain)]
            for i in _axes(strain)
        ]
    )
    return mean if strain.finite else _mandel(mean)


def homogenised_tangent(problem: Problem, cell: str = "") -> Array:
    """The derivative of `homogenised_stress` by the mean strain with the consistent tangents of
    the last step: `(6, 6)` or, in the plane, `(3, 3)`; finite strain `(dim, dim, dim, dim)`,
    dP_iJ / dF_kL. Collective. Raises `InputError` where the last thing that happened was not a
    step that succeeded, `ConvergenceError` when a linear solve fails."""
    strain, pairs = _cell(problem, cell)
    if not problem.holds_tangent:
        raise InputError(
            "the homogenised tangent is that of the step just taken: there was none, or another "
            "one was tried since"
        )
    unknowns, algebra = problem.unknowns, problem.algebra
    components = list(strain.components.values())
    if not strain.finite:
        components = [pair for pair in PAIRS if max(pair) < strain.dim]
        components = [(min(pair), max(pair)) for pair in components]
    dofs = [strain.dof(*pair) for pair in components]
    columns = []
    with problem.equations.holding(dofs, problem.unbalanced) as fixed:
        for dof in dofs:
            unit = np.zeros(len(problem.q))
            unit[unknowns.own(dof)] = 1.0
            push = problem.equations.tangent_product(unit)
            linear = algebra.solve_linear(np.where(fixed, 0.0, -push))
            if not linear.converged:
                raise ConvergenceError(f"the homogenised tangent: {linear.reason}")
            moved = unit + np.where(fixed, 0.0, linear.x)
            columns.append(unknowns.controls(problem.equations.tangent_product(moved))[dofs])
    tangent = np.stack(columns, axis=1) / pairs.volume
    if strain.finite:
        return tangent.reshape((strain.dim,) * 4)
    shear = np.array([1.0 if i == j else math.sqrt(0.5) for i, j in components])
    return shear[:, None] * tangent * shear


def _axes(strain: MeanStrain) -> range:
    return range(strain.dim)


def _mandel(a: Array) -> Array:
    pairs = [pair for pair in PAIRS if max(pair) < len(a)]
    return np.array([a[i, j] * (1.0 if i == j else math.sqrt(2.0)) for i, j in pairs])


def _cell(problem: Problem, name: str) -> tuple[MeanStrain, Pairs]:
    cells = {strain.name: (strain, pairs) for strain, pairs in problem.unknowns.cells}
    if not cells:
        raise InputError("homogenisation needs a problem with a PeriodicCell")
    if not name and len(cells) == 1:
        return next(iter(cells.values()))
    if name not in cells:
        raise InputError(f"there is no periodic cell '{name}'{suggest(name, cells)}")
    return cells[name]


def _control_forces(problem: Problem) -> Array:
    """Internal less applied forces on the owned unknowns, without those on control nodes."""
    problem.unknowns.displacements(problem.q)  # T as it is there
    return problem.unknowns.reduced(problem.unbalanced)
