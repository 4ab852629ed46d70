"""Fields that a material reads besides the strain: temperature, orientation, parameters; and its
initial state. Values over the whole mesh are needed on rank 0 only, but tensors on every rank: they
are read at every call, and gradients flow back to them."""

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
from neml2fe.fem.conditions.field_place import (
    BoundField,
    Place,
    Regions,
    by_blocks,
    check_tensor,
    checked,
    on_every_rank,
)
from neml2fe.fem.conditions.functions import (
    SpaceFunction,
    TimeFunction,
    on_lines,
    tensor_at,
    tensors_at,
)
from neml2fe.fem.integrals.block import ElementBlock
from neml2fe.fem.mesh.distribution import LocalMesh, scatter_elements, scatter_nodes
from neml2fe.fem.mesh.mesh import Mesh

Array = NDArray[np.float64]


class Field(ABC):
    """Values that vary over the body."""

    @property
    def tensors(self) -> Any:
        """What `named_tensors` looks for tensors in."""
        return ()

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

    `values`: an array or tensor `(n_nodes, *base)` in the order of the mesh, a function of the
    coordinates `(n_nodes, dim)` that gives an array, or the name of point data of the mesh. Ranks
    other than 0 may pass None for arrays.
    """

    values: Array | torch.Tensor | Callable[[Array], Any] | str | None

    @property
    def tensors(self) -> Any:
        return self.values if isinstance(self.values, torch.Tensor) else ()

    def of_mesh(self, mesh: Mesh | None) -> Field:
        if not isinstance(self.values, str):
            return self
        return NodalField(None if mesh is None else _known(mesh.point_data, self.values, "point"))

    def at(self, place: Place) -> BoundField:
        local, whole = place.local, self.values
        if on_every_rank(whole, place):
            assert isinstance(whole, torch.Tensor)
            check_tensor(whole, local.n_global, "nodes", place)
            own, points = torch.as_tensor(local.nodes), place.block.points
            return lambda time, part: place.block.at_points(whole[own].to(points), part)
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

    `values`: an array or tensor `(n_elements, *base)`, block after block in the order of the mesh
    (or a list of one array for each block of cells), a mapping of regions to numbers, arrays or
    tensors `(*base)`, or the name of cell data of the mesh. Sub-batches (a value for each grain of
    a point) are dimensions before the base shape. Ranks other than 0 may pass None for arrays.
    """

    values: Array | torch.Tensor | Sequence[Array] | Mapping[str, Any] | str | None

    @property
    def tensors(self) -> Any:
        return self.values if isinstance(self.values, (torch.Tensor, Mapping)) else ()

    def of_mesh(self, mesh: Mesh | None) -> Field:
        if not isinstance(self.values, str):
            return self
        return ElementField(None if mesh is None else _known(mesh.cell_data, self.values, "cell"))

    def at(self, place: Place) -> BoundField:
        local, block, cells, whole = place.local, place.block, place.cells, self.values
        n, elements = block.n_quadrature, place.elements.cpu()
        if isinstance(whole, Mapping):
            by_region = collectively(local.comm, lambda: Regions(whole, place), every_rank=True)
            return lambda time, part: by_region.values(part).repeat_interleave(n, dim=0)
        if on_every_rank(whole, place):
            assert isinstance(whole, torch.Tensor)
            check_tensor(whole, sum(local.n_elements), "elements", place)
            numbers = torch.as_tensor(local.elements[cells])[elements]
            numbers = numbers + sum(local.n_elements[:cells])
            return lambda time, part: (
                whole[numbers[part]].to(block.points).repeat_interleave(n, dim=0)
            )
        split = collectively(
            local.comm,
            lambda: by_blocks(whole, place) if local.rank == 0 else None,
            every_rank=True,
        )
        scattered = scatter_elements(local, split)
        own = collectively(
            local.comm,
            lambda: checked(
                np.asarray(scattered[cells])[elements.numpy()], block.n_elements, "elements", place
            ),
            every_rank=True,
        )
        values = torch.as_tensor(own, device=block.points.device)
        return lambda time, part: values[part].repeat_interleave(n, dim=0)


@dataclass(frozen=True, eq=False)
class PointField(Field):
    """Values of a function f(t, x) of time and place, at the quadrature points themselves."""

    function: SpaceFunction

    @property
    def tensors(self) -> Any:
        return self.function

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
            return tensors_at(self.function, time, x, place.what).to(block.points)

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

    @property
    def tensors(self) -> Any:
        return self.fields

    def of_mesh(self, mesh: Mesh | None) -> Field:
        return FieldTable(self.times, [field.of_mesh(mesh) for field in self.fields])

    def at(self, place: Place) -> BoundField:
        bound = [field.at(place) for field in self.fields]
        times = np.asarray(self.times, dtype=np.float64)
        return lambda time, part: on_lines(times, time, lambda k: bound[k](time, part))


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
    """A field, or what is the same everywhere: a number, a function of time, or a tensor of the
    base shape. Collective."""
    if isinstance(field, SpaceFunction):
        field = PointField(field)
    if isinstance(field, Field):
        return field.bind(name, base, local, block, cells, elements)
    if isinstance(field, torch.Tensor) and field.ndim:
        place = Place(name, base, local, block, cells, elements)
        if field.shape != base:
            raise InputError(
                f"{place.what}: a tensor of shape {tuple(field.shape)} is no value for the whole "
                f"body, which has shape {base}; NodalField and ElementField take those of the mesh"
            )
        check_tensor(field[None], 1, "bodies", place)

    def uniform(time: float, part: slice) -> torch.Tensor:
        n = len(range(*part.indices(block.n_elements))) * block.n_quadrature
        if isinstance(field, torch.Tensor) and field.ndim:
            value = field
        else:
            value = tensor_at(field, time, f"field '{name}'")
        # A copy: states that start from it are written into.
        return value.to(block.points).expand(n, *base).clone(memory_format=torch.contiguous_format)

    return uniform
