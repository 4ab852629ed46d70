"""A failed quadrature point as a deck that `neml2fe run` repeats."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

import numpy as np
import torch

from neml2fe import io
from neml2fe.fem.failure import Array, FailedPoint
from neml2fe.input.deck import Deck
from neml2fe.material import Material, PlaneStress, PointMaterial, is_old
from neml2fe.material.interface import Adapter
from neml2fe.material.plane_stress import OUT_OF_PLANE_STRAIN, PLACES
from neml2fe.models.solid_mechanics.logarithmic_strain import logarithmic_strain
from neml2fe.types import R2, SR2, TypedTensor

NAME = "failed_point"
_STRAIN = "strain "  # of mixed control, which no variable is called


def write_replay(path: Path, deck: Deck, seen: PointMaterial, point: FailedPoint) -> Path:
    """Write a deck beside the results that includes `deck` and drives the model of the material
    `seen` by the elements through the one step that failed.

    A model of small strain gets, at finite strain, the logarithmic one, and in plane stress no
    stress out of the plane; one of the deformation gradient in plane stress gets its out-of-plane
    column at the beginning of the step. Raises `OutputError`.
    """
    start = point.time - point.dt
    material, strains, state = _driven(seen, point)
    spec, mixed = material.inputs, isinstance(seen, PlaneStress) and material.strain_kind is SR2
    prescribed = {} if mixed else {material.strain: (spec[material.strain], strains)}
    for name, value in point.fields.items():
        prescribed[name] = (spec[name], np.stack([state.get(name, value), value]))
    initial = {
        name: (kind, state[name])
        for name, kind in material.state_spec.items()
        if name not in prescribed and not is_old(name)
    }
    if mixed:
        initial[material.strain] = (SR2, strains[0])
    tensors = {"": ("Scalar", np.array([start, point.time]))}  # the time has no other name
    tensors |= {n: (k.__name__, v) for n, (k, v) in {**prescribed, **initial}.items()}
    if mixed:
        tensors[_STRAIN] = ("SR2", strains)
    numbers = {name: f"{NAME}_{k}" for k, name in enumerate(tensors)}
    included = os.path.relpath(os.path.abspath(deck.path), path.parent.resolve())
    lines = [
        f"# {point.place}: its update from time {start:g} to {point.time:g} did not converge.",
        f"#   neml2fe run {path.name} {NAME}{override_options(deck)}",
        "",
        f"!include {included}",
        "",
        "[Tensors]",
        *[
            line
            for name, (kind, value) in tensors.items()
            for line in _tensor(numbers[name], kind, value)
        ],
        "[]",
        "",
        "[Drivers]",
        f"  [{NAME}]",
        f"    type = {'MixedControlDriver' if mixed else 'TransientDriver'}",
        f"    model = '{material.model.label}'",
        f"    time = '{material.time}'",
        f"    prescribed_time = '{numbers['']}'",
        *(_plane_stress(material, numbers[_STRAIN]) if mixed else ()),
        *_lists("prescribed", prescribed, numbers),
        *_lists("ic", initial, numbers),
        "  []",
        "[]",
        "",
    ]
    with io.replacing(path) as temporary:
        temporary.write_text("\n".join(lines))
    return path


def _driven(seen: PointMaterial, point: FailedPoint) -> tuple[Material, Array, dict[str, Array]]:
    """The material below all adapters, its strains `(2, *base)` before and after the step, and its
    state before."""
    material, state = seen, dict(point.state)
    while isinstance(material, Adapter):
        material = material.material
    assert isinstance(material, Material)
    undeformed = np.zeros(6) if seen.strain_kind is SR2 else np.eye(3)
    strains = np.stack([undeformed, point.strain])
    if isinstance(seen, PlaneStress):
        _, out = PLACES[seen.strain_kind]
        strains.reshape(2, -1)[:, out] = state.pop(OUT_OF_PLANE_STRAIN)
    if material.strain_kind is SR2 and seen.strain_kind is R2:
        strains = logarithmic_strain(R2(torch.as_tensor(strains))).data.numpy()
    strains[0] = state.get(material.strain, strains[0])
    return material, strains, state


def _plane_stress(material: Material, strains: str) -> list[str]:
    return [
        "    control = 'strain strain stress stress stress strain'",
        f"    prescribed_strain = '{strains}'",
        f"    strain = '{material.strain}'",
        f"    stress = '{material.stress}'",
        "    max_bisections = 0",
    ]


def _tensor(name: str, kind: str, value: Array) -> list[str]:
    return [
        f"  [{name}]",
        "    type = Python",
        f"    expr = '{kind}(torch.tensor({value.tolist()}))'",
        "  []",
    ]


def override_options(deck: Deck) -> str:
    """The `--set` options with which `deck` was read."""
    return "".join(f" --set {shlex.quote(text)}" for text in deck.overrides)


def _lists(
    group: str, values: dict[str, tuple[type[TypedTensor], Array]], tensors: dict[str, str]
) -> list[str]:
    """The `<group>_<type>_names` and `_values` fields of a driver."""
    lines = []
    for kind in sorted({kind.__name__ for kind, _ in values.values()}):
        names = [n for n, (k, _) in values.items() if k.__name__ == kind]
        lines.append(f"    {group}_{kind}_names = '{' '.join(names)}'")
        lines.append(f"    {group}_{kind}_values = '{' '.join(tensors[n] for n in names)}'")
    return lines
