"""The fields of a solution: what there is at the quadrature points, and the scalars in it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from neml2fe import io
from neml2fe.errors import InputError, suggest
from neml2fe.fem.integrals.measures import PAIRS
from neml2fe.fem.problem import Problem
from neml2fe.fem.terms.solid import SolidTerm
from neml2fe.material import is_old
from neml2fe.types import SR2

Array = NDArray[np.float64]
Scalar = Callable[[Array], Array]

DISPLACEMENT, REACTION = "displacement", "reaction"
STRAIN, STRESS = "strain", "stress"
DEFORMATION_GRADIENT, PIOLA = "deformation_gradient", "first_piola_kirchhoff_stress"
MISES = "stress_mises"
EQUIVALENT_PLASTIC_STRAIN = "equivalent_plastic_strain"

BODY = "body"

_RESERVED = {BODY, DISPLACEMENT, REACTION, STRAIN, STRESS, DEFORMATION_GRADIENT, PIOLA, MISES}
_AXES = "xyz"
_MANDEL = [1.0, 1.0, 1.0, *[math.sqrt(0.5)] * 3]


@dataclass(frozen=True)
class FieldInfo:
    """A field at quadrature points.

    - `name`: its name in files.
    - `shape`: of a value: () scalar, (3,) vector, (6,) Mandel, (3, 3) tensor, (k, 1) k numbers.
    - `sources`: for each solid (its number in `problem.solids`) that has it, the state variable,
      or None for strain and stress themselves.
    """

    name: str
    shape: tuple[int, ...]
    sources: dict[int, str | None]


def point_fields(problem: Problem) -> dict[str, FieldInfo]:
    """All fields at quadrature points by name, the same on every rank.

    Strain and stress come first (finite strain: the deformation gradient, the first
    Piola-Kirchhoff stress, and Cauchy's as `stress`), then the state variables. One that has
    the name of another field is called `state_<name>`; where materials have fields of one name
    and different shapes, `<name>_<body>`.
    """
    found: dict[str, FieldInfo] = {}
    for k, solid in enumerate(problem.solids):
        for name, source, shape in _own_fields(solid):
            if name in found and found[name].shape != shape:
                name = f"{name}_{solid.name}"
            found.setdefault(name, FieldInfo(name, shape, {})).sources[k] = source
    return found


def _own_fields(solid: SolidTerm) -> Iterator[tuple[str, str | None, tuple[int, ...]]]:
    """Name, state variable and shape of each field of a solid."""
    if solid.block.measure.finite:
        yield DEFORMATION_GRADIENT, None, (3, 3)
        yield PIOLA, None, (3, 3)
    else:
        yield STRAIN, None, (6,)
    yield STRESS, None, (6,)
    for state, value in solid.state.items():
        if state not in (solid.material.strain, solid.material.stress) and not is_old(state):
            name = f"state_{state}" if state in _RESERVED else state
            yield name, state, _own_shape(solid, state, value)


def _own_shape(solid: SolidTerm, name: str, value: torch.Tensor) -> tuple[int, ...]:
    """That of a value; several values at a point (slip systems) are a list of numbers."""
    base = solid.material.state_spec[name].BASE_SHAPE
    shape = tuple(value.shape[1:])
    return base if shape == base else (math.prod(shape), 1)


def values_at_points(problem: Problem, info: FieldInfo, k: int) -> torch.Tensor:
    """Values `(n, *info.shape)` of a field at the points of solid number `k`, which has it."""
    solid, state = problem.solids[k], info.sources[k]
    if state is not None:
        value = solid.state[state]
        if len(info.shape) == 2 and solid.material.state_spec[state] is SR2:
            true = io.symmetric_tensor(value.cpu().numpy())
            value = torch.as_tensor(true, device=value.device)
        return value.reshape(len(value), *info.shape)
    if info.name == PIOLA or (info.name == STRESS and not solid.block.measure.finite):
        return solid.stress
    strain = solid.block.strain(torch.as_tensor(problem.u, device=problem.device))
    return cauchy_stress(strain, solid.stress) if info.name == STRESS else strain


def cauchy_stress(f: torch.Tensor, p: torch.Tensor) -> torch.Tensor:
    """Mandel `(n, 6)` of P F^T / det F, for F and P `(n, 3, 3)`; its symmetric part."""
    sigma = p @ f.mT / torch.linalg.det(f)[:, None, None]
    rows = [
        0.5 * (sigma[:, i, j] + sigma[:, j, i]) / s
        for (i, j), s in zip(PAIRS, _MANDEL, strict=True)
    ]
    return torch.stack(rows, dim=-1)


# --- scalars -------------------------------------------------------------------------------
def scalars(name: str, shape: tuple[int, ...]) -> dict[str, Scalar]:
    """Scalars of a field by name: each maps values `(..., *shape)` to `(...)`.

    A scalar is its own; vectors have `<name>_x`, symmetric tensors `<name>_xx` to `<name>_xy`
    (the true components) and `<name>_mises`, tensors `<name>_xx` to `<name>_zz`, lists of
    numbers `<name>_1`, `<name>_2`, ...
    """
    if shape == ():
        return {name: lambda v: v}
    if shape == (6,):
        found: dict[str, Scalar] = {
            f"{name}_{_AXES[i]}{_AXES[j]}": _entry((c,), _MANDEL[c])
            for c, (i, j) in enumerate(PAIRS)
        }
        return {**found, f"{name}_mises": io.mises}
    if shape == (3, 3):
        return {f"{name}_{_AXES[i]}{_AXES[j]}": _entry((i, j)) for i in range(3) for j in range(3)}
    if len(shape) == 1:
        return {f"{name}_{_AXES[i]}": _entry((i,)) for i in range(shape[0])}
    return {f"{name}_{i + 1}": _entry((i, 0)) for i in range(shape[0])}


def _entry(index: tuple[int, ...], factor: float = 1.0) -> Scalar:
    at: tuple[Any, ...] = (..., *index)
    return lambda values: factor * values[at]


@dataclass(frozen=True)
class ScalarField:
    """One scalar of a field at points, or, with `info` None, of the nodal vectors `name`."""

    info: FieldInfo | None
    name: str
    take: Scalar


def find_scalar(problem: Problem, name: str, what: str, nodal: bool = True) -> ScalarField:
    """The scalar called `name`: of the displacements and reactions (`nodal`), or at points.

    `mises` is short for `stress_mises`. Raises `InputError`, which begins with `what`, when
    there is none.
    """
    wanted = MISES if name == "mises" else name
    known: list[str] = []
    if nodal:
        for vector in (DISPLACEMENT, REACTION):
            here = scalars(vector, (problem.local.dim,))
            if wanted in here:
                return ScalarField(None, vector, here[wanted])
            known += here
    for info in point_fields(problem).values():
        here = scalars(info.name, info.shape)
        if wanted in here:
            return ScalarField(info, info.name, here[wanted])
        known += here
    raise InputError(f"{what}: no scalar field '{name}'{suggest(name, known)}")


def nodal_vector(problem: Problem, name: str) -> Array:
    """Displacements or reaction forces of all local nodes, `(n_local, dim)`. Collective."""
    values: Any = problem.u
    if name == REACTION:
        values = problem.unknowns.update_ghosts(problem.unbalanced)
    return np.asarray(values).reshape(-1, problem.local.dim)
