"""A variational distribution with the hierarchy of the model, for intervals that can be trusted.

Independent normal distributions of all unknowns, as in `inference.guide`, know neither that the
parameters of one specimen trade off against each other, nor that a parameter without effect on a
specimen follows the population. Their intervals are far too narrow where this matters.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from neml2fe.errors import InputError
from neml2fe.pyzag.present import present
from neml2fe.pyzag.pyro_ppl import PyroModule, dist, pyro
from neml2fe.pyzag.stochastic import HierarchicalStatisticalModel, MapLogNormal, MapNormal

FLOOR = 0.01  # least precision of a specimen's own data at the start, of that of the prior
POPULATION = 50  # steps of expectation maximisation for the start
STEP = 1e-4  # of the differences for sensitivities, in standard deviations of the prior


class HierarchicalGuide(PyroModule):
    r"""q(scales, noise) q(loc | scales) $\prod_i$ q(p_i | loc, scales), for models with `MapNormal`
    or `MapLogNormal`.

    A normal factor N(p_i; m_i, (R_i R_i^T)^-1) stands for the data of each specimen. With it the
    locations given the scales, and the parameters of a specimen given both, are normal with means
    and covariances that follow from the hierarchy:

        q(p_i | loc, scale) ~ N(p_i; loc, scale^2) N(p_i; m_i, (R_i R_i^T)^-1),

    which is exact where the results are linear in p_i (in their logarithms for `MapLogNormal`).
    Scales and noise are the softplus of joint normals: logarithmic where they are known, with the
    tail of the prior where not. Their mean and covariance, m_i and R_i are learned, in the units
    of their uncertainty at a start that linearises the results; so a few hundred steps do. The
    density is differentiated by the draws only: the noise of the gradient vanishes as q
    approaches the posterior (Roeder, Wu and Duvenaud 2017, arXiv:1703.09194).

    Args:
        model: what it approximates the posterior of.
        *args, results, weights, mask, **kwargs: as of the fit. Results of `base` that are not
            finite only make steps to the start shorter; an exception of `base` ends all.
        spread: scales, of those of their priors, that the search for the start holds for the first
            half of its iterations. So small that all specimens first find what they share: one
            alone may find another minimum.
        iterations: of that search.

    Raises:
        InputError: for another parameter mapper, and as the model's `forward`.
    """

    def __init__(
        self,
        model: HierarchicalStatisticalModel,
        *args: torch.Tensor,
        results: torch.Tensor,
        weights: torch.Tensor | None = None,
        mask: torch.Tensor | None = None,
        spread: float = 0.05,
        iterations: int = 30,
        **kwargs: Any,
    ) -> None:
        super().__init__()
        if not isinstance(model.parameter_mapper, MapNormal):
            raise InputError("HierarchicalGuide needs a model with MapNormal or MapLogNormal")
        nodes = pyro.poutine.trace(model.shared).get_trace().nodes
        prior: dict[str, Any] = {name: node["fn"] for name, node in nodes.items() if "fn" in node}
        logarithmic = isinstance(model.parameter_mapper, MapLogNormal)
        self._levels = [
            _Level(site, loc, scale, prior[loc].mean, prior[loc].stddev, logarithmic)
            for site, (loc, scale) in model.hierarchy.items()
        ]
        self._noise = prior["eps"].mean
        own = torch.cat([level.mean.reshape(-1) for level in self._levels])
        d, s, noises = len(own), args[0].shape[1], self._noise.numel()

        @torch.no_grad()
        def residuals(u: torch.Tensor) -> torch.Tensor:
            values = {level.site: level.value(part) for level, part in self._parts(u)}
            for module, symbol, site in model.bot:
                setattr(module, symbol, values[site])
            computed = model._modules["base"](*args, **kwargs)  # type: ignore[misc]
            there, weight = present(results, computed, mask, weights)
            root = weight.sqrt()[..., None]
            return torch.where(there, root * (computed - results), 0.0).transpose(0, 1)

        start = own.new_zeros(s, d)
        precision, m, scale, noise = _start(residuals, start, self._noise, spread, iterations)
        scale, informed = _population(precision, precision @ m[..., None], scale, POPULATION)
        widths = torch.cat([scale, (noise / self._noise).reshape(-1)])
        centre = widths + (-torch.expm1(-widths)).log()  # inverse of softplus
        known_by = torch.cat([informed, scale.new_full((noises,), results.numel() / noises)])

        self.register_buffer("m", m)
        self.register_buffer("r", torch.linalg.cholesky(precision))
        self.register_buffer("width", widths / centre.sigmoid() * (2.0 * known_by).rsqrt())
        self.centre = torch.nn.Parameter(centre)
        self.spread = torch.nn.Parameter(self.width.new_zeros(len(known_by), len(known_by)))
        self.shift = torch.nn.Parameter(torch.zeros_like(m))
        self.factor = torch.nn.Parameter(torch.zeros_like(precision))

    def forward(self, *args: Any, **kwargs: Any) -> None:
        """One draw of all sites; arguments as of the model."""
        centre, shift, factor = self.centre, self.shift, self.factor
        lower = self.width[:, None] * _triangular(self.spread)
        x = centre + lower @ torch.randn_like(centre)
        inverse = torch.linalg.inv(lower.detach())
        _auxiliary("_shared", x, _log_density(x, inverse.T, centre.detach()))
        s, d = self.m.shape
        scale, noise = torch.nn.functional.softplus(x).split([d, len(x) - d])
        of_scale, of_noise = x.sigmoid().split([d, len(x) - d])  # slopes

        known, pull = self._data(shift, factor)
        now, then = (known, pull), (known.detach(), pull.detach())
        loc = _drawn(*_locations(*now, scale))
        _auxiliary("_locations", loc, _log_density(loc, *_locations(*then, scale)))
        u = _drawn(*_own(*now, scale, loc))
        log_q = _log_density(u, *_own(*then, scale, loc))  # of each specimen

        for level, part in self._parts(loc):
            _site(level.loc, level.mean + level.deviation * part, level.deviation)
        for (level, part), (_, slope) in zip(
            self._parts(scale), self._parts(of_scale), strict=True
        ):
            _site(level.scale, level.deviation * part, level.deviation * slope)
        noise, of_noise = (self._noise * n.reshape(self._noise.shape) for n in (noise, of_noise))
        _site("eps", noise, of_noise)
        with pyro.plate("samples", s, dim=-1):
            _auxiliary("_own", u, log_q)
            for level, part in self._parts(u):
                value = level.value(part)
                _site(level.site, value, level.slope(value), level.mean.dim())

    def _data(self, shift: torch.Tensor, factor: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The factors of the specimens: precision (S, D, D), and its product with the mean."""
        r = self.r @ _triangular(factor)
        return r @ r.mT, r @ (r.mT @ self.m[..., None] + shift[..., None])

    def _parts(self, x: torch.Tensor) -> list[tuple[_Level, torch.Tensor]]:
        """Numbers (..., D) by parameter, (..., *shape)."""
        parts = x.split([level.mean.numel() for level in self._levels], dim=-1)
        return [
            (level, part.reshape(x.shape[:-1] + level.mean.shape))
            for level, part in zip(self._levels, parts, strict=True)
        ]


