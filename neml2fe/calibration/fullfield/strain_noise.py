r"""The noise of strains: windows that overlap see the same points, and have errors in common.

At small strains the strains e = D u of one image have the covariance $D \Sigma D^T$, with that of
its displacements $\Sigma$. It is singular: there are three strains at a point and two or three
displacements, and a wide window takes short waves out. A Cholesky factorisation with pivoting
(N. Higham, Accuracy and Stability of Numerical Algorithms, 2002, 10.3) keeps strains that those
kept before do not tell already; $L^{-1}$ of their residuals is independent with unit variance.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from scipy.linalg.lapack import dpstrf
from torch import Tensor

from neml2fe.calibration.fullfield.correlation import MEMORY, Correlation
from neml2fe.calibration.fullfield.masks import spread_out
from neml2fe.calibration.fullfield.strain import StrainWindows

Array = NDArray[np.float64]
MOST = 1000
"""Windows of an image that are used, spread over the field, and fewer where there are many factors
to keep in `MEMORY`: these are dense, with 3 rows for each. More would tell little more."""
NEW = 0.01
"""Part of its own variance that a strain must have beyond what those kept before tell of it."""


class StrainWhitening:
    """Makes the residuals of strain `(T, n, 3)` independent, with a variance of one.

    At large strains, where the noise of a strain depends on the strain itself, it is approximate.
    Where the noise of the field is not known, their variance is that of a displacement.
    """

    def __init__(self, windows: StrainWindows) -> None:
        field = windows.field
        noise = np.ones((1, 1, 1)) if field.noise is None else np.nan_to_num(field.noise)
        given = field.correlation
        rho = given.matrix(field.points) if isinstance(given, Correlation) else given
        levels = np.arange(len(noise)) if len(noise) > 1 else np.zeros(len(field.times), np.int64)
        kinds = np.stack([windows.patterns, levels])  # images of a kind share a factor
        each = np.unique(kinds, axis=1).T
        most = min(MOST, math.isqrt(MEMORY // (72 * len(each))), len(windows.centres))
        chosen = np.zeros(len(windows.centres), dtype=bool)
        chosen[spread_out(windows.points, most)] = True
        self._parts: list[tuple[Tensor, Tensor, Tensor]] = []
        for kind in each:
            images = np.flatnonzero((kinds == kind[:, None]).all(axis=0))
            used = np.repeat(windows.valid[images[0]] & chosen, 3)
            if not used.any():
                continue
            deviations = np.broadcast_to(noise[kind[1]], field.displacements.shape[1:])
            covariance = np.zeros((used.sum(),) * 2)
            for part, s in zip(windows.small_strain(images[0]), deviations.T, strict=True):
                A = part[used] @ sparse.diags(s)
                product = A @ A.T if rho is None else A @ (rho @ A.T)
                covariance += product.toarray() if sparse.issparse(product) else product
            kept, lower = _factor(covariance)
            at = torch.from_numpy(np.flatnonzero(used)[kept])
            self._parts.append((torch.from_numpy(images), at, torch.from_numpy(lower)))

    def __call__(self, differences: Tensor) -> Tensor:
        """`(k,)` of differences of strain `(T, n, 3)`, which may be NaN where there is none."""
        rows = differences.reshape(len(differences), -1)
        found = []
        for images, at, lower in self._parts:
            block = rows[images][:, at].T
            white = torch.linalg.solve_triangular(lower.to(block), block, upper=False)
            found.append(white.T.reshape(-1))
        return torch.cat(found)


def _factor(covariance: Array) -> tuple[NDArray[np.int64], Array]:
    """The rows that are kept, in an order, and the Cholesky factor of their covariance."""
    deviations = np.sqrt(covariance.diagonal())
    packed, order, rank, _ = dpstrf(covariance / np.outer(deviations, deviations), tol=NEW, lower=1)
    kept = order[:rank].astype(np.int64) - 1
    return kept, np.tril(packed[:rank, :rank]) * deviations[kept, None]
