"""Models as pure functions of their parameters."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager

import torch

from neml2fe.models.model import Model
from neml2fe.types import TypedTensor


@contextmanager
def substituted(model: Model, parameters: Mapping[str, torch.Tensor]) -> Iterator[None]:
    """Evaluate `model` with other tensors in place of parameters, by their full names.

    A parameter that several submodels share is replaced in all of them.
    """
    places: list[tuple[dict[str, torch.nn.Parameter | None], str, torch.nn.Parameter]] = []
    new: dict[int, torch.Tensor] = {}
    for path, module in model.named_modules():
        for symbol, parameter in module._parameters.items():
            if parameter is None:
                continue
            name = f"{path}.{symbol}" if path else symbol
            places.append((module._parameters, symbol, parameter))
            if name in parameters:
                new[id(parameter)] = parameters[name]
    try:
        for table, symbol, parameter in places:
            if id(parameter) in new:
                table[symbol] = new[id(parameter)]  # type: ignore[assignment]
        yield
    finally:
        for table, symbol, parameter in places:
            table[symbol] = parameter


@contextmanager
def of_no_points(model: Model) -> Iterator[None]:
    """Evaluate `model` for zero points, parameters that vary by point included: what comes out
    has the shapes of the real thing."""
    with substituted(model, emptied(model, dict(model.named_parameters()))):
        yield


def emptied(model: Model, parameters: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """`parameters` of `model` by full name; those that vary by point, for zero points."""
    ndim = parameter_base_ndims(model)
    return {n: p[:0] if p.ndim > ndim[n] else p for n, p in parameters.items()}


def parameter_base_ndims(model: Model) -> dict[str, int]:
    """Number of base and sub-batch dimensions of each parameter, by full name; further ones
    are batch."""
    return _by_name(model, inner_ndim)


def parameter_sub_batch_ndims(model: Model) -> dict[str, int]:
    """Number of sub-batch dimensions of each parameter, by full name."""
    return _by_name(model, lambda owner, symbol: owner._sub_batch[symbol])


def _by_name(model: Model, number: Callable[[Model, str], int]) -> dict[str, int]:
    """`number(owner, symbol)` of each parameter, by full name."""
    return {
        f"{path}.{symbol}" if path else symbol: number(owner, symbol)
        for path, owner in model.named_modules()
        if isinstance(owner, Model)
        for symbol in owner._parameters
    }


def inner_ndim(model: Model, symbol: str) -> int:
    """Number of base and sub-batch dimensions of a parameter."""
    return model._types[symbol].base_ndim() + model._sub_batch[symbol]


def batch_shape(model: Model, inputs: Iterable[TypedTensor]) -> torch.Size:
    """Broadcast batch shape of `inputs` and of the parameters, which may vary by point too."""
    parameters = (
        parameter.shape[: parameter.ndim - inner_ndim(owner, symbol)]
        for owner in model.modules()
        if isinstance(owner, Model)
        for symbol, parameter in owner._parameters.items()
        if parameter is not None
    )
    return torch.broadcast_shapes(*(value.batch_shape for value in inputs), *parameters)
