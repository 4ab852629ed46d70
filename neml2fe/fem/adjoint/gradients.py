"""Derivatives by tensors of a problem: `Gradients` of a loss, `Rates` along a direction."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

Array = NDArray[np.float64]


class Gradients:
    """Sums of cotangents of `tensors`, this rank's part until `total`."""

    def __init__(self, tensors: Sequence[torch.Tensor]) -> None:
        self.tensors = list(tensors)
        self.values = [torch.zeros_like(t) for t in self.tensors]
        self._number = {id(t): k for k, t in enumerate(self.tensors)}

    def add(self, tensor: torch.Tensor, bar: torch.Tensor) -> None:
        """Add a cotangent of `tensor`, if it is one of those asked for."""
        number = self._number.get(id(tensor))
        if number is not None:
            value = self.values[number]
            value += bar.to(value).expand(value.shape)

    def through(self, output: torch.Tensor, bar: torch.Tensor) -> None:
        """Add what a cotangent of `output`, torch's function of the tensors, makes of theirs."""
        if not output.requires_grad:
            return
        found = partial_derivatives(output, self.tensors, bar.to(output).expand(output.shape))
        for value, part in zip(self.values, found, strict=True):
            if part is not None:
                value += part

    def total(self, comm: Any) -> list[torch.Tensor]:
        """The sums over all ranks, the same on each. Collective."""
        if comm is None or not self.values:
            return self.values
        mine = np.concatenate([v.detach().cpu().double().numpy().ravel() for v in self.values])
        every = np.empty_like(mine)
        comm.Reduce(mine, every)
        comm.Bcast(every)  # so that the ranks agree to the last bit
        parts = np.split(every, np.cumsum([v.numel() for v in self.values])[:-1])
        return [
            torch.as_tensor(part.reshape(v.shape)).to(v)
            for part, v in zip(parts, self.values, strict=True)
        ]


class Rates:
    """A direction: rates of some of the `tensors`; None of the others, which are held."""

    def __init__(
        self, tensors: Sequence[torch.Tensor], rates: Sequence[torch.Tensor | None]
    ) -> None:
        self.tensors, self.rates = list(tensors), list(rates)
        self._number = {id(t): k for k, t in enumerate(self.tensors)}

    def of(self, tensor: torch.Tensor) -> torch.Tensor | None:
        """The rate of one of the tensors; None where it has none."""
        number = self._number.get(id(tensor))
        return None if number is None else self.rates[number]

    def through(self, output: torch.Tensor) -> torch.Tensor | None:
        """The rate of `output`, torch's function of the tensors: the derivative, by a cotangent, of
        the product of cotangents and rates."""
        if not output.requires_grad:
            return None
        with torch.enable_grad():
            bar = torch.zeros_like(output, requires_grad=True)
            pulled = partial_derivatives(output, self.tensors, bar, create_graph=True)
            product = sum(
                (
                    (p * rate).sum()
                    for p, rate in zip(pulled, self.rates, strict=True)
                    if p is not None and rate is not None
                ),
                output.new_zeros(()),
            )
            if not product.requires_grad:
                return None
            return torch.autograd.grad(product, bar)[0].detach()


def partial_derivatives(
    output: torch.Tensor,
    tensors: Sequence[torch.Tensor],
    bar: torch.Tensor,
    create_graph: bool = False,
) -> list[torch.Tensor | None]:
    """`torch.autograd.grad` with each of the tensors held while another varies, also where one is
    made of another, whose own graph stays as it is; None where a tensor has no part in `output`,
    or requires no gradient."""
    made: dict[int, torch.Tensor] = {}

    def end(k: int, found: torch.Tensor) -> torch.Tensor:
        made[k] = found
        return torch.zeros_like(found)  # nothing goes on to what the tensor is made of

    wanted = [k for k, tensor in enumerate(tensors) if tensor.requires_grad]
    if not wanted:
        return [None] * len(tensors)
    hooks = [
        tensors[k].register_hook(partial(end, k)) for k in wanted if tensors[k].grad_fn is not None
    ]
    try:
        found = torch.autograd.grad(
            output,
            [tensors[k] for k in wanted],
            bar,
            retain_graph=True,
            create_graph=create_graph,
            allow_unused=True,
        )
    finally:
        for hook in hooks:
            hook.remove()
    by_number = {**dict(zip(wanted, found, strict=True)), **made}
    return [by_number.get(k) for k in range(len(tensors))]


def same_on_every_rank(comm: Any, bars: Sequence[torch.Tensor | None]) -> bool:
    """Whether all ranks have these cotangents, as a loss that all compute alike gives them.
    Collective."""
    if comm is None:
        return True
    every = comm.allgather([None if b is None else _mark(b) for b in bars])
    return all(  # of what all ranks have: they come to one verdict
        (a is None) == (b is None)
        and (a is None or b is None or bool(np.all(np.abs(a - b) <= 1e-10 * a[0])))
        for other in every
        for a, b in zip(every[0], other, strict=True)
    )


def agree(comm: Any, value: Any) -> bool:
    """Whether all ranks have an equal `value`. Collective."""
    if comm is None:
        return True
    every = comm.allgather(value)
    return all(other == every[0] for other in every)


def _mark(bar: torch.Tensor) -> Array:
    """Norm, a sum that tells entries apart, and the number of NaN (of points that were lost)."""
    flat = bar.detach().cpu().double().numpy().ravel()
    lost = np.isnan(flat)
    flat = np.where(lost, 0.0, flat)
    return np.array([np.linalg.norm(flat), flat @ np.cos(np.arange(len(flat))), lost.sum()])
