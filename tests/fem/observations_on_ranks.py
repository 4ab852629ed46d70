"""Observations of solved problems; under mpiexec: FOLDER CASE [CASE ...]. Rank 0 writes
FOLDER/CASE.npz with the values, the errors of the transpose identity, and whether all ranks had the
same bits; or, for the case `refused`, what each rank raised.

`observe` also runs in the test process, for the values on one rank.
"""

from __future__ import annotations

import sys
import traceback
from pathlib import Path
from typing import Any

import numpy as np
import torch
from constraints_on_ranks import case as linked_case
from constraints_on_ranks import material
from numpy.typing import NDArray

from neml2fe.errors import Error
from neml2fe.fem import Body, Dirichlet, Mesh, Problem
from neml2fe.fem.mesh.elements import CellBlock
from neml2fe.fem.mesh.generate import rectangle
from neml2fe.fem.observations import (
    BoundObservation,
    ControlMotion,
    DisplacementsAt,
    ElementMeans,
    Instant,
    MeanStrain,
    MeanStress,
    NodalDisplacements,
    Observation,
    PointValues,
    Reaction,
    SurfaceDisplacementsAt,
    VirtualWork,
    VolumeIntegral,
)

EP = "equivalent_plastic_strain"


def half_triangles() -> Mesh:
    """A square of quadrilaterals, `low` (x < 1/2), and triangles, `high`."""
    whole = rectangle(6, 4, "quad", distortion=0.2)
    nodes = whole.cells[0].connectivity
    high = whole.points[nodes].mean(axis=1)[:, 0] > 0.5
    split = nodes[high][:, [[0, 1, 2], [0, 2, 3]]].reshape(-1, 3)
    cells = (CellBlock("quad", nodes[~high]), CellBlock("triangle", split))
    none = np.empty(0, dtype=np.int64)
    regions = {
        "low": (np.arange(len(cells[0].connectivity)), none),
        "high": (none, np.arange(len(split))),
    }
    return Mesh(whole.points, cells, whole.boundaries, regions=regions)


def cloud(n: int, low: list[float], high: list[float]) -> NDArray[np.float64]:
    return np.random.default_rng(1).uniform(low, high, size=(n, len(low)))


def case(name: str) -> tuple[Mesh, list[Body], list[Any], dict[str, Observation]]:
    """Mesh, bodies, conditions and what is observed."""
    if name == "plane":
        bodies = [Body(material("j2"), ["low"]), Body(material("elastic"), ["high"])]
        conditions = [
            *[Dirichlet("left", c) for c in "xy"],
            Dirichlet("right", "x", lambda t: 0.01 * t, label="pull"),
        ]
        points = np.vstack([cloud(30, [0.0, 0.0], [1.0, 1.0]), [[1.005, 0.5], [1.5, 0.5]]])
        observed: dict[str, Observation] = {
            "nodes": NodalDisplacements(),
            "right": NodalDisplacements("right"),
            "points": DisplacementsAt(points, outside="nan"),
            "reaction": Reaction("pull"),
            "stress": PointValues("stress"),
            "plastic": PointValues(EP, "low"),
            "means": ElementMeans("stress"),
            "mean_plastic": ElementMeans(EP, "low"),
            "integral": VolumeIntegral("stress"),
            "volume_plastic": VolumeIntegral(EP, "low"),
            "work": VirtualWork(lambda x: np.stack([x[:, 0] ** 2, x[:, 0] * x[:, 1]], axis=1)),
        }
        return half_triangles(), bodies, conditions, observed
    mesh, bodies, conditions = linked_case(name)
    if name == "rigid":
        points = cloud(25, [0.0, 0.1, 0.1], [0.0, 0.9, 1.9])
        return mesh, bodies, conditions, {
            "surface": SurfaceDisplacementsAt("left", points + 0.01 * np.eye(3)[0]),
            "nodes": NodalDisplacements("front"),
            "moment": Reaction("head_rz"),
            "held": Reaction("back_x"),
            "motion": ControlMotion("head_x"),
            "angle": ControlMotion("head_rz"),
            "stress": ElementMeans("stress"),
        }  # fmt: skip
    return mesh, bodies, conditions, {
        "mean_stress": MeanStress(),
        "mean_strain": MeanStrain("cell"),
        "stress": VolumeIntegral("stress"),
    }  # fmt: skip


