"""The reverse sweep over the steps of a run: the discrete adjoint of a history.

The steps are those that were taken, with their sizes; that a step was cut back or grew is not
differentiated. With the residual R(q_n, s_n-1) = T^T (f_int - f_ext) of the unknowns q and the
state s, the virtual displacements w of step n are the cotangents of the reactions where q is
prescribed, and elsewhere solve (dR/dq)^T w = - the cotangents of q_n, those through s_n included
(P. Michaleris, D. A. Tortorelli, C. A. Vidal, Int. J. Numer. Meth. Engng 37, 1994).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from neml2fe.errors import ConvergenceError, Error
from neml2fe.fem.adjoint.gradients import Gradients
from neml2fe.fem.adjoint.inputs import load_tensors
from neml2fe.fem.adjoint.instants import zero_instant
from neml2fe.fem.adjoint.solids import SolidAdjoint
from neml2fe.fem.adjoint.step import TakenStep, advance, kept, require_equilibrium, take
from neml2fe.fem.adjoint.tape import Tape
from neml2fe.fem.adjoint.terms import Bars, TermAdjoint
from neml2fe.fem.collective import collectively
from neml2fe.fem.observations import Instant

Array = NDArray[np.float64]

RTOL = 1e-10
"""Relative residual of the linear solves for derivatives."""
ACCURATE, ENOUGH = 1e-9, 1e-7
"""Relative residuals that need no second solve, and that still give a gradient."""


def reverse(tape: Tape, observed: Callable[[int, Instant], None], gradients: Gradients) -> None:
    """Add this rank's part of the derivatives of a loss to `gradients`. Collective.

    `observed(n, bars)` adds the cotangents of what was observed at the end of step n, from 1.
    Raises `Error` where a step was not solved well enough to have derivatives, or something that
    it depends on has changed since, `ConvergenceError` where a linear solve fails.
    """
    require_equilibrium(tape)
    ends: list[Bars] = [{} for _ in tape.adjoints]
    with kept(tape), torch.no_grad():
        for n, states in tape.trail.backward(lambda n, states: advance(tape, n, states)):
            take(tape, states)
            step = TakenStep(tape, tape.steps[n - 1])
            bars = zero_instant(tape.problem)
            observed(n, bars)
            _add_points(tape.adjoints, bars, ends)
            w = _virtual_displacements(step, tape.adjoints, bars, ends, gradients)
            with tape.problem.stopwatch("adjoint material"):
                ends = _pulled(tape, step, w, ends, gradients)
        _pull_start(tape, ends, gradients)


def _pulled(
    tape: Tape, step: TakenStep, w: torch.Tensor, ends: list[Bars], gradients: Gradients
) -> list[Bars]:
    """Cotangents of the states at the beginning of a step. Collective."""

    def pull() -> list[Bars]:
        if tape.shape is not None:
            work = tape.shape.external_work(w, step.time)
            gradients.through(work, -torch.ones_like(work))
        return [
            adjoint.pull(step.u, w, step.time, step.dt, end, gradients)
            for adjoint, end in zip(tape.adjoints, ends, strict=True)
        ]

    return collectively(tape.problem.comm, pull, every_rank=True)


def _pull_start(tape: Tape, ends: list[Bars], gradients: Gradients) -> None:
    """From the states at the start to what they are made of. Collective."""

    def pull() -> None:
        for adjoint, end in zip(tape.adjoints, ends, strict=True):
            adjoint.pull_start(tape.problem.start_time, end, gradients)

    collectively(tape.problem.comm, pull, every_rank=True)


def _virtual_displacements(
    step: TakenStep,
    adjoints: list[TermAdjoint],
    bars: Instant,
    ends: list[Bars],
    gradients: Gradients,
) -> torch.Tensor:
    """Those of one step, local `(n_local_dofs,)`, from cotangents of the `Instant` and of the
    states at its end. Collective."""
    problem, equations, unknowns = step.problem, step.problem.equations, step.problem.unknowns
    fixed = equations.fixed

    def pull_ends() -> None:
        for adjoint, end in zip(adjoints, ends, strict=True):
            adjoint.pull_end(step.u, step.time, step.dt, end, bars.u)

    collectively(problem.comm, pull_ends, every_rank=True)
    q_bar = unknowns.reduced(unknowns.sum_to_owners(bars.u.cpu().numpy())) + bars.q
    w = np.where(fixed, bars.forces, 0.0)
    push = equations.transposed_product(w, step.unbalanced)
    rhs = np.where(fixed, 0.0, -(q_bar + push))
    size = problem.algebra.norm(rhs)
    if not math.isfinite(size):
        raise Error(
            f"at time {step.time:g} the derivative of the loss is {size}, no finite number: look "
            "for NaN in the loss, or a function in it without a derivative there"
        )
    if size > 0.0:
        with problem.stopwatch("adjoint solve"):
            w = np.where(fixed, w, _solved(step, rhs, size))
    if any(tensor.requires_grad for tensor in load_tensors(problem).values()):
        total = q_bar + equations.transposed_product(w, step.unbalanced)
        nodal = -unknowns.tangent(w)[: problem.local.n_owned * problem.local.dim]
        control = np.where(fixed, 0.0, bars.forces) - w
        with torch.enable_grad():
            problem.constraints.pull(np.where(fixed, total, 0.0), step.time, gradients.through)
            problem.constraints.pull_control(control, step.time, gradients.through)
            problem.loads.pull(nodal, step.time, gradients.through)
    return torch.as_tensor(unknowns.tangent(w)).to(step.u)


def _solved(step: TakenStep, rhs: Array, size: float) -> Array:
    """The solution with the transposed tangent. What a direct method leaves of the right-hand side,
    of norm `size`, is solved once more. Collective."""
    problem, equations = step.problem, step.problem.equations
    linear = equations.solve_with_tangent(rhs, step.unbalanced, RTOL, transposed=True)
    x, left = linear.x, linear.residual_norm
    if linear.converged and left > ACCURATE * size:
        product = equations.transposed_product(np.where(equations.fixed, 0.0, x), step.unbalanced)
        rest = np.where(equations.fixed, 0.0, rhs - product)
        again = problem.algebra.solve_linear(rest, RTOL, transposed=True, reuse=True)
        x, left = x + again.x, again.residual_norm
    if not linear.converged or left > ENOUGH * size:
        reason = linear.reason if not linear.converged else f"residual {left / size:.2g}"
        raise ConvergenceError(f"the adjoint of the step to time {step.time:g}: {reason}")
    return x


def _add_points(adjoints: list[TermAdjoint], bars: Instant, ends: list[Bars]) -> None:
    """Add cotangents of the points that were observed to those of the ends of terms."""
    solids = [k for k, adjoint in enumerate(adjoints) if isinstance(adjoint, SolidAdjoint)]
    for k, values in zip(solids, bars.points, strict=True):
        for name, bar in values.items():
            known = ends[k].get(name)
            ends[k][name] = bar if known is None else known + bar
