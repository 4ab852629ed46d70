"""What `neml2fe_torchfem` does with one integration point of all elements: torch-fem's arrays to
those of a material, its update with `vjp` as the derivative, and back."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.autograd.function import once_differentiable

from neml2fe.errors import ModelError
from neml2fe.material import PointMaterial, State
from neml2fe.types import SR2

PLACES = ((0, 5, 4), (5, 1, 3), (4, 3, 2))  # of tensor components in Mandel order


class Layout:
    """Arrays of torch-fem for `n` elements in `d` dimensions, and those of `material`.

    A state `(n, size)` holds the time, at small strain the external strain (6), then the
    variables of the material less their initial values, since torch-fem starts from zeros.
    """

    def __init__(self, material: PointMaterial, d: int, n: int, fields: State) -> None:
        self.material, self.d, self.n = material, d, n
        self.small = material.strain_kind is SR2
        self._own = 7 if self.small else 1  # where the variables of the material begin
        start = material.initial_state(n, fields=fields, device=torch.get_default_device())
        start |= {name: v for name, v in fields.items() if name in start}
        self._shapes = {name: tuple(v.shape[1:]) for name, v in start.items()}
        self._sizes = [math.prod(shape) for shape in self._shapes.values()]
        values = torch.cat([torch.zeros(n, self._own), *map(_flat, start.values())], -1)
        self.size = values.shape[1]
        self._start = values if bool(values.any()) else None
        pairs = [(i, j) for i in range(d) for j in range(d)]
        self._places = torch.tensor([PLACES[i][j] for i, j in pairs])
        # A row of tensor components times this gives the Mandel ones of its symmetric part; the
        # transpose gives the components of a symmetric tensor.
        self._mandel = torch.zeros(d * d, 6)
        for row, (i, j) in enumerate(pairs):
            self._mandel[row, PLACES[i][j]] = 1.0 if i == j else math.sqrt(0.5)
        self._unit = torch.eye(d).flatten() @ self._mandel
        weights = self._mandel.amax(0)
        self._weights = weights[:, None] * weights

    def named(self, state: torch.Tensor) -> State:
        """The variables of the material in a state `(..., n, size)`."""
        if self._start is not None:
            state = state + self._start
        parts = state[..., self._own :].split(self._sizes, -1)
        return {
            name: part.reshape(*part.shape[:-1], *shape)
            for (name, shape), part in zip(self._shapes.items(), parts, strict=True)
        }

    def strain(
        self, f: torch.Tensor, state: torch.Tensor, de0: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The strain for a deformation gradient `(n, d, d)` and an increment of the external
        strain, and the external strain, which is nothing at finite strain."""
        external = state[:, 1 : self._own]
        if self.small:
            external = torch.addmm(external, de0.flatten(1), self._mandel)
            zero = external + self._unit
            return torch.addmm(zero, f.flatten(1), self._mandel, beta=-1), external
        if self.d == 3:
            return f, external
        full = torch.eye(3, dtype=f.dtype, device=f.device).repeat(len(f), 1, 1)
        full[:, :2, :2] = f
        return full, external

    def state(
        self, time: float, external: torch.Tensor, new: Sequence[torch.Tensor]
    ) -> torch.Tensor:
        clock = external.new_full((self.n, 1), time)
        state = torch.cat([clock, external, *map(_flat, new)], -1)
        return state if self._start is None else state - self._start

    def stress(self, stress: torch.Tensor) -> torch.Tensor:
        """`(n, d, d)`"""
        d = self.d
        if self.small:
            return (stress @ self._mandel.T).unflatten(-1, (d, d))
        return stress[:, :d, :d]

    def tangent(self, tangent: torch.Tensor) -> torch.Tensor:
        """`(n, d, d, d, d)`; without a graph."""
        d = self.d
        if not self.small:
            return tangent[:, :d, :d, :d, :d]
        places = (6 * self._places[:, None] + self._places).flatten()
        weighted = (tangent * self._weights).flatten(1)
        if weighted.is_cpu:  # NumPy takes columns several times faster than torch
            taken = torch.from_numpy(np.take(weighted.numpy(), places.numpy(), axis=1))
        else:
            taken = weighted.index_select(1, places)
        return taken.unflatten(-1, (d, d, d, d))


@dataclass(frozen=True)
class Call:
    """What an update needs besides tensors with gradients, whose names are in order."""

    layout: Layout
    time: float
    dt: float
    state: tuple[str, ...]
    fields: tuple[str, ...]
    parameters: tuple[str, ...]

    def split(self, tensors: Sequence[torch.Tensor]) -> tuple[State, State]:
        """Old state and fields by name."""
        n, m = len(self.state), len(self.state) + len(self.fields)
        return (
            dict(zip(self.state, tensors[:n], strict=True)),
            dict(zip(self.fields, tensors[n:m], strict=True)),
        )


class Update(torch.autograd.Function):
    """Stress, torch-fem's tangent, and new state of a material from strain, old state, fields and
    parameters."""

    @staticmethod
    def forward(ctx: Any, call: Call, strain: torch.Tensor, *tensors: torch.Tensor) -> Any:
        material, (state, fields) = call.layout.material, call.split(tensors)
        found = material.update(strain, state, call.time, call.dt, fields)
        if len(found.failed):
            warnings.warn(
                f"'{material.label}' did not converge at {len(found.failed)} of {len(strain)} "
                f"elements (first: element {int(found.failed[0])})",
                stacklevel=2,
            )
        assert found.tangent is not None
        ctx.call, ctx.solution = call, found.solution
        ctx.save_for_backward(strain, *tensors)
        ctx.set_materialize_grads(False)
        tangent = call.layout.tangent(found.tangent)
        return found.stress, tangent, *(found.state[name] for name in call.state)

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any,
        stress_bar: torch.Tensor | None,
        tangent_bar: torch.Tensor | None,
        *bars: torch.Tensor | None,
    ) -> Any:
        call, (strain, *tensors) = ctx.call, ctx.saved_tensors
        material = call.layout.material
        if tangent_bar is not None:
            raise ModelError(
                f"torch-fem: '{material.label}' has no derivative of its tangent, which gradients "
                "of stiffness matrices and frequencies need"
            )
        state, fields = call.split(tensors)
        if stress_bar is None:
            stress_bar = strain.new_zeros(len(strain), *material.stress_kind.BASE_SHAPE)
        state_bar = {n: v for n, v in zip(call.state, bars, strict=True) if v is not None}
        found = material.vjp(
            strain, state, call.time, call.dt, stress_bar, state_bar, fields, ctx.solution
        )
        return (
            None,
            found.strain,
            *(found.state[n] for n in call.state),
            *(found.fields[n] for n in call.fields),
            *(found.parameters[n] for n in call.parameters),
        )


def _flat(variable: torch.Tensor) -> torch.Tensor:
    return variable.reshape(len(variable), math.prod(variable.shape[1:]))
