"""Run by test_results_parallel.py under mpiexec: FOLDER JOB. Writes results on all ranks; the job
`rest` says, for each fault, what every rank raised."""

from __future__ import annotations

import errno
import json
import sys
from pathlib import Path
from typing import Any

import meshio
from results_box import halves, material

from neml2fe.errors import Error
from neml2fe.fem import Body, Dirichlet, Problem, Recorder, TimeStepping, Traction, simulate
from neml2fe.fem.results.probes import Probe

PROBES = [
    Probe("corner", "displacement_y", (1.0, 1.0)),
    Probe("inside", "stress_xx", (0.3, 0.7)),
    Probe("beyond", "mises", (0.8, 0.2)),
    Probe("peak", "equivalent_plastic_strain", on="low", statistic="max"),
    Probe("edge", "stress_yy", on="bottom", statistic="min"),
    Probe("mean", "displacement_x", on="high"),
    Probe("held", "reaction_x", on="left", statistic="sum"),
]


def march(
    folder: Path,
    comm: Any = None,
    end: float = 1.0,
    resume: bool = False,
    low: str = "j2",
    **options: Any,
) -> Recorder:
    conditions = [
        Dirichlet("left", "x"),
        Dirichlet("left", "y"),
        Dirichlet("right", "x", lambda t: 0.01 * t),
        Traction("top", [0.0, lambda t: -3.0 * t]),
    ]
    bodies = [Body(material(low), ["low"]), Body(material("elastic"), ["high"])]
    backend = "scipy" if comm is None else "petsc"
    problem = Problem(halves(), bodies, conditions, backend=backend, comm=comm)
    options = {"probes": PROBES, "output": "cells nodes bodies points", **options}
    recorder = Recorder(problem, folder, "strip", **options)
    path = folder / "strip.checkpoint" if resume else None
    simulate(problem, TimeStepping(end=end, dt=0.5), recorder, resume=path, quiet=True)
    return recorder


def messages(comm: Any, folder: Path, **options: Any) -> list[str]:
    """What each rank raised in a run."""
    try:
        march(folder, comm, **options)
        found = "nothing"
    except Error as error:
        found = f"{type(error).__name__}: {error}"
    return comm.allgather(found)


def full_disk_on(rank: int) -> Any:
    """`meshio.vtu.write` of a disk that is full when rank number `rank` writes step 1."""
    write = meshio.vtu.write

    def half_written(path: str, *rest: Any, **options: Any) -> None:
        write(path, *rest, **options)
        if f"strip_0001_{rank}" in path:
            Path(path).write_bytes(Path(path).read_bytes()[:100])
            raise OSError(errno.ENOSPC, "No space left on device")

    return half_written


def main(folder: Path, job: str) -> None:
    """Runs to compare bit by bit come first in a process: the partitioner's random numbers go on
    from one problem of a process to the next."""
    from mpi4py import MPI

    comm = MPI.COMM_WORLD
    if job == "whole":
        march(folder / "whole", comm, report=True)
    elif job == "half":
        march(folder / "parts", comm, end=0.5)
    else:
        march(folder / "parts", comm, resume=True)
        march(folder / "from_one", comm, resume=True)
        march(folder / "xdmf", comm, low="elastic", format="xdmf", probes=(), end=0.5)
        outside = [Probe("lost", "stress_xx", (2.0, 0.5))]
        faults = {"outside": messages(comm, folder / "outside", probes=outside)}
        meshio.vtu.write = full_disk_on(1)
        faults["full"] = messages(comm, folder / "full", low="elastic", probes=())
        if comm.rank == 0:
            (folder / "faults.json").write_text(json.dumps(faults))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
