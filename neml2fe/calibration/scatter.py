r"""Specimens that differ from each other: fits by generalised least squares.

Each specimen has its own parameters, $\beta + b_s$ with $b_s \sim N(0, \Sigma)$, of which only the
mean $\beta$ is wanted. Its whole curve then lies above or below the mean one, and least squares,
which take all residuals for independent, weight the tests wrongly and give intervals that are far
too short. To first order in $b_s$ the residuals of specimen s have the covariance
$V_s = J_s \Sigma J_s^T + \sigma^2 I$ (Sheiner and Beal 1980, J. Pharmacokin. Biopharm. 8, 553);
whitened by it, they are those of an ordinary problem. Unknown standard deviations are estimated by
restricted maximum likelihood (Pinheiro and Bates 2000, Mixed-Effects Models in S and S-PLUS).
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from torch import Tensor

from neml2fe.calibration.fit import FitResult, fit, resumption
from neml2fe.calibration.interface import Problem, weights_of
from neml2fe.calibration.parameters import ParameterSet
from neml2fe.errors import InputError, suggest

Array = NDArray[np.float64]

_FIRST = ("record", "resume", "starts", "seed")  # options for the ordinary fit only
_START = math.log(0.03)  # of a parameter's value
_LIMITS = (math.log(1e-5), math.log(10.0))
_FLAT = 1e-3  # second derivative by the logarithm: at a maximum it is about the number of specimens
_ROUND_OFF = 1e-12  # of the largest column
_RANK = 1e-8  # of the largest singular value


class SpecimenProblem(Problem, Protocol):
    """A problem that knows its specimens."""

    def specimen_of_residuals(self) -> Tensor:
        """`(m,)` int64: the specimen that each residual belongs to."""


@dataclass(frozen=True)
class Absolute:
    """A standard deviation in the parameter's own units."""

    deviation: float


# Of a parameter, or of one entry of a table: a share of its value, or None if not known.
Scatter = Mapping[str, float | Absolute | None]


class ScatteredProblem:
    """`problem` for the mean of specimens that scatter, with residuals that are independent and
    of unit variance: those of `problem`, each specimen whitened by its covariance at `x` `(P,)`.

    `scatter` gives standard deviations from specimen to specimen, for a table those of every
    entry; other parameters are the same in all specimens. `noise` is the standard deviation of
    independent noise, in units of the residuals of `problem`.

    Raises InputError for names that are not fitted or overlap, deviations that are negative or not
    known, noise that is not positive, and a problem whose noise is not Gaussian.
    """

    noise_is_known = True

    def __init__(
        self, problem: SpecimenProblem, scatter: Scatter, x: Tensor, noise: float = 1.0
    ) -> None:
        unknown = [name for name, size in scatter.items() if size is None]
        if unknown:
            raise InputError(f"give the scatter of {', '.join(unknown)}, or estimate it first")
        if not 0.0 < noise < math.inf:
            raise InputError(f"the noise must be a positive number, got {noise:g}")
        deviations = _Variances(problem, scatter, x).known.sqrt()
        self.problem, self.noise = problem, noise
        self.parameters = copy.copy(problem.parameters)
        self.parameters.x0 = x.detach().clone()
        jacobian = problem.linearised(x)[1].detach().cpu()
        changes = jacobian[:, deviations > 0.0] * deviations[deviations > 0.0] / noise
        self._rows = _rows(problem)
        self._factors = [_shrinking(changes[rows]) for rows in self._rows]

    def residuals(self, x: Tensor) -> Tensor:
        return self._whitened(self.problem.residuals(x))

    def linearised(self, x: Tensor) -> tuple[Tensor, Tensor]:
        residuals, jacobian = self.problem.linearised(x)
        norms = torch.linalg.vector_norm(jacobian, dim=0)
        # Whitening shrinks what matters: round-off is not to pass for influence beside it.
        jacobian = torch.where(norms > _ROUND_OFF * norms.max(), jacobian, 0.0)
        return self._whitened(residuals), self._whitened(jacobian)

    def loss(self, x: Tensor) -> Tensor:
        """As in `Problem`; its gradient comes from the Jacobian and has none of its own."""
        if not x.requires_grad:
            return 0.5 * self.residuals(x).square().sum()
        residuals, jacobian = self.linearised(x.detach())
        return 0.5 * residuals.square().sum() + (x - x.detach()) @ (jacobian.T @ residuals)

    def _whitened(self, values: Tensor) -> Tensor:
        """$V^{-1/2}$ times `values`, `(m,)` or `(m, P)`."""
        whitened = values / self.noise
        for rows, (directions, shrinking) in zip(self._rows, self._factors, strict=True):
            along = directions.T @ whitened[rows]
            whitened[rows] -= directions * shrinking @ along
        return whitened


