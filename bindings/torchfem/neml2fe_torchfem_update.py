"""What `neml2fe_torchfem` does with one integration point of all elements: torch-fem's arrays to
those of a material, its update with `vjp` as the derivative, and back."""

from __future__ import annotations

import math
import warnings
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
        values = self._packed(0.0, torch.zeros(n, self._own - 1), start)
        self.size = values.shape[1]
        self._start = values if bool(values.any()) else None
        pairs = [(i, j) for i in range(d) for j in range(d)]
        places = torch.tensor([PLACES[i][j] for i, j in pairs])
        self._places = (6 * places[:, None] + places).flatten()
        # A row of tensor components times this gives the Mandel ones of its symmetric part; the
        # transpose gives the components of a symmetric tensor.
        self._mandel = torch.zeros(d * d, 6)
        for row, (i, j) in enumerate(pairs):
            self._mandel[row, PLACES[i][j]] = 1.0 if i == j else math.sqrt(0.5)
        self._unit = torch.eye(d).flatten() @ self._mandel
        weights = self._mandel.amax(0)
        self._weights = torch.outer(weights, weights).flatten()

    def named(self, state: torch.Tensor) -> State:
        """The variables of the material in a state `(..., n, size)`."""
        return self.split(state if self._start is None else state + self._start)

    def state(self, time: float, external: torch.Tensor, variables: State) -> torch.Tensor:
        """`(n, size)`, from the external strain and the variables of the material."""
        state = self._packed(time, external, variables)
        return state if self._start is None else state - self._start

    def strain(
        self, f: torch.Tensor, state: torch.Tensor, de0: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The strain for a deformation gradient `(n, d, d)` and an increment of the external
        strain, and the external strain, which is nothing at finite strain."""
        external, strain = state[:, 1 : self._own], self.inward(f)
        if not self.small:
            if self.d == 2:
                strain[:, 2, 2] = 1.0
            return strain, external
        if de0 is not None:
            external = external + self.inward(de0)
        return strain.sub_(external + self._unit), external

    def inward(self, tensor: torch.Tensor) -> torch.Tensor:
        """`(n, 6)` of the symmetric part, or `(n, 3, 3)`, of `(n, d, d)`; it transposes `outward`,
        as stress is conjugate to strain."""
        if self.small:
            return _product(tensor.flatten(1), self._mandel)
        if self.d == 3:
            return tensor
        full = tensor.new_zeros(self.n, 3, 3)
        full[:, :2, :2] = tensor
        return full

    def outward(self, values: torch.Tensor) -> torch.Tensor:
        """`(n, d, d)` of a stress of the material."""
        if self.small:
            return _product(values, self._mandel.mT).unflatten(-1, (self.d, self.d))
        return values[:, : self.d, : self.d]

    def tangent(self, tangent: torch.Tensor) -> torch.Tensor:
        """`(n, d, d, d, d)`"""
        d = self.d
        if not self.small:
            return tangent[:, :d, :d, :d, :d]
        weighted = tangent.flatten(1) * self._weights
        if weighted.is_cpu:  # NumPy takes columns several times faster than torch
            taken = torch.from_numpy(np.take(weighted.numpy(), self._places.numpy(), axis=1))
        else:
            taken = weighted.index_select(1, self._places)
        return taken.unflatten(-1, (d, d, d, d))

    def pull_back(
        self, strain: torch.Tensor, variables: State, state_bar: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
        """Cotangents of deformation gradient, old state, and increment of the external strain
        from those of the strain, the old variables, and the new state."""
        external = state_bar[:, 1 : self._own]
        if self.small:
            external = external - strain
        by_de0 = self.outward(external) if self.small else None
        return self.outward(strain), self._packed(0.0, external, variables), by_de0

    def split(self, state: torch.Tensor) -> State:
        """The variables of the material, less their initial values."""
        parts = state[..., self._own :].split(self._sizes, -1)
        return {
            name: part.reshape(*part.shape[:-1], *shape)
            for (name, shape), part in zip(self._shapes.items(), parts, strict=True)
        }

    def _packed(self, time: float, external: torch.Tensor, variables: State) -> torch.Tensor:
        sizes = zip(self._shapes, self._sizes, strict=True)
        flat = [variables[name].reshape(self.n, size) for name, size in sizes]
        return torch.cat([external.new_full((self.n, 1), time), external, *flat], -1)


@dataclass(frozen=True)
class Call:
    """What an update needs besides tensors; `strained` says whether there is an increment of the
    external strain. Fields and parameters are names, in the order of their tensors."""

    layout: Layout
    time: float
    dt: float
    strained: bool
    fields: tuple[str, ...]
    parameters: tuple[str, ...]


class Update(torch.autograd.Function):
    """Stress, state and tangent as torch-fem takes them, from the new deformation gradient, the old
    state, the increment of the external strain, fields and parameters."""

    @staticmethod
    def forward(
        ctx: Any,
        call: Call,
        f: torch.Tensor,
        state: torch.Tensor,
        de0: torch.Tensor,
        *more: torch.Tensor,
    ) -> Any:
        layout, material = call.layout, call.layout.material
        strain, external = layout.strain(f, state, de0 if call.strained else None)
        fields = dict(zip(call.fields, more, strict=False))
        found = material.update(strain, layout.named(state), call.time, call.dt, fields)
        if len(found.failed):
            warnings.warn(
                f"'{material.label}' did not converge at {len(found.failed)} of {layout.n} "
                f"elements (first: element {int(found.failed[0])})",
                stacklevel=2,
            )
        assert found.tangent is not None
        ctx.call, ctx.solution = call, found.solution
        ctx.save_for_backward(strain, state, *more)
        ctx.set_materialize_grads(False)
        new = layout.state(call.time, external, found.state)
        return layout.outward(found.stress), new, layout.tangent(found.tangent)

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any,
        stress_bar: torch.Tensor | None,
        state_bar: torch.Tensor | None,
        tangent_bar: torch.Tensor | None,
    ) -> Any:
        call, (strain, state, *more) = ctx.call, ctx.saved_tensors
        layout, material = call.layout, call.layout.material
        if tangent_bar is not None:
            raise ModelError(
                f"torch-fem: '{material.label}' has no derivative of its tangent, which gradients "
                "of stiffness matrices and frequencies need"
            )
        if stress_bar is None:
            stress_bar = strain.new_zeros(layout.n, layout.d, layout.d)
        if state_bar is None:
            state_bar = torch.zeros_like(state)
        found = material.vjp(
            strain,
            layout.named(state),
            call.time,
            call.dt,
            layout.inward(stress_bar),
            layout.split(state_bar),
            dict(zip(call.fields, more, strict=False)),
            ctx.solution,
        )
        return (
            None,
            *layout.pull_back(found.strain, found.state, state_bar),
            *(found.fields[n] for n in call.fields),
            *(found.parameters[n] for n in call.parameters),
        )


def _product(rows: torch.Tensor, matrix: torch.Tensor) -> torch.Tensor:
    """Of many short rows with a small matrix: NumPy takes less than half of torch's time."""
    if rows.is_cpu:
        return torch.from_numpy(rows.numpy() @ matrix.numpy())
    return rows @ matrix
