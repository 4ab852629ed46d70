"""The parameters a trajectory was computed with, put back into the module for its derivatives."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils._pytree import tree_leaves

from neml2fe.errors import InputError


@dataclass(frozen=True)
class Binding:
    """Where parameters lie in modules: statistical models put other samples there before each
    call. Gradients are wanted of `tensors`; `others` are constant."""

    places: list[tuple[dict[str, Any], str, int]]
    tensors: list[torch.Tensor]
    others: list[tuple[dict[str, Any], str, torch.Tensor, int]]

    @classmethod
    def of(cls, module: torch.nn.Module, held: Sequence[torch.nn.Module] = ()) -> Binding:
        """Parameters, and the tensors named in `converted_params` of their module, of `module` and
        all inside of it. Further ones in `held` are constant."""
        found = cls([], [], [])
        numbers: dict[int, int] = {}
        own = list(module.modules())
        others = [m for module in held for m in module.modules()]
        _require_registered(own, {id(p) for m in (*own, *others) for p in m._parameters.values()})
        for member in (*own, *others):
            tables: list[tuple[dict[str, Any], list[str]]] = [
                (member._parameters, list(member._parameters)),
                (vars(member), list(getattr(member, "converted_params", ()))),
            ]
            for table, name, tensor in ((t, n, t.get(n)) for t, names in tables for n in names):
                if not isinstance(tensor, torch.Tensor):
                    continue
                wanted = tensor.requires_grad and (member in own or id(tensor) in numbers)
                if not wanted:
                    found.others.append((table, name, tensor, tensor._version))
                    continue
                if id(tensor) not in numbers:
                    numbers[id(tensor)] = len(found.tensors)
                    found.tensors.append(tensor)
                found.places.append((table, name, numbers[id(tensor)]))
        return found

    @contextmanager
    def bound(self, tensors: Sequence[torch.Tensor]) -> Iterator[None]:
        """Within this context the modules have these tensors, in the order of `self.tensors`, and
        the constant ones. Raises RuntimeError, as torch does for the former, if a constant one was
        changed in place since."""
        for _, name, tensor, version in self.others:
            if tensor._version != version:
                raise RuntimeError(
                    f"the parameter '{name}', which a trajectory was computed with, has been "
                    "modified by an inplace operation before its gradient was asked for"
                )
        mine = [(table, name, tensors[number]) for table, name, number in self.places]
        mine += [(table, name, tensor) for table, name, tensor, _ in self.others]
        before = [(table, name, table.get(name)) for table, name, _ in mine]
        try:
            for table, name, tensor in mine:
                table[name] = tensor
            yield
        finally:
            for table, name, value in before:
                table[name] = value


def _require_registered(members: Sequence[torch.nn.Module], parameters: set[int]) -> None:
    """No gradient is to get lost: a tensor that requires one is a parameter, or named."""
    for member in members:
        plain = {k: v for k, v in vars(member).items() if k not in ("_parameters", "_modules")}
        for name, value in plain.items():
            if name in getattr(member, "converted_params", ()):
                continue
            tensors = (t for t in tree_leaves(value) if isinstance(t, torch.Tensor))
            if any(t.requires_grad and id(t) not in parameters for t in tensors):
                raise InputError(
                    f"{type(member).__name__}.{name} requires a gradient, but is no parameter: "
                    "register it as torch.nn.Parameter, or name it in the list converted_params of "
                    "its module"
                )
