"""Functions of DOLFINx at quadrature points, and their values as rows of a tensor."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
import ufl
from dolfinx import fem
from dolfinx.mesh import Mesh
from numpy.typing import NDArray


def at_points(mesh: Mesh, degree: int, shape: Sequence[int], name: str) -> fem.Function:
    """A Function at the points of the default rule of `degree`, zero. Its values are numbers,
    vectors or matrices; those of more dimensions are laid out as vectors."""
    cell, shape = mesh.ufl_cell(), tuple(shape)
    rule = {"degree": degree, "quad_scheme": "default"}
    if len(shape) == 2:
        element = ufl.TensorElement("Quadrature", cell, shape=shape, **rule)
    elif shape:
        element = ufl.VectorElement("Quadrature", cell, dim=math.prod(shape), **rule)
    else:
        element = ufl.FiniteElement("Quadrature", cell, **rule)
    return fem.Function(fem.FunctionSpace(mesh, element), name=name)


class Rows:
    """The values of a Function at the points of some cells, a row `(size,)` for each point."""

    def __init__(
        self, function: fem.Function, cells: NDArray[np.int32], points_per_cell: int
    ) -> None:
        space = function.function_space
        of_cells = space.dofmap.list.array.reshape(-1, points_per_cell)
        at = of_cells[cells].ravel().astype(np.int64)
        self._values = torch.from_numpy(function.x.array).view(-1, space.dofmap.index_map_bs)
        self._at: slice | torch.Tensor = torch.from_numpy(at)
        if len(at) and (np.diff(at) == 1).all():  # as it is where the points are those of all cells
            self._at = slice(int(at[0]), int(at[-1]) + 1)

    def put(self, values: torch.Tensor) -> None:
        """`values` `(points, *base)` into the Function."""
        self._values[self._at] = values.reshape(len(values), self._values.shape[1])

    def get(self) -> torch.Tensor:
        """A copy, `(points, size)`."""
        return self._values[self._at].clone()
