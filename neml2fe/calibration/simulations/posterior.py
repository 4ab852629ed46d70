"""Laplace's approximation of the posterior: a Gaussian with the Gauss-Newton curvature of a fit.

With the Jacobian J of the whitened residuals at the solution, the negative log posterior has the
Hessian J^T J + the precision of the prior (D. MacKay, Neural Computation 4, 1992). Its eigenvectors
say which combinations of parameters the data fix worst. For fields of thousands of values J is
never formed: `gauss_newton_product` pushes one direction forward and pulls the result back, and a
few eigenvalues relative to the prior are enough (T. Bui-Thanh, O. Ghattas, J. Martin, G. Stadler,
SIAM J. Sci. Comput. 35, 2013).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse.linalg import LinearOperator, eigsh
from torch import Tensor

from neml2fe.calibration.interface import Problem, weights_of
from neml2fe.calibration.parameters import ParameterSet
from neml2fe.calibration.simulations.gauss_newton import Product, gauss_newton_product
from neml2fe.errors import InputError, suggest

_SINGULAR = 1e-8  # of the largest singular value; Jacobians of implicit updates are that exact
_ALONE = 0.95  # component of a unit vector that stands for it
_INVOLVED = 0.1  # of the largest component
_OPEN = 0.5  # of the box: a larger deviation leaves a combination open
_ENOUGH = 0.1  # eigenvalue relative to the prior below which the data say next to nothing
_FIRST = 20  # eigenvalues that are looked for at first


@dataclass(frozen=True)
class GaussianPrior:
    """What is known of parameters before the test: of x, from 0 to 1 between the bounds, the `mean`
    `(P,)` and the `precision`, `(P,)` where independent (zeros: nothing known) or `(P, P)`."""

    mean: Tensor
    precision: Tensor

    @classmethod
    def of(
        cls, parameters: ParameterSet, known: Mapping[str, tuple[float, float]]
    ) -> GaussianPrior:
        """From values and standard deviations in natural units by name, of a table those of every
        entry; to first order on the scale of the fit. Raises `InputError` for other names, values
        out of bounds, deviations not positive."""
        natural = parameters.natural(parameters.x0)
        entries: dict[str, tuple[float, float]] = {}
        for name, given in known.items():
            own = [n for n in parameters.names if n == name or n.startswith(f"{name}[")]
            if not own:
                raise InputError(f"no parameter '{name}' to know{suggest(name, parameters.names)}")
            entries |= dict.fromkeys(own, given)
        for name, (value, deviation) in entries.items():
            i = parameters.names.index(name)
            if not parameters.lower[i] <= value <= parameters.upper[i] or not deviation > 0.0:
                raise InputError(
                    f"the prior of '{name}', {value:g} with deviation {deviation:g}, does not fit "
                    f"its bounds {parameters.lower[i]:g} to {parameters.upper[i]:g}"
                )
            natural[i] = value
        mean, precision = parameters.scaled(natural), torch.zeros_like(natural)
        slopes = parameters.slopes(mean)
        for name, (_, deviation) in entries.items():
            i = parameters.names.index(name)
            precision[i] = (slopes[i] / deviation).square()
        return cls(mean, precision)

    def numbers(self, parameters: ParameterSet) -> Tensor:
        """All of x: as a `Penalty` of a `RegularisedProblem`."""
        return torch.arange(len(parameters.names))

    def rows(self, values: Tensor) -> Tensor:
        """Residuals whose half sum of squares is the negative log prior of x, but for a
        constant."""
        return _root_of(self) @ (values - self.mean)

    @property
    def matrix(self) -> Tensor:
        """The precision, `(P, P)`."""
        return torch.diag(self.precision) if self.precision.ndim == 1 else self.precision


@dataclass(frozen=True)
class Combination:
    """A direction in the box: `shares` of parameters by name, with a square sum of one, the
    standard `deviation` along it in parts of the box, infinite where nothing fixes it, and what
    that means in words."""

    shares: dict[str, float]
    deviation: float
    words: str


@dataclass(frozen=True, eq=False)
class LaplacePosterior:
    """A Gaussian about `x` `(P,)` in the unit box with the covariance F F^T, where `factor` is F
    times `(P, k)`.

    - `eigenvalues`: of the Hessian of the data and the prior, or, of low rank, of the Hessian of
      the data relative to the prior, from large to small.
    - `combinations`: the eigenvectors, from the worst known; none of low rank.
    """

    parameters: ParameterSet
    x: Tensor
    eigenvalues: Tensor
    factor: Product
    combinations: list[Combination]

    @property
    def is_proper(self) -> bool:
        """Whether data and prior leave no combination without a deviation."""
        return not any(math.isinf(c.deviation) for c in self.combinations)

    def covariance(self) -> Tensor:
        """`(P, P)` in natural units, to first order."""
        root = self._root()
        return root @ root.T

    def deviations(self) -> Tensor:
        """Standard deviations `(P,)` in natural units, to first order."""
        return torch.linalg.vector_norm(self._root(), dim=1)

    def _root(self) -> Tensor:
        whole = self.factor(torch.eye(len(self.x), dtype=self.x.dtype))
        return self.parameters.slopes(self.x)[:, None] * whole

    def samples(self, n: int, seed: int = 0) -> Tensor:
        """`(n, P)` in natural units: Gaussian on the scale of the fit; what lies beyond a bound is
        put on it."""
        generator = torch.Generator().manual_seed(seed)
        z = torch.randn(len(self.x), n, generator=generator, dtype=self.x.dtype)
        x = (self.x[:, None] + self.factor(z)).clamp(0.0, 1.0)
        return torch.stack([self.parameters.natural(column) for column in x.T])

    def __str__(self) -> str:
        return "\n".join(c.words for c in self.combinations)


def laplace(problem: Problem, x: Tensor, prior: GaussianPrior | None = None) -> LaplacePosterior:
    """The posterior of a fit that ended at `x` `(P,)`, for problems that can form a Jacobian.

    Noise that is not known is estimated from the residuals. Penalties of a `RegularisedProblem` act
    as a prior. A `prior` counts here in full, whether or not the fit had it: give it here or to the
    problem, not to both. Without one, samples
    and covariances are refused (`InputError`) where the data leave a combination open. Raises
    `ConvergenceError` if the simulation fails at `x`.
    """
    x = x.detach()
    r, jacobian = (t.detach().cpu() for t in problem.linearised(x))
    weights = weights_of(problem, r)
    if weights is not None:
        jacobian = weights.clamp(min=0.0).sqrt()[:, None] * jacobian
    if not problem.noise_is_known:
        if len(r) <= len(x):
            raise InputError(f"{len(r)} data cannot tell {len(x)} parameters and the noise")
        jacobian = jacobian / (r @ r / (len(r) - len(x))).sqrt()
    rows = [jacobian, jacobian.new_zeros(len(x), len(x))]
    if prior is not None:
        rows.append(_root_of(prior))
    # Singular values, not eigenvalues of J^T J, which lose half of the digits.
    _, singular, directions = torch.linalg.svd(torch.cat(rows), full_matrices=False)
    fixed = singular > _SINGULAR * singular[0]
    deviations = torch.where(fixed, 1.0 / singular.clamp(min=1e-300), math.inf)
    combinations = [
        _combination(problem.parameters, x, v, float(d))
        for v, d in zip(directions.flip(0), deviations.flip(0), strict=True)
    ]

    def factor(z: Tensor) -> Tensor:
        if not bool(fixed.all()):
            words = "; ".join(c.words for c in combinations if math.isinf(c.deviation))
            raise InputError(f"the posterior has no covariance without a prior: {words}")
        return (directions.T * deviations) @ z

    return LaplacePosterior(problem.parameters, x, singular.square(), factor, combinations)


def low_rank_laplace(
    problem: Problem, x: Tensor, prior: GaussianPrior, rank: int | None = None
) -> LaplacePosterior:
    """The posterior for many parameters, such as fields, without a Jacobian.

    `rank`: how many eigenvalues of the data's Hessian relative to the prior are found, by Lanczos'
    method with about two products each; what the others would tell is left out, so that deviations
    are too large rather than too small. None: until they fall below 0.1. The data's own penalties
    (`RegularisedProblem`) count as data: pass the inner problem, and them in the prior, or neither.

    Raises `InputError` for noise that is not known, and a prior that leaves a parameter open.
    """
    if not problem.noise_is_known:
        raise InputError("the standard deviation of the noise must be known for a low rank")
    x, n = x.detach(), len(x)
    if rank is not None and not 1 <= rank <= n:
        raise InputError(f"the rank must be from 1 to {n}, got {rank}")
    spread, pulled = _spread_of(prior)
    hessian = gauss_newton_product(problem, x)

    def product(z: NDArray[np.float64]) -> NDArray[np.float64]:
        v = spread(torch.from_numpy(z.reshape(n, 1).copy()))[:, 0]
        return pulled(hessian(v)[:, None])[:, 0].numpy()

    start = torch.randn(n, generator=torch.Generator().manual_seed(0), dtype=x.dtype).numpy()
    wanted = min(_FIRST if rank is None else rank, n)
    while True:
        if wanted >= n:
            whole = np.stack([product(column) for column in np.eye(n)], axis=1)
            values, vectors = np.linalg.eigh(0.5 * (whole + whole.T))
        else:
            operator = LinearOperator((n, n), matvec=product, dtype=np.float64)
            values, vectors = eigsh(operator, k=wanted, which="LA", v0=start)
        if rank is not None or wanted >= n or values.min() < _ENOUGH:
            break
        wanted = min(2 * wanted, n)
    order = np.argsort(values)[::-1].copy()
    eigenvalues = torch.from_numpy(values[order]).clamp(min=0.0)
    directions = torch.from_numpy(vectors[:, order])
    shrink = 1.0 / (1.0 + eigenvalues).sqrt() - 1.0

    def factor(z: Tensor) -> Tensor:
        return spread(z + directions @ (shrink[:, None] * (directions.T @ z)))

    return LaplacePosterior(problem.parameters, x, eigenvalues, factor, [])


def _root_of(prior: GaussianPrior) -> Tensor:
    """A with A^T A = the precision, which may be singular."""
    if prior.precision.ndim == 1:
        return torch.diag(prior.precision.sqrt())
    values, vectors = torch.linalg.eigh(prior.matrix)
    return values.clamp(min=0.0).sqrt()[:, None] * vectors.T


def _spread_of(prior: GaussianPrior) -> tuple[Product, Product]:
    """S times `(P, k)`, where S S^T is the covariance of the prior, and S^T times it."""
    what = "the prior leaves parameters open: give each a precision"
    if prior.precision.ndim == 1:
        if not bool((prior.precision > 0.0).all()):
            raise InputError(what)
        s = prior.precision.rsqrt()[:, None]
        return (lambda z: s * z), (lambda v: s * v)
    lower, failed = torch.linalg.cholesky_ex(prior.precision)
    if int(failed):
        raise InputError(what)
    return (
        lambda z: torch.linalg.solve_triangular(lower.T, z, upper=True),
        lambda v: torch.linalg.solve_triangular(lower, v, upper=False),
    )


def _combination(
    parameters: ParameterSet, x: Tensor, direction: Tensor, deviation: float
) -> Combination:
    names = parameters.names
    largest = int(direction.abs().argmax())
    v = direction * direction[largest].sign()
    shares = dict(zip(names, v.tolist(), strict=True))
    order = v.abs().argsort(descending=True).tolist()
    involved = [i for i in order if v[i].abs() > _INVOLVED * v[largest]]
    group = _listed([names[i] for i in involved])
    if math.isinf(deviation):
        what = group if len(involved) == 1 else f"some combination of {group}"
        return Combination(shares, deviation, f"{what} has no influence on this test")
    changes = parameters.slopes(x) * v * deviation
    if v[largest] > _ALONE:
        value = float(parameters.natural(x)[largest])
        words = f"{names[largest]} = {value:.4g} is known to {float(changes[largest]):.2g}"
        words += "; this test leaves it open" if deviation > _OPEN else ""
        return Combination(shares, deviation, words)
    open_ = deviation > _OPEN
    told = "cannot be told apart by this test" if open_ else "are known better together than each"
    moves = ", ".join(f"{names[i]} by {float(changes[i]):+.2g}" for i in involved)
    words = f"{group} {told}: the data hardly tell a change of {moves} from none"
    return Combination(shares, deviation, words)


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
