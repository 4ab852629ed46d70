"""`RegularisedProblem`: a problem with what is known of its parameters besides the data."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor

from neml2fe.calibration.interface import Problem, weights_of
from neml2fe.calibration.simulations.penalties import Penalty
from neml2fe.errors import InputError


class RegularisedProblem:
    """A problem with penalties among its residuals, in the form that a fit takes: those of fields,
    or a `GaussianPrior`, with which the fit is that of the largest posterior.

    Fit fields with `optimiser="lbfgs"` and `level=None`, which form no Jacobian. `start` `(P,)`
    takes the place of its initial parameters. Raises `InputError` for fields that do not fit.
    """

    def __init__(
        self, problem: Problem, penalties: Sequence[Penalty], start: Tensor | None = None
    ) -> None:
        self.problem, self.penalties = problem, list(penalties)
        self.parameters = problem.parameters
        self._numbers = [p.numbers(problem.parameters) for p in self.penalties]
        if start is not None:
            self.parameters = copy.copy(self.parameters)
            self.parameters.x0 = start.detach().clone()

    @property
    def noise_is_known(self) -> bool:
        """Of the problem, which without penalties need not be. Raises `InputError` where there are
        some and it is not: an estimate from all residuals would take the rows of the penalties for
        data. A fit without uncertainty (`level=None`) does not ask."""
        if self.penalties and not self.problem.noise_is_known:
            raise InputError(
                "an uncertainty with penalties needs the standard deviation of the noise: their "
                "residuals are no data to estimate it from; give it, or fit with level=None"
            )
        return self.problem.noise_is_known

    def penalty_rows(self, x: Tensor) -> Tensor:
        """Residuals of the penalties, one after the other; differentiable."""
        parts = [p.rows(x[n]) for p, n in zip(self.penalties, self._numbers, strict=True)]
        return torch.cat([x.new_zeros(0), *parts])

    def penalty(self, x: Tensor) -> Tensor:
        """The sum of the penalties, `()`."""
        return 0.5 * self.penalty_rows(x).square().sum()

    def residuals(self, x: Tensor) -> Tensor:
        return torch.cat([self.problem.residuals(x), self.penalty_rows(x)])

    def loss(self, x: Tensor) -> Tensor:
        return self.problem.loss(x) + self.penalty(x)

    def linearised(self, x: Tensor) -> tuple[Tensor, Tensor]:
        r, jacobian = self.problem.linearised(x)
        rows = torch.func.jacfwd(self.penalty_rows)(x.detach())
        return torch.cat([r, self.penalty_rows(x.detach())]), torch.cat([jacobian, rows])

    def curvature_weights(self, residuals: Tensor) -> Tensor | None:
        n = len(self.penalty_rows(self.parameters.x0))
        weights = weights_of(self.problem, residuals[: len(residuals) - n])
        return None if weights is None else torch.cat([weights, weights.new_ones(n)])