@dataclass(frozen=True)
class ScatterEstimate:
    """Standard deviations from specimen to specimen, by name as shares of the mean where they
    were estimated, else as given; and of the noise, in units of the problem's residuals.

    `errors` are relative standard errors of what was estimated: at 0.2, an estimate of 4 % may
    well be 3 or 5 %. They are infinite where it is zero, as there is no sign of any scatter, and
    where the tests cannot tell it from that of other parameters.
    """

    scatter: dict[str, float | Absolute]
    noise: float
    errors: dict[str, float]


@dataclass(frozen=True)
class ScatteredFit(FitResult):
    """The mean of specimens that scatter: the last whitened fit, but with `history` and `starts`
    of the `ordinary` one, by least squares, that came first."""

    estimate: ScatterEstimate | None = None
    ordinary: FitResult | None = None


def fit_with_scatter(
    problem: SpecimenProblem, scatter: Scatter, relinearise: int = 3, **options: Any
) -> ScatteredFit:
    """Fit the mean: least squares first, then `relinearise` fits with the covariance at the end of
    the one before. What is None in `scatter`, and noise that `problem` does not know, is estimated
    before each of them.

    The intervals take what was estimated for known, so that few specimens make them a little short.
    `options` are those of `fit`; record and starts are of the first fit. Raises what `fit` and
    `ScatteredProblem` raise, and InputError for fewer than one linearisation.
    """
    if relinearise < 1:
        raise InputError("a fit with scatter needs at least one linearisation")
    _Variances(problem, scatter, problem.parameters.x0)  # mistakes before the long work
    ordinary = fit(problem, **options)
    options = {name: value for name, value in options.items() if name not in _FIRST}
    last: FitResult = ordinary
    for _ in range(relinearise):
        estimate = estimate_scatter(problem, scatter, last.x)
        whitened = ScatteredProblem(problem, estimate.scatter, last.x, estimate.noise)
        last = fit(whitened, **options)
    results = {f.name: getattr(last, f.name) for f in fields(FitResult)}
    results |= {name: getattr(ordinary, name) for name in ("history", "starts", "resumed_from")}
    results["reason"] += resumption(ordinary.resumed_from)
    return ScatteredFit(**results, estimate=estimate, ordinary=ordinary)


def estimate_scatter(problem: SpecimenProblem, scatter: Scatter, x: Tensor) -> ScatterEstimate:
    """What is None in `scatter`, and noise that `problem` does not know, by restricted maximum
    likelihood, with `problem` linearised at its solution `x` `(P,)`. Raises as
    `ScatteredProblem`."""
    variances = _Variances(problem, scatter, x)
    given = {name: size for name, size in scatter.items() if size is not None}
    sought = list(variances.sought)
    n = len(sought)
    names = sought if problem.noise_is_known else [*sought, "noise"]
    if not names:
        return ScatterEstimate(given, 1.0, {})
    likelihood = _Likelihood(problem, x)
    units = torch.stack([variances.known, *variances.sought.values()])

    def value(logs: Tensor) -> Tensor:
        """-log likelihood by the logarithms of the standard deviations, that of noise last."""
        of_x = torch.cat([logs.new_ones(1), torch.exp(2.0 * logs[:n])]) @ units
        return likelihood(of_x, torch.exp(2.0 * logs[n:].sum()))

    def value_and_slope(logs: Array) -> tuple[float, Array]:
        at = torch.from_numpy(logs).clone().requires_grad_()
        loss = value(at)
        return loss.item(), torch.autograd.grad(loss, at)[0].numpy()

    start = [_START] * n + [likelihood.log_noise] * (len(names) - n)
    bounds = [_LIMITS] * n + [(None, None)] * (len(names) - n)
    exact = {"ftol": 1e-14, "gtol": 1e-7}
    found = minimize(value_and_slope, start, jac=True, bounds=bounds, options=exact)
    logs = torch.from_numpy(found.x)
    curvature = torch.autograd.functional.hessian(value, logs)
    curved = curvature.diagonal() > _FLAT
    squares = torch.linalg.pinv(curvature[curved][:, curved], hermitian=True).diagonal()
    errors = torch.full_like(logs, math.inf)
    errors[curved] = torch.where(squares > 0.0, squares, math.inf).sqrt()
    sizes = torch.where(curved, torch.exp(logs), 0.0).tolist()
    return ScatterEstimate(
        given | dict(zip(sought, sizes, strict=False)),
        1.0 if problem.noise_is_known else sizes[-1],
        dict(zip(names, errors.tolist(), strict=True)),
    )


