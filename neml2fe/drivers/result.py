"""Histories computed by material-point drivers: dictionaries, files, figures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from itertools import product
from pathlib import Path

import numpy as np
import torch

from neml2fe import io
from neml2fe.errors import InputError, suggest
from neml2fe.models.model import Spec, Values
from neml2fe.types import SR2, Scalar

COMPONENTS = {
    (): ("",),
    (3,): ("_1", "_2", "_3"),
    (6,): ("_11", "_22", "_33", "_23", "_13", "_12"),
    (3, 3): tuple(f"_{i}{j}" for i in "123" for j in "123"),
    (6, 6): tuple(f"_{i}{j}" for i in "123456" for j in "123456"),
}

USUAL_STRAINS = ("E", "strain", "total_strain", "elastic_strain")
USUAL_STRESSES = ("stress", "S", "cauchy_stress")

Progress = Callable[[int, int], None]  # (steps done, steps in all)


@dataclass
class History:
    """What a driver computed: per step the inputs and outputs by name, plain tensors.

    `inputs[k]` and `outputs[k]` belong to step k; step 0 holds the initial conditions.
    """

    time: str
    types: Spec
    inputs: list[dict[str, torch.Tensor]] = field(default_factory=list)
    outputs: list[dict[str, torch.Tensor]] = field(default_factory=list)
    strain: str | None = None  # what the figure of a report shows, where the driver knows it
    stress: str | None = None
    time_matters: bool = True  # whether the model reads the time, so that it is saved
    sub_batch: dict[str, int] = field(default_factory=dict)  # sub-batch dimensions, where any

    def append(self, inputs: Values, outputs: Values) -> None:
        """Add a step."""
        for values, steps in ((inputs, self.inputs), (outputs, self.outputs)):
            steps.append({n: v.data for n, v in values.items()})
            self.sub_batch.update({n: v.sub_batch_ndim for n, v in values.items()})

    def inner_shape(self, name: str) -> tuple[int, ...]:
        """Sub-batch and base shape of `name` at the last step."""
        value = {**self.inputs[-1], **self.outputs[-1]}[name]
        n = self.sub_batch.get(name, 0) + self.types[name].base_ndim()
        return tuple(value.shape[value.ndim - n :])

    def flat(self) -> dict[str, torch.Tensor]:
        """`input.<step>.<name>` and `output.<step>.<name>`, all inputs first."""
        found = {}
        for group, steps in (("input", self.inputs), ("output", self.outputs)):
            for k, values in enumerate(steps):
                saved = {n: v for n, v in values.items() if n != self.time or self.time_matters}
                found.update({f"{group}.{k}.{n}": v.detach().clone() for n, v in saved.items()})
        return found

    def save(self, path: Path) -> Path:
        """Write the flat dictionary by `torch.save`. Raises `OutputError`."""
        with io.replacing(path) as temporary:
            torch.save(self.flat(), temporary)
        return path

    def names(self) -> list[str]:
        """Variables present at every step after the first, driven ones first."""
        driven = [n for n in self.inputs[-1] if "~" not in n and n != self.time]
        computed = [n for n in self.outputs[-1] if n not in driven]
        return driven + computed

    def series(self, name: str, first: int = 1) -> torch.Tensor:
        """`(n, n_specimens, *sub_batch, *base)` values of `name` at steps `first`,
        `first + 1`, ..."""
        base, specimens = self.inner_shape(name), self.specimens()
        rows = [
            (outputs if name in outputs else inputs)[name].detach().cpu()
            for inputs, outputs in zip(self.inputs[first:], self.outputs[first:], strict=True)
        ]
        return torch.stack([r.expand((*specimens, *base)).reshape(-1, *base) for r in rows])

    def components(self, name: str) -> list[str]:
        """Endings of the column names of a variable: `_12`, or `[3]_12` in a sub-batch."""
        base = self.types[name].BASE_SHAPE
        inner = self.inner_shape(name)
        places = product(*(range(n) for n in inner[: len(inner) - len(base)]))
        entries = ["".join(f"[{i}]" for i in place) for place in places]
        return [entry + tail for entry in entries for tail in COMPONENTS[base]]

    def specimens(self) -> tuple[int, ...]:
        """The batch shape to which all variables of a step broadcast."""
        if len(self.inputs) < 2:
            raise InputError("the history holds the initial conditions only: no step was computed")
        last = {**self.inputs[-1], **self.outputs[-1]}
        return torch.broadcast_shapes(
            *(v.shape[: v.ndim - len(self.inner_shape(n))] for n, v in last.items())
        )

    def write_csv(self, path: Path) -> Path:
        """One row per step and specimen: step, specimen, time, components of every variable.

        Raises `InputError` when no step was computed, `OutputError` when the file cannot be
        written.
        """
        arrays = {n: self.series(n) for n in [self.time, *self.names()]}
        n_steps, n_specimens = arrays[self.time].shape
        columns: dict[str, np.ndarray] = {
            "step": np.repeat(np.arange(1, n_steps + 1), n_specimens),
            "specimen": np.tile(np.arange(n_specimens), n_steps),
        }
        for name, values in arrays.items():
            label = "time" if name == self.time else name
            flat = values.reshape(n_steps * n_specimens, -1).numpy()
            for tail, column in zip(self.components(name), flat.T, strict=True):
                columns[label + tail] = column
        return io.write_columns(path, columns)

    def figure(self, path: Path, x: str, y: str) -> Path:
        """Draw `y` over `x`, such as stress over strain, one curve a specimen.

        Of several components, the one in which `y` varies most is drawn; `x` is a scalar or of
        the type of `y`. Curves begin at step 0 where the initial values of both are known.
        Raises `InputError` for names or types that cannot be drawn.
        """
        known = [self.time, *self.names()]
        for name in (x, y):
            if name not in known:
                raise InputError(f"no variable '{name}' to draw{suggest(name, known)}")
        initial = {**self.inputs[0], **self.outputs[0]}
        first = 0 if x in initial and y in initial else 1
        shape = {n: self.inner_shape(n) for n in (x, y)}
        if shape[x] not in ((), shape[y]):
            raise InputError(
                f"cannot draw '{y}' ({self.types[y].__name__}) over '{x}' "
                f"({self.types[x].__name__}): their components differ"
            )
        values = {n: self.series(n, first) for n in (x, y)}
        values = {n: v.reshape(*v.shape[:2], -1) for n, v in values.items()}
        component = int((values[y].amax((0, 1)) - values[y].amin((0, 1))).argmax())
        drawn, labels = {}, {}
        for name, v in values.items():
            k = component if shape[name] else 0
            drawn[name], labels[name] = v[..., k].numpy(), name + self.components(name)[k]
        n = drawn[y].shape[1]
        curves = [
            (f"specimen {k}" if n > 1 else "", drawn[x][:, k], drawn[y][:, k]) for k in range(n)
        ]
        return io.figures.stress_strain(path, curves, labels[x], labels[y])

    def report(self, directory: Path, stem: str) -> list[tuple[Path, str]]:
        """Write `<stem>.csv` and `<stem>.png`; the files written and a line about each.

        The figure shows stress over strain, or without such variables an output over time.
        Where matplotlib is missing there is no figure, and the line about the table says so.
        Raises as `write_csv` and `figure`.
        """
        table = self.write_csv(Path(directory) / f"{stem}.csv")
        about = "every step and specimen, one row each"
        if find_spec("matplotlib") is None:
            return [(table, f"{about}; no figure: it needs pip install 'neml2fe[figures]'")]
        x, y = self.axes()
        picture = self.figure(Path(directory) / f"{stem}.png", x, y)
        return [(table, about), (picture, f"{y} over {'time' if x == self.time else x}")]

    def axes(self) -> tuple[str, str]:
        """The variables that tell most: stress over strain, else an output over time.

        The strain is the driver's, a symmetric tensor with a usual name, or the only one that
        is prescribed; the stress likewise, among the outputs.
        """
        tensors = [n for n in self.names() if self.types[n] is SR2]
        driven = [n for n in tensors if n in self.inputs[-1] and n not in self.outputs[-1]]
        computed = [n for n in tensors if n in self.outputs[-1]]
        stress = self.stress or _chosen(computed, USUAL_STRESSES)
        others = [n for n in tensors if n != stress]
        strain = self.strain or _chosen(driven, USUAL_STRAINS, others)
        if stress and strain and stress != strain:
            return strain, stress
        outputs = [n for n in self.names() if n in self.outputs[-1]]
        scalars = [n for n in outputs if self.types[n] is Scalar]
        return self.time, (scalars or outputs)[0]


def _chosen(
    candidates: Sequence[str], usual: Sequence[str], named: Sequence[str] | None = None
) -> str | None:
    """The first usual name in `named` (`candidates` by default), else the only candidate."""
    found = [n for n in usual if n in (candidates if named is None else named)]
    if found:
        return found[0]
    return candidates[0] if len(candidates) == 1 else None
