"""The inputs of a quadrature point that failed: enough to repeat its update alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class FailedPoint:
    """One update that did not converge, from `time - dt` to `time`.

    body: name of the body it belongs to.
    element: number of its element in the mesh file, within the elements of `cell_type`.
    position: (dim,) coordinates of the point.
    strain: (6,) Mandel; state and fields: by name, in their base shape, state at `time - dt`.
    """

    body: str
    element: int
    cell_type: str
    position: Array
    time: float
    dt: float
    strain: Array
    state: dict[str, Array]
    fields: dict[str, Array]

    @property
    def place(self) -> str:
        where = ", ".join(f"{x:.5g}" for x in self.position)
        return f"{self.cell_type} {self.element} at ({where})"


def of_any_rank(comm: Any, mine: FailedPoint | None) -> FailedPoint | None:
    """The failed point of the lowest rank that has one, on every rank. Collective."""
    found = [mine] if comm is None else comm.allgather(mine)
    return next((point for point in found if point is not None), None)
