"""Where a field is needed, and whether values fit there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from neml2fe.errors import InputError
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
