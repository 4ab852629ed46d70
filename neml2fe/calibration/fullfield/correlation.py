r"""Noise that is correlated from point to point: subsets that overlap see the same pixels.

The covariance of one component at two points is $s_i s_j \rho_{ij}$, with the standard deviations
s of a `FullField`. With the Cholesky factor $C = L L^T$ of the correlation matrix,
$L^{-1} (r / s)$ are independent with unit variance.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.linalg import SuperLU, splu
from scipy.spatial import cKDTree
from scipy.spatial.distance import cdist
from torch import Tensor

from neml2fe.calibration.fullfield.linear import linear
from neml2fe.errors import InputError

Array = NDArray[np.float64]
MEMORY = 2**31
"""Bytes that the factors of one field may take."""


@dataclass(frozen=True)
class Correlation(ABC):
    """A correlation that depends on the distance of two points; `length` in their unit."""

    length: float

    def __post_init__(self) -> None:
        if not 0.0 < self.length < math.inf:
            raise InputError(f"the correlation length must be positive, got {self.length:g}")

    @abstractmethod
    def at(self, distances: Array) -> Array:
        """`(k,)` of distances `(k,)`."""

    @property
    @abstractmethod
    def reach(self) -> float:
        """The distance from which on it is zero."""

    def scaled(self, scale: float) -> Correlation:
        """The same in another unit of length."""
        return replace(self, length=scale * self.length)

    def matrix(self, points: Array) -> Array | sparse.csr_matrix:
        """`(m, m)` of points `(m, dim)`: dense, or sparse where the reach is finite."""
        if math.isinf(self.reach):
            _require_room(1, 8 * len(points) ** 2)
            return self.at(cdist(points, points))
        i, j = cKDTree(points).query_pairs(self.reach, output_type="ndarray").T
        values = self.at(np.linalg.norm(points[i] - points[j], axis=1))
        half = sparse.coo_matrix((values, (i, j)), shape=(len(points),) * 2)
        return (half + half.T + sparse.identity(len(points))).tocsr()


@dataclass(frozen=True)
class Exponential(Correlation):
    """exp(-distance / length): no end, hence dense matrices; for some thousand points."""

    def at(self, distances: Array) -> Array:
        return np.exp(-distances / self.length)

    @property
    def reach(self) -> float:
        return math.inf


@dataclass(frozen=True)
class Spherical(Correlation):
    """1 - 3/2 h + 1/2 h^3, h = distance / length: the share in which two balls of diameter
    `length` overlap, and zero beyond; take the subset size. Sparse, for any number of points
    (Cressie 1993, Statistics for Spatial Data, 2.3)."""

    def at(self, distances: Array) -> Array:
        h = np.minimum(distances / self.length, 1.0)
        return 1.0 - 1.5 * h + 0.5 * h**3

    @property
    def reach(self) -> float:
        return self.length


Matrix: TypeAlias = Array | Any
"""Dense, or sparse of SciPy"""


def checked_matrix(matrix: Matrix, m: int) -> Matrix:
    """A given correlation matrix. Raises `InputError` unless it is (m, m) and symmetric."""
    is_sparse = sparse.issparse(matrix)
    given: Matrix = sparse.csr_matrix(matrix) if is_sparse else np.asarray(matrix, np.float64)
    if given.shape != (m, m):
        raise InputError(f"the correlation of {m} points is ({m}, {m}), not {given.shape}")
    entries = given.data if is_sparse else given
    if not np.isfinite(entries).all() or abs(given - given.T).max() > 1e-12 * abs(given).max():
        raise InputError("a correlation matrix must be finite and symmetric")
    return given


@dataclass(frozen=True, eq=False)
class Whitening:
    """The inverse Cholesky factors for all images and components of a field.

    Images and components in which the same points are valid share one factor.
    """

    valid: NDArray[np.bool_]
    """`(T, m, c)`"""
    correlation: Matrix
    """`(m, m)`"""
    _parts: list[tuple[Tensor, Tensor, Tensor | _SparseFactor]] = field(
        init=False, default_factory=list
    )

    def __post_init__(self) -> None:
        columns = self.valid.transpose(0, 2, 1).reshape(-1, self.valid.shape[1])
        patterns, which = np.unique(columns, axis=0, return_inverse=True)
        if not sparse.issparse(self.correlation):
            _require_room(len(patterns), 8 * self.valid.shape[1] ** 2)
        for i, pattern in enumerate(patterns):
            there = np.flatnonzero(pattern)
            if not len(there):
                continue
            part = self.correlation[there][:, there]
            factor = _SparseFactor.of(part) if sparse.issparse(part) else _dense_factor(part)
            if isinstance(factor, _SparseFactor):
                _require_room(len(patterns), 12 * factor.unit.nnz)
            images = np.flatnonzero(which.reshape(-1) == i)
            self._parts.append((torch.from_numpy(there), torch.from_numpy(images), factor))

    def __call__(self, residuals: Tensor) -> Tensor:
        """`(k,)`: independent residuals of all k valid entries, from `(T, m, c)` in standard
        deviations. Each is a combination of one image and component."""
        columns = residuals.permute(0, 2, 1).reshape(-1, residuals.shape[1])
        found = []
        for there, images, factor in self._parts:
            block = columns[images][:, there].T
            if isinstance(factor, Tensor):
                white = torch.linalg.solve_triangular(factor.to(block), block, upper=False)
            else:
                white = linear(block, factor.solve, factor.solve_transposed)
            found.append(white.T.reshape(-1))
        return torch.cat(found)


def _require_room(factors: int, size: int) -> None:
    """For so many factors of `size` bytes each."""
    if factors * size > MEMORY:
        raise InputError(
            f"the noise correlation would take {factors * size / 2**30:.1f} GiB, in {factors} "
            "matrices (one for each set of points that are valid together); keep the points that "
            "no image lacks (`complete`), thin them, or take Spherical, whose matrices are sparse, "
            "with a short length"
        )


def _dense_factor(matrix: Array) -> Tensor:
    factor, failed = torch.linalg.cholesky_ex(torch.from_numpy(np.ascontiguousarray(matrix)))
    if int(failed):
        raise InputError(_INDEFINITE)
    return factor


_INDEFINITE = (
    "the correlation matrix is not positive definite; do points coincide? Noise that is the same "
    "at two points cannot be whitened"
)


@dataclass(frozen=True, eq=False)
class _SparseFactor:
    """P C P^T = L L^T, with the symmetric permutation P: row i becomes `order[i]`."""

    order: NDArray[np.int64]
    unit: SuperLU
    """L with ones on its diagonal"""
    diagonal: Array

    @classmethod
    def of(cls, matrix: sparse.spmatrix) -> _SparseFactor:
        symmetric = {"SymmetricMode": True}
        try:
            lu = splu(matrix.tocsc(), "MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options=symmetric)
        except RuntimeError:  # singular
            raise InputError(_INDEFINITE) from None
        pivots = lu.U.diagonal()
        if (lu.perm_r != lu.perm_c).any() or not (pivots > 1e-14 * pivots.max()).all():
            raise InputError(_INDEFINITE)
        unit = splu(lu.L.tocsc(), "NATURAL", diag_pivot_thresh=0.0)
        return cls(lu.perm_r.astype(np.int64), unit, np.sqrt(pivots)[:, None])

    def solve(self, r: Array) -> Array:
        """L^-1 P r of `(k, n)`."""
        permuted = np.empty_like(r)
        permuted[self.order] = r
        return self.unit.solve(permuted) / self.diagonal

    def solve_transposed(self, r: Array) -> Array:
        """P^T L^-T r of `(k, n)`."""
        return self.unit.solve(np.ascontiguousarray(r / self.diagonal), "T")[self.order]
