"""Displacements: of nodes, and at points that a camera follows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_array

from neml2fe.errors import InputError, MeshError, suggest
from neml2fe.fem.mesh.elements import CellBlock
from neml2fe.fem.observations.observation import BoundObservation, Instant, Observation
from neml2fe.fem.observations.rows import GatheredRows, all_rows
from neml2fe.fem.results.location import NEARLY_INSIDE, farthest, locate_all

if TYPE_CHECKING:
    from neml2fe.fem.problem import Problem

Array = NDArray[np.float64]
Index = NDArray[np.int64]

OUTSIDE = ("error", "nan")


class InterpolatedDisplacements(BoundObservation):
    """Displacements `(n, dim)`, each a mean of those of some nodes.

    `weights` `(len(rows.numbers), n_local)`: of the local nodes, for this rank's rows.
    """

    def __init__(self, weights: csr_array, rows: GatheredRows, dim: int) -> None:
        self._weights, self._rows, self._dim = weights, rows, dim
        self._transposed = weights.T.tocsr()
        self.shape = (rows.n, dim)

    def apply(self, at: Instant) -> torch.Tensor:
        u = at.u.detach().cpu().numpy().reshape(-1, self._dim)
        return torch.from_numpy(self._rows.gather(self._weights @ u))

    def pull(self, bar: torch.Tensor, to: Instant) -> None:
        mine = bar.detach().cpu().numpy()[self._rows.numbers]
        to.u += torch.from_numpy(self._transposed @ mine).reshape(-1).to(to.u)


class BoundNodalDisplacements(InterpolatedDisplacements):
    """Displacements of nodes, with their `numbers` `(n,)` in the mesh, ascending, and their
    `coordinates` `(n, dim)`."""

    def __init__(self, weights: csr_array, rows: GatheredRows, numbers: Index, coordinates: Array):
        super().__init__(weights, rows, coordinates.shape[1])
        self.numbers, self.coordinates = numbers, coordinates


@dataclass(frozen=True)
class NodalDisplacements(Observation):
    """Displacements `(n, dim)` of the nodes of a boundary or node set `nodes` (none: of the mesh),
    in the order of the mesh's node numbers; of their bound form, `numbers` `(n,)` and
    `coordinates` `(n, dim)` say which they are."""

    nodes: str = ""

    def bind(self, problem: Problem) -> BoundNodalDisplacements:
        """Raises `MeshError` for an unknown name."""
        local = problem.local
        if self.nodes and self.nodes not in local.node_sets:
            raise MeshError(
                f"NodalDisplacements: the mesh has no boundary or node set '{self.nodes}'"
                f"{suggest(self.nodes, local.node_sets)}",
                local.name,
            )
        own = np.arange(local.n_owned)
        if self.nodes:
            own = local.node_sets[self.nodes]
            own = own[own < local.n_owned]
        numbers = all_rows(local.comm, local.nodes[own])
        order = np.argsort(numbers)
        numbers, coordinates = numbers[order], all_rows(local.comm, local.points[own])[order]
        rows = np.searchsorted(numbers, local.nodes[own])
        entries = np.ones(len(own)), (np.arange(len(own)), own)
        weights = csr_array(entries, shape=(len(own), local.n_local))
        gathered = GatheredRows(local.comm, rows, len(numbers))
        return BoundNodalDisplacements(weights, gathered, numbers, coordinates)


class BoundPointDisplacements(InterpolatedDisplacements):
    """Displacements at points; `found` `(m,)`: which of them lie on the mesh."""

    def __init__(self, weights: csr_array, rows: GatheredRows, found: NDArray[np.bool_], dim: int):
        super().__init__(weights, rows, dim)
        self.found = found


@dataclass(frozen=True, eq=False)
class DisplacementsAt(Observation):
    """Displacements `(m, dim)` at material points, by the shape functions of their elements.

    - `points` `(m, dim)`: coordinates in the undeformed body, the same on every rank.
    - `outside`: of points that are farther than `tolerance` from the mesh: "error", or "nan" for
      rows of NaN, whose cotangents count for nothing.
    - `tolerance`: a length; points outside up to there get what their nearest element extrapolates
      (or, an element's size away, the displacement of its nearest place). None: a twentieth of the
      shortest edge of that element.
    """

    points: Array | Sequence[Sequence[float]]
    outside: str = "error"
    tolerance: float | None = None

    def bind(self, problem: Problem) -> BoundPointDisplacements:
        """Raises `InputError` for points outside or of another dimension."""
        return _bound(self, problem, problem.local.cells, "DisplacementsAt", "the mesh")


@dataclass(frozen=True, eq=False)
class SurfaceDisplacementsAt(Observation):
    """Displacements `(m, 3)` at points of the surface of a 3-D body, as stereo cameras see them.

    Each is that of the nearest place of the facets of `boundary`; `points`, `outside` and
    `tolerance` as for `DisplacementsAt`, with facets in place of elements.
    """

    boundary: str
    points: Array | Sequence[Sequence[float]]
    outside: str = "error"
    tolerance: float | None = None

    def bind(self, problem: Problem) -> BoundPointDisplacements:
        """Raises `InputError` for points off the surface or a plane problem, `MeshError` for an
        unknown boundary."""
        local, what = problem.local, "SurfaceDisplacementsAt"
        if local.dim != 3:
            raise InputError(
                f"{what}: it needs a three-dimensional mesh, got {local.dim}-D; DisplacementsAt is "
                "for plane ones"
            )
        if self.boundary not in local.boundaries:
            near = suggest(self.boundary, local.boundaries)
            if self.boundary in local.node_sets:
                near = "; it is a set of nodes, which has no surface"
            raise MeshError(
                f"{what}: the mesh has no boundary of facets '{self.boundary}'{near}", local.name
            )
        where = f"boundary '{self.boundary}'"
        return _bound(self, problem, local.boundaries[self.boundary], what, where)


def _bound(
    given: DisplacementsAt | SurfaceDisplacementsAt,
    problem: Problem,
    blocks: Sequence[CellBlock],
    what: str,
    where: str,
) -> BoundPointDisplacements:
    local = problem.local
    points = np.asarray(given.points, dtype=np.float64)
    if points.ndim != 2 or points.shape[1] != local.dim or not len(points):
        raise InputError(f"{what}: points (m, {local.dim}) are needed, got shape {points.shape}")
    bad = np.flatnonzero(~np.isfinite(points).all(axis=1))
    if bad.size:
        raise InputError(
            f"{what}: {bad.size} of {len(points)} points have coordinates that are no finite "
            f"numbers (the first: number {bad[0]}, from 0); leave them out"
        )
    if given.outside not in OUTSIDE:
        raise InputError(f"{what}: outside is 'error' or 'nan', not '{given.outside}'")
    if given.tolerance is not None and not 0.0 <= given.tolerance < np.inf:
        raise InputError(f"{what}: the tolerance must be a length, got {given.tolerance:g}")
    places = locate_all(local, blocks, points, given.tolerance)
    lost = np.flatnonzero(~places.found)
    if lost.size and given.outside == "error":
        number, distance = farthest(local, blocks, points[lost])
        at = ", ".join(f"{c:g}" for c in points[lost[number]])
        allowed = f"{NEARLY_INSIDE:g} of an element's shortest edge"
        if given.tolerance is not None:
            allowed = f"{given.tolerance:g}"
        raise InputError(
            f"{what}: {lost.size} of {len(points)} points are outside of {where} by more than "
            f"{allowed}; the farthest, number {lost[number]} (from 0) at ({at}), is "
            f"{distance:.4g} away. Leave them out, give a tolerance, or ask for outside='nan'"
        )
    rows = GatheredRows(local.comm, places.mine, len(points))
    weights = places.interpolation(local.n_local)
    return BoundPointDisplacements(weights, rows, places.found, local.dim)
