r"""Functions of symmetric tensors: square root, logarithm, exponential, real powers.

Every function is a fixed sequence of products of 3 x 3 matrices, without eigenvalues, branches
or iterations, so automatic differentiation gives right derivatives of every order and mode,
also where eigenvalues coincide. Square root and logarithm average resolvents over quadrature
points; by the theorem of Cayley and Hamilton an average costs one product whatever the number
of points. Arguments of `sqrtm`, `logm` and `powm` are positive definite.

Accuracy: a few units of rounding times the condition number of the argument, for ratios of
the largest to the smallest eigenvalue up to 1e4 (principal stretches 100 : 1); it is lost
gradually beyond 1e5. `expm` is as accurate for deviatoric norms up to 10.
"""

from __future__ import annotations

import math

import numpy as np
import torch

from neml2fe.types import mandel
from neml2fe.types.tensors import SR2, Scalar

# 1/sqrt(a) is the mean of 1 / (1 + cos(x)^2 (a - 1)) over 0 < x < pi/2, a periodic integrand
# that the midpoint rule integrates with exponential convergence.
_COSINES = np.cos((np.arange(56) + 0.5) * np.pi / 112) ** 2
_MEAN = (_COSINES, np.full(56, 1.0 / 56.0))
# log(a) is the integral of (a - 1) / (1 + t (a - 1)) over 0 < t < 1.
_POINTS, _WEIGHTS = np.polynomial.legendre.leggauss(32)
_INTEGRAL = (0.5 * (_POINTS + 1.0), 0.5 * _WEIGHTS)
_SQUARINGS, _DEGREE = 4, 16


def sqrtm(a: SR2) -> SR2:
    """The positive square root: Higham, "Functions of Matrices" (2008), chapter 6."""
    scale, root, _ = _scaled_root(a)
    return _typed(a, scale.sqrt() * root)


def logm(a: SR2) -> SR2:
    """The logarithm, by Gauss-Legendre quadrature at the square root (Higham, chapter 11)."""
    scale, root, one = _scaled_root(a)
    x = root - one
    return _typed(a, scale.log() * one + 2.0 * x @ _mean_resolvent(x, one, *_INTEGRAL))


def expm(a: SR2) -> SR2:
    """The exponential, by scaling and squaring of a Taylor series."""
    matrix = mandel.to_matrix(a.data)
    one = _identity(matrix)
    mean = _trace(matrix) / 3.0
    x = (matrix - mean * one) / 2**_SQUARINGS
    powers = [one, x, x @ x]
    powers += [powers[2] @ x, powers[2] @ powers[2]]
    total = one / math.factorial(_DEGREE)
    for low in range(_DEGREE - 4, -1, -4):  # Horner's rule in x^4
        total = total @ powers[4]
        for k in range(0 if low else 1, 4):
            total = total + powers[k] / math.factorial(low + k)
    for _ in range(_SQUARINGS):  # of exp(x) - 1, which keeps small x accurate
        total = 2.0 * total + total @ total
    return _typed(a, mean.exp() * (total + one))


def powm(a: SR2, exponent: Scalar | float) -> SR2:
    """The real power exp(p log a)."""
    return expm(exponent * logm(a))


def _scaled_root(a: SR2) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """s, sqrt(a / s) and the identity; s centres the eigenvalues of a / s about one.

    The result does not depend on s, so derivatives do not either.
    """
    matrix = mandel.to_matrix(a.data)
    one = _identity(matrix)
    first, second, third = _invariants(matrix.detach())[0][..., None, None].unbind(-3)
    scale = first**2 * ((third / first**3).clamp(min=1e-20) / second).sqrt()
    b = matrix / scale
    inverse = _mean_resolvent(b - one, one, *_MEAN)
    root = b @ inverse
    root = root + 0.5 * root @ (one - inverse @ root)  # Newton's and Schulz's step
    return scale, root, one


def _mean_resolvent(
    x: torch.Tensor, one: torch.Tensor, nodes: np.ndarray, weights: np.ndarray
) -> torch.Tensor:
    """Sum of w (1 + t x)^-1 over nodes t and weights w.

    With y = tr(x) 1 - x and the adjugate of x, adj(1 + t x) = 1 + t y + t^2 adj(x).
    """
    invariants, adjugate = _invariants(x)
    ts = np.stack([nodes, nodes**2, nodes**3])
    ws = np.stack([weights, weights * nodes, weights * nodes**2], axis=-1)
    to_t, to_c = (torch.as_tensor(v, dtype=x.dtype, device=x.device) for v in (ts, ws))
    c = (1.0 / (1.0 + invariants @ to_t)) @ to_c  # of 1, y and adj(x)
    c0, c1, c2 = c[..., None, None].unbind(-3)
    return (c0 + c1 * invariants[..., :1, None]) * one - c1 * x + c2 * adjugate


def _invariants(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The principal invariants `(..., 3)` and the adjugate of symmetric `x` `(..., 3, 3)`."""
    square, first = x @ x, _trace(x)
    second = 0.5 * (first * first - _trace(square))
    adjugate = square - first * x + second * _identity(x)
    third = (x * adjugate).sum((-2, -1)) / 3.0
    return torch.stack([first[..., 0, 0], second[..., 0, 0], third], dim=-1), adjugate


def _trace(x: torch.Tensor) -> torch.Tensor:
    return torch.diagonal(x, dim1=-2, dim2=-1).sum(-1)[..., None, None]


def _identity(like: torch.Tensor) -> torch.Tensor:
    return torch.eye(3, dtype=like.dtype, device=like.device)


def _typed(like: SR2, matrix: torch.Tensor) -> SR2:
    return like.like(mandel.from_matrix(matrix))
