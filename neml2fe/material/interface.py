"""`PointMaterial`: what a host code asks of a material, and `Adapter`, one made of another."""

from __future__ import annotations

from typing import Protocol

import torch

from neml2fe.errors import ModelError
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

    def initial_state(
        self,
        n: int,
        dtype: torch.dtype = torch.float64,
        device: torch.device | str = "cpu",
        fields: Fields | None = None,
    ) -> State:
        """See `Material.initial_state`."""
        return self.material.initial_state(n, dtype, device, fields)


def require_shape(material: PointMaterial, strain: torch.Tensor) -> None:
    """Raises `ModelError` unless `strain` is `(n, *base)` of the kind that drives `material`."""
    base = material.strain_kind.BASE_SHAPE
    if tuple(strain.shape[1:]) != base:
        raise ModelError(
            f"material: strain '{material.strain}' must have shape "
            f"(n, {', '.join(map(str, base))}), got {tuple(strain.shape)}"
        )
