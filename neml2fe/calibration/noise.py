r"""Noise models: measured minus predicted, in standard deviations, and how unlikely that is.

With the whitened residuals r the negative log likelihood is, up to a constant, sum(rho(r)):
rho = r^2 / 2 (Gaussian), Huber's function (Huber 1964, Ann. Math. Statist. 35, 73), or
(nu + 1) / 2 log(1 + r^2 / nu) for Student's t-distribution (Lange, Little and Taylor 1989,
J. Am. Stat. Assoc. 84, 881).
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from neml2fe.errors import ConvergenceError, InputError, suggest

Sizes = float | Mapping[str, float]  # one for all variables, or one for each


class Noise(ABC):
    """What measured values scatter by. A weight w divides the variance of its value by w."""

    @property
    def is_known(self) -> bool:
        """Whether residuals are in units of a known standard deviation."""
        return True

    @abstractmethod
    def deviation(self, variable: str, measured: Tensor) -> float | Tensor:
        """The standard deviation of values `(m,)` of a variable: one, or `(m,)`."""

    def rho(self, residuals: Tensor) -> Tensor:
        """The negative log likelihood of each residual `(m,)`; zero where the residual is."""
        return 0.5 * residuals.square()

    def curvature_weights(self, residuals: Tensor) -> Tensor:
        """rho'(r) / r of each residual `(m,)`: weights of the squares in iteratively
        reweighted least squares and in the Gauss-Newton Hessian."""
        return torch.ones_like(residuals)

    def residuals(
        self,
        predicted: Mapping[str, Tensor],
        measured: Mapping[str, Tensor],
        weights: Mapping[str, Tensor],
    ) -> Tensor:
        """`(m,)`: sqrt(weight) (predicted - measured) / deviation of all m values that have a
        weight, by variable in the order of `measured`, then row by row.

        Tensors of one variable have one shape. Values without weight may be anything, NaN too:
        they are left out before any arithmetic, so that their gradients are zeros.

        Raises `ConvergenceError` if a predicted value that has a weight is not finite,
        `InputError` if variables are absent, shapes differ, or nothing has a weight.
        """
        parts = []
        for name, data in measured.items():
            for what, there in (("weights", weights), ("predictions", predicted)):
                if name not in there:
                    message = f"there are no {what} of the measured '{name}'"
                    raise InputError(message + suggest(name, there))
                if there[name].shape != data.shape:
                    raise InputError(
                        f"the {what} of '{name}' have shape {tuple(there[name].shape)}, the "
                        f"measured values {tuple(data.shape)}"
                    )
            at = weights[name].flatten().nonzero().squeeze(-1)
            p, y, w = (x[name].reshape(-1)[at] for x in (predicted, measured, weights))
            _require_finite(name, p, at, data.shape)
            parts.append(w.sqrt() * (p - y) / self.deviation(name, y))
        if not sum(len(part) for part in parts):
            raise InputError("no measured value has a weight: there is nothing to compare with")
        return torch.cat(parts)

    def loss(
        self,
        predicted: Mapping[str, Tensor],
        measured: Mapping[str, Tensor],
        weights: Mapping[str, Tensor],
    ) -> Tensor:
        """`()`: the negative log likelihood, up to a constant; arguments as `residuals` has."""
        return self.rho(self.residuals(predicted, measured, weights)).sum()


@dataclass(frozen=True)
class GaussianNoise(Noise):
    """Normally distributed noise. `sigma` is the standard deviation, in units of the variable:
    one for all, or by name; 1 for columns that bring their own. None: not known, and the same
    for all values of weight 1; residuals are then plain differences."""

    sigma: Sizes | None = None

    def __post_init__(self) -> None:
        if self.sigma is not None:
            _require_positive("sigma", self.sigma)

    @property
    def is_known(self) -> bool:
        return self.sigma is not None

    def deviation(self, variable: str, measured: Tensor) -> float:
        return 1.0 if self.sigma is None else _of("sigma", self.sigma, variable)


@dataclass(frozen=True)
class RelativeNoise(Noise):
    """Normally distributed noise that grows with the value: a part of standard deviation
    `fraction * |measured|` and an independent one of `floor`, in units of the variable."""

    fraction: Sizes
    floor: Sizes

    def __post_init__(self) -> None:
        _require_positive("fraction", self.fraction)
        _require_positive("floor", self.floor)

    def deviation(self, variable: str, measured: Tensor) -> Tensor:
        fraction = _of("fraction", self.fraction, variable)
        floor = _of("floor", self.floor, variable)
        return ((fraction * measured).square() + floor**2).sqrt()


@dataclass(frozen=True)
class HuberNoise(Noise):
    """Normally distributed noise with exponential tails beyond `k` standard deviations.

    With the default k, 95 % of the efficiency of least squares is kept on normal noise.
    """

    sigma: Sizes
    k: float = 1.345

    def __post_init__(self) -> None:
        _require_positive("sigma", self.sigma)
        _require_positive("k", self.k)

    def deviation(self, variable: str, measured: Tensor) -> float:
        return _of("sigma", self.sigma, variable)

    def rho(self, residuals: Tensor) -> Tensor:
        core = residuals.clamp(-self.k, self.k)
        return core * (residuals - 0.5 * core)

    def curvature_weights(self, residuals: Tensor) -> Tensor:
        return self.k / residuals.abs().clamp(min=self.k)


@dataclass(frozen=True)
class StudentNoise(Noise):
    """Student's t-distribution with scale `sigma` and `nu` degrees of freedom: outliers lose
    their influence the farther off they are."""

    sigma: Sizes
    nu: float = 4.0

    def __post_init__(self) -> None:
        _require_positive("sigma", self.sigma)
        _require_positive("nu", self.nu)

    def deviation(self, variable: str, measured: Tensor) -> float:
        return _of("sigma", self.sigma, variable)

    def rho(self, residuals: Tensor) -> Tensor:
        return 0.5 * (self.nu + 1.0) * torch.log1p(residuals.square() / self.nu)

    def curvature_weights(self, residuals: Tensor) -> Tensor:
        return (self.nu + 1.0) / (self.nu + residuals.square())


def _of(what: str, sizes: Sizes, variable: str) -> float:
    if not isinstance(sizes, Mapping):
        return sizes
    if variable not in sizes:
        message = f"the noise has no {what} for the measured '{variable}'"
        raise InputError(message + suggest(variable, sizes))
    return sizes[variable]


def _require_positive(what: str, sizes: Sizes) -> None:
    named = sizes if isinstance(sizes, Mapping) else {"": sizes}
    for name, size in named.items():
        if not 0.0 < size < math.inf:
            of = f" of '{name}'" if name else ""
            raise InputError(f"{what}{of} must be a positive number, got {size:g}")


def _require_finite(name: str, predicted: Tensor, at: Tensor, shape: torch.Size) -> None:
    bad = ~predicted.detach().isfinite()
    if bool(bad.any()):
        first = int(bad.nonzero()[0])
        place = ", ".join(str(int(i)) for i in torch.unravel_index(at[first], shape))
        raise ConvergenceError(
            f"{int(bad.sum())} predicted values of '{name}' that are compared with data are not "
            f"finite; the first is {float(predicted[first])} at ({place}) of {tuple(shape)}"
        )
