"""The report of a run: what was computed, how it converged, what it took and where it is."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import platform
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from neml2fe.fem.conditions.conditions import Condition
from neml2fe.fem.conditions.functions import PiecewiseLinear, SpaceFunction
from neml2fe.fem.problem import Problem, StepResult
from neml2fe.fem.results.energies import BALANCE, OTHER
from neml2fe.fem.results.materials import named_parameters
from neml2fe.io.document import Picture, Section, Table, Text

_POINTS = 8  # of a function, that are shown
_PACKAGES = ("neml2fe", "torch", "numpy", "scipy", "petsc4py", "mpi4py", "h5py", "meshio")


@dataclass(frozen=True)
class Step:
    """One accepted step, and the attempts that failed before it: their sizes and reasons."""

    number: int
    time: float
    dt: float
    result: StepResult
    cutbacks: tuple[tuple[float, str], ...] = ()


@dataclass
class Log:
    """What a run did so far, as a report needs it."""

    steps: list[Step] = field(default_factory=list)
    cutbacks: list[tuple[float, str]] = field(default_factory=list)  # since the last step
    energies: dict[str, float] = field(default_factory=dict)
    wall: float = 0.0
    resumed: bool = False

    def step(self, number: int, time: float, dt: float, result: StepResult) -> None:
        """Add an accepted step, which followed the cutbacks noted since the one before."""
        self.steps.append(Step(number, time, dt, result, tuple(self.cutbacks)))
        self.cutbacks = []


def sections(
    problem: Problem,
    log: Log,
    pictures: Sequence[tuple[Path, str]],
    files: Sequence[tuple[Path, str]],
) -> list[Section]:
    """The whole report, with `pictures` and `files` and what they show. Collective."""
    shown = [Picture(path, what) for path, what in pictures if path.suffix == ".png"]
    return [
        _summary(problem, log),
        _mesh(problem),
        _materials(problem),
        Section("Conditions", [_conditions(problem.conditions)]),
        Section("Steps", _steps(log)),
        Section("Energies", _energies(log)),
        *([Section("Pictures", shown)] if shown else []),
        Section("Time taken", _timings(problem, log)),
        Section("Files", [Table(["file", "content"], [[p.name, what] for p, what in files])]),
        Section("Versions", [_versions()]),
    ]


def _summary(problem: Problem, log: Log) -> Section:
    local = problem.local
    if not log.steps:
        reached = "No step was made."
    else:
        last = log.steps[-1]
        iterations = sum(step.result.iterations for step in log.steps)
        rejected = sum(len(step.cutbacks) for step in log.steps) + len(log.cutbacks)
        reached = (
            f"Time {last.time:g} was reached in {len(log.steps)} steps with {iterations} Newton "
            f"iterations; {rejected} attempts were rejected."
        )
        if log.resumed:
            reached += " The run was continued from a checkpoint; its earlier steps are not listed."
    if log.cutbacks:
        size, reason = log.cutbacks[-1]
        reached += f" The run ended at a step of {size:g} that failed: {reason}."
    facts = [
        ["formulation", problem.formulation.replace("_", " ")],
        ["strains", "finite" if problem.solids[0].block.measure.finite else "small"],
        ["degrees of freedom", str(problem.n_dofs)],
        ["quadrature points", str(problem.n_points)],
        ["ranks", str(local.size)],
        ["solvers", problem.algebra.describe()],
        ["material on", str(problem.device)],
        ["tolerance of Newton's method", f"{problem.tolerance:g}"],
        ["wall time", f"{log.wall:.3g} s"],
    ]
    return Section("Summary", [Text(reached), Table(["", ""], facts)])


def _mesh(problem: Problem) -> Section:
    local = problem.local
    rows = [
        [block.cell_type, str(n)] for block, n in zip(local.cells, local.n_elements, strict=True)
    ]
    name = local.name or "made by a generator"
    text = f"{name}: {local.n_global} nodes in {local.dim} dimensions."
    blocks: list[Any] = [Text(text), Table(["elements", "number"], rows)]
    if problem.comm is not None:
        mine = sum(len(block.connectivity) for block in local.cells), local.n_owned, local.n_local
        shares = problem.comm.allgather(mine)
        header = ["rank", "elements", "nodes owned", "nodes with ghosts"]
        table = [[str(r), *map(str, share)] for r, share in enumerate(shares)]
        blocks.append(Table(header, table, "Shares of the ranks", folded=True))
    return Section("Mesh", blocks)


def _materials(problem: Problem) -> Section:
    rows, parameters = [], []
    for k, solid in enumerate(problem.solids):
        material, block = solid.material, solid.block
        n = problem.algebra.allreduce(block.n_elements)
        rows.append(
            [
                solid.name,
                " ".join(solid.body.regions) or "all",
                material.label,
                f"{n} {block.cell_type}",
                str(block.n_quadrature),
                ", ".join(material.state_spec) or "-",
                ", ".join(material.field_spec) or "-",
            ]
        )
        if all(solid.material is not other.material for other in problem.solids[:k]):
            parameters += _parameters(solid.name, material)
    header = ["body", "regions", "model", "elements", "points each", "state", "fields"]
    blocks: list[Any] = [Table(header, rows)]
    if parameters:
        head = ["body", "parameter", "value"]
        blocks.append(Table(head, parameters, "Parameters", folded=True))
    return Section("Materials", blocks)


def _parameters(body: str, material: Any) -> list[list[str]]:
    found = []
    for name, value in named_parameters(material):
        text = f"{value.item():.10g}" if value.numel() == 1 else f"tensor {tuple(value.shape)}"
        found.append([body, name, text])
    return found


def _conditions(conditions: Sequence[Condition]) -> Table:
    rows = []
    for condition in conditions:
        fields = [
            f"{f.name} = {_shown(getattr(condition, f.name))}"
            for f in dataclasses.fields(condition)
            if f.name != "label" and getattr(condition, f.name) is not None
        ]
        rows.append([condition.name, type(condition).__name__, ", ".join(fields)])
    return Table(["name", "type", "values"], rows)


def _shown(value: Any) -> str:
    if isinstance(value, float | int):
        return f"{value:g}"
    if isinstance(value, torch.Tensor):
        return _shown(value.tolist())
    if isinstance(value, list | tuple):
        return "(" + ", ".join(map(_shown, value)) + ")"
    if isinstance(value, PiecewiseLinear):
        points = [_shown(p) for p in zip(value.times.tolist(), value.values.tolist(), strict=True)]
        if len(points) > _POINTS:
            points = [
                *points[: _POINTS - 1],
                f"... {len(points)} points in all, the last",
                points[-1],
            ]
        return f"piecewise linear in time {' '.join(points)}"
    if isinstance(value, SpaceFunction):
        return f"a function{_called(value.function)} of time and place"
    if callable(value) and not dataclasses.is_dataclass(value):
        return f"a function{_called(value)} of time"
    text = str(value)
    return text if len(text) <= 120 else f"{text[:117]}..."


def _called(function: Any) -> str:
    name = getattr(function, "__name__", "<lambda>")
    return "" if name == "<lambda>" else f" '{name}'"


def _steps(log: Log) -> list[Any]:
    header = [
        "step",
        "time",
        "dt",
        "Newton",
        "first residual",
        "last residual",
        "linear",
        "cutbacks",
    ]
    rows, failures = [], []
    for step in log.steps:
        norms = step.result.residual_norms
        rows.append(
            [
                str(step.number),
                f"{step.time:.6g}",
                f"{step.dt:.4g}",
                str(step.result.iterations),
                f"{norms[0]:.2e}" if norms else "-",
                f"{norms[-1]:.2e}" if norms else "-",
                str(step.result.linear_iterations),
                str(len(step.cutbacks)),
            ]
        )
        failures += [[str(step.number), f"{dt:.4g}", why] for dt, why in step.cutbacks]
    failures += [["-", f"{dt:.4g}", why] for dt, why in log.cutbacks]
    blocks: list[Any] = [Table(header, rows, f"{len(rows)} steps", folded=len(rows) > 40)]
    if failures:
        blocks.append(Table(["before step", "dt", "reason"], failures, "Rejected attempts"))
    return blocks


def _energies(log: Log) -> list[Any]:
    if not log.energies:
        return [Text("No step was made.")]
    balance = log.energies[BALANCE]
    rows = [[n.replace("_", " "), f"{v:.8g}"] for n, v in log.energies.items() if n != BALANCE]
    taken, note = "The internal energy", ""
    if OTHER in log.energies:
        taken += ", with the other one of interfaces and springs,"
        note = " What interfaces dissipate is in the other energy."
    text = f"{taken} and the external work differ by {balance:.2e} of the largest.{note}"
    return [Table(["energy", "at the end"], rows), Text(text)]


def _timings(problem: Problem, log: Log) -> list[Any]:
    """Of rank 0; the phases may contain one another."""
    total = max(log.wall, 1e-300)
    rows = [
        [phase, f"{seconds:.3f}", f"{100 * seconds / total:.1f} %"]
        for phase, seconds in sorted(problem.timings.items(), key=lambda item: -item[1])
    ]
    rows.append(["whole run", f"{log.wall:.3f}", "100.0 %"])
    blocks: list[Any] = [Table(["phase", "seconds on rank 0", "of the run"], rows)]
    summary = getattr(problem.algebra, "log_summary", None)
    if summary is not None:
        events = [
            [event, str(count), f"{seconds:.4g}", f"{flops:.3g}"]
            for event, count, seconds, flops in summary()
        ]
        if events:
            head = ["event", "count", "seconds of the slowest rank", "flops of all ranks"]
            blocks.append(Table(head, events, "Events logged by PETSc", folded=True))
    return blocks


def _versions() -> Table:
    rows = [["Python", platform.python_version()], ["system", platform.platform()]]
    for package in _PACKAGES:
        try:
            rows.append([package, importlib.metadata.version(package)])
        except importlib.metadata.PackageNotFoundError:
            rows.append([package, "not installed"])
    return Table(["package", "version"], rows)
