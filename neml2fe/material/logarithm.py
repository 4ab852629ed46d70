r"""The logarithm of symmetric tensors with its first two derivatives, in the principal axes.

With divided differences of the eigenvalues $\lambda$, Daleckii and Krein's formulas are
$D\ln(C)[H]_{ij} = f_{ij} H_{ij}$ and
$D^2\ln(C)[H, K]_{ij} = \sum_k f_{ikj} (H_{ik} K_{kj} + K_{ik} H_{kj})$
(N. J. Higham, "Functions of Matrices" (2008), chapter 3). Both differences are smooth where
eigenvalues coincide and are computed so: the first by the inverse hyperbolic tangent, the second
from the first, but among neighbours as $-\int_0^1 t\, r_i r_j r_k\, dt$ with
$r_i = 1/(1 + t (\lambda_i - 1))$, by quadrature.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import combinations_with_replacement

import numpy as np
import torch

from neml2fe.types import mandel
from neml2fe.types.mandel import COLUMNS, ROWS, rotation_matrix, to_matrix

# For eigenvalues in a ratio of two at most, centred about one: right to 1e-15.
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(8)
_NODES, _WEIGHTS = 0.5 * (_NODES + 1.0), 0.5 * _WEIGHTS
_TRIPLES = [list(c) for c in combinations_with_replacement(range(3), 3)]
_NINES = [(i, j) for i in range(3) for j in range(3)]
# Of the 27 products f_ijk T_ij: which triple, and which Mandel component.
_OF_TRIPLE = [_TRIPLES.index(sorted((i, j, k))) for i, j in _NINES for k in range(3)]
_OF_PAIR = [(0, 5, 4, 5, 1, 3, 4, 3, 2)[3 * i + j] for i, j in _NINES for _ in range(3)]


@dataclass(frozen=True)
class Logarithm:
    """ln C of n positive definite tensors, `value` `(n, 6)` Mandel, and its derivative `slope`
    `(n, 6, 6)`, symmetric; NaN at points where C is neither finite nor positive definite."""

    value: torch.Tensor
    slope: torch.Tensor
    _eigenvalues: torch.Tensor
    _axes: torch.Tensor  # (n, 6, 6), turns Mandel components out of the principal axes

    @classmethod
    def of(cls, c: torch.Tensor) -> Logarithm:
        """C as matrices `(n, 3, 3)`."""
        one = torch.eye(3, dtype=c.dtype, device=c.device)
        finite = torch.isfinite(c).flatten(1).all(-1)
        # One matrix that is not finite would fail all of them.
        values, vectors = torch.linalg.eigh(torch.where(finite[:, None, None], c, one))
        known = finite & (values[:, 0] > 0.0)
        values = torch.where(known[:, None], values, torch.nan)
        axes = rotation_matrix(vectors)
        first = _first(values[:, ROWS], values[:, COLUMNS])
        value = (axes[:, :, :3] @ values.log().unsqueeze(-1)).squeeze(-1)
        return cls(value, (axes * first[:, None]) @ axes.mT, values, axes)

    def curvature(self, t: torch.Tensor) -> torch.Tensor:
        """The derivative of `slope @ t` by C for symmetric `t` `(n, 6)`: `(n, 6, 6)`, symmetric."""
        own = (self._axes.mT @ t.unsqueeze(-1)).squeeze(-1) / mandel.weights(t)
        weighted = _second(self._eigenvalues)[:, _OF_TRIPLE] * own[:, _OF_PAIR]
        form = _bilinear().to(dtype=t.dtype, device=t.device)
        turned = (weighted @ form).unflatten(1, (6, 6))
        return self._axes @ turned @ self._axes.mT


def _first(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """(ln a - ln b) / (a - b)."""
    x = (a - b) / (a + b)
    distinct = x != 0.0
    x = torch.where(distinct, x, 0.5)
    return 2.0 / (a + b) * torch.where(distinct, torch.atanh(x) / x, 1.0)


def _second(values: torch.Tensor) -> torch.Tensor:
    """The second divided differences of the logarithm `(n, 10)` for ascending eigenvalues."""
    a, b, c = (values[:, list(places)] for places in zip(*_TRIPLES, strict=True))
    near = c < 2.0 * a
    apart = (_first(b, c) - _first(a, b)) / torch.where(near, 1.0, c - a)
    middle = 0.5 * (a + c)
    t, w = (torch.as_tensor(v, dtype=a.dtype, device=a.device) for v in (_NODES, _WEIGHTS))
    product = torch.ones_like(t)
    for value in (a, b, c):
        product = product * (1.0 + t * (value / middle - 1.0).unsqueeze(-1))
    return torch.where(near, (1.0 / product) @ (-t * w) / (middle * middle), apart)


@cache
def _bilinear() -> torch.Tensor:
    """From $f_{ijk} T_{ij}$ to the form of H and K in Mandel components, `(27, 36)`."""
    basis = to_matrix(torch.eye(6, dtype=torch.float64))
    return 2.0 * torch.einsum("aik,bkj->ijkab", basis, basis).reshape(27, 36)
