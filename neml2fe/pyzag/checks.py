"""What a trajectory may be asked for with."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from neml2fe.errors import InputError
from neml2fe.pyzag.failures import finite


def checked(
    y0: torch.Tensor,
    n: int,
    forces: Sequence[torch.Tensor],
    restart: torch.Tensor | None,
    components: Sequence[int] | None,
    keep_every: int | None,
) -> None:
    """Raise InputError where a trajectory cannot be asked for in this way."""
    if n < 1:
        raise InputError(f"a trajectory has at least its initial state; n is {n}")
    if keep_every is not None and keep_every < 1:
        raise InputError(f"keep_every must be at least 1, got {keep_every}")
    if not y0.ndim or not y0.is_floating_point():
        raise InputError(
            "the initial state must be a floating-point tensor of shape (*specimens, n_state), got "
            f"{y0.dtype} of shape {tuple(y0.shape)}"
        )
    for k, force in enumerate(forces):
        if force.shape[:-1] != (n, *y0.shape[:-1]) or force.dtype != y0.dtype:
            expected = ", ".join(map(str, (n, *y0.shape[:-1])))
            raise InputError(
                f"driving force {k} must be of {y0.dtype} and of shape ({expected}, n_force), got "
                f"{force.dtype} of shape {tuple(force.shape)}"
            )
    if components is not None:
        wrong = [c for c in components if not 0 <= c < y0.shape[-1]]
        if wrong or not len(components):
            raise InputError(
                f"components are numbers from 0 to {y0.shape[-1] - 1}, at least one, got "
                f"{list(components)}"
            )
    if restart is not None and (
        not 1 <= len(restart) <= n or restart.shape[1:] != y0.shape or restart.dtype != y0.dtype
    ):
        raise InputError(
            f"restart must hold 1 to {n} states of {y0.dtype} and shape {tuple(y0.shape)}, got "
            f"{restart.dtype} of shape {tuple(restart.shape)}"
        )
    numbers = {"the initial state": y0} | {f"driving force {k}": f for k, f in enumerate(forces)}
    if restart is not None:
        numbers["restart"] = restart
    for name, tensor in numbers.items():
        if not finite(tensor):
            place = tuple((~torch.isfinite(tensor)).nonzero()[0].tolist())
            raise InputError(f"{name} is not finite at index {place}")
