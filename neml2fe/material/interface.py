"""`PointMaterial`: what a host code asks of a material, and `Adapter`, one made of another."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Protocol

import torch

from neml2fe.errors import ModelError, suggest
from neml2fe.material.results import Fields, PointCotangents, PointResult, State
from neml2fe.models.model import Spec
from neml2fe.types import TypedTensor

Time = float | torch.Tensor


class PointMaterial(Protocol):
    """A batched update of quadrature points; `Material` is one, and so are its adapters.

    The kinds of strain and stress say what drives it: `SR2` small strain, `R2` the deformation
    gradient and a stress, `Vec` the displacement jump (normal, first and second tangential
    component) and the traction of an interface.
    """

    @property
    def label(self) -> str:
        """Its name in messages."""
        ...

    @property
    def strain(self) -> str:
        """The name of the strain among its variables."""
        ...

    @property
    def stress(self) -> str:
        """The name of the stress among its variables."""
        ...

    @property
    def strain_kind(self) -> type[TypedTensor]: ...

    @property
    def stress_kind(self) -> type[TypedTensor]: ...

    @property
    def state_spec(self) -> Spec: ...

    @property
    def field_spec(self) -> Spec: ...

    @property
    def parameters(self) -> dict[str, torch.Tensor]:
        """See `Material.parameters`."""
        ...

    def with_parameters(self, values: Mapping[str, torch.Tensor]) -> AbstractContextManager[object]:
        """See `Material.with_parameters`."""
        ...

    def initial_state(
        self,
        n: int,
        dtype: torch.dtype = torch.float64,
        device: torch.device | str = "cpu",
        fields: Fields | None = None,
    ) -> State:
        """See `Material.initial_state`."""
        ...

    def update(
        self,
        strain: torch.Tensor,
        state: State,
        time: Time,
        dt: Time,
        fields: Fields | None = None,
        tangent: bool = True,
    ) -> PointResult:
        """See `Material.update`."""
        ...

    def vjp(
        self,
        strain: torch.Tensor,
        state: State,
        time: Time,
        dt: Time,
        stress_bar: torch.Tensor,
        state_bar: State | None = None,
        fields: Fields | None = None,
        solution: torch.Tensor | None = None,
    ) -> PointCotangents:
        """See `Material.vjp`."""
        ...

    def jvp(
        self,
        strain: torch.Tensor,
        state: State,
        time: Time,
        dt: Time,
        strain_rate: torch.Tensor,
        state_rate: State | None = None,
        fields: Fields | None = None,
        field_rate: State | None = None,
        solution: torch.Tensor | None = None,
        parameter_rate: Mapping[str, torch.Tensor] | None = None,
    ) -> tuple[torch.Tensor, State]:
        """See `Material.jvp`."""
        ...


class Adapter:
    """A material that is another one, `material`, seen differently; what it does not define is
    that of the other."""

    def __init__(self, material: PointMaterial) -> None:
        self.material = material

    @property
    def label(self) -> str:
        return self.material.label

    @property
    def strain(self) -> str:
        return self.material.strain

    @property
    def stress(self) -> str:
        return self.material.stress

    @property
    def strain_kind(self) -> type[TypedTensor]:
        return self.material.strain_kind

    @property
    def stress_kind(self) -> type[TypedTensor]:
        return self.material.stress_kind

    @property
    def state_spec(self) -> Spec:
        return self.material.state_spec

    @property
    def field_spec(self) -> Spec:
        return self.material.field_spec

    @property
    def parameters(self) -> dict[str, torch.Tensor]:
        return self.material.parameters

    def with_parameters(self, values: Mapping[str, torch.Tensor]) -> AbstractContextManager[object]:
        """See `Material.with_parameters`."""
        return self.material.with_parameters(values)

    def initial_state(
        self,
        n: int,
        dtype: torch.dtype = torch.float64,
        device: torch.device | str = "cpu",
        fields: Fields | None = None,
    ) -> State:
        """See `Material.initial_state`."""
        return self.material.initial_state(n, dtype, device, fields)


class StressAdapter(Adapter):
    """An adapter whose stress follows from that of `material`, an SR2, which it keeps behind the
    unknowns of a solution, so that derivatives there need no further update."""

    def _solution(self, own: PointResult) -> torch.Tensor | None:
        """That of the adapter from the result of `material`."""
        return None if own.solution is None else torch.cat([own.solution, own.stress], -1)

    def _at_solution(
        self,
        strain: torch.Tensor,
        state: State,
        time: Time,
        dt: Time,
        fields: Fields | None,
        known: torch.Tensor | None,
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Stress and unknowns of `material` at its `strain`, where derivatives are taken."""
        if known is not None:
            return known[:, -6:], known[:, :-6]
        own = self.material.update(strain, state, time, dt, fields, tangent=False)
        return own.stress, None if len(own.failed) else own.solution


def require_shape(material: PointMaterial, strain: torch.Tensor) -> None:
    """Raises `ModelError` unless `strain` is `(n, *base)` of the kind that drives `material`."""
    base = material.strain_kind.BASE_SHAPE
    if tuple(strain.shape[1:]) != base:
        raise ModelError(
            f"material: strain '{material.strain}' must have shape "
            f"(n, {', '.join(map(str, base))}), got {tuple(strain.shape)}"
        )


def require_fields(material: PointMaterial, fields: Fields) -> None:
    """Raises `ModelError` where `fields` has a name that is none of `material`."""
    for name in fields:
        if name not in material.field_spec:
            raise ModelError(
                f"material: '{material.label}' has no field '{name}'"
                f"{suggest(name, material.field_spec)}"
            )


def require_rates(material: PointMaterial, what: str, rates: Fields | None, of: Fields) -> None:
    """Raises `ModelError` where `rates` are of none of `of`, or in another shape."""
    for name, rate in (rates or {}).items():
        if name not in of:
            raise ModelError(
                f"material: '{material.label}' has no {what} '{name}' to have a rate"
                f"{suggest(name, of)}"
            )
        if rate.shape != of[name].shape:
            raise ModelError(
                f"material: the rate of {what} '{name}' must have shape {tuple(of[name].shape)}, "
                f"got {tuple(rate.shape)}"
            )
