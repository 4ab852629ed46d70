"""Linear elasticity on a box of quad4 or hex8 cells, numbered in slabs over the ranks.

A hand-made problem for the tests of the algebra, free of the package's own finite elements.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
from scipy.sparse import bsr_array

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


def block_matrix(
    nodes: np.ndarray, matrices: np.ndarray, n_nodes: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sum of element matrices (n, k*d, k*d) over local `nodes` (n, k): pattern and values."""
    n, k = nodes.shape
    size = matrices.shape[1] // k
    shape = (n, k, k)
    rows = np.broadcast_to(nodes[:, :, None], shape).ravel()
    cols = np.broadcast_to(nodes[:, None, :], shape).ravel()
    keys, place = np.unique(rows * n_nodes + cols, return_inverse=True)
    blocks = np.zeros((len(keys), size, size))
    parts = matrices.reshape(n, k, size, k, size).transpose(0, 1, 3, 2, 4)
    np.add.at(blocks, place, parts.reshape(-1, size, size))
    indptr = np.searchsorted(keys, np.arange(n_nodes + 1) * n_nodes)
    indices = keys % n_nodes
    values = bsr_array((blocks, indices, indptr), shape=(n_nodes * size,) * 2).tocsr().data
    return indptr, indices, values


@dataclass
class Box:
    """One rank's part of the problem; `values` already carry the prescribed dofs.

    `cells` (n, 2^d) in local nodes, `stiffness` (n, 2^d d, 2^d d) of the elements; `free` are all
    dofs of the problem.
    """

    layout: DofLayout
    cells: np.ndarray
    stiffness: np.ndarray
    free: np.ndarray
    rhs: np.ndarray

    def __post_init__(self) -> None:
        self.assemble()

    def assemble(self) -> None:
        self.indptr, self.indices, self.values = block_matrix(
            self.cells, self.stiffness, len(self.layout.global_nodes)
        )

    @property
    def start(self) -> int:
        return int(self.layout.global_nodes[0]) * self.layout.block_size

    @property
    def constrained(self) -> np.ndarray:
        return ~self.free[self.start : self.start + self.layout.n_owned_dofs]

    def dense(self) -> np.ndarray:
        """The matrix of a serial problem."""
        n, size = len(self.layout.global_nodes), self.layout.block_size
        ones = np.ones((len(self.indices), size, size))
        matrix = bsr_array((ones, self.indices, self.indptr), shape=(n * size,) * 2).tocsr()
        matrix.data = self.values
        return matrix.toarray()

    def fill(self, algebra: Algebra) -> None:
        algebra.set_constrained(self.constrained)
        algebra.set_pattern(self.indptr, self.indices)
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
    stiffness = np.tile(element_stiffness(edges), (len(dofs), 1, 1))
    free = np.ones((n_nodes, dim), dtype=bool)
    free[numbers[0].ravel()[:, None], list(range(dim) if fix is None else fix)] = False
    free = free.ravel()
    kept = free[dofs][:, :, None] & free[dofs][:, None, :]
    stiffness[~kept & ~np.eye(dofs.shape[1], dtype=bool)] = 0.0
    first = owned[0] * dim
    rhs = np.tile(np.arange(1.0, dim + 1) * np.prod(edges), len(owned))
    rhs[~free[first : first + len(rhs)]] = 0.0
    order = np.argsort(global_nodes)
    cells = order[np.searchsorted(global_nodes, cell_nodes, sorter=order)]
    return Box(layout, cells, stiffness, free, rhs)
