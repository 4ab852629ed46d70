"""Times gradients of finite-element histories against the simulations themselves.

    python benchmarks/gradients.py [--cases plate,cube] [--out results/NAME.json] [--quick]

A clamped plate or cube of J2 plasticity with Voce hardening, pulled and pulled back; the loss is
that of the reaction and of displacements at 200 points after every step. Ratios are of the reverse
sweep to the forward run, for 5 parameters and for one of every element, and for each way to keep
the states. Gradients are compared with central differences before their timing counts.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import machine
import numpy as np
import torch
from fem_job import forgotten, peak
from rich.console import Console
from rich.table import Table

import neml2fe
from neml2fe import fem
from neml2fe.fem.adjoint.checkpoints import Checkpoints
from neml2fe.fem.adjoint.solve import Solution
from neml2fe.fem.mesh.generate import box, rectangle
from neml2fe.fem.observations import DisplacementsAt, Reaction
from neml2fe.kernels import repeated
from neml2fe.material import Material

DECK = Path(__file__).parent / "decks" / "radial_voce.i"
FIELD = "[Bodies]\n[body]\nfield_names = 'R'\nfield_values = 140\n[]\n[]\n"
FITTED = ("E", "nu", "R", "d", "sy")
STORAGE = {
    "all": Checkpoints("all"),
    "every 4th": Checkpoints("every", every=4),
    "revolve, 4": Checkpoints("revolve", snapshots=4),
    "all, on disk": None,
}
AGREEMENT = 1e-6  # of the derivative along a random direction and by central differences
LIMITS = {"all": 0.5, "all, on disk": 0.5}
OTHERS = 1.2  # limit of the ratio where states are recomputed
REPEATED = 1_000  # calls of the material: compile in any case


@dataclass(frozen=True)
class Case:
    """`elements` along each side; `quick` under --quick."""

    elements: tuple[int, ...]
    quick: tuple[int, ...]
    steps: int = 20


CASES = {
    "plate": Case((100, 50), (8, 4)),
    "cube": Case((13, 13, 13), (4, 4, 4), steps=10),
}


class Run:
    """A simulation to differentiate by parameters of its material, or by one of every element."""

    def __init__(self, elements: tuple[int, ...], by_element: bool, steps: int) -> None:
        text = DECK.read_text()
        n = int(np.prod(elements))
        if by_element:
            text = text.replace("saturated_hardening = 140", "saturated_hardening = 'R'") + FIELD
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "law.i"
            path.write_text(text)
            law = Material(neml2fe.load_model(path, "model"))
        of_last = {name.split(".")[-1]: p for name, p in law.parameters.items()}
        for p in law.parameters.values():
            p.requires_grad_(False)
        self.tensors = [] if by_element else [of_last[n].requires_grad_() for n in FITTED]
        fields: dict[str, fem.ElementField] = {}
        if by_element:
            generator = torch.Generator().manual_seed(0)
            field = 140.0 * (1.0 + 0.1 * torch.rand(n, generator=generator, dtype=torch.float64))
            self.tensors = [field.requires_grad_()]
            fields["R"] = fem.ElementField(field)
        mesh = (box if len(elements) == 3 else rectangle)(
            *elements, "hexahedron" if len(elements) == 3 else "quad"
        )
        axes = "xyz"[: len(elements)]
        path = fem.PiecewiseLinear([0.0, 0.6, 1.0], [0.0, 0.012, 0.006])
        conditions = [
            *(fem.Dirichlet("left", axis) for axis in axes),
            *(fem.Dirichlet("right", axis, label=f"side_{axis}") for axis in axes[1:]),
            fem.Dirichlet("right", "x", path, label="pull"),
        ]
        self.problem = fem.Problem(mesh, fem.Body(law, fields=fields), conditions)
        self.steps = [float(t) for t in np.linspace(0.0, 1.0, steps + 1)[1:]]
        points = np.random.default_rng(0).uniform(0.05, 0.95, (200, len(elements)))
        points *= mesh.points.max(0)
        observed = {"u": DisplacementsAt(points), "reaction": Reaction("pull")}
        self.observe = {n: o.bind(self.problem) for n, o in observed.items()}

    def solve(self, checkpoints: Checkpoints | None, record: bool | None = None) -> Solution:
        return self.problem.solve(self.steps, self.observe, checkpoints=checkpoints, record=record)

    def loss(self, solution: Solution) -> torch.Tensor:
        return 1e4 * solution["u"].square().sum() + 1e-4 * solution["reaction"].square().sum()

    def difference(self) -> float:
        """Error of the derivative along a random direction, against the best difference."""
        loss = self.loss(self.solve(Checkpoints("all")))
        gradient = torch.autograd.grad(loss, self.tensors)
        generator = torch.Generator().manual_seed(1)
        along = [t.detach() * torch.randn(t.shape, generator=generator) for t in self.tensors]
        slope = sum(float((g * d).sum()) for g, d in zip(gradient, along, strict=True))

        def at(h: float) -> float:
            for t, d in zip(self.tensors, along, strict=True):
                t.data += h * d
            with torch.no_grad():
                found = float(self.loss(self.solve(None)))
            for t, d in zip(self.tensors, along, strict=True):
                t.data -= h * d
            return found

        return min(abs((at(h) - at(-h)) / (2.0 * h) / slope - 1.0) for h in (1e-4, 1e-5, 1e-6))


def seconds(call: Callable[[], Any], repetitions: int = 3) -> tuple[float, Any]:
    """The least time of a few calls, and what the last one gave."""
    best = float("inf")
    for _ in range(repetitions):
        start = time.perf_counter()
        found = call()
        best = min(best, time.perf_counter() - start)
    return best, found


def timings(run: Run, folder: str) -> dict[str, Any]:
    """Of the forward run without a tape, and of run and reverse sweep for each way of storage."""
    with torch.no_grad():
        run.solve(None)
        forward, _ = seconds(lambda: run.solve(None))
    found: dict[str, Any] = {"forward": forward, "storage": {}}
    for name, checkpoints in STORAGE.items():
        checkpoints = checkpoints or Checkpoints("all", folder=folder)
        recording, reverse = [], []
        for _ in range(3):
            start = time.perf_counter()
            solution = run.solve(checkpoints)
            recording.append(time.perf_counter() - start)
            loss = run.loss(solution)
            before = dict(run.problem.timings)
            start = time.perf_counter()
            torch.autograd.grad(loss, run.tensors)
            reverse.append(time.perf_counter() - start)
        phases = {n: t - before.get(n, 0.0) for n, t in run.problem.timings.items()}
        found["storage"][name] = {
            "described": solution.storage,
            "recording": min(recording),
            "reverse": min(reverse),
            "ratio": min(reverse) / forward,
            "with recording": (min(reverse) + max(min(recording) - forward, 0.0)) / forward,
            "phases of the last": phases,
        }
    return found


def memory(elements: tuple[int, ...]) -> dict[str, float]:
    """Peak memory over that of the problem alone, MB, of a gradient over 200 steps with 6
    snapshots, and over one step."""
    found = {}
    for steps in (1, 200):
        run = Run(elements, False, steps)
        run.steps = [0.005 * (k + 1) for k in range(steps)]
        with torch.no_grad():
            run.problem.solve(run.steps[:1], run.observe)
        forgotten()
        base = peak()
        loss = run.loss(run.solve(Checkpoints("revolve", snapshots=6)))
        torch.autograd.grad(loss, run.tensors)
        found[f"{steps} steps"] = peak() - base
        run.problem.close()
    return {**found, "ratio": found["200 steps"] / found["1 steps"]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--cases", type=lambda text: text.split(","), default=list(CASES))
    parser.add_argument("--quick", action="store_true", help="small sizes: whether it works")
    parser.add_argument("--out", type=Path, help="JSON file to write")
    options = parser.parse_args()
    torch.set_num_threads(1)
    report: dict[str, Any] = {"machine": machine.describe(), "cases": {}}
    table = Table("case", "dofs", "parameters", "forward", "storage", "reverse", "ratio", "limit")
    with repeated(REPEATED), tempfile.TemporaryDirectory() as folder:
        for name in options.cases:
            case = CASES[name]
            elements = case.quick if options.quick else case.elements
            for by_element in (False, True):
                run = Run(elements, by_element, case.steps)
                error = run.difference()
                parameters = sum(t.numel() for t in run.tensors)
                found = {"dofs": run.problem.n_dofs, "error": error, "agrees": error <= AGREEMENT}
                if found["agrees"]:
                    found |= timings(run, folder)
                report["cases"].setdefault(name, {})[str(parameters)] = found
                for how, row in found.get("storage", {}).items():
                    table.add_row(
                        name, f"{run.problem.n_dofs:,}", f"{parameters:,}",
                        f"{found['forward']:.3g} s", how, f"{row['reverse']:.3g} s",
                        f"{row['ratio']:.2f}", f"{LIMITS.get(how, OTHERS)}",
                    )  # fmt: skip
                if not found["agrees"]:
                    table.add_row(name, "", f"{parameters:,}", "", f"error {error:.1e}", "", "", "")
                run.problem.close()
            if name == "plate":
                report["memory"] = memory(elements)
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(report, indent=1) + "\n")
    console = Console(width=None if Console().is_terminal else 130)
    console.print(table)
    console.print(f"memory of a gradient over 200 steps / one step: {report.get('memory')}")


if __name__ == "__main__":
    main()
