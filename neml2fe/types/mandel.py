"""Mandel notation: order 11, 22, 33, 23, 13, 12 with shear components times sqrt(2)."""

from __future__ import annotations

import math

import torch

ROWS = (0, 1, 2, 1, 0, 0)
COLUMNS = (0, 1, 2, 2, 2, 1)
SQRT2 = math.sqrt(2.0)


def weights(like: torch.Tensor) -> torch.Tensor:
    """`(6,)` factors that turn tensor components into Mandel components."""
    return torch.tensor([1.0, 1.0, 1.0, SQRT2, SQRT2, SQRT2], dtype=like.dtype, device=like.device)


def to_matrix(mandel: torch.Tensor) -> torch.Tensor:
    """`(..., 6)` Mandel to `(..., 3, 3)`."""
    c = mandel / weights(mandel)
    index = torch.tensor([0, 5, 4, 5, 1, 3, 4, 3, 2], device=mandel.device)
    return c[..., index].reshape(*mandel.shape[:-1], 3, 3)


def from_matrix(matrix: torch.Tensor) -> torch.Tensor:
    """`(..., 3, 3)` to the `(..., 6)` Mandel components of its symmetric part."""
    symmetric = 0.5 * (matrix + matrix.transpose(-1, -2))
    return symmetric[..., ROWS, COLUMNS] * weights(matrix)


def skew_matrix(axial: torch.Tensor) -> torch.Tensor:
    """`(..., 3)` axial vector w to the `(..., 3, 3)` matrix W with W a = w x a."""
    w1, w2, w3 = axial.unbind(-1)
    zero = torch.zeros_like(w1)
    flat = torch.stack([zero, -w3, w2, w3, zero, -w1, -w2, w1, zero], dim=-1)
    return flat.reshape(*axial.shape[:-1], 3, 3)


def rotation_matrix(rotation: torch.Tensor) -> torch.Tensor:
    """`(..., 6, 6)` matrix Q with Q mandel(a) = mandel(R a R^T) for a `(..., 3, 3)` rotation R.

    Column k is the rotated k-th Mandel basis tensor (Mehrabadi and Cowin 1990, eq. 2.13).
    """
    basis = to_matrix(torch.eye(6, dtype=rotation.dtype, device=rotation.device))
    turned = rotation[..., None, :, :] @ basis @ rotation[..., None, :, :].transpose(-1, -2)
    return from_matrix(turned).transpose(-1, -2)
