"""`Layout`: the variables of a material as flat rows of numbers, as compiled codes keep them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch

from neml2fe.errors import ModelError
from neml2fe.material import Material
from neml2fe.material.measures import stress_measure_of
from neml2fe.models.functional import parameter_base_ndims
from neml2fe.types import R2, SR2, TypedTensor

SMALL = "small strain"


@dataclass(frozen=True)
class Variable:
    """A variable of one point: its numbers lie at `offset` in the row of all of its role."""

    name: str
    kind: str
    size: int
    offset: int


@dataclass(frozen=True)
class Layout:
    """Rows of one point: strain, stress, state and fields; of all points: parameters.

    `measure` is `small strain`, or what stress a deformation gradient gives: PK1, PK2, KIRCHHOFF
    or CAUCHY; `initial` the virgin state and `values` the parameters of the deck. `logarithmic`: a
    small-strain law that is driven by the logarithmic strain of a deformation gradient.
    """

    name: str
    measure: str
    strain: Variable
    stress: Variable
    state: tuple[Variable, ...]
    fields: tuple[Variable, ...]
    parameters: tuple[Variable, ...]
    initial: tuple[float, ...]
    values: tuple[float, ...]
    logarithmic: bool = False

    @classmethod
    def of(
        cls, name: str, material: Material, measure: str = "auto", finite_strain: bool = False
    ) -> Layout:
        """`measure`: see `neml2fe.material.finite_strain`; with `finite_strain`, small-strain laws
        are driven by the logarithmic strain.

        Raises `ModelError` where compiled codes cannot have the material: driven by a
        displacement jump, or with parameters that differ from point to point.
        """
        kind = material.strain_kind
        if kind not in (SR2, R2):
            raise ModelError(
                f"'{name}' is driven by a {kind.__name__}; a library is made of laws driven by a "
                "strain (SR2) or a deformation gradient (R2)"
            )
        state = material.initial_state(1, torch.float64)
        parameters = {n: p.detach() for n, p in material.parameters.items()}
        own = parameter_base_ndims(material.model)
        for n, p in parameters.items():
            if p.ndim > own[n]:
                raise ModelError(
                    f"'{name}': parameter '{n}' has shape {tuple(p.shape)}, other values for other "
                    "points; a library takes one value for all"
                )
        logarithmic = finite_strain and kind is SR2
        if logarithmic:
            strain, stress = Variable("F", "R2", 9, 0), Variable("pk1_stress", "R2", 9, 0)
        else:
            strain, stress = (
                _alone(material.strain, kind),
                _alone(material.stress, material.stress_kind),
            )
        return cls(
            name,
            "PK1"
            if logarithmic
            else SMALL
            if kind is SR2
            else stress_measure_of(material, measure),
            strain,
            stress,
            _row((n, t.__name__, state[n].numel()) for n, t in material.state_spec.items()),
            _row((n, t.__name__, math.prod(t.BASE_SHAPE)) for n, t in material.field_spec.items()),
            _row((n, "parameter", p.numel()) for n, p in parameters.items()),
            tuple(float(x) for n in material.state_spec for x in state[n].reshape(-1)),
            tuple(float(x) for p in parameters.values() for x in p.reshape(-1)),
            logarithmic,
        )


def size(row: Iterable[Variable]) -> int:
    """How many numbers a row has."""
    return sum(v.size for v in row)


def _alone(name: str, kind: type[TypedTensor]) -> Variable:
    return Variable(name, kind.__name__, math.prod(kind.BASE_SHAPE), 0)


def _row(entries: Iterable[tuple[str, str, int]]) -> tuple[Variable, ...]:
    found: list[Variable] = []
    for name, kind, numbers in entries:
        found.append(Variable(name, kind, numbers, size(found)))
    return tuple(found)
