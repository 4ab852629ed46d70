"""Solves and times a job of fem.py with neml2fe, on one rank or under mpiexec on several.

    [mpiexec -n 2] python own_fem_job.py FOLDER

FOLDER holds job.json; rank 0 writes result.json there. The cube is that of peer_torchfem.py.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from fem_job import enough, forgotten, peak, read_job
from mpi4py import MPI
from petsc4py import PETSc

import neml2fe
from neml2fe import fem
from neml2fe.fem.mesh.generate import box
from neml2fe.material import Material
from neml2fe.models.fields import Parameter
from neml2fe.models.solid_mechanics.hyperelasticity import StrainEnergy, StressOfEnergy
from neml2fe.types import R2, Scalar, det, log, norm_sq

DECKS = Path(__file__).parent / "decks"
WORLD = MPI.COMM_WORLD
EVENTS = {"preconditioner": "PCSetUp", "linear iterations": "KSPSolve"}  # of PETSc's log
PHASES = ("elements", "material", "assembly")  # of `Problem.timings`


class LogarithmicNeoHookeanEnergy(StrainEnergy):
    r"""$W = \frac G2 (\mathrm{tr}\, C - 3) - G \ln J + \frac L2 \ln^2 J$, as for torch-fem."""

    shear_modulus = Parameter(Scalar, "G", "Shear modulus", "stress")
    lame_constant = Parameter(Scalar, "L", "Lame's first constant", "stress")

    def forward(self, f: R2) -> Scalar:
        log_j = log(det(f))
        return 0.5 * self.G * (norm_sq(f) - 3.0) - self.G * log_j + 0.5 * self.L * log_j * log_j


class LogarithmicNeoHookean(StressOfEnergy, energy=LogarithmicNeoHookeanEnergy):
    r"""$P = \partial W / \partial F$ of `LogarithmicNeoHookeanEnergy`."""


def law(name: str) -> Material:
    """E = 1000 and nu = 0.3 for the rubber, else what the deck of this name says."""
    if name == "neo_hookean":
        return Material(LogarithmicNeoHookean(shear_modulus=1000 / 2.6, lame_constant=300 / 0.52))
    return Material(neml2fe.load_model(DECKS / f"fem_{name}.i", "model"))


class Cube:
    """`nodes` nodes along each edge; `left` is clamped, `right` pulled from time 0 to 1."""

    def __init__(self, job: dict[str, Any], nodes: int) -> None:
        pull, n = job["pull"], nodes - 1
        conditions = [
            *(fem.Dirichlet("left", axis) for axis in "xyz"),
            fem.Dirichlet("right", "x", lambda t: pull * t, label="pull"),
            *(fem.Dirichlet("right", axis) for axis in "yz" if job["clamped"]),
        ]
        self.problem = fem.Problem(
            box(n, n, n, "hexahedron") if WORLD.rank == 0 else None,
            law(job["law"]),
            conditions,
            comm=WORLD if WORLD.size > 1 else None,
            tolerance=job["tolerance"],
            petsc_options=job["petsc"],
        )
        step = 1.0 / job["increments"]
        sizes = {"dt_min": step} if job["fixed"] else {"dt_max": 1.0}
        self.stepping = fem.TimeStepping(end=1.0, dt=step, **sizes)

    def solve(self) -> fem.Run:
        return fem.simulate(self.problem, self.stepping, quiet=True)

    def results(self) -> dict[str, float]:
        local = self.problem.local
        owned = self.problem.u[: local.n_owned * local.dim]
        return {
            "reaction": self.problem.load_row()["pull_reaction"],
            "displacement_norm": float(np.sqrt(WORLD.allreduce(float(owned @ owned)))),
        }


def together(call: Callable[[], Any]) -> tuple[Any, float]:
    """What `call` returns, and the seconds until the last rank has it."""
    WORLD.Barrier()
    start = time.perf_counter()
    found = call()
    WORLD.Barrier()
    return found, time.perf_counter() - start


def logged() -> dict[str, float]:
    """Seconds that PETSc has logged so far for each phase."""
    return {name: PETSc.Log.Event(event).getPerfInfo()["time"] for name, event in EVENTS.items()}


def main() -> None:
    folder, job = read_job()
    PETSc.Log.begin()
    forgotten()
    base = peak()
    first = together(lambda: Cube(job, job["warm_up"]).solve())[1]
    setup: list[float] = []
    solve: list[float] = []
    while not enough(solve):
        cube, seconds = together(lambda: Cube(job, job["nodes"]))
        setup.append(seconds)
        before = logged()
        run, seconds = together(cube.solve)
        solve.append(seconds)
        problem = cube.problem
        if seconds == min(solve):
            phases = {name: after - before[name] for name, after in logged().items()}
            phases |= {name: problem.timings[name] for name in PHASES}
            phases["rest"] = seconds - sum(phases.values())
        if len(solve) == 1:
            memory = WORLD.allgather(peak() - base)
        results = cube.results()
        size = {"dofs": problem.n_dofs, "elements": sum(problem.local.n_elements)}
        solver = problem.algebra.describe()
        problem.close()
        del cube, problem
    phases = {name: WORLD.allreduce(t, MPI.SUM) / WORLD.size for name, t in phases.items()}
    if WORLD.rank == 0:
        found = {
            "versions": {
                "neml2fe": neml2fe.__version__,
                "petsc": ".".join(map(str, PETSc.Sys.getVersion())),
                "torch": torch.__version__,
            },
            **size,
            "solver": solver,
            "first": first,
            "setup": setup,
            "solve": solve,
            "phases": phases,
            "iterations": [step.result.iterations for step in run.steps],
            "linear_iterations": [step.result.linear_iterations for step in run.steps],
            "rejected": run.rejected,
            "memory_mb": sum(memory),
            "memory_of_ranks_mb": memory,
            "results": results,
        }
        (folder / "result.json").write_text(json.dumps(found))


main()
