"""Runs and times `neml2fe.material` for one job of kernels.py.

    python own_kernels.py FOLDER

FOLDER holds job.json and inputs.npz; values.npz and result.json are written there.
"""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from stopwatch import measure, waited

import neml2fe
from neml2fe.material import Material, PointResult, State, lags


class Update:
    """The first `n` points of a sample, ready for calls of the material."""

    def __init__(self, material: Material, inputs: State, n: int) -> None:
        self.material = material
        self.strain = inputs[material.strain][:n]
        self.state = {name: inputs[lags(name, 1)][:n] for name in material.state_spec}
        self.fields = {name: inputs[name][:n] for name in material.field_spec}
        self.time = float(inputs["t"])  # at the end of the step, which starts at zero

    def __call__(self, tangent: bool = True) -> PointResult:
        t = self.time
        return self.material.update(self.strain, self.state, t, t, self.fields, tangent)

    def vjp(self, bars: PointResult) -> object:
        """Pulls `bars`, of the shapes of results, back to all inputs and parameters, starting from
        the solution of the update that they carry."""
        return self.material.vjp(
            self.strain,
            self.state,
            self.time,
            self.time,
            bars.stress,
            bars.state,
            self.fields,
            bars.solution,
        )

    def traffic(self, result: PointResult) -> int:
        """Bytes that must be read and written: each input and each new output once."""
        given = [self.strain, *self.state.values(), *self.fields.values()]
        known = {t.data_ptr() for t in given}
        found = [result.stress, result.tangent, *result.state.values()]
        new = [t for t in found if t is not None and t.data_ptr() not in known]
        return sum(t.numel() * t.element_size() for t in given + new)


def copy_bandwidth(device: str) -> float:
    """Bytes a second, read and written, of copying a tensor much larger than any cache."""
    source = torch.zeros(2**26 if device == "cuda" else 2**24, dtype=torch.float64, device=device)
    target = torch.empty_like(source)
    seconds = measure(lambda: target.copy_(source), device)["best"]
    return 2 * source.numel() * source.element_size() / seconds


def cold(update: Update, device: str) -> dict[str, float]:
    """Seconds of the first update in this process and of the second; the rest is compilation."""
    first, second = waited(update, device), waited(update, device)
    return {"first": first, "second": second, "compilation": first - second}


def timings(material: Material, inputs: State, n: int, device: str) -> dict[str, Any]:
    update = Update(material, inputs, n)
    result = update()
    generator = torch.Generator().manual_seed(n)
    bars = replace(
        result,
        stress=random_like(result.stress, generator),
        state={name: random_like(value, generator) for name, value in result.state.items()},
    )
    return {
        "update": measure(update, device),
        "values": measure(lambda: update(tangent=False), device),
        "vjp": measure(lambda: update.vjp(bars), device),
        "bytes": update.traffic(result),
    }


def random_like(value: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    return torch.randn(value.shape, dtype=value.dtype, generator=generator).to(value.device)


def main() -> None:
    folder = Path(sys.argv[1])
    job = json.loads((folder / "job.json").read_text())
    torch.set_num_threads(job["threads"])
    device = job["device"]
    model = neml2fe.load_model(job["deck"], "model").to(device)
    material = Material(model, job["strain"], backend=job["route"])
    inputs = {
        name: torch.from_numpy(value).to(device)
        for name, value in np.load(folder / "inputs.npz").items()
    }
    found: dict[str, Any] = {"backend": material.backend}
    if job["cold"]:
        found |= cold(Update(material, inputs, min(job["points"])), device)
    else:
        found["bandwidth"] = copy_bandwidth(device)
        result = Update(material, inputs, max(job["points"]))()
        assert result.tangent is not None
        np.savez(
            folder / "values.npz",
            stress=result.stress.cpu().numpy(),
            tangent=result.tangent.cpu().numpy(),
        )
        name, threshold = job["plastic"]
        found["failed"] = len(result.failed)
        found["plastic"] = (result.state[name] > threshold).double().mean().item()
        iterations = result.iterations.double()
        found["iterations"] = {"mean": iterations.mean().item(), "most": iterations.max().item()}
        found["points"] = {n: timings(material, inputs, n, device) for n in job["points"]}
    (folder / "result.json").write_text(json.dumps(found))


main()
