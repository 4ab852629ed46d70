"""Derivatives of the residuals of a chunk of steps."""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class DenseBlockJacobian:
    """Blocks of m steps, each `(m, *batch, n, n)`.

    `diag[k]` is the derivative of residual k by the state of its own step, `sub[k]` that by the
    state before; `sub[0]` is by the last state before the chunk.
    """

    diag: torch.Tensor
    sub: torch.Tensor
