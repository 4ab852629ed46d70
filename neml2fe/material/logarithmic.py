r"""Small-strain materials at finite strain, by the logarithmic strain $E = \frac12 \ln F^T F$.

The law of `neml2fe.models.LogarithmicStrainWrapper`, C. Miehe, N. Apel and M. Lambrecht, CMAME 191
(2002) 5383, around any material instead of around a model: with $C = F^T F$ and the stress $T$
that the material gives for $E$, $S = D\ln(C)[T]$ and $P = F S$. The update in between is that of
the small-strain material, so that its kernel serves both kinematics.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch

from neml2fe.errors import ModelError
from neml2fe.material.interface import PointMaterial, StressAdapter, Time, require_shape
from neml2fe.material.logarithm import Logarithm
from neml2fe.material.piola import add_initial_stress
from neml2fe.material.results import Fields, PointCotangents, PointResult, State
from neml2fe.types import R2, SR2, TypedTensor
from neml2fe.types.mandel import to_matrix


class LogarithmicStrain(StressAdapter):
    """`material`, a small-strain one, driven by deformation gradients `(n, 3, 3)` to first
    Piola-Kirchhoff stress `(n, 3, 3)`, tangent `(n, 3, 3, 3, 3)`.

    State, fields, parameters and energy are those of `material`, its strain the logarithmic one
    and its stress conjugate to that. A point with det F <= 0 fails.

    Raises `ModelError` unless `material` maps SR2 to SR2.
    """

    def __init__(self, material: PointMaterial) -> None:
        super().__init__(material)
        if (material.strain_kind, material.stress_kind) != (SR2, SR2):
            raise ModelError(
                f"logarithmic strain: '{material.label}' maps {material.strain_kind.__name__} to "
                f"{material.stress_kind.__name__}, and no SR2 to SR2"
            )

    @property
    def strain(self) -> str:
        return "F"

    @property
    def stress(self) -> str:
        return "pk1_stress"

    @property
    def strain_kind(self) -> type[TypedTensor]:
        return R2

    @property
    def stress_kind(self) -> type[TypedTensor]:
        return R2

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
        require_shape(self, strain)
        at = _Kinematics.of(strain)
        found = self.material.update(at.strain, state, time, dt, fields, tangent)
        slope = None
        if found.tangent is not None:
            slope = at.slope(found.stress, found.tangent)
        return replace(
            found,
            stress=at.first_piola(found.stress),
            tangent=slope,
            solution=self._solution(found),
        )

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
        """See `Material.vjp`. One of those of `material`; without a solution, one update."""
        at = _Kinematics.of(strain)
        own, inner = self._at_solution(at.strain, state, time, dt, fields, solution)
        by_s = 0.5 * _times(at.by_f, stress_bar.flatten(1))
        own_bar = _times(at.log.slope, by_s)
        found = self.material.vjp(at.strain, state, time, dt, own_bar, state_bar, fields, inner)
        by_c = _times(at.log.curvature(own), by_s) + 0.5 * _times(at.log.slope, found.strain)
        by_f = _times(at.by_f.mT, by_c).unflatten(1, (3, 3))
        return replace(found, strain=by_f + stress_bar @ at.second_piola(own))

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
        """See `Material.jvp`. One of those of `material`; without a solution, one update."""
        at = _Kinematics.of(strain)
        own, inner = self._at_solution(at.strain, state, time, dt, fields, solution)
        c_rate = _times(at.by_f, strain_rate.flatten(1))
        rate = 0.5 * _times(at.log.slope, c_rate)
        own_rate, states = self.material.jvp(
            at.strain,
            state,
            time,
            dt,
            rate,
            state_rate,
            fields,
            field_rate,
            inner,
            parameter_rate,
        )
        s_rate = _times(at.log.slope, own_rate) + _times(at.log.curvature(own), c_rate)
        p_rate = 0.5 * _times(at.by_f.mT, s_rate).unflatten(1, (3, 3))
        return p_rate + strain_rate @ at.second_piola(own), states


@dataclass(frozen=True)
class _Kinematics:
    """Of deformation gradients F `(n, 3, 3)`: ln C and `by_f` = dC/dF `(n, 6, 9)`."""

    log: Logarithm
    by_f: torch.Tensor

    @classmethod
    def of(cls, f: torch.Tensor) -> _Kinematics:
        regular = (torch.linalg.det(f) > 0.0)[:, None, None]  # false for NaN
        log = Logarithm.of(torch.where(regular, f.mT @ f, torch.nan))
        basis = to_matrix(torch.eye(6, dtype=f.dtype, device=f.device))
        by_f = 2.0 * torch.einsum("alj,nkj->nakl", basis, f)
        return cls(log, by_f.flatten(2))

    @property
    def strain(self) -> torch.Tensor:
        return 0.5 * self.log.value

    def second_piola(self, stress: torch.Tensor) -> torch.Tensor:
        """S `(n, 3, 3)` of the stress conjugate to the logarithmic strain."""
        return to_matrix(_times(self.log.slope, stress))

    def first_piola(self, stress: torch.Tensor) -> torch.Tensor:
        s = _times(self.log.slope, stress)
        return 0.5 * _times(self.by_f.mT, s).unflatten(1, (3, 3))

    def slope(self, stress: torch.Tensor, tangent: torch.Tensor) -> torch.Tensor:
        """dP/dF from the tangent `(n, 6, 6)` of the small-strain material."""
        by_c = 0.5 * self.log.slope @ tangent @ self.log.slope + self.log.curvature(stress)
        found = 0.5 * (self.by_f.mT @ (by_c @ self.by_f))
        slope = found.reshape(len(found), 3, 3, 3, 3)
        add_initial_stress(slope, self.second_piola(stress))
        return slope


def _times(matrix: torch.Tensor, vector: torch.Tensor) -> torch.Tensor:
    return (matrix @ vector.unsqueeze(-1)).squeeze(-1)
