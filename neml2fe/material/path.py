"""What drives many points through a history, what comes of it, and derivatives of that."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import torch

from neml2fe.errors import ModelError
from neml2fe.implicit import Status
from neml2fe.kernels import History

if TYPE_CHECKING:
    from neml2fe.material.point import Material
    from neml2fe.material.results import Fields, State


@dataclass(frozen=True)
class MarchResult:
    """Outcome of a march of n points over S steps.

    stress `(S, n, 6)`; state by name, `(S + 1, n, *sub_batch, *base)` with the initial one first,
    or that of the steps 0, k, 2k, ..., S alone with `keep_every` = k; status and iterations
    `(S, n)`; tangent `(S, n, 6, 6)` or None. A point that fails holds NaN and its status from
    that step on. `solution` are the unknowns that a kernel found, `(S, n, n_unknowns)`.
    """

    stress: torch.Tensor
    state: State
    status: torch.Tensor
    iterations: torch.Tensor
    tangent: torch.Tensor | None = None
    solution: torch.Tensor | None = None
    keep_every: int = 1

    @property
    def failed(self) -> torch.Tensor:
        """Numbers of the points that did not reach the end."""
        return (self.status[-1] != Status.CONVERGED).nonzero().squeeze(-1)


@dataclass(frozen=True)
class MarchCotangents:
    """Transposed derivatives of a march: of strain `(S, n, 6)`, of the initial state, of fields
    in their shapes, and of every parameter that requires a gradient, in its shape."""

    strain: torch.Tensor
    state: State
    fields: State
    parameters: dict[str, torch.Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class Path:
    """What drives the points: strain `(S, n, 6)`, times `(S + 1,)` or `(S + 1, n)`, and fields,
    of which the `varying` ones are `(S, n, *shape)` and all others `(n, *shape)`."""

    material: Material
    strain: torch.Tensor
    times: torch.Tensor
    fields: State
    varying: frozenset[str]

    @classmethod
    def of(
        cls, material: Material, strain: torch.Tensor, times: torch.Tensor, fields: Fields | None
    ) -> Path:
        base = material.inputs[material.strain].BASE_SHAPE
        if tuple(strain.shape[2:]) != base or not len(strain):
            raise ModelError(
                f"march: strain '{material.strain}' must have shape "
                f"(steps, n, {', '.join(map(str, base))}), got {tuple(strain.shape)}"
            )
        outer = tuple(strain.shape[:2])
        times = torch.as_tensor(times, dtype=strain.dtype, device=strain.device)
        if tuple(times.shape) not in ((outer[0] + 1,), (outer[0] + 1, outer[1])):
            raise ModelError(
                f"march: times must have shape ({outer[0] + 1},) or ({outer[0] + 1}, {outer[1]}), "
                f"the initial time first, got {tuple(times.shape)}"
            )
        fields, spec = dict(fields or {}), material.field_spec
        varying = frozenset(
            n
            for n, v in fields.items()
            if n in spec and v.ndim >= 2 + spec[n].base_ndim() and tuple(v.shape[:2]) == outer
        )
        return cls(material, strain, times, fields, varying)

    @property
    def steps(self) -> int:
        return self.strain.shape[0]

    @property
    def n(self) -> int:
        return self.strain.shape[1]

    def part(self, first: int, last: int) -> Path:
        fields = {n: v[first:last] if n in self.varying else v for n, v in self.fields.items()}
        strain, times = self.strain[first:last], self.times[first : last + 1]
        return replace(self, strain=strain, times=times, fields=fields)

    def parts(self, k: int) -> list[Path]:
        """Stretches of k steps, the last one perhaps shorter."""
        return [self.part(a, min(a + k, self.steps)) for a in range(0, self.steps, k)]

    def step(self, k: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, State]:
        """Strain, time, its increment and fields of step k, as `Material.update` takes them."""
        fields = {n: v[k] if n in self.varying else v for n, v in self.fields.items()}
        return self.strain[k], self.times[k + 1], self.times[k + 1] - self.times[k], fields

    def inputs(self, state: State) -> State:
        """The checked inputs of the model in the first step."""
        strain, time, dt, fields = self.step(0)
        return self.material._inputs(strain, state, time, dt, fields)

    def arguments(self, state: State) -> dict[str, torch.Tensor | History]:
        """Those of a kernel for all steps; `state` is the one before the first."""
        material, shared = self.material, self.times.ndim == 1
        new, old = material._times
        return {
            **material.compiled.arguments(self.inputs(state)),
            material.strain: History(self.strain),
            new: History(self.times[1:], shared),
            old: History(self.times[:-1], shared),
            **{n: History(self.fields[n]) for n in self.varying},
        }

    def start(self, state: State | None) -> State:
        """The initial state, virgin if not given, in the shapes that it will keep."""
        material, (strain, _, _, fields) = self.material, self.step(0)
        if state is None:
            return material.initial_state(self.n, strain.dtype, strain.device, fields)
        self.inputs(state)
        for name, shape in material.state_shapes(fields).items():
            if tuple(state[name].shape) != (self.n, *shape):
                raise ModelError(
                    f"march: state '{name}' must have shape {(self.n, *shape)}, got "
                    f"{tuple(state[name].shape)}"
                )
        return state
