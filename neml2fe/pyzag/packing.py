"""Variables by name as rows of numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch

from neml2fe.errors import ModelError, suggest

Shapes = dict[str, tuple[int, ...]]


def together(forces: Sequence[torch.Tensor]) -> torch.Tensor:
    """Forces given in several tensors, in the order of `fvars`, as one."""
    return forces[0] if len(forces) == 1 else torch.cat(list(forces), dim=-1)


def packed(
    role: str,
    values: Mapping[str, torch.Tensor],
    kinds: Mapping[str, int],
    shapes: Shapes,
    outer: int,
    default_zero: bool,
) -> tuple[torch.Tensor, Shapes]:
    """Rows `(*batch, n)` of tensors `(*batch, *shape)` with `outer` batch dimensions, and the
    shapes; `kinds` holds the number of base dimensions."""
    for name in values:
        if name not in kinds:
            raise ModelError(f"there is no {role} '{name}'{suggest(name, kinds)}")
    missing = [n for n in kinds if n not in values]
    if missing and not (default_zero and values):
        raise ModelError(f"the {role} {', '.join(map(repr, missing))} is missing")
    for name, value in values.items():
        base = shapes[name][len(shapes[name]) - kinds[name] :]
        inner = tuple(value.shape[outer:])
        if value.ndim < outer + kinds[name] or inner[len(inner) - kinds[name] :] != base:
            expected = ", ".join(("N", "S")[2 - outer :] + tuple(map(str, base)))
            raise ModelError(
                f"{role} '{name}' must have shape ({expected}), possibly with a sub-batch before "
                f"the last {kinds[name]}, got {tuple(value.shape)}"
            )
        shapes[name] = inner
    like = next(iter(values.values()))
    sizes = {name: tuple(value.shape[:outer]) for name, value in values.items()}
    batch = tuple(max(s[k] for s in sizes.values()) for k in range(outer))
    counted = ("steps", "specimens")[2 - outer :]
    for name, size in sizes.items():
        for what, got, largest in zip(counted, size, batch, strict=True):
            if got not in (1, largest):
                raise ModelError(
                    f"{role} '{name}' has {got} {what}, others have {largest}: "
                    f"{', '.join(f'{n} {s}' for n, s in sizes.items())}"
                )
    rows = [
        values[n].expand(*batch, *shapes[n]).reshape(*batch, math.prod(shapes[n]))
        if n in values
        else like.new_zeros(*batch, math.prod(shapes[n]))
        for n in kinds
    ]
    return torch.cat(rows, dim=-1), shapes
