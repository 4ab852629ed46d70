"""Fits of curves with known solutions: problems as optimisers see them, without a simulation."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from neml2fe.calibration.parameters import FitParameter, ParameterSet
from neml2fe.errors import ConvergenceError

Bound = tuple[float, float] | tuple[float, float, str]


def double(values: Sequence[float]) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def parameter_set(start: Sequence[float], bounds: Sequence[Bound]) -> ParameterSet:
    """Parameters b1, b2, ... with these initial values and (lower, upper[, scale])."""
    module = torch.nn.Module()
    for i, value in enumerate(start, start=1):
        module.register_parameter(f"b{i}", torch.nn.Parameter(double(value)))
    return ParameterSet.of(
        module, [FitParameter(f"b{i}", *bound) for i, bound in enumerate(bounds, start=1)]
    )


class CurveFit:
    """Residuals (curve(b) - y) / sigma with natural values b `(P,)`."""

    def __init__(
        self,
        curve: Callable[[Tensor], Tensor],
        y: Tensor,
        start: Sequence[float],
        bounds: Sequence[Bound],
        *,
        sigma: float | None = None,
        fails: Callable[[Tensor], bool] = lambda b: False,
    ) -> None:
        self.curve, self.y, self.sigma, self.fails = curve, y, sigma, fails
        self.parameters = parameter_set(start, bounds)
        self.evaluations = 0

    @property
    def noise_is_known(self) -> bool:
        return self.sigma is not None

    def _raw(self, x: Tensor) -> Tensor:
        b = self.parameters.natural(x)
        return (self.curve(b) - self.y) / (1.0 if self.sigma is None else self.sigma)

    def residuals(self, x: Tensor) -> Tensor:
        self.evaluations += 1
        if self.fails(self.parameters.natural(x.detach())):
            raise ConvergenceError("specimen 3 does not converge at step 7")
        return self._raw(x)

    def linearised(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.residuals(x), torch.autograd.functional.jacobian(self._raw, x, vectorize=True)

    def loss(self, x: Tensor) -> Tensor:
        return 0.5 * self.residuals(x).square().sum()


class StudentFit(CurveFit):
    """With noise of Student's t-distribution with 4 degrees of freedom and scale sigma."""

    NU = 4.0

    def curvature_weights(self, r: Tensor) -> Tensor:
        return (self.NU + 1.0) / (self.NU + r.square())

    def loss(self, x: Tensor) -> Tensor:
        r = self.residuals(x)
        return 0.5 * (self.NU + 1.0) * torch.log1p(r.square() / self.NU).sum()


NIST = json.loads((Path(__file__).parent / "nist.json").read_text())

_CURVES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "Misra1a": lambda b, x: b[0] * (1 - torch.exp(-b[1] * x)),
    "MGH09": lambda b, x: b[0] * (x**2 + x * b[1]) / (x**2 + x * b[2] + b[3]),
    "Rat43": lambda b, x: b[0] / (1 + torch.exp(b[1] - b[2] * x)) ** (1 / b[3]),
    "Eckerle4": lambda b, x: b[0] / b[1] * torch.exp(-0.5 * ((x - b[2]) / b[1]) ** 2),
    "Lanczos3": lambda b, x: sum(b[i] * torch.exp(-b[i + 1] * x) for i in (0, 2, 4)),
    "Thurber": lambda b, x: (
        (b[0] + b[1] * x + b[2] * x**2 + b[3] * x**3) / (1 + b[4] * x + b[5] * x**2 + b[6] * x**3)
    ),
}


def nist(name: str, start: int) -> CurveFit:
    """A problem of the NIST Statistical Reference Datasets, from its first or second start."""
    data = NIST[name]
    x, y = double(data["x"]), double(data["y"])
    curve = _CURVES[name]
    return CurveFit(lambda b: curve(b, x), y, data["starts"][start], data["bounds"])
