"""Parameter fields, a value of every element, estimated with a penalty on their roughness.

Data do not fix thousands of values: a penalty adds what is known of the field. `Tikhonov` wants it
smooth, `TotalVariation` in pieces that are constant (L. Rudin, S. Osher, E. Fatemi, Physica D 60,
1992). How much is chosen by the noise (`by_discrepancy`, V. A. Morozov, 1966) or where less would
fit the data hardly better (`l_curve` and `corner`, P. C. Hansen, SIAM Review 34, 1992).
"""

from __future__ import annotations

import copy
import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from neml2fe.calibration.fit import FitResult, fit
from neml2fe.calibration.interface import Problem, weights_of
from neml2fe.calibration.parameters import ParameterSet
from neml2fe.errors import InputError, suggest
from neml2fe.fem.mesh.elements import reference_element
from neml2fe.fem.mesh.facets import connect_facets
from neml2fe.fem.mesh.mesh import Mesh

Array = NDArray[np.float64]


class Neighbours:
    """The pairs of elements of a mesh that share a facet.

    - `pairs` `(k, 2)`: their numbers, counted through the blocks of cells.
    - `distance` `(k,)`: between their centres; `volume` `(k,)`: that times the area of the facet.

    The sum of volume * ((a - b) / distance)^2 is the integral of the squared gradient of a field
    with the values a, b, ... on a mesh of bricks, and about that on others.
    """

    def __init__(self, mesh: Mesh) -> None:
        facets = connect_facets(mesh.cells, mesh.n_nodes)
        slots = facets.twins()
        centres = np.concatenate([mesh.points[b.connectivity].mean(axis=1) for b in mesh.cells])
        areas, of = np.empty(len(slots)), facets.group_of(slots[:, 0])
        for g in np.unique(of):
            nodes = facets.groups[g].nodes(slots[of == g, 0])
            n = reference_element(facets.groups[g].facets.cell_type).n_vertices
            areas[of == g] = _areas(mesh.points[nodes[:, :n]])
        pairs = facets.element[slots]
        distance = np.linalg.norm(centres[pairs[:, 0]] - centres[pairs[:, 1]], axis=1)
        self.pairs = torch.from_numpy(pairs)
        self.distance = torch.from_numpy(distance)
        self.volume = torch.from_numpy(areas * distance)


def _areas(x: Array) -> Array:
    """Of flat facets with vertices `(n, k, dim)`: length, or area."""
    if x.shape[1] == 2:
        return np.asarray(np.linalg.norm(x[:, 1] - x[:, 0], axis=1))
    a, b = (x[:, 1], x[:, 2]) if x.shape[1] == 3 else (x[:, 2], x[:, 3])
    first, second = (a - x[:, 0], b - x[:, 0]) if x.shape[1] == 3 else (a - x[:, 0], b - x[:, 1])
    return 0.5 * np.asarray(np.linalg.norm(np.cross(first, second), axis=1))


class FieldPenalty(ABC):
    """`weight` times the roughness of the parameter field `name`, such as "fields.E": a tensor of
    the simulation with a value of every element of `mesh`, `(n_elements, ...)`.

    It is that of the field on the scale of the fit, which goes from 0 at its lower bound to 1 at
    its upper bound: a logarithmic one makes it one of relative differences.
    """

    def __init__(self, mesh: Mesh, name: str, weight: float) -> None:
        if not 0.0 < weight < math.inf:
            raise InputError(f"the weight of a penalty must be positive, got {weight:g}")
        self.name, self.weight = name, weight
        self._neighbours, self._n = Neighbours(mesh), mesh.n_elements

    def weighing(self, weight: float) -> FieldPenalty:
        """The same with another weight."""
        other = copy.copy(self)
        other.weight = weight
        return other

    def numbers(self, parameters: ParameterSet) -> Tensor:
        """Which entries of x are the field, `(n_elements, k)`. Raises `InputError` for a field that
        is not fitted or has no value of every element."""
        if self.name not in parameters.tensor_names:
            raise InputError(
                f"no parameter '{self.name}' is fitted{suggest(self.name, parameters.tensor_names)}"
            )
        found = [i for i, n in enumerate(parameters.names) if n.startswith(f"{self.name}[")]
        if not found or len(found) % self._n:
            raise InputError(
                f"'{self.name}' has {len(found) or 1} values for {self._n} elements: it is no field"
            )
        return torch.tensor(found).reshape(self._n, -1)

    def rows(self, values: Tensor) -> Tensor:
        """Residuals whose half sum of squares is the penalty of `values` `(n_elements, k)`."""
        at = self._neighbours
        slopes = (values[at.pairs[:, 0]] - values[at.pairs[:, 1]]) / at.distance[:, None]
        return (self.root(slopes) * (self.weight * at.volume[:, None]).sqrt()).flatten()

    @abstractmethod
    def root(self, slopes: Tensor) -> Tensor:
        """r, of which r^2 / 2 is the roughness at differences over distances."""


class Tikhonov(FieldPenalty):
    """weight / 2 times the integral of the squared gradient."""

    def root(self, slopes: Tensor) -> Tensor:
        return slopes


class TotalVariation(FieldPenalty):
    """`weight` times the integral of sqrt(g^2 + s^2) - s, with g the gradient across a facet: the
    variation, rounded where g is below `smoothing` s (in parts of the range per length)."""

    def __init__(self, mesh: Mesh, name: str, weight: float, smoothing: float) -> None:
        super().__init__(mesh, name, weight)
        if not 0.0 < smoothing < math.inf:
            raise InputError(f"the smoothing of a variation must be positive, got {smoothing:g}")
        self._s = smoothing

    def root(self, slopes: Tensor) -> Tensor:
        s = self._s
        return slopes * (2.0 / ((slopes.square() + s * s).sqrt() + s)).sqrt()


