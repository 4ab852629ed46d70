"""Histories computed by material-point drivers: dictionaries, files, figures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from neml2fe import io
from neml2fe.errors import InputError
from neml2fe.models.model import Spec

COMPONENTS = {
    (): ("",),
    (3,): ("_1", "_2", "_3"),
    (6,): ("_11", "_22", "_33", "_23", "_13", "_12"),
    (3, 3): tuple(f"_{i}{j}" for i in "123" for j in "123"),
    (6, 6): tuple(f"_{i}{j}" for i in "123456" for j in "123456"),
}

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

    def flat(self) -> dict[str, torch.Tensor]:
        """`input.<step>.<name>` and `output.<step>.<name>`, all inputs first."""
        found = {}
        for group, steps in (("input", self.inputs), ("output", self.outputs)):
            for k, values in enumerate(steps):
                found.update({f"{group}.{k}.{n}": v.detach().clone() for n, v in values.items()})
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

    def series(self, name: str) -> torch.Tensor:
        """`(n_steps - 1, n_specimens, *base)` values of `name` at steps 1, 2, ..."""
        base = self.types[name].BASE_SHAPE
        rows = [
            (outputs if name in outputs else inputs)[name].detach()
            for inputs, outputs in zip(self.inputs[1:], self.outputs[1:], strict=True)
        ]
        batch = torch.broadcast_shapes(*(r.shape[: r.ndim - len(base)] for r in rows))
        return torch.stack([r.expand(*batch, *base).reshape(-1, *base) for r in rows]).cpu()

    def write_csv(self, path: Path) -> Path:
        """One row per step and specimen: step, specimen, time, components of every variable."""
        columns: dict[str, np.ndarray] = {}
        arrays = {n: self.series(n) for n in [self.time, *self.names()]}
        n_specimens = max(a.shape[1] for a in arrays.values())
        n_steps = len(self.inputs) - 1
        columns["step"] = np.repeat(np.arange(1, n_steps + 1), n_specimens)
        columns["specimen"] = np.tile(np.arange(n_specimens), n_steps)
        for name, values in arrays.items():
            base = self.types[name].BASE_SHAPE
            full = values.expand(n_steps, n_specimens, *base).reshape(n_steps * n_specimens, -1)
            label = "time" if name == self.time else name
            for tail, column in zip(COMPONENTS[tuple(base)], full.numpy().T, strict=True):
                columns[label + tail] = column
        return io.write_columns(path, columns)

    def figure(self, path: Path, strain: str, stress: str) -> Path:
        """Stress against strain, of the component in which the stress varies most."""
        for name in (strain, stress):
            if name not in self.names():
                raise InputError(f"no variable '{name}' to draw; there are {self.names()}")
        x, y = self.series(strain), self.series(stress)
        y = y.expand(y.shape[0], max(x.shape[1], y.shape[1]), *y.shape[2:])
        x = x.expand(y.shape)
        component = int((y.amax((0, 1)) - y.amin((0, 1))).argmax())
        tail = COMPONENTS[tuple(y.shape[2:])][component].lstrip("_")
        curves = [
            (f"specimen {k}", x[:, k, component].numpy(), y[:, k, component].numpy())
            for k in range(y.shape[1])
        ]
        return io.figures.stress_strain(path, curves, f"{strain} {tail}", f"{stress} {tail}", "")
