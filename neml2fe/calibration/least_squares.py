"""Bounded Levenberg-Marquardt on exact Jacobians of the residuals.

Each step solves the linearised problem inside of the box, exactly (bounded-variable least
squares, Stark and Parker 1995, by `scipy.optimize.lsq_linear`), damped with Marquardt's scaling as
far as it would leave the trust region (Moré 1978). Feasible points only, as in Kanzow, Yamashita
and Fukushima (2004).

`scipy.optimize.least_squares` would also reject a trial point that cannot be simulated. It is not
used because it nears an active bound only in the limit, while the covariance needs to know which
bounds are active, and because it cannot accept or reject a reweighted step by the true loss of
the noise model. (Its callback would need SciPy 1.16.)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import lsq_linear
from torch import Tensor

from neml2fe.calibration.interface import (
    FAILURES,
    Monitor,
    Outcome,
    Problem,
    Stopping,
    failed_at_start,
    too_many_failures,
    weights_of,
)
from neml2fe.errors import ConvergenceError

Array = NDArray[np.float64]

_REACH = 0.25  # of the box, for the first step
_PRECISION = 1e-10  # of the loss: less may be lost in the tolerances of a simulation
_NOTHING = 1e-10  # of the largest influence on the residuals
_FLAT = 1e-9  # of the residuals: what a step through the whole box changes on a plateau
_STEP = 1e-11  # of the box: smaller ones are round-off


def least_squares(problem: Problem, x: Tensor, monitor: Monitor, stopping: Stopping) -> Outcome:
    """Search from `x` `(P,)`, quadratically near a good fit.

    A linear model takes one step from within a quarter of the box, and a few from farther.

    With noise that is not Gaussian the squares are reweighted at every accepted point, and points
    are accepted by the loss itself. Raises ConvergenceError where the first point fails, or too
    many trial points in a row.
    """
    try:
        here = _Point.at(problem, x, _loss(problem, x))
    except ConvergenceError as error:
        raise ConvergenceError(failed_at_start(problem, x, error.message)) from error
    reach, scale, failures = _REACH, here.column_norms, 0
    while not (stop := monitor.accept(here.x, here.loss, here.gradient)):
        scale = np.maximum(scale, here.column_norms)
        full = here.step(np.zeros_like(scale))
        possible = here.reduction(full)
        offset = np.sqrt(possible / here.size) if here.size > 0.0 else 0.0
        if here.size > 0.0 and np.abs(here.r).max() <= _FLAT * np.sqrt(2.0 * here.size):
            return monitor.outcome(
                False, "no parameter has an influence on what is compared: start from other values"
            )
        if offset <= stopping.gradient_tolerance:
            return monitor.outcome(True, f"minimum: relative offset {offset:.1e}")
        if _length(full) <= _STEP:
            return monitor.outcome(
                True, f"minimum: the next step is {_length(full):.1e} of the box"
            )
        there = None
        while there is None:
            step = here.step_within(reach, scale, full)
            predicted = here.reduction(step)
            trial = torch.clamp(here.x + torch.from_numpy(step), 0.0, 1.0)
            try:
                loss = _loss(problem, trial)
                gain = (here.loss - loss) / max(predicted, 1e-300)
                there = _Point.at(problem, trial, loss) if gain > 1e-4 else None
                failures = 0
            except ConvergenceError as error:
                gain, failures = -np.inf, failures + 1
                if failures >= FAILURES:
                    raise too_many_failures(problem, trial, error, here.x) from error
            if gain < 0.25:
                reach = (0.25 if failures else 0.5) * _length(step)
            elif gain > 0.75 and step is not full:
                reach = min(2.0 * reach, 1.0)
            if there is None and not failures:
                if possible <= _PRECISION * here.size:
                    return monitor.outcome(True, "minimum to the precision of the simulation")
                if reach <= _STEP:
                    return monitor.outcome(False, "no step along the gradient lowers the loss")
        here = there
    return monitor.outcome(False, stop)


@dataclass(frozen=True)
class _Point:
    """The loss and its quadratic model 0.5 |R p + z|^2 + const at x, R `(min(m, P), P)`."""

    x: Tensor
    loss: float
    gradient: Tensor
    r: Array
    z: Array
    size: float  # 0.5 |r|^2 with weights
    column_norms: Array

    @classmethod
    def at(cls, problem: Problem, x: Tensor, loss: float) -> _Point:
        residuals, jacobian = (t.detach().cpu() for t in problem.linearised(x))
        if not (bool(residuals.isfinite().all()) and bool(jacobian.isfinite().all())):
            raise ConvergenceError("residuals or their derivatives are not finite")
        weights = weights_of(problem, residuals)
        if weights is not None:
            residuals, jacobian = weights.sqrt() * residuals, weights.sqrt()[:, None] * jacobian
        # With the residuals as the last column, one factorisation gives both R and Q^T r.
        factor = torch.linalg.qr(torch.cat([jacobian, residuals[:, None]], -1), mode="r").R.numpy()
        n = jacobian.shape[1]
        norms = np.linalg.norm(factor[:n, :n], axis=0)
        # What has no influence but round-off stays where it is.
        factor[:, :n][:, norms <= _NOTHING * norms.max()] = 0.0
        return cls(
            x=x.detach().clone(),
            loss=loss,
            gradient=jacobian.T @ residuals,
            r=factor[:n, :n],
            z=factor[:n, n],
            size=0.5 * float(residuals @ residuals),
            column_norms=np.where(norms > 0.0, norms, 1.0),
        )

    def step(self, damping: Array) -> Array:
        """Minimises |R p + z|^2 + |damping p|^2 in the box."""
        low, high = -self.x.numpy(), 1.0 - self.x.numpy()
        matrix = np.vstack([self.r, np.diag(damping)]) if damping.any() else self.r
        right = np.concatenate([-self.z, np.zeros(len(matrix) - len(self.z))])
        found = lsq_linear(matrix, right, (low, high), method="bvls", tol=1e-14)
        return np.clip(found.x, low, high)

    def step_within(self, reach: float, scale: Array, full: Array) -> Array:
        """The least damped step, to a factor of 2 in damping, of no more than `reach`."""
        step, damping = full, 1e-4
        while _length(step) > reach:
            step = self.step(damping * scale)
            damping *= 2.0
        return step

    def reduction(self, step: Array) -> float:
        """By how much the quadratic model lowers the loss."""
        after = self.r @ step + self.z
        return max(0.5 * float(self.z @ self.z - after @ after), 0.0)


def _loss(problem: Problem, x: Tensor) -> float:
    with torch.no_grad():
        if hasattr(problem, "curvature_weights"):
            loss = float(problem.loss(x))
        else:
            loss = 0.5 * float(problem.residuals(x).square().sum())
    if not np.isfinite(loss):
        raise ConvergenceError("the loss is not finite")
    return loss


def _length(step: Array) -> float:
    return float(np.abs(step).max())