class RegularisedProblem:
    """A problem with penalties among its residuals, in the form that a fit takes.

    Fit fields with `optimiser="lbfgs"` and `level=None`, which form no Jacobian. `start` `(P,)`
    takes the place of its initial parameters. Raises `InputError` for fields that do not fit.
    """

    def __init__(
        self, problem: Problem, penalties: Sequence[FieldPenalty], start: Tensor | None = None
    ) -> None:
        self.problem, self.penalties = problem, list(penalties)
        self.parameters = problem.parameters
        self._numbers = [p.numbers(problem.parameters) for p in self.penalties]
        if start is not None:
            self.parameters = copy.copy(self.parameters)
            self.parameters.x0 = start.detach().clone()

    @property
    def noise_is_known(self) -> bool:
        """True. Raises `InputError` where it is not: an estimate from all residuals would take the
        rows of the penalties for data. A fit without uncertainty (`level=None`) does not ask."""
        if not self.problem.noise_is_known:
            raise InputError(
                "an uncertainty with penalties needs the standard deviation of the noise: their "
                "residuals are no data to estimate it from; give it, or fit with level=None"
            )
        return True

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


@dataclass(frozen=True)
class Tradeoff:
    """A fit with one weight: root mean square `misfit` of the residuals of the data, about 1 where
    noise alone is left, and `roughness`, the penalty over its weight."""

    weight: float
    misfit: float
    roughness: float
    result: FitResult


def regularised_fit(
    problem: Problem, penalty: FieldPenalty, start: Tensor | None = None, **options: Any
) -> Tradeoff:
    """Fit with the weight of `penalty`; `options` as of `fit` (L-BFGS unless said otherwise)."""
    whole = RegularisedProblem(problem, [penalty], start)
    result = fit(whole, **{"optimiser": "lbfgs", "level": None, **options})
    with torch.no_grad():
        r = problem.residuals(result.x)
    misfit = float(r.square().mean().sqrt())
    return Tradeoff(penalty.weight, misfit, float(whole.penalty(result.x)) / penalty.weight, result)


def l_curve(
    problem: Problem, penalty: FieldPenalty, weights: Sequence[float], **options: Any
) -> list[Tradeoff]:
    """Fits with decreasing weights, each from the solution before. `options` as of `fit`."""
    found: list[Tradeoff] = []
    for weight in sorted(weights, reverse=True):
        start = found[-1].result.x if found else None
        found.append(regularised_fit(problem, penalty.weighing(weight), start, **options))
    return found


def corner(curve: Sequence[Tradeoff]) -> Tradeoff:
    """The corner of an L-curve: where roughness over misfit, both on logarithmic scales, turns most
    sharply. Raises `InputError` for less than three points."""
    if len(curve) < 3:
        raise InputError(f"the corner of an L-curve needs at least three fits, got {len(curve)}")
    at = np.log([[max(t.misfit, 1e-300), max(t.roughness, 1e-300)] for t in curve])
    at /= np.maximum(np.ptp(at, axis=0), 1e-300)
    before, after = at[1:-1] - at[:-2], at[2:] - at[1:-1]
    cross = before[:, 0] * after[:, 1] - before[:, 1] * after[:, 0]
    turns = np.arctan2(cross, (before * after).sum(axis=1))
    # With falling weights the misfit falls first, then the roughness rises: a turn to the right.
    return curve[1 + int(np.argmin(turns))]


def by_discrepancy(
    problem: Problem,
    penalty: FieldPenalty,
    *,
    misfit: float = 1.0,
    tolerance: float = 0.02,
    most: int = 12,
    **options: Any,
) -> Tradeoff:
    """The fit whose `misfit` is what noise alone leaves: no smoother than the data allow, and no
    rougher than they ask for.

    From the weight of `penalty` on, factors of 10 enclose the right one, which is then found
    between them, to a misfit within the relative `tolerance`, in at most `most` fits.
    `options` as of `fit`.

    Raises `InputError` where the noise is not known, and where no weight gives this misfit: the
    model cannot explain the data, or the field is not needed to.
    """
    if not problem.noise_is_known:
        raise InputError("the discrepancy principle needs the standard deviation of the noise")
    sides: dict[bool, Tradeoff] = {}  # too rough, too smooth
    weight, start = penalty.weight, None
    for _ in range(most):
        found = regularised_fit(problem, penalty.weighing(weight), start, **options)
        if abs(found.misfit - misfit) <= tolerance * misfit:
            return found
        sides[found.misfit > misfit] = found
        start = found.result.x
        if len(sides) == 1:
            weight *= 0.1 if found.misfit > misfit else 10.0
            continue
        logs = [(math.log(t.weight), math.log(t.misfit / misfit)) for t in sides.values()]
        (a, below), (b, above) = sorted(logs)
        share = min(max(-below / (above - below), 0.2), 0.8)  # to come nearer in any case
        weight = math.exp(a + share * (b - a))
    tried = sorted((t.misfit, t.weight) for t in sides.values())
    raise InputError(
        f"no weight of the penalty on '{penalty.name}' was found with the misfit {misfit:g}; "
        + ", ".join(f"{m:.4g} with {w:.3g}" for m, w in tried)
    )
