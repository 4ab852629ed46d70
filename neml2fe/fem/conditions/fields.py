"""Fields that a material reads besides the strain: temperature, orientation, parameters; and its
initial state. Values over the whole mesh are needed on rank 0 only."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from neml2fe.errors import InputError, suggest
from neml2fe.fem.collective import collectively
from neml2fe.fem.conditions.field_place import BoundField, Place, checked
from neml2fe.fem.conditions.functions import SpaceFunction, TimeFunction, value_at, values_at
from neml2fe.fem.integrals.block import ElementBlock
from neml2fe.fem.mesh.distribution import LocalMesh, scatter_elements, scatter_nodes
from neml2fe.fem.mesh.mesh import Mesh

Array = NDArray[np.float64]


class Field(ABC):
    """Values that vary over the body."""

    @abstractmethod
    def at(self, place: Place) -> BoundField:
        """The values at the points of a block. Collective. Raises `InputError` where they do not
        fit."""

    @property
    def breakpoints(self) -> list[float]:
        """Times at which it has a kink."""
        return []

    def of_mesh(self, mesh: Mesh | None) -> Field:
        """The field with data of the whole mesh, which rank 0 passes, in place of their names.
        Raises `InputError` if there are none."""
        return self

    def bind(
        self,
        name: str,
        base: tuple[int, ...],
        local: LocalMesh,
        block: ElementBlock,
        cells: int,
        elements: torch.Tensor,
    ) -> BoundField:
        return self.at(Place(name, base, local, block, cells, elements))


@dataclass(frozen=True, eq=False)
class NodalField(Field):
    """Values at the nodes, interpolated to the points by the shape functions.

    `values`: an array `(n_nodes, *base)` in the order of the mesh, a function of the coordinates
    `(n_nodes, dim)` that gives one, or the name of point data of the mesh. Ranks other than 0 may
    pass None.
    """

    values: Array | Callable[[Array], Any] | str | None

    def of_mesh(self, mesh: Mesh | None) -> Field:
        if not isinstance(self.values, str):
            return self
        return NodalField(None if mesh is None else _known(mesh.point_data, self.values, "point"))

    def at(self, place: Place) -> BoundField:
        local = place.local
        if callable(self.values):
            function = self.values
            nodal = collectively(
                local.comm,
                lambda: checked(function(local.points), len(local.points), "nodes", place),
                every_rank=True,
            )
        else:
            given = collectively(
                local.comm,
                lambda: (
                    checked(self.values, local.n_global, "nodes", place)
                    if local.rank == 0
                    else None
                ),
                every_rank=True,
            )
            nodal = scatter_nodes(local, given)
        device = place.block.points.device
        at_nodes = torch.as_tensor(nodal, device=device)
        return lambda time, part: place.block.at_points(at_nodes, part)


@dataclass(frozen=True, eq=False)
class ElementField(Field):
    """Values of elements, the same at all points of each.

    `values`: an array `(n_elements, *base)`, block after block in the order of the mesh (or a list
    of one array for each block of cells), a mapping of regions to numbers or arrays `(*base)`, or
    the name of cell data of the mesh. Sub-batches (a value for each grain of a point) are
    dimensions before the base shape. Ranks other than 0 may pass None for arrays.
    """

    values: Array | Sequence[Array] | Mapping[str, Any] | str | None

    def of_mesh(self, mesh: Mesh | None) -> Field:
        if not isinstance(self.values, str):
            return self
        return ElementField(None if mesh is None else _known(mesh.cell_data, self.values, "cell"))

    def at(self, place: Place) -> BoundField:
        local = place.local
        if isinstance(self.values, Mapping):
            regions = self.values
            blocks: Sequence[Array] = collectively(
                local.comm, lambda: self._of_regions(regions, place), every_rank=True
            )
        else:
            given = self.values
            whole = collectively(
                local.comm,
                lambda: self._split(given, place) if local.rank == 0 else None,
                every_rank=True,
            )
            blocks = scatter_elements(local, whole)
        block = place.block
        own = collectively(
            local.comm,
            lambda: checked(
                np.asarray(blocks[place.cells])[place.elements.cpu().numpy()],
                block.n_elements, "elements", place,
            ),
            every_rank=True,
        )  # fmt: skip
        values = torch.as_tensor(own, device=block.points.device)
        return lambda time, part: values[part].repeat_interleave(block.n_quadrature, dim=0)

    @staticmethod
    def _split(values: Any, place: Place) -> list[Array]:
        sizes = place.local.n_elements
        if isinstance(values, (list, tuple)) and all(isinstance(v, np.ndarray) for v in values):
            if [len(v) for v in values] != list(sizes):
                raise InputError(
                    f"{place.what}: {[len(v) for v in values]} values for blocks of {sizes} "
                    "elements"
                )
            return [np.asarray(v, dtype=np.float64) for v in values]
        whole = checked(values, sum(sizes), "elements", place)
        return np.split(whole, np.cumsum(sizes)[:-1])

    @staticmethod
    def _of_regions(values: Mapping[str, Any], place: Place) -> list[Array]:
        local = place.local
        known = {n: np.asarray(v, dtype=np.float64) for n, v in values.items()}
        for name, value in known.items():
            if name not in local.regions:
                near = suggest(name, local.regions)
                raise InputError(f"{place.what}: the mesh has no region '{name}'{near}")
            inner = value.shape[value.ndim - len(place.base) :] if place.base else ()
            if value.ndim and inner != place.base:
                raise InputError(
                    f"{place.what}: the value of region '{name}' has shape {value.shape}; expected "
                    f"{place.base}"
                )
        shape = next((v.shape for v in known.values() if v.ndim), place.base)
        found = []
        for cells, block in enumerate(local.cells):
            at = np.full((len(block.connectivity), *shape), np.nan)
            for name, value in known.items():
                at[local.regions[name][cells]] = value
            found.append(at)
        mine = found[place.cells][place.elements.cpu().numpy()]
        missing = np.isnan(mine).any(axis=tuple(range(1, mine.ndim)))
        if missing.any():
            raise InputError(
                f"{place.what}: {int(missing.sum())} elements are in none of the regions "
                f"{', '.join(known)}, or the value there is not a number"
            )
        return found


@dataclass(frozen=True, eq=False)
class PointField(Field):
    """Values of a function f(t, x) of time and place, at the quadrature points themselves."""

    function: SpaceFunction

    @property
    def breakpoints(self) -> list[float]:
        return self.function.breakpoints

    def at(self, place: Place) -> BoundField:
        block, local = place.block, place.local
        if place.base:
            raise InputError(
                f"{place.what}: functions of place give scalars; its values have shape {place.base}"
            )

        def values(time: float, part: slice) -> torch.Tensor:
            x = block.positions(part).cpu().numpy().reshape(-1, local.dim)
            return torch.as_tensor(
                values_at(self.function, time, x, place.what), device=block.points.device
            )

        return values


@dataclass(frozen=True, eq=False)
class FieldTable(Field):
    """Fields at increasing `times`, straight lines between them; constant before and after."""

    times: Sequence[float]
    fields: Sequence[Field]

    def __post_init__(self) -> None:
        if len(self.times) != len(self.fields) or not len(self.times):
            raise InputError(
                f"a table of fields needs as many times as fields, at least one; got "
                f"{len(self.times)} and {len(self.fields)}"
            )
        if np.any(np.diff(self.times) <= 0) or not np.isfinite(self.times).all():
            raise InputError("the times of a table of fields must be finite and increase")

    @property
    def breakpoints(self) -> list[float]:
        return [float(t) for t in self.times]

    def of_mesh(self, mesh: Mesh | None) -> Field:
        return FieldTable(self.times, [field.of_mesh(mesh) for field in self.fields])

    def at(self, place: Place) -> BoundField:
        bound = [field.at(place) for field in self.fields]
        times = np.asarray(self.times, dtype=np.float64)

        def values(time: float, part: slice) -> torch.Tensor:
            k = int(np.searchsorted(times, time, side="right"))
            if k == 0 or k == len(times):
                return bound[min(k, len(times) - 1)](time, part)
            weight = (time - times[k - 1]) / (times[k] - times[k - 1])
            old, new = bound[k - 1](time, part), bound[k](time, part)
            return (1.0 - weight) * old + weight * new

        return values


FieldLike: TypeAlias = TimeFunction | SpaceFunction | Field


def _known(data: Mapping[str, Any], name: str, kind: str) -> Any:
    if name not in data:
        raise InputError(f"the mesh has no {kind} data '{name}'{suggest(name, data)}")
    return data[name]


def with_mesh_data(
    fields: Mapping[str, FieldLike], mesh: Mesh | None, comm: Any
) -> dict[str, FieldLike]:
    """Fields with data of the mesh in place of their names. Collective."""

    def replaced() -> dict[str, FieldLike]:
        found = dict(fields)
        for name, field in fields.items():
            if isinstance(field, Field):
                try:
                    found[name] = field.of_mesh(mesh)
                except InputError as error:
                    raise InputError(f"field '{name}': {error.message}", error.location) from None
        return found

    return collectively(comm, replaced, every_rank=True)


def bound(
    field: FieldLike,
    name: str,
    base: tuple[int, ...],
    local: LocalMesh,
    block: ElementBlock,
    cells: int,
    elements: torch.Tensor,
) -> BoundField:
    """A field, or a number or function of time that is the same everywhere."""
    if isinstance(field, SpaceFunction):
        field = PointField(field)
    if isinstance(field, Field):
        return field.bind(name, base, local, block, cells, elements)

    def uniform(time: float, part: slice) -> torch.Tensor:
        value = value_at(field, time, f"field '{name}'")
        n = len(range(*part.indices(block.n_elements))) * block.n_quadrature
        return torch.full((n, *base), value, dtype=torch.float64, device=block.points.device)

    return uniform
