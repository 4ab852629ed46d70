"""Is the gradient of a fit right? Against finite differences over many steps, and against J^T r."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from neml2fe.calibration.interface import Problem, weights_of
from neml2fe.errors import ConvergenceError

STEPS = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8)
_INSIDE = 0.1  # of the box, from its bounds: as far as the largest step
_OF_DIFFERENCES, _OF_SENSITIVITIES = 1e-6, 1e-9  # errors that a right gradient stays below


@dataclass(frozen=True)
class Difference:
    """Central differences of step `step`, in the unit box: the largest error of the gradient,
    and the parameter that has it."""

    step: float
    error: float
    parameter: str


@dataclass(frozen=True)
class GradientCheck:
    """Errors are relative to sum |J| |r|, the largest of all parameters: what the components of
    the gradient are made of, which cancels at a minimum. In a right gradient those of
    `differences` fall with the square of the step until round-off makes them rise again."""

    x: Tensor
    differences: list[Difference]
    sensitivities: float  # error of the gradient against J^T r

    @property
    def least(self) -> float:
        return min(row.error for row in self.differences)

    @property
    def passed(self) -> bool:
        return self.least <= _OF_DIFFERENCES and self.sensitivities <= _OF_SENSITIVITIES


def check_gradient(problem: Problem, x: Tensor | None = None) -> GradientCheck:
    """Check at `x` `(P,)`, by default where the fit starts; both moved a little away from the
    bounds, and a step that cannot be simulated left out.

    Raises `ConvergenceError` if the residuals vanish there, so that there is no gradient to
    check, and where nothing can be simulated.
    """
    x = (problem.parameters.x0 if x is None else x).clamp(_INSIDE, 1.0 - _INSIDE)
    names = problem.parameters.names
    with torch.enable_grad():
        at = x.detach().clone().requires_grad_()
        (gradient,) = torch.autograd.grad(problem.loss(at), at)
    r, jacobian = (t.detach().cpu() for t in problem.linearised(x))
    weights = weights_of(problem, r)
    r = r if weights is None else weights * r
    scale = float((jacobian.abs().T @ r.abs()).max())
    if scale == 0.0:
        raise ConvergenceError(
            f"the loss does not depend on the parameters at {problem.parameters.describe(x)}: "
            "there is no gradient to check; start from other values"
        )
    found = []
    for step in STEPS:
        try:
            errors = (_differences(problem, x, step) - gradient).abs() / scale
        except ConvergenceError:
            continue
        worst = int(errors.argmax())
        found.append(Difference(step, float(errors[worst]), names[worst]))
    if not found:
        raise ConvergenceError("no finite difference of the loss can be simulated")
    return GradientCheck(x, found, float((jacobian.T @ r - gradient).abs().max()) / scale)


def _differences(problem: Problem, x: Tensor, step: float) -> Tensor:
    with torch.no_grad():
        losses = [
            [problem.loss(x + side * step * direction) for side in (1.0, -1.0)]
            for direction in torch.eye(len(x), dtype=x.dtype)
        ]
    return torch.stack([(ahead - behind) / (2.0 * step) for ahead, behind in losses])
