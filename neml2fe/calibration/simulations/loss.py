"""`loss_of`: the loss of a problem that finds its gradient by itself, for torch's graph."""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor


class HasGradient(Protocol):
    """A problem with a loss `()` at x `(P,)`, alone or with its gradient `(P,)`."""

    def value(self, x: Tensor) -> Tensor: ...

    def gradient(self, x: Tensor) -> tuple[Tensor, Tensor]: ...


def loss_of(problem: HasGradient, x: Tensor) -> Tensor:
    """The loss `()`; where x requires a gradient, with that: once, of first order."""
    return _Loss.apply(x, problem)  # type: ignore[no-any-return]


class _Loss(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, problem: HasGradient) -> Tensor:
        if not ctx.needs_input_grad[0]:
            return problem.value(x)
        loss, gradient = problem.gradient(x)
        ctx.save_for_backward(gradient)
        return loss

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, bar: Tensor) -> Any:
        (gradient,) = ctx.saved_tensors
        return bar * gradient, None
