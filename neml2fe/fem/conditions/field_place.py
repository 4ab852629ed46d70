"""Where a field is needed, and whether values fit there."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from neml2fe.errors import InputError, suggest
from neml2fe.fem.collective import collectively
from neml2fe.fem.conditions.tensors import requires_grad
from neml2fe.fem.integrals.block import ElementBlock
from neml2fe.fem.mesh.distribution import LocalMesh

Array = NDArray[np.float64]

BoundField: TypeAlias = Callable[[float, slice], torch.Tensor]
"""Time and part of a block to values `(points of the part, *base)`."""


@dataclass(frozen=True)
class Place:
    """Where a field is needed: the points of `block`, whose elements are number `elements` of this
    rank's block of cells number `cells`; `name` and base shape of the variable."""

    name: str
    base: tuple[int, ...]
    local: LocalMesh
    block: ElementBlock
    cells: int
    elements: torch.Tensor

    @property
    def what(self) -> str:
        return f"field '{self.name}'"


def checked(values: Any, n: int, entities: str, place: Place) -> Array:
    """An array of `n` finite values that end in the base shape. Raises `InputError`."""
    if requires_grad(values):
        raise InputError(
            f"{place.what}: the gradient would not reach the tensor; give the field the whole "
            "tensor itself, on every rank, or a SpaceFunction that names its tensors"
        )
    array = np.asarray(values, dtype=np.float64)
    base = place.base
    if array.ndim < 1 + len(base) or array.shape[array.ndim - len(base) :] != base:
        raise InputError(
            f"{place.what}: values of shape {array.shape} do not fit; expected "
            f"({n}, {', '.join(map(str, base))})"
        )
    if len(array) != n:
        raise InputError(f"{place.what}: {len(array)} values for {n} {entities}")
    finite = np.isfinite(array).all(axis=tuple(range(1, array.ndim)))
    bad = np.flatnonzero(~finite)
    if bad.size:
        raise InputError(
            f"{place.what}: {bad.size} of {n} {entities} have no finite value (the first: "
            f"number {bad[0]})"
        )
    return array


def by_blocks(values: Any, place: Place) -> list[Array]:
    """Finite values of all elements, cut at the blocks of cells. Raises `InputError`."""
    sizes = place.local.n_elements
    if isinstance(values, (list, tuple)) and all(isinstance(v, np.ndarray) for v in values):
        if [len(v) for v in values] != list(sizes):
            raise InputError(
                f"{place.what}: {[len(v) for v in values]} values for blocks of {sizes} elements"
            )
        return [np.asarray(v, dtype=np.float64) for v in values]
    whole = checked(values, sum(sizes), "elements", place)
    return np.split(whole, np.cumsum(sizes)[:-1])


class Regions:
    """A value for each region, numbers, arrays or tensors, at the elements of a place. An element
    in several regions has that of the last. Raises `InputError`."""

    def __init__(self, values: Mapping[str, Any], place: Place) -> None:
        local, self._like = place.local, place.block.points
        self._values = [
            v if isinstance(v, torch.Tensor) else torch.tensor(np.asarray(v, dtype=np.float64))
            for v in values.values()
        ]
        self._shape = next((v.shape for v in self._values if v.ndim), torch.Size(place.base))
        which = np.full(len(local.cells[place.cells].connectivity), -1)
        for k, (name, value) in enumerate(zip(values, self._values, strict=True)):
            what = f"{place.what}: the value of region '{name}'"
            if name not in local.regions:
                near = suggest(name, local.regions)
                raise InputError(f"{place.what}: the mesh has no region '{name}'{near}")
            inner = tuple(value.shape[value.ndim - len(place.base) :]) if place.base else ()
            if value.ndim and (inner != place.base or not self._fits(value)):
                expected = place.base if inner != place.base else tuple(self._shape)
                raise InputError(f"{what} has shape {tuple(value.shape)}; expected {expected}")
            if not torch.isfinite(value).all():
                raise InputError(f"{what} is not a finite number")
            which[local.regions[name][place.cells]] = k
        self._which = torch.as_tensor(which)[place.elements.cpu()]
        missing = int((self._which < 0).sum())
        if missing:
            raise InputError(
                f"{place.what}: {missing} elements are in none of the regions {', '.join(values)}"
            )

    def _fits(self, value: torch.Tensor) -> bool:
        """Whether a value can be one of the common shape."""
        return value.shape == self._shape[len(self._shape) - value.ndim :]

    def values(self, part: slice) -> torch.Tensor:
        """Of the elements of a part, `(n, ...)`."""
        table = torch.stack([v.to(self._like).expand(self._shape) for v in self._values])
        return table[self._which[part]]


def on_every_rank(values: Any, place: Place) -> bool:
    """Whether all ranks give a tensor. Collective."""
    comm, given = place.local.comm, isinstance(values, torch.Tensor)
    return given if comm is None else all(comm.allgather(given))


def check_tensor(values: torch.Tensor, n: int, entities: str, place: Place) -> None:
    """Raises `InputError` unless the tensor has `n` finite values that end in the base shape, the
    same on every rank. Collective."""
    comm = place.local.comm

    def sum_of_bytes() -> int:
        array = checked(values.detach().cpu(), n, entities, place)
        return zlib.crc32(np.ascontiguousarray(array).data)

    mine = collectively(comm, sum_of_bytes, every_rank=True)
    if comm is not None and len(set(comm.allgather(mine))) > 1:
        raise InputError(f"{place.what}: the ranks give tensors that differ")
