"""Fits by the gradient of the loss alone: `torch.optim`, and L-BFGS-B of SciPy."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import OptimizeResult, minimize
from torch import Tensor

from neml2fe.calibration.interface import (
    FAILURES,
    Monitor,
    Outcome,
    Problem,
    Stopping,
    failed_at_start,
    too_many_failures,
)
from neml2fe.errors import ConvergenceError, InputError, suggest

# Those that want a closure, sparse gradients or matrices do not fit a vector x.
_TORCH = {
    name.lower(): kind
    for name, kind in vars(torch.optim).items()
    if inspect.isclass(kind)
    and issubclass(kind, torch.optim.Optimizer)
    and name not in ("Optimizer", "LBFGS", "SparseAdam", "Muon")
}


def torch_optimisers() -> list[str]:
    """Names that `first_order` takes, in lower case: adam, adamw, sgd, rprop, ..."""
    return sorted(_TORCH)


def first_order(
    problem: Problem, x: Tensor, monitor: Monitor, stopping: Stopping, name: str, **options: Any
) -> Outcome:
    """A loop of `torch.optim` from `x` `(P,)`, projected to the box after each step.

    `options` go to the class (`lr` 0.01 unless given: of the box, for the Adam family). A step to
    a point that cannot be simulated is halved. Raises InputError for an unknown class or option,
    ConvergenceError where the first point fails, or 10 halvings do not help.
    """
    if name.lower() not in _TORCH:
        raise InputError(f"torch.optim has no fitting class '{name}'{suggest(name, _TORCH)}")
    point = torch.nn.Parameter(x.detach().clone())
    try:
        optimiser = _TORCH[name.lower()]([point], **{"lr": 0.01, **options})
    except (TypeError, ValueError) as error:
        raise InputError(f"the optimiser {name} cannot be set up: {error}") from error
    loss, point.grad = _at_start(problem, point.detach())
    while not (stop := monitor.accept(point.detach(), loss, point.grad)):
        if monitor.is_flat(point.detach(), point.grad):
            return monitor.outcome(True, "minimum: the projected gradient has vanished")
        before = point.detach().clone()
        optimiser.step()
        step = point.detach().clamp(0.0, 1.0) - before
        for _ in range(FAILURES):
            try:
                loss, point.grad = _loss_and_gradient(problem, before + step)
                break
            except ConvergenceError as error:
                why = error
                step = 0.5 * step
        else:
            raise too_many_failures(problem, before + 2.0 * step, why, before)
        with torch.no_grad():
            point.copy_(before + step)
    return monitor.outcome(False, stop)


def lbfgs(
    problem: Problem,
    x: Tensor,
    monitor: Monitor,
    stopping: Stopping,
    method: str | Callable[..., OptimizeResult] = "L-BFGS-B",
) -> Outcome:
    """L-BFGS-B from `x` `(P,)` (Byrd, Lu, Nocedal and Zhu 1995; Moré-Thuente line search).

    At a trial point that cannot be simulated the line search is told of a loss that rises to
    there as steeply as it falls at the start of the step, so that it comes back to a finite,
    shorter step: its interpolation cannot use infinity. Raises ConvergenceError where the first
    point fails, or 10 trial points in a row.

    `method`: another one of `scipy.optimize.minimize` with bounds and gradients.
    """
    base, failures, stop = x.detach().clone(), 0, ""
    here = _at_start(problem, base)
    seen = {base.numpy().tobytes(): here}  # since the last accepted point

    def evaluate(trial: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        nonlocal failures
        point = torch.from_numpy(trial.copy())
        try:
            known = seen.get(trial.tobytes()) or _loss_and_gradient(problem, point)
        except ConvergenceError as error:
            failures += 1
            if failures >= FAILURES:
                raise too_many_failures(problem, point, error, base) from error
            loss, gradient = here
            return loss + abs(float(gradient @ (point - base))), -gradient.numpy()
        failures = 0
        seen[trial.tobytes()] = known
        return known[0], known[1].numpy()

    def accepted(trial: NDArray[np.float64]) -> None:
        nonlocal base, here, stop
        base = torch.from_numpy(trial.copy())
        here = seen[trial.tobytes()]
        seen.clear()
        seen[trial.tobytes()] = here
        stop = monitor.accept(base, *here)
        if stop or monitor.is_flat(base, here[1]):
            raise StopIteration

    if not (stop := monitor.accept(base, *here)) and not monitor.is_flat(base, here[1]):
        many = 10 * stopping.max_iterations
        minimize(
            evaluate,
            x.detach().numpy(),
            jac=True,
            method=method,
            bounds=[(0.0, 1.0)] * len(x),
            callback=accepted,
            options={"maxiter": many, "maxfun": 20 * many, "ftol": 0.0, "gtol": 0.0},
        )
    if stop:
        return monitor.outcome(False, stop)
    if monitor.is_flat(base, here[1]):
        return monitor.outcome(True, "minimum: the projected gradient has vanished")
    return monitor.outcome(False, "the line search finds no lower loss")


def _loss_and_gradient(problem: Problem, x: Tensor) -> tuple[float, Tensor]:
    with torch.enable_grad():
        x = x.detach().clone().requires_grad_()
        loss = problem.loss(x)
        (gradient,) = torch.autograd.grad(loss, x)
    if not bool(loss.isfinite()) or not bool(gradient.isfinite().all()):
        raise ConvergenceError("the loss or its gradient is not finite")
    return float(loss.detach()), gradient


def _at_start(problem: Problem, x: Tensor) -> tuple[float, Tensor]:
    try:
        return _loss_and_gradient(problem, x)
    except ConvergenceError as error:
        raise ConvergenceError(failed_at_start(problem, x, error.message)) from error
