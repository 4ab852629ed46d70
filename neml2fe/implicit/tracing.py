"""Implicit updates as programs for kernels: as part of a model, and alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from neml2fe.implicit.points import Points
from neml2fe.implicit.system import Raw
from neml2fe.kernels import (
    HasOwnKernel,
    Kernels,
    Request,
    StaysEager,
    Tracer,
    common_dtype,
    current_tracer,
    solved,
    traced,
)

if TYPE_CHECKING:
    from neml2fe.implicit.update import ImplicitUpdate

UNKNOWNS, GUESS = "unknowns", "guess:"
PARAMETER = "parameter:"  # before the names of parameters, which may be those of variables
SOLVE = Request("update", (UNKNOWNS,))


def trace_solve(update: ImplicitUpdate, tracer: Tracer, points: Points) -> torch.Tensor:
    """The unknowns `(1, n)` of `update` at the one point that is traced."""
    if points.entries:
        raise HasOwnKernel(f"'{update.label}' has a block structure: each entry is its own point")
    if update.backend == "eager":
        raise StaysEager(f"'{update.label}' is to be eager")
    if not update.direct:
        raise StaysEager(
            f"'{update.label}' has an iterative linear solver, which kernels do not have; use "
            "backend = 'eager'"
        )
    system = update.equation_system
    given = {n: points.values[n] for n in system.given}
    return _solved(update, tracer, given, points.parameters, update.guess(points))


def _solved(
    update: ImplicitUpdate,
    tracer: Tracer,
    given: Raw,
    parameters: Raw,
    guess: torch.Tensor,
) -> torch.Tensor:
    return solved(
        tracer,
        update.label,
        lambda u, values: update.equation_system.residual(u, values, parameters),
        given,
        guess,
        {name: f"{name}~1" for name in given if f"{name}~1" in given},
        lambda: update.solver,
    )


def solve_kernels(update: ImplicitUpdate, points: Points, guess: torch.Tensor) -> Kernels:
    """Kernels of the solve alone, whose guess is an input."""
    system = update.equation_system
    given = {n: points.values[n] for n in system.given}
    shapes = {n: tuple(v.shape[1:]) for n, v in given.items()}
    shapes |= {
        PARAMETER + n: tuple(p.shape[p.ndim - points.base_ndim[n] :])
        for n, p in points.parameters.items()
    }
    shapes[GUESS] = tuple(guess.shape[1:])
    dtype = common_dtype([*given.values(), *points.parameters.values(), guess])

    def point(symbols: Raw) -> Raw:
        tracer = current_tracer()
        assert tracer is not None
        u = _solved(
            update,
            tracer,
            {n: symbols[n].unsqueeze(0) for n in given},
            {n: symbols[PARAMETER + n] for n in points.parameters},
            symbols[GUESS].unsqueeze(0),
        )
        return {UNKNOWNS: u.squeeze(0)}

    return update.kernels.of(
        update.label,
        shapes,
        dtype,
        lambda: traced(update.label, point, shapes, dtype),
    )
