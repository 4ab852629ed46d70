"""Any material at finite strain: driven by F, giving first Piola-Kirchhoff stress."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch

from neml2fe.errors import ModelError, suggest
from neml2fe.material.interface import PointMaterial, StressAdapter, Time
from neml2fe.material.logarithmic import LogarithmicStrain
from neml2fe.material.piola import first_piola, first_piola_slope
from neml2fe.material.point import Material
from neml2fe.material.results import Fields, PointCotangents, PointResult, State
from neml2fe.material.variables import measure_of
from neml2fe.models.solid_mechanics.finite_strain import MEASURES
from neml2fe.types import R2, SR2, TypedTensor


def finite_strain(material: Material, stress_measure: str = "auto") -> PointMaterial:
    """`material` driven by the deformation gradient, giving first Piola-Kirchhoff stress.

    A small-strain one takes the logarithmic strain (`LogarithmicStrain`), another one is adapted
    by `FirstPiolaKirchhoff` if need be; for `stress_measure` see `stress_measure_of`.
    """
    if material.strain_kind is SR2:
        return LogarithmicStrain(material)
    if stress_measure_of(material, stress_measure) == "PK1":
        return material
    return FirstPiolaKirchhoff(material, stress_measure)


def stress_measure_of(material: Material, given: str = "auto") -> str:
    """The measure of a stress of a deformation gradient: `given`, or with `auto` PK1 for an R2,
    and for an SR2 what the model says.

    Raises `ModelError` where that is unknown or impossible.
    """
    if material.strain_kind is not R2:
        raise ModelError(
            f"stress measure: '{material.label}' is driven by '{material.strain}', a "
            f"{material.strain_kind.__name__}, and no deformation gradient"
        )
    if given != "auto" and given not in MEASURES:
        raise ModelError(f"no stress measure '{given}'{suggest(given, ('auto', *MEASURES))}")
    known = "PK1" if material.stress_kind is R2 else measure_of(material.model, material.stress)
    if given == "auto" and known is None:
        raise ModelError(
            f"stress measure: nothing says what stress '{material.stress}' of "
            f"'{material.label}' is; name it: {', '.join(MEASURES[1:])}"
        )
    measure = known if given == "auto" else given
    if (measure == "PK1") != (material.stress_kind is R2):
        raise ModelError(
            f"stress measure: '{material.stress}' of '{material.label}' is a "
            f"{material.stress_kind.__name__}, which {measure} is not"
        )
    assert measure is not None
    return measure


class FirstPiolaKirchhoff(StressAdapter):
    """`material`, driven by a deformation gradient `(n, 3, 3)` to Cauchy, Kirchhoff or second
    Piola-Kirchhoff stress, as one that gives the first `(n, 3, 3)`, tangent `(n, 3, 3, 3, 3)`.

    `stress_measure`: see `stress_measure_of`. State and energy are those of `material`.
    """

    def __init__(self, material: Material, stress_measure: str = "auto") -> None:
        super().__init__(material)
        self.measure = stress_measure_of(material, stress_measure)
        if self.measure == "PK1":
            raise ModelError(f"'{material.label}' gives first Piola-Kirchhoff stress already")

    @property
    def stress(self) -> str:
        return "pk1_stress"

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
        found = self.material.update(strain, state, time, dt, fields, tangent)
        slope = found.tangent
        if slope is not None:
            slope = first_piola_slope(strain, found.stress, slope, self.measure)
        return replace(
            found,
            stress=first_piola(strain, found.stress, self.measure),
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
        own, inner = self._at_solution(strain, state, time, dt, fields, solution)
        _, pull = torch.func.vjp(  # type: ignore[misc]
            lambda f, s: first_piola(f, s, self.measure), strain, own
        )
        by_strain, by_stress = pull(stress_bar)
        found = self.material.vjp(strain, state, time, dt, by_stress, state_bar, fields, inner)
        return replace(found, strain=found.strain + by_strain)

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
        own, inner = self._at_solution(strain, state, time, dt, fields, solution)
        own_rate, rates = self.material.jvp(
            strain,
            state,
            time,
            dt,
            strain_rate,
            state_rate,
            fields,
            field_rate,
            inner,
            parameter_rate,
        )
        _, rate = torch.func.jvp(  # type: ignore[misc]
            lambda f, s: first_piola(f, s, self.measure), (strain, own), (strain_rate, own_rate)
        )
        return rate, rates
