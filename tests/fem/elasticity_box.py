"""Linear elasticity on a box of quad4 or hex8 cells, numbered in slabs over the ranks.

A hand-made problem for the tests of the algebra, free of the package's own finite elements.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np

from neml2fe.fem.algebra import Algebra, DofLayout


def element_stiffness(size: np.ndarray, young: float = 1.0, poisson: float = 0.3) -> np.ndarray:
    """Stiffness (2^d d, 2^d d) of a box element with edges `size` (d,), 2 Gauss points a side."""
    dim = len(size)
    corners = np.array(list(product((-1.0, 1.0), repeat=dim)))
    lam = young * poisson / ((1 + poisson) * (1 - 2 * poisson))
    mu = young / (2 * (1 + poisson))
    stiffness = np.zeros((len(corners) * dim,) * 2)
    for point in corners / np.sqrt(3.0):
        factors = 0.5 * (1 + corners * point)
        gradient = np.stack(
            [
                0.5 * corners[:, i] * np.prod(np.delete(factors, i, axis=1), axis=1) * 2 / size[i]
                for i in range(dim)
            ],
            axis=1,
        )
        inner = np.einsum("ai,bi->ab", gradient, gradient)
        blocks = (
            lam * np.einsum("ai,bj->aibj", gradient, gradient)
            + mu * np.einsum("aj,bi->aibj", gradient, gradient)
            + mu * np.einsum("ab,ij->aibj", inner, np.eye(dim))
        )
        stiffness += blocks.reshape(stiffness.shape) * np.prod(size / 2)
    return stiffness


@dataclass
class Box:
    """One rank's part of the problem; `values` already carry the prescribed dofs."""

    layout: DofLayout
    element_dofs: np.ndarray
    rows: np.ndarray
    cols: np.ndarray
    values: np.ndarray
    free: np.ndarray
    rhs: np.ndarray

    @property
    def start(self) -> int:
        return int(self.layout.global_nodes[0]) * self.layout.block_size

    @property
    def constrained(self) -> np.ndarray:
        return ~self.free[self.start : self.start + self.layout.n_owned_dofs]

    def fill(self, algebra: Algebra) -> None:
        algebra.set_constrained(self.constrained)
        algebra.set_pattern(self.rows, self.cols)
        algebra.set_matrix(self.values)


def box(cells: tuple[int, ...], comm=None, lengths=None, fix=None) -> Box:
    """A box clamped at its first face (components `fix`, all by default), loaded by body force."""
    dim = len(cells)
    rank, size = (0, 1) if comm is None else (comm.Get_rank(), comm.Get_size())
    counts = np.array(cells) + 1
    n_nodes = int(np.prod(counts))
    numbers = np.arange(n_nodes).reshape(counts)
    cell_nodes = np.stack(
        [
            numbers[tuple(slice(c, c + n) for c, n in zip(corner, cells, strict=True))].ravel()
            for corner in product((0, 1), repeat=dim)
        ],
        axis=1,
    )
    cell_nodes = np.array_split(cell_nodes, size)[rank]
    owned = np.array_split(np.arange(n_nodes), size)[rank]
    global_nodes = np.concatenate([owned, np.setdiff1d(cell_nodes, owned)])
    edges = np.asarray(lengths or (1.0,) * dim, dtype=float) / cells
    index = np.stack(np.unravel_index(global_nodes, counts), axis=1)
    layout = DofLayout(comm, dim, len(owned), global_nodes, index * edges)

    dofs = (cell_nodes[:, :, None] * dim + np.arange(dim)).reshape(len(cell_nodes), -1)
    rows = np.repeat(dofs, dofs.shape[1], axis=1).ravel()
    cols = np.tile(dofs, (1, dofs.shape[1])).ravel()
    values = np.tile(element_stiffness(edges).ravel(), len(dofs))
    free = np.ones((n_nodes, dim), dtype=bool)
    free[numbers[0].ravel()[:, None], list(range(dim) if fix is None else fix)] = False
    free = free.ravel()
    values[~(free[rows] & free[cols]) & (rows != cols)] = 0.0
    first = owned[0] * dim
    rhs = np.tile(np.arange(1.0, dim + 1) * np.prod(edges), len(owned))
    rhs[~free[first : first + len(rhs)]] = 0.0
    return Box(layout, dofs, rows, cols, values, free, rhs)
