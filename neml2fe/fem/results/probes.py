"""`Probe`: one number of the solution at every step, a column of the table of a run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neml2fe.errors import InputError, suggest
from neml2fe.fem.problem import Problem
from neml2fe.fem.results.fields import (
    FieldInfo,
    ScalarField,
    find_scalar,
    nodal_vector,
    values_at_points,
)
from neml2fe.fem.results.location import locate
from neml2fe.fem.results.nodal import Averages, sum_at_nodes

Array = NDArray[np.float64]
Reading = Callable[[], float]

STATISTICS = ("mean", "min", "max", "sum")


@dataclass(frozen=True)
class Probe:
    """The `variable` at a `point`, or a `statistic` of it over a part of the mesh.

    - `name`: of its column in the table.
    - `variable`: a scalar: `displacement_x`, `reaction_y`, `stress_xx` (a true component),
      `stress_mises` or `mises`, a state variable such as `equivalent_plastic_strain`, or a
      component of one, `plastic_strain_xy`.
    - `point`: coordinates in the undeformed mesh. Displacements are interpolated there; other
      fields are fitted to the quadrature points of the element that holds it.
    - `on`: name of a boundary or set of nodes (the values are those of its nodes, averaged
      over elements where need be; the mean is that of the nodes), or of a body or region of
      elements (values at its quadrature points; the mean is by volume). None: the whole mesh.
    - `statistic`: "mean", "min", "max"; "sum" of nodal displacements or reactions.
    """

    name: str
    variable: str
    point: Sequence[float] | None = None
    on: str | None = None
    statistic: str = "mean"


class Probes:
    """Reads the probes of a problem. Collective throughout.

    Raises `InputError` for a probe that cannot be read: no such variable or part, a point
    outside of the mesh, a name given twice.
    """

    def __init__(self, problem: Problem, probes: Sequence[Probe], averages: Averages) -> None:
        self.problem, self._averages = problem, averages
        self._readings: dict[str, Reading] = {}
        for probe in probes:
            if not probe.name or probe.name in self._readings:
                raise InputError(f"probe '{probe.name}': each probe needs a name of its own")
            self._readings[probe.name] = self._bind(probe)

    def read(self) -> dict[str, float]:
        """The present values by name, the same on every rank."""
        return {name: reading() for name, reading in self._readings.items()}

    def _bind(self, probe: Probe) -> Reading:
        what = f"probe '{probe.name}'"
        field = find_scalar(self.problem, probe.variable, what)
        if probe.statistic not in STATISTICS:
            raise InputError(
                f"{what}: no statistic '{probe.statistic}'{suggest(probe.statistic, STATISTICS)}"
            )
        if probe.point is not None:
            if probe.on is not None:
                raise InputError(f"{what}: give a point, or the name of a part of the mesh")
            return self._at_point(field, probe.point, what)
        local = self.problem.local
        if probe.on in local.node_sets:
            return self._over_nodes(field, local.node_sets[probe.on], probe.statistic, what)
        marked = self._marked(probe.on, what)
        if field.info is None:
            nodes = [
                s.block.connectivity[m] for s, m in zip(self.problem.solids, marked, strict=True)
            ]
            touched = np.unique(np.concatenate([n.ravel() for n in nodes]))
            touched = self._of_any_rank(touched)
            return self._over_nodes(field, touched, probe.statistic, what)
        return self._over_points(field.info, field, marked, probe.statistic, what)

    # --- at a point ---------------------------------------------------------------------
    def _at_point(self, field: ScalarField, point: Sequence[float], what: str) -> Reading:
        problem = self.problem
        place = locate(problem.local, point, what)
        k, row, known = -1, -1, True
        if place is not None:
            for number, solid in enumerate(problem.solids):
                here = np.flatnonzero(solid.local_elements == place.element)
                if solid.cells == place.cells and len(here):
                    k, row = number, int(here[0])
            known = field.info is None or k in field.info.sources
        if not problem.algebra.allreduce(int(known), "min"):
            raise InputError(f"{what}: the material at {tuple(point)} has no such field")

        def read() -> float:
            nodal = nodal_vector(problem, field.name) if field.info is None else None
            value = 0.0
            if place is not None:
                if field.info is None:
                    nodes = problem.local.cells[place.cells].connectivity[place.element]
                    assert nodal is not None
                    at = place.weights @ nodal[nodes]
                else:
                    n = problem.solids[k].block.n_quadrature
                    rows = values_at_points(problem, field.info, k)[row * n : (row + 1) * n]
                    fit = self._averages.fits[k].weights(place.xi[None])[0]
                    at = np.tensordot(fit, rows.cpu().numpy(), axes=1)
                value = float(field.take(at))
            return problem.algebra.allreduce(value)

        return read

    # --- over nodes ---------------------------------------------------------------------
    def _over_nodes(
        self, field: ScalarField, nodes: NDArray[np.int64], statistic: str, what: str
    ) -> Reading:
        problem, info = self.problem, field.info
        owned = nodes[nodes < problem.local.n_owned]
        if statistic == "sum" and info is not None:
            raise InputError(f"{what}: a sum is that of displacements or reactions")
        self._require(len(owned), what)

        def read() -> float:
            if info is None:
                values = nodal_vector(problem, field.name)
            else:
                values = self._averages.nodes(info)
            here = field.take(values[owned])
            return self._reduce(here, np.ones(len(here)), statistic)

        return read

    def _of_any_rank(self, nodes: NDArray[np.int64]) -> NDArray[np.int64]:
        """Local nodes that are marked on this rank or on another that has them."""
        marks = np.zeros((self.problem.local.n_local, 1))
        marks[nodes] = 1.0
        return np.flatnonzero(sum_at_nodes(self.problem, marks)[:, 0])

    # --- over quadrature points -----------------------------------------------------------
    def _marked(self, on: str | None, what: str) -> list[NDArray[np.bool_]]:
        """For each solid, whether its elements belong to the body or region."""
        solids, regions = self.problem.solids, self.problem.local.regions
        bodies = {solid.name for solid in solids}
        if on is not None and on not in regions and on not in bodies:
            known = [*self.problem.local.node_sets, *regions, *bodies]
            raise InputError(f"{what}: the mesh has no part '{on}'{suggest(on, known)}")
        marked = []
        for solid in solids:
            if on is None or (on in bodies and on not in regions):
                marked.append(np.full(len(solid.local_elements), on in (None, solid.name)))
            else:
                marked.append(np.isin(solid.local_elements, regions[on][solid.cells]))
        return marked

    def _over_points(
        self,
        info: FieldInfo,
        field: ScalarField,
        marked: list[NDArray[np.bool_]],
        statistic: str,
        what: str,
    ) -> Reading:
        if statistic == "sum":
            raise InputError(f"{what}: a sum is that of displacements or reactions")
        self._require(sum(int(marked[k].sum()) for k in info.sources), what)

        def read() -> float:
            values, weights = [np.empty(0)], [np.empty(0)]
            for k in info.sources:
                block = self.problem.solids[k].block
                at = np.repeat(marked[k], block.n_quadrature)
                rows = values_at_points(self.problem, info, k).cpu().numpy()
                values.append(field.take(rows[at]))
                weights.append(self._averages.volumes[k].reshape(-1).cpu().numpy()[at])
            return self._reduce(np.concatenate(values), np.concatenate(weights), statistic)

        return read

    def _require(self, count: int, what: str) -> None:
        if not self.problem.algebra.allreduce(count):
            raise InputError(f"{what}: no node or element of that part has such a field")

    def _reduce(self, values: Array, weights: Array, statistic: str) -> float:
        algebra = self.problem.algebra
        if statistic == "min":
            return float(algebra.allreduce(float(values.min(initial=np.inf)), "min"))
        if statistic == "max":
            return float(algebra.allreduce(float(values.max(initial=-np.inf)), "max"))
        total = algebra.allreduce(float(values @ weights))
        return total if statistic == "sum" else total / algebra.allreduce(float(weights.sum()))
