"""Constant linear maps of SciPy as differentiable torch functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Product = Callable[[NDArray[np.float64]], NDArray[np.float64]]


def linear(x: Tensor, product: Product, transposed: Product) -> Tensor:
    """`product` of the first dimension of x `(n, ...)`, for each entry of the others.

    `product` takes `(n, k)` to `(p, k)`, `transposed` is its exact transpose. Derivatives of any
    order, backward and forward, and `torch.func.vmap` are there.
    """
    columns = _Linear.apply(x.reshape(len(x), -1), product, transposed)
    return columns.reshape(-1, *x.shape[1:])


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(x: Tensor, product: Product, transposed: Product) -> Tensor:
        columns = x.detach().cpu().numpy()
        return torch.from_numpy(np.ascontiguousarray(product(columns))).to(x)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        _, ctx.product, ctx.transposed = inputs

    @staticmethod
    def backward(ctx: Any, bar: Tensor) -> tuple[Tensor, None, None]:  # type: ignore[override]
        return _Linear.apply(bar, ctx.transposed, ctx.product), None, None

    @staticmethod
    def jvp(ctx: Any, rate: Tensor, *_: None) -> Tensor:  # type: ignore[override]
        return _Linear.apply(rate, ctx.product, ctx.transposed)  # type: ignore[no-any-return]

    @staticmethod
    def vmap(  # type: ignore[override]
        info: Any, in_dims: tuple[int, None, None], x: Tensor, product: Product, transposed: Product
    ) -> tuple[Tensor, int]:
        return linear(x.movedim(in_dims[0], -1), product, transposed), 2
