"""A failed quadrature point as a deck that `neml2fe run` repeats."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

import numpy as np

from neml2fe import io
from neml2fe.fem.failure import Array, FailedPoint
from neml2fe.input.deck import Deck
from neml2fe.material import Material, is_old
from neml2fe.types import TypedTensor

NAME = "failed_point"


def write_replay(path: Path, deck: Deck, material: Material, point: FailedPoint) -> Path:
    """Write a deck beside the results that includes `deck` and drives its model through the
    one step that failed. Raises `OutputError`."""
    start = point.time - point.dt
    strain_kind = material.inputs[material.strain]
    old_strain = point.state.get(material.strain, np.zeros_like(point.strain))
    prescribed = {material.strain: (strain_kind, np.stack([old_strain, point.strain]))}
    for name, value in point.fields.items():
        old = point.state.get(name, value)
        prescribed[name] = (material.inputs[name], np.stack([old, value]))
    initial = {
        name: (kind, point.state[name])
        for name, kind in material.state_spec.items()
        if name not in prescribed and not is_old(name)
    }
    tensors = {"": ("Scalar", np.array([start, point.time]))}  # the time has no other name
    tensors |= {n: (k.__name__, v) for n, (k, v) in {**prescribed, **initial}.items()}
    numbers = {name: f"{NAME}_{k}" for k, name in enumerate(tensors)}
    times = numbers[""]
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
        "    type = TransientDriver",
        f"    model = '{material.model.label}'",
        f"    time = '{material.time}'",
        f"    prescribed_time = '{times}'",
        *_lists("prescribed", prescribed, numbers),
        *_lists("ic", initial, numbers),
        "  []",
        "[]",
        "",
    ]
    with io.replacing(path) as temporary:
        temporary.write_text("\n".join(lines))
    return path


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
