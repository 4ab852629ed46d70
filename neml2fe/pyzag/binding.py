"""The parameters a trajectory was computed with, put back into the module for its derivatives."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch


@dataclass(frozen=True)
class Binding:
    """Where the tensors that gradients are wanted of lie in the module: statistical models put
    another sample there before each call."""

    places: list[tuple[dict[str, Any], str, int]]
    tensors: list[torch.Tensor]

    @classmethod
    def of(cls, module: object) -> Binding:
        """Parameters that require a gradient, and the tensors named in `converted_params`."""
        places: list[tuple[dict[str, Any], str, int]] = []
        tensors: list[torch.Tensor] = []
        numbers: dict[int, int] = {}
        members = module.modules() if isinstance(module, torch.nn.Module) else ()
        for member in members:
            tables: list[tuple[dict[str, Any], list[str]]] = [
                (member._parameters, list(member._parameters)),
                (vars(member), list(getattr(member, "converted_params", ()))),
            ]
            for table, names in tables:
                for name in names:
                    tensor = table.get(name)
                    if not isinstance(tensor, torch.Tensor) or not tensor.requires_grad:
                        continue
                    if id(tensor) not in numbers:
                        numbers[id(tensor)] = len(tensors)
                        tensors.append(tensor)
                    places.append((table, name, numbers[id(tensor)]))
        return cls(places, tensors)

    @contextmanager
    def bound(self, tensors: Sequence[torch.Tensor]) -> Iterator[None]:
        """Within this context the module has these tensors, in the order of `self.tensors`."""
        known = [(table, name, table.get(name)) for table, name, _ in self.places]
        try:
            for table, name, number in self.places:
                table[name] = tensors[number]
            yield
        finally:
            for table, name, value in known:
                table[name] = value
