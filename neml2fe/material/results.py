"""What an update of points gives, and its derivatives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch

from neml2fe.implicit import Status

Fields = Mapping[str, torch.Tensor]
State = dict[str, torch.Tensor]


@dataclass(frozen=True)
class PointResult:
    """Outcome of `Material.update` for n points.

    stress `(n, *base)`, Mandel if symmetric; tangent `(n, *base, *strain_base)`
    dstress/dstrain of the discrete update (or None); state by name, `(n, *sub_batch, *base)`;
    status and iterations `(n,)`. Points whose status is not `Status.CONVERGED` hold NaN.
    `solution` are the implicit unknowns that a kernel found, and what adapters add, `(n, size)`,
    which spare `vjp` and `jvp` the solve. `energy` `(n,)` per reference volume, if the material
    has one.
    """

    stress: torch.Tensor
    tangent: torch.Tensor | None
    state: State
    status: torch.Tensor
    iterations: torch.Tensor
    solution: torch.Tensor | None = None
    energy: torch.Tensor | None = None

    @property
    def failed(self) -> torch.Tensor:
        """Numbers of the points that did not converge."""
        return (self.status != Status.CONVERGED).nonzero().squeeze(-1)


@dataclass(frozen=True)
class PointCotangents:
    """Transposed derivatives of one update: of strain `(n, *base)`, old state and fields by name,
    and of every parameter that requires a gradient, summed over the points."""

    strain: torch.Tensor
    state: State
    fields: State
    parameters: dict[str, torch.Tensor] = field(default_factory=dict)