@dataclass(frozen=True)
class _Level:
    """The sites of a parameter, and the prior of its location, both (*shape)."""

    site: str
    loc: str
    scale: str
    mean: torch.Tensor
    deviation: torch.Tensor
    logarithmic: bool

    def value(self, u: torch.Tensor) -> torch.Tensor:
        """The parameter, from standard deviations of the prior of its location."""
        x = self.mean + self.deviation * u
        return x.exp() if self.logarithmic else x

    def slope(self, value: torch.Tensor) -> torch.Tensor:
        """Its derivative by these."""
        return self.deviation * (value if self.logarithmic else torch.ones_like(value))


def _triangular(x: torch.Tensor) -> torch.Tensor:
    """A lower triangle with positive diagonal; the identity for zeros."""
    return x.tril(-1) + torch.diag_embed(x.diagonal(dim1=-2, dim2=-1).exp())


def _own(
    known: torch.Tensor, pull: torch.Tensor, scale: torch.Tensor, loc: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Cholesky factor of the precision (S, D, D) and mean (S, D) of the specimens' parameters."""
    weight = scale**-2
    cholesky = torch.linalg.cholesky(known + torch.diag(weight))
    mean = torch.cholesky_solve(pull + (weight * loc)[:, None], cholesky)
    return cholesky, mean[..., 0]


def _locations(
    known: torch.Tensor, pull: torch.Tensor, scale: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Cholesky factor of the precision (D, D) and mean (D,) of the locations."""
    prior = torch.diag(scale**-2)
    share = prior @ torch.linalg.inv(known + prior)
    precision = torch.eye(len(scale)).to(scale) + (prior - share @ prior).sum(0)
    cholesky = torch.linalg.cholesky(precision)
    return cholesky, torch.cholesky_solve((share @ pull).sum(0), cholesky)[:, 0]


def _drawn(cholesky: torch.Tensor, mean: torch.Tensor) -> torch.Tensor:
    noise = torch.randn_like(mean)[..., None]
    return mean + torch.linalg.solve_triangular(cholesky.mT, noise, upper=True)[..., 0]


def _log_density(x: torch.Tensor, cholesky: torch.Tensor, mean: torch.Tensor) -> torch.Tensor:
    """Of a normal distribution by the Cholesky factor of its precision."""
    whitened = (cholesky.mT @ (x - mean)[..., None])[..., 0]
    logs = cholesky.diagonal(dim1=-2, dim2=-1).log()
    return (logs - 0.5 * whitened.square() - 0.5 * math.log(2 * math.pi)).sum(-1)


def _auxiliary(name: str, x: torch.Tensor, log_q: torch.Tensor) -> None:
    pyro.sample(name, dist.Delta(x, log_density=log_q, event_dim=1), infer={"is_auxiliary": True})


def _site(
    name: str, value: torch.Tensor, slope: torch.Tensor, event_dim: int | None = None
) -> None:
    """A value that is known, with the change of the density by the slope of what it is made of."""
    event_dim = value.dim() if event_dim is None else event_dim
    change = -slope.log().expand_as(value)
    change = change.flatten(value.dim() - event_dim).sum(-1) if event_dim else change
    pyro.sample(name, dist.Delta(value, log_density=change, event_dim=event_dim))


def _start(
    residuals: Callable[[torch.Tensor], torch.Tensor],
    u: torch.Tensor,
    noise: torch.Tensor,
    spread: float,
    iterations: int,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """The alternating algorithm of Lindstrom and Bates (1990) for nonlinear mixed effects.

    Each iteration linearises the results, estimates the population from that, its scales from half
    of the iterations on, and takes a Levenberg-Marquardt step for each specimen with the
    population as prior. `residuals` maps
    u (S, D) to (S, N, n_out); `noise` () or (n_out,) is where its estimate starts.

    Returns the normal likelihoods of the specimens, precision (S, D, D) and mean (S, D), the
    scales (D,) and the noise.
    """
    eye = torch.eye(u.shape[1]).to(u)
    least = 1e-3 * noise
    r = residuals(u).nan_to_num(0.0)  # a specimen that fails at its start stays there
    damping = torch.full_like(u[:, :1], 1e-2)
    scale = torch.full_like(u[0], spread)
    for iteration in range(iterations + 1):
        noise = _root_mean_square(r, noise.dim()).maximum(least)
        columns = [(residuals(u + STEP * e) - residuals(u - STEP * e)) / (2 * STEP) for e in eye]
        jacobian = (torch.stack(columns, -1).nan_to_num(0.0) / noise[..., None]).flatten(1, 2)
        precision = jacobian.mT @ jacobian + FLOOR * eye
        slope = (jacobian.mT @ (r / noise).flatten(1)[..., None])[..., 0]
        m = u - torch.linalg.solve(precision, slope)
        if iteration == iterations:
            break
        pull = precision @ m[..., None]
        if iteration >= iterations // 2:
            scale, _ = _population(precision, pull, scale, 1)
        _, loc = _locations(precision, pull, scale)
        gradient = slope + (u - loc) / scale**2
        matrix = precision + torch.diag(scale**-2)
        matrix = matrix + torch.diag_embed(damping * matrix.diagonal(dim1=-2, dim2=-1))
        step = -torch.linalg.solve(matrix, gradient)
        trial = residuals(u + step)
        before = (r / noise).square().sum((1, 2)) + ((u - loc) / scale).square().sum(1)
        after = (trial / noise).square().sum((1, 2)) + ((u + step - loc) / scale).square().sum(1)
        better = (after < before)[:, None]  # not if NaN
        u, r = torch.where(better, u + step, u), torch.where(better[..., None], trial, r)
        damping = torch.where(better, damping / 10, damping * 10).clamp(1e-9, 1e9)
    return precision, m, scale, noise


def _population(
    known: torch.Tensor, pull: torch.Tensor, scale: torch.Tensor, iterations: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Scales (D,) by expectation maximisation from those given, and by how many specimens each
    is known, at least one."""
    for _ in range(iterations):
        _, loc = _locations(known, pull, scale)
        cholesky, u = _own(known, pull, scale, loc)
        variance = torch.cholesky_inverse(cholesky).diagonal(dim1=-2, dim2=-1)
        informed = (1.0 - variance / scale**2).sum(0).clamp_min(1.0)
        scale = ((u - loc).square() + variance).mean(0).sqrt()
    return scale, informed


def _root_mean_square(r: torch.Tensor, outputs: int) -> torch.Tensor:
    """Of the measured rows of r (S, N, n_out): for each output, or of all together."""
    over = (0, 1) if outputs else (0, 1, 2)
    return (r.square().sum(over) / (r != 0).sum(over).clamp_min(1)).sqrt()