class _Variances:
    """Variances of x `(P,)` from specimen to specimen: `known` ones, and by name those for a
    standard deviation of the whole value where it is `sought`."""

    def __init__(self, problem: SpecimenProblem, scatter: Scatter, x: Tensor) -> None:
        weights = weights_of(problem, x.new_tensor([10.0]))  # of an outlier
        if weights is not None and not bool((weights == 1.0).all()):
            raise InputError("scatter between specimens needs Gaussian noise, not a robust one")
        parameters = problem.parameters
        values, slopes = parameters.natural(x.detach()), parameters.slopes(x)
        self.known, self.sought = torch.zeros_like(values), dict[str, Tensor]()
        taken = torch.zeros(len(values), dtype=torch.bool)
        for name, size in scatter.items():
            here = _entries(parameters, name)
            if bool((here & taken).any()):
                raise InputError(f"the scatter of '{name}' is given twice")
            taken |= here
            of_value = torch.where(here, (values / slopes).square(), 0.0)
            if size is None:
                self.sought[name] = of_value
                continue
            deviation = size.deviation if isinstance(size, Absolute) else size
            if not 0.0 <= deviation < math.inf:
                raise InputError(f"the scatter of '{name}' must be at least 0, got {deviation:g}")
            unit = torch.where(here, slopes**-2, 0.0) if isinstance(size, Absolute) else of_value
            self.known = self.known + deviation**2 * unit


class _Likelihood:
    """The restricted one of linear mixed models: (log|V| + log|X^T V^-1 X| + r^T P r) / 2.

    Each specimen is first reduced by J = QR: across the columns of Q there is only noise.
    """

    def __init__(self, problem: SpecimenProblem, x: Tensor) -> None:
        r, jacobian = (t.detach().cpu() for t in problem.linearised(x.detach()))
        used = (r != 0.0) | (jacobian != 0.0).any(-1)  # the others are masked
        factors, along, across, outside, p = [], [], 0.0, 0, len(x)
        for rows in _rows(problem):
            kept = rows[used[rows]]
            short = max(p - len(kept), 0)  # zero rows make all factors square
            q, factor = torch.linalg.qr(torch.cat([jacobian[kept], jacobian.new_zeros(short, p)]))
            data = torch.cat([r[kept], r.new_zeros(short)])
            factors.append(factor)
            along.append(q.T @ data)
            across += float(data.square().sum() - along[-1].square().sum())
            outside += len(kept) - p
        self.factors, self.along = torch.stack(factors), torch.stack(along)
        self.across, self.outside = max(across, 0.0), outside
        # Fixed effects: all that the data can tell, in units that make the columns comparable.
        stacked = self.factors.flatten(0, 1)
        norms = torch.linalg.vector_norm(stacked, dim=0)
        scaled = stacked / torch.where(norms > 0.0, norms, 1.0)
        u, singular, _ = torch.linalg.svd(scaled, full_matrices=False)
        self.fixed = u[:, singular > _RANK * singular.max()].reshape(*self.along.shape, -1)
        self.log_noise = 0.5 * math.log(float(r[used].square().mean()))

    def __call__(self, variances: Tensor, noise: Tensor) -> Tensor:
        """Minus its logarithm for variances of x `(P,)` and of the noise `()`."""
        covariance = self.factors * variances @ self.factors.mT
        covariance = covariance + noise * torch.eye(len(variances), dtype=variances.dtype)
        root = torch.linalg.cholesky(covariance)
        both = torch.cat([self.fixed, self.along.unsqueeze(-1)], -1)
        white = torch.linalg.solve_triangular(root, both, upper=False).flatten(0, 1)
        fixed, data = white[:, :-1], white[:, -1]
        inner = torch.linalg.cholesky(fixed.T @ fixed)
        explained = torch.linalg.solve_triangular(inner, (fixed.T @ data)[:, None], upper=False)
        determinants = root.diagonal(dim1=-2, dim2=-1).log().sum() + inner.diagonal().log().sum()
        squares = data @ data - explained.square().sum() + self.across / noise
        return determinants + 0.5 * (squares + self.outside * noise.log())


def _shrinking(changes: Tensor) -> tuple[Tensor, Tensor]:
    """U and c so that (I + C C^T)^(-1/2) = I - U diag(c) U^T for C `(m, k)`."""
    directions, singular, _ = torch.linalg.svd(changes, full_matrices=False)
    return directions, 1.0 - (1.0 + singular.square()).rsqrt()


def _rows(problem: SpecimenProblem) -> list[Tensor]:
    """Numbers of the residuals of each specimen that has any."""
    of = problem.specimen_of_residuals().cpu()
    return [(of == s).nonzero().squeeze(-1) for s in of.unique()]


def _entries(parameters: ParameterSet, name: str) -> Tensor:
    """`(P,)`: which of the fitted values `name` means."""
    names = parameters.names
    found = torch.tensor([n == name or n.startswith(f"{name}[") for n in names])
    if not bool(found.any()):
        known = dict.fromkeys(n for full in names for n in (full.partition("[")[0], full))
        raise InputError(f"'{name}', whose scatter is given, is not fitted{suggest(name, known)}")
    return found
