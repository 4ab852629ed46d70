"""`response`: a march as a node of torch's graph, for losses of its stress and state."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch.autograd.function import once_differentiable

from neml2fe.errors import ModelError
from neml2fe.material.march import march, march_vjp
from neml2fe.material.path import Path

if TYPE_CHECKING:
    from neml2fe.material.point import Material
    from neml2fe.material.results import Fields, State


def response(
    material: Material,
    strain: torch.Tensor,
    times: torch.Tensor,
    state: State | None = None,
    fields: Fields | None = None,
    keep_every: int = 1,
) -> tuple[torch.Tensor, State]:
    """Stress and state of a `march` as nodes of torch's graph: `loss(stress).backward()` gives
    the gradients of strain, initial state, fields and the model's parameters, once."""
    if isinstance(times, torch.Tensor) and times.requires_grad:
        raise ModelError("march: there are no derivatives by time; give times.detach()")
    path = Path.of(material, strain, times, fields)
    state = path.start(state)
    call = _Call(material, path.times, list(state), list(path.fields), keep_every)
    parameters = [p for p in material.model.parameters() if p.requires_grad]
    stress, *states = _March.apply(
        call, strain, *state.values(), *path.fields.values(), *parameters
    )
    return stress, dict(zip(call.state, states, strict=True))


@dataclass
class _Call:
    """What a march needs besides tensors with gradients: names of state and fields, in order."""

    material: Material
    times: torch.Tensor
    state: list[str]
    fields: list[str]
    keep_every: int

    def split(self, tensors: Sequence[torch.Tensor]) -> tuple[State, State]:
        n, m = len(self.state), len(self.fields)
        return (
            dict(zip(self.state, tensors[:n], strict=True)),
            dict(zip(self.fields, tensors[n : n + m], strict=True)),
        )


class _March(torch.autograd.Function):
    """`march` with `march_vjp` as its derivative."""

    @staticmethod
    def forward(ctx: Any, call: _Call, strain: torch.Tensor, *rest: torch.Tensor) -> Any:
        state, fields = call.split(rest)
        result = march(call.material, strain, call.times, state, fields, keep_every=call.keep_every)
        states = [result.state[n] for n in call.state]
        ctx.call = call
        ctx.result = replace(result, stress=result.stress.detach(), state={})  # without outputs
        ctx.save_for_backward(strain, *fields.values(), *states)
        ctx.set_materialize_grads(False)
        return result.stress, *states

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, stress_bar: torch.Tensor | None, *bars: torch.Tensor | None) -> Any:
        call, (strain, *rest) = ctx.call, ctx.saved_tensors
        n = len(call.fields)
        fields = dict(zip(call.fields, rest[:n], strict=True))
        result = replace(ctx.result, state=dict(zip(call.state, rest[n:], strict=True)))
        found = march_vjp(
            call.material,
            strain,
            call.times,
            result,
            stress_bar,
            {n: v for n, v in zip(call.state, bars, strict=True) if v is not None},
            fields,
        )
        return (
            None,
            found.strain,
            *(found.state[n] for n in call.state),
            *(found.fields[n] for n in call.fields),
            *found.parameters.values(),
        )