def made(name: str, comm: Any = None) -> tuple[Problem, dict[str, Observation]]:
    mesh, bodies, conditions, observed = case(name)
    backend = "scipy" if comm is None else "petsc"
    root = comm is None or comm.rank == 0
    problem = Problem(mesh if root else None, bodies, conditions, backend=backend, comm=comm)
    return problem, observed


def solved(name: str, comm: Any = None) -> tuple[Problem, dict[str, Observation]]:
    problem, observed = made(name, comm)
    for time in (0.5, 1.0):
        result = problem.advance(time)
        assert result.converged, result.reason
    return problem, observed


def random_instant(problem: Problem, seed: int = 0) -> Instant:
    """Displacements that the ranks agree on; the rest is each rank's own."""
    local, rng = problem.local, np.random.default_rng(seed)
    u = rng.normal(size=(local.n_global, local.dim))[local.nodes].reshape(-1)
    rng = np.random.default_rng([seed, local.rank])
    like = Instant.of(problem)
    points = [
        {name: torch.as_tensor(rng.normal(size=tuple(v.shape))) for name, v in values.items()}
        for values in like.points
    ]
    return Instant(
        torch.as_tensor(u),
        rng.normal(size=like.q.shape),
        rng.normal(size=like.forces.shape),
        points,
    )


def transpose_error(problem: Problem, bound: BoundObservation) -> float:
    """|<pull(bar), x> - <bar, apply(x)>| relative to |bar| |apply(x)|, for random x and bar."""
    x = random_instant(problem)
    value = torch.nan_to_num(bound.apply(x))
    bar = torch.as_tensor(np.random.default_rng(9).normal(size=bound.shape))
    to = x.zeros_like()
    bound.pull(bar, to)
    mine = float(to.u @ x.u) + float(to.q @ x.q) + float(to.forces @ x.forces)
    mine += sum(
        float((a[name] * b[name]).sum())
        for a, b in zip(to.points, x.points, strict=True)
        for name in a
    )
    found, expected = problem.algebra.allreduce(mine), float((bar * value).sum())
    return abs(found - expected) / float(bar.norm() * value.norm())


def observe(name: str, comm: Any = None) -> dict[str, NDArray]:
    problem, observed = solved(name, comm)
    now = Instant.of(problem)
    found: dict[str, Any] = {}
    errors, same = [], True
    for key, observation in observed.items():
        bound = observation.bind(problem)
        value = bound.apply(now).numpy()
        assert value.shape == bound.shape and value.dtype == np.float64
        errors.append(transpose_error(problem, bound))
        bits = [value.tobytes()] if comm is None else comm.allgather(value.tobytes())
        same &= len(set(bits)) == 1
        found[key] = value
    problem.close()
    return {**found, "transpose": np.array(errors), "same": np.array(same)}


def refusals(comm: Any) -> dict[str, NDArray]:
    """What each rank raises for what is not there."""
    problem, _ = made("plane", comm)
    messages = []
    wrong: list[Observation] = [
        DisplacementsAt([[0.5, 0.5], [1.5, 0.5]]),
        NodalDisplacements("rigth"),
        PointValues(EP, "high"),
        VirtualWork(lambda x: x[:, :1]),
    ]
    for observation in wrong:
        try:
            observation.bind(problem)
            found = "nothing"
        except Error as error:
            found = f"{type(error).__name__}: {error}"
        messages.append(comm.allgather(found))
    problem.close()
    return {"messages": np.array(messages)}


def main(folder: str, *names: str) -> None:
    from mpi4py import MPI

    comm = MPI.COMM_WORLD
    try:
        for name in names:
            found = refusals(comm) if name == "refused" else observe(name, comm)
            if comm.rank == 0:
                np.savez(Path(folder) / f"{name}.npz", **found)
    except BaseException:
        traceback.print_exc()
        comm.Abort(1)


if __name__ == "__main__":
    main(*sys.argv[1:])
