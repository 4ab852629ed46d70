"""Which tensors conditions, functions and fields read: the inputs of gradients."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import torch

from neml2fe.errors import InputError

if TYPE_CHECKING:
    from neml2fe.fem.conditions.conditions import Condition

CONSTANTS = ("stiffness", "point", "direction", "frame")
"""Arguments of conditions that are read once, as numbers."""


def named_tensors(source: Any) -> dict[str, torch.Tensor]:
    """The tensors that a function or field reads, whether or not they require gradients, by where
    they are in it: "" for a tensor itself, "[1]" in a list, "[left]" in a mapping, ".rate" for the
    parameter `rate` of a module. Objects of other kinds tell by an attribute `tensors`, which is
    one of these."""
    if isinstance(source, torch.Tensor):
        return {"": source}
    if isinstance(source, torch.nn.Module):
        return {f".{name}": parameter for name, parameter in source.named_parameters()}
    items: Iterable[tuple[Any, Any]]
    if isinstance(source, Mapping):
        items = source.items()
    elif isinstance(source, Sequence) and not isinstance(source, (str, bytes)):
        items = enumerate(source)
    else:
        inner = getattr(source, "tensors", None)
        return {} if inner is None else named_tensors(inner)
    return {f"[{key}]{at}": t for key, value in items for at, t in named_tensors(value).items()}


def tensors_of(source: Any) -> list[torch.Tensor]:
    """The tensors that a function or field reads, each once."""
    return list({id(tensor): tensor for tensor in named_tensors(source).values()}.values())


def condition_tensors(condition: Condition) -> dict[str, torch.Tensor]:
    """The tensors that the values of a condition read, by argument and place: "value",
    "value[0]", "strain[xx]", "value.rate"."""
    return {
        f"{argument.name}{at}": tensor
        for argument in fields(condition)
        if argument.name not in CONSTANTS
        for at, tensor in named_tensors(getattr(condition, argument.name)).items()
    }


def check_constants(condition: Condition) -> None:
    """Raises `InputError` where a gradient is asked for of an argument that has none."""
    for name in CONSTANTS:
        if requires_grad(getattr(condition, name, None)):
            raise InputError(
                f"condition '{condition.name}': there are no gradients by '{name}'; detach its "
                "tensors"
            )


def requires_grad(source: Any) -> bool:
    """Whether a function or field reads a tensor that a gradient is asked for."""
    return any(tensor.requires_grad for tensor in named_tensors(source).values())


def reads_others(value: torch.Tensor, named: Sequence[torch.Tensor]) -> bool:
    """Whether the graph of `value` ends at leaves that are none of the tensors `named`, nor lie
    behind one of these."""
    if any(value is tensor for tensor in named):
        return False
    ends = {id(tensor) for tensor in named}
    behind = {tensor.grad_fn for tensor in named if tensor.grad_fn is not None}
    if value.grad_fn is None:
        return True
    seen, todo = set(behind), [value.grad_fn]
    while todo:
        node = todo.pop()
        if node in seen:
            continue
        seen.add(node)
        leaf = getattr(node, "variable", None)
        if leaf is not None and id(leaf) not in ends:
            return True
        todo += [following for following, _ in node.next_functions if following is not None]
    return False
