"""Stress and state variables: at quadrature points, as means of elements, as integrals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from neml2fe.errors import InputError, suggest
from neml2fe.fem.observations.observation import BoundObservation, Instant, Observation
from neml2fe.fem.observations.rows import GatheredRows, all_rows
from neml2fe.material import is_old

if TYPE_CHECKING:
    from neml2fe.fem.problem import Problem
    from neml2fe.fem.terms.solid import SolidTerm

Array = NDArray[np.float64]
Index = NDArray[np.int64]

STRESS = "stress"


@dataclass(frozen=True)
class Sources:
    """A variable of some solids of a problem: their numbers, its name in each, its base shape."""

    solids: tuple[int, ...]
    names: tuple[str, ...]
    base: tuple[int, ...]

    def values(self, at: Instant) -> list[torch.Tensor]:
        """For each of the solids, `(n, *base)`."""
        return [at.points[k][name] for k, name in zip(self.solids, self.names, strict=True)]


def _sources(problem: Problem, variable: str, body: str, what: str) -> Sources:
    """Raises `InputError` where there is no such body, or a solid of it has no such variable."""
    bodies = dict.fromkeys(solid.name for solid in problem.solids)
    if body and body not in bodies:
        raise InputError(f"{what}: there is no body '{body}'{suggest(body, bodies)}")
    chosen = [k for k, solid in enumerate(problem.solids) if body in ("", solid.name)]
    names, shapes = [], {}
    for k in chosen:
        solid = problem.solids[k]
        known = _variables(solid)
        if variable not in known:
            having = dict.fromkeys(s.name for s in problem.solids if variable in _variables(s))
            near = suggest(variable, known)
            if having:
                near = f"; name a body that does: {', '.join(having)}"
            raise InputError(f"{what}: body '{solid.name}' has no variable '{variable}'{near}")
        names.append(known[variable])
        shapes[solid.name] = tuple(_value(solid, known[variable]).shape[1:])
    if len(set(shapes.values())) > 1:
        listed = ", ".join(f"{shape} in '{name}'" for name, shape in shapes.items())
        raise InputError(f"{what}: '{variable}' has different shapes: {listed}; name one body")
    return Sources(tuple(chosen), tuple(names), next(iter(shapes.values())))


def _variables(solid: SolidTerm) -> dict[str, str]:
    """What users call the variables of a solid, and their names in an `Instant`."""
    names = [name for name in solid.state if not is_old(name)]
    return {STRESS: solid.material.stress, solid.material.stress: solid.material.stress} | {
        name: name for name in names
    }


def _value(solid: SolidTerm, name: str) -> torch.Tensor:
    return solid.stress if name == solid.material.stress else solid.state[name]


class ByElement(BoundObservation):
    """Rows of a variable in the order of elements, `(n, *base)`.

    `elements` `(n,)`: the element of each row, counted through all blocks of the mesh. Of each
    element, with `weights` `(elements, points of each)` for each of the solids, their sum over
    points with these; without, all its points.
    """

    def __init__(
        self, problem: Problem, sources: Sources, weights: Sequence[torch.Tensor] | None
    ) -> None:
        self._sources, self._weights = sources, weights
        local = problem.local
        start = np.cumsum([0, *local.n_elements])
        solids = [problem.solids[k] for k in sources.solids]
        numbers = [start[s.cells] + local.elements[s.cells][s.local_elements] for s in solids]
        counts = [
            np.full(len(e), 1 if weights is not None else s.block.n_quadrature)
            for s, e in zip(solids, numbers, strict=True)
        ]
        mine = np.concatenate(numbers), np.concatenate(counts)
        every, count = all_rows(local.comm, np.stack(mine, axis=1)).T
        order = np.argsort(every)
        every, count = every[order], count[order]
        first = np.cumsum(count) - count
        self.elements = np.repeat(every, count)
        self._rows = GatheredRows(
            local.comm,
            _ranges(first[np.searchsorted(every, mine[0])], mine[1]),
            len(self.elements),
        )
        self.shape = (len(self.elements), *sources.base)

    def apply(self, at: Instant) -> torch.Tensor:
        values = self._sources.values(at)
        if self._weights is not None:
            values = [
                torch.einsum("eq,eq...->e...", w, v.detach().reshape(*w.shape, *v.shape[1:]))
                for w, v in zip(self._weights, values, strict=True)
            ]
        rows = np.concatenate([v.detach().cpu().numpy() for v in values])
        return torch.from_numpy(self._rows.gather(rows))

    def pull(self, bar: torch.Tensor, to: Instant) -> None:
        mine = bar.detach().cpu()[torch.from_numpy(self._rows.numbers)]
        start = 0
        for k, target in enumerate(self._sources.values(to)):
            if self._weights is None:
                target += mine[start : start + len(target)].to(target)
                start += len(target)
            else:
                w = self._weights[k]
                part = mine[start : start + len(w)].to(target)
                target += torch.einsum("eq,e...->eq...", w, part).reshape(target.shape)
                start += len(w)


def _ranges(first: Index, count: Index) -> Index:
    """`first`, `first + 1`, ... for each, `count` of them."""
    before = np.cumsum(count) - count
    return np.repeat(first - before, count) + np.arange(int(count.sum()))


class Integrated(BoundObservation):
    """The integral of a variable over its body, `(*base)`."""

    def __init__(self, problem: Problem, sources: Sources) -> None:
        self._sources, self._algebra, self.shape = sources, problem.algebra, sources.base
        self._volumes = [problem.solids[k].block.volumes().reshape(-1) for k in sources.solids]

    def apply(self, at: Instant) -> torch.Tensor:
        values = zip(self._volumes, self._sources.values(at), strict=True)
        total = sum(torch.tensordot(w, v.detach(), dims=1).cpu().numpy() for w, v in values)
        return torch.from_numpy(np.asarray(self._algebra.allreduce(total)))

    def pull(self, bar: torch.Tensor, to: Instant) -> None:
        for w, target in zip(self._volumes, self._sources.values(to), strict=True):
            target += torch.einsum("n,...->n...", w, bar.detach().to(target))


@dataclass(frozen=True)
class PointValues(Observation):
    """A `variable` at all quadrature points of `body` (empty: of all bodies), `(n, *base)`.

    "stress", or a state variable by name; symmetric tensors are Mandel `(6,)`, the stress of
    finite strain is the first Piola-Kirchhoff stress `(3, 3)`. Ordered by element, counted through
    the blocks of the mesh (see `elements` of the bound form), then by point.
    """

    variable: str
    body: str = ""

    def bind(self, problem: Problem) -> ByElement:
        """Raises `InputError` for an unknown body, or where one has no such variable."""
        what = "PointValues"
        return ByElement(problem, _sources(problem, self.variable, self.body, what), None)


@dataclass(frozen=True)
class ElementMeans(Observation):
    """The volume average of a `variable` in each element of `body` (empty: of all bodies),
    `(n, *base)`, otherwise as `PointValues`."""

    variable: str
    body: str = ""

    def bind(self, problem: Problem) -> ByElement:
        """Raises `InputError` for an unknown body, or where one has no such variable."""
        sources = _sources(problem, self.variable, self.body, "ElementMeans")
        volumes = [problem.solids[k].block.volumes() for k in sources.solids]
        return ByElement(problem, sources, [v / v.sum(1, keepdim=True) for v in volumes])


@dataclass(frozen=True)
class VolumeIntegral(Observation):
    """The integral of a `variable` over the undeformed volume of `body` (empty: of all bodies),
    `(*base)`: the sum over quadrature points of volume times value, otherwise as `PointValues`."""

    variable: str
    body: str = ""

    def bind(self, problem: Problem) -> Integrated:
        """Raises `InputError` for an unknown body, or where one has no such variable."""
        sources = _sources(problem, self.variable, self.body, "VolumeIntegral")
        return Integrated(problem, sources)
