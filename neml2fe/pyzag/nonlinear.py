"""Solving recursions, and gradients of what is computed from their trajectories.

The chunked solution and its adjoint follow Messner, Hu and Chen (arXiv:2310.08649).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from neml2fe.errors import InputError
from neml2fe.kernels import repeated
from neml2fe.pyzag.predictors import (
    ExtrapolatingPredictor,
    FullTrajectoryPredictor,
    LastStepPredictor,
    PreviousStepsPredictor,
    StepExtrapolatingPredictor,
    ZeroPredictor,
)
from neml2fe.pyzag.recursion import NonlinearFunctionOperatorFactory, NonlinearRecursiveFunction
from neml2fe.pyzag.solver import Outcome, RecursiveNonlinearEquationSolver, TrajectoryError
from neml2fe.pyzag.steps import InitialOffsetStepGenerator, StepGenerator

__all__ = [
    "ExtrapolatingPredictor",
    "FullTrajectoryPredictor",
    "InitialOffsetStepGenerator",
    "LastStepPredictor",
    "NonlinearFunctionOperatorFactory",
    "NonlinearRecursiveFunction",
    "Outcome",
    "PreviousStepsPredictor",
    "RecursiveNonlinearEquationSolver",
    "StepExtrapolatingPredictor",
    "StepGenerator",
    "TrajectoryError",
    "ZeroPredictor",
    "sensitivities",
    "solve",
    "solve_adjoint",
]


def solve(
    solver: RecursiveNonlinearEquationSolver,
    y0: torch.Tensor,
    n: int,
    *forces: torch.Tensor,
    restart: torch.Tensor | None = None,
) -> torch.Tensor:
    """Trajectory `(n, S, n_state)` without gradients.

    `restart` are the first k states of it `(k, S, n_state)`, known from before: only the others
    are solved for.
    """
    return solver.solve(y0, n, *forces, restart=restart)


def solve_adjoint(
    solver: RecursiveNonlinearEquationSolver,
    y0: torch.Tensor,
    n: int,
    *forces: torch.Tensor,
    restart: torch.Tensor | None = None,
    components: Sequence[int] | None = None,
    keep_every: int | None = None,
) -> torch.Tensor:
    """Trajectory as a node of torch's graph: gradients of parameters, y0 and forces by the
    adjoint method, and products with second derivatives (`torch.autograd.grad` of a gradient
    made with `create_graph=True`).

    `components` of the state, `(n, S, len(components))`, are returned alone if given. With
    `keep_every` = k only every k-th state is kept for the gradient and the others are computed
    again: memory for long trajectories, at the price of a second solution; first derivatives
    only.
    """
    return solver.adjoint(
        y0, n, *forces, restart=restart, components=components, keep_every=keep_every
    )


@torch.no_grad()
def sensitivities(
    solver: RecursiveNonlinearEquationSolver,
    y: torch.Tensor,
    *forces: torch.Tensor,
    parameters: Sequence[torch.Tensor],
    rates: Sequence[Sequence[torch.Tensor]],
) -> torch.Tensor:
    """Derivatives of a trajectory `y` `(N, S, n)` in P directions, `(N, S, n, P)`.

    `parameters` are some of those of the solver that require a gradient; each of `rates` holds a
    change of each of them. One linear solution a step, whatever the number of iterations before.
    """
    if any(not p.requires_grad for p in parameters):
        raise InputError("sensitivities: a parameter requires no gradient (it is frozen)")
    for k, rate in enumerate(rates):
        shapes = [tuple(r.shape) for r in rate]
        if shapes != [tuple(p.shape) for p in parameters]:
            raise InputError(
                f"sensitivities: rates {k} have shapes {shapes}, the parameters "
                f"{[tuple(p.shape) for p in parameters]}"
            )
    with repeated(len(y)):
        engine, _ = solver.engine(y[0], len(y), forces, parameters)
        zero = y.new_zeros(*y.shape[1:], len(rates))
        return engine.tangent(y, [f.detach() for f in forces], parameters, zero, rates)
