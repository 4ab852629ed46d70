"""What optimisers see of a calibration, and what all of them share: reports and stopping."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from neml2fe.calibration.parameters import ParameterSet
from neml2fe.errors import ConvergenceError, InputError

FAILURES = 10  # trial points in a row that cannot be simulated, after which a search ends


class Problem(Protocol):
    """A fit in the unit box, x `(P,)` in [0, 1]^P.

    Residuals `(m,)` are whitened, and those of masked or padded rows are left out (or zero in
    value and derivative). A simulation that fails raises ConvergenceError.

    With noise that is not Gaussian a problem also has `curvature_weights(r) -> (m,)`, the weights
    w of iteratively reweighted least squares, element by element: d loss / d r = w r.
    """

    @property
    def parameters(self) -> ParameterSet: ...

    @property
    def noise_is_known(self) -> bool:
        """Whether residuals are in units of a known standard deviation."""

    def residuals(self, x: Tensor) -> Tensor:
        """`(m,)`; for Gaussian noise loss = 0.5 sum of squares."""

    def linearised(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Residuals `(m,)` and their Jacobian by x `(m, P)`."""

    def loss(self, x: Tensor) -> Tensor:
        """-log likelihood up to a constant, `()`; differentiable."""


@dataclass(frozen=True)
class Stopping:
    """When to end without a minimum, and what counts as one.

    `patience` iterations that lower the loss by less than `rel_improvement` of it end the search.
    `gradient_tolerance` is free of scale. Least squares: the relative offset of Bates and Watts
    (1981), the part of the residual norm that the tangent plane can still take away. Others: the
    projected gradient as part of the largest one of the search.
    """

    max_iterations: int = 200
    rel_improvement: float = 1e-8
    patience: int = 20
    gradient_tolerance: float = 1e-8

    def __post_init__(self) -> None:
        if self.max_iterations < 0:
            raise InputError("max_iterations must be at least 0")
        if self.patience < 1:
            raise InputError("patience must be at least 1")
        if not (self.rel_improvement >= 0.0 and self.gradient_tolerance >= 0.0):
            raise InputError("rel_improvement and gradient_tolerance must be at least 0")


@dataclass(frozen=True)
class Outcome:
    """Where a search ended, and why."""

    x: Tensor
    loss: float
    converged: bool
    reason: str


class Monitor:
    """Sees every accepted point of one search, keeps the best and says when to stop early."""

    def __init__(
        self,
        stopping: Stopping,
        report: Callable[[int, Tensor, float, float], None],
        first: int = 0,
        largest_gradient: float = 0.0,
    ) -> None:
        """`report(number, x, loss, gradient_norm)` is called once an iteration; `first` is the
        number of the start, more than 0 if it goes on from an earlier run, whose largest norm
        was `largest_gradient`."""
        self.stopping, self._first = stopping, first
        self._report = report
        self._best: list[float] = []
        self._largest_gradient = largest_gradient
        self.x: Tensor | None = None

    @property
    def loss(self) -> float:
        """The lowest so far."""
        return self._best[-1]

    def accept(self, x: Tensor, loss: float, gradient: Tensor) -> str:
        """Record an accepted point; the reason to stop here, or an empty string."""
        norm = projected_norm(x, gradient)
        self._largest_gradient = max(self._largest_gradient, norm)
        number = len(self._best)
        if not self._best or loss < self.loss:
            self.x = x.detach().clone()
        self._best.append(min(loss, self._best[-1]) if self._best else loss)
        self._report(self._first + number, x, loss, norm)
        limits = self.stopping
        if number >= limits.patience:
            before = self._best[number - limits.patience]
            if before - self.loss <= limits.rel_improvement * abs(before):
                return (
                    f"stopped early: {limits.patience} iterations lowered the loss by no more "
                    f"than {limits.rel_improvement:g} of it"
                )
        if number >= limits.max_iterations:
            return f"stopped at the limit of {limits.max_iterations} iterations"
        return ""

    def is_flat(self, x: Tensor, gradient: Tensor) -> bool:
        """Whether the projected gradient has vanished against the largest one."""
        tolerance = self.stopping.gradient_tolerance
        return projected_norm(x, gradient) <= tolerance * self._largest_gradient

    def outcome(self, converged: bool, reason: str) -> Outcome:
        """The best point of the search."""
        assert self.x is not None
        return Outcome(self.x, self.loss, converged, reason)


def projected_norm(x: Tensor, gradient: Tensor) -> float:
    """Largest component of the gradient, without those that only point out of the box."""
    stuck = ((x <= 0.0) & (gradient > 0.0)) | ((x >= 1.0) & (gradient < 0.0))
    return float(torch.where(stuck, 0.0, gradient).abs().max())


def weights_of(problem: Problem, r: Tensor) -> Tensor | None:
    """Weights `(m,)` of reweighted least squares at residuals `r`; None for Gaussian noise."""
    weigh = getattr(problem, "curvature_weights", None)
    if weigh is None:
        return None
    weights: Tensor | None = weigh(r)
    return None if weights is None else weights.detach()


def failed_at_start(problem: Problem, x: Tensor, why: str) -> str:
    """The message for a search whose first point cannot be simulated."""
    return (
        f"the fit cannot start: the simulation fails at {problem.parameters.describe(x)}: {why}; "
        "start from other values"
    )


def too_many_failures(
    problem: Problem, trial: Tensor, error: ConvergenceError, last: Tensor
) -> ConvergenceError:
    """The error that ends a search at whose shorter and shorter steps the simulation fails."""
    describe = problem.parameters.describe
    return ConvergenceError(
        f"{FAILURES} trial points in a row cannot be simulated, the last at {describe(trial)}: "
        f"{error.message}; the search came as far as {describe(last)}; narrow the bounds or start "
        "from other values"
    )
