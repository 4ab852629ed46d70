"""Run by test_parallel.py under mpiexec: FOLDER CASE [CASE ...].

Rank 0 writes FOLDER/CASE.npz with what each case found, gathered in the order of the mesh.
`solve` also runs in the test process, for the answers of SciPy.
"""

from __future__ import annotations

import sys
import traceback
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

import neml2fe
from neml2fe.errors import Error
from neml2fe.fem.collective import gather_rows
from neml2fe.fem.conditions.conditions import BodyForce, Condition, Dirichlet, Pressure, Traction
from neml2fe.fem.conditions.functions import PiecewiseLinear
from neml2fe.fem.mesh.distribution import gather_elements, gather_nodes
from neml2fe.fem.mesh.generate import box, rectangle
from neml2fe.fem.mesh.mesh import CellBlock, Mesh
from neml2fe.fem.problem import Problem
from neml2fe.material import Material, PointResult

HERE = Path(__file__).parent
GAMG = {"ksp_type": "gmres", "pc_type": "gamg", "ksp_rtol": "1e-10"}
# Tension, reversal beyond yield in compression, and back.
CYCLE = PiecewiseLinear([0.0, 1.0, 3.0, 4.0], [0.0, 0.01, -0.01, 0.0])
TIMES = [0.4, 1.0, 1.5, 2.0, 3.0, 4.0]


def mixed() -> Mesh:
    """A strip of quadrilaterals whose right end is cut into triangles."""
    strip = rectangle(8, 3, "quad", (2.0, 0.75))
    quads = strip.cells[0].connectivity
    right = strip.points[quads].mean(axis=1)[:, 0] > 1.5
    triangles = np.concatenate([quads[right][:, [0, 1, 2]], quads[right][:, [0, 2, 3]]])
    cells = (CellBlock("quad", quads[~right]), CellBlock("triangle", triangles))
    return Mesh(strip.points, cells, strip.boundaries, name="mixed")


MESHES = {
    "quad9": lambda: rectangle(4, 3, "quad9", distortion=0.3),
    "tetra10": lambda: box(2, 2, 2, "tetra10", distortion=0.3),
    "mixed": mixed,
}


def conditions(dim: int) -> list[Condition]:
    """A part held at its left end and pulled at its right, with loads of every kind."""
    return [
        *[Dirichlet("left", axis) for axis in "xyz"[:dim]],
        Dirichlet("right", "x", CYCLE),
        Traction("top", [lambda t: 3.0 * t, 0.0, 1.0][:dim]),
        Pressure("bottom", 4.0),
        BodyForce([0.0, lambda t: -2.0 * t, 0.0][:dim]),
    ]


def material(name: str) -> Material:
    return Material(neml2fe.load_model(HERE / f"{name}.i", "model"))


def gathered(problem: Problem) -> dict[str, NDArray[np.float64]]:
    """Displacements, stresses and states of the whole mesh, on rank 0."""
    local = problem.local
    found = {"u": gather_nodes(local, problem.u.reshape(-1, local.dim)[: local.n_owned])}
    fields = problem.point_fields()
    for name in fields[0]:
        values = [
            v[name].numpy().reshape(b.n_elements, b.n_quadrature, *v[name].shape[1:])
            for b, v in zip((s.block for s in problem.solids), fields, strict=True)
        ]
        for k, block in enumerate(gather_elements(local, values) or []):
            found[f"{name}/{k}"] = block
    return {name: value for name, value in found.items() if value is not None}


def solve(
    mesh_name: str, material_name: str, backend: str, comm: Any = None, **options: Any
) -> dict[str, NDArray[np.float64]]:
    root = comm is None or comm.rank == 0
    mesh = MESHES[mesh_name]() if root else None
    dim = 3 if mesh_name == "tetra10" else 2
    with_options = {"backend": backend, "comm": comm, **options}
    problem = Problem(mesh, material(material_name), conditions(dim), **with_options)
    iterations = []
    for time in TIMES:
        result = problem.advance(time)
        assert result.converged, result.reason
        iterations.append(result.iterations)
    found = gathered(problem)
    found["iterations"] = np.array(iterations)
    found["loads"] = np.array(list(problem.load_row().values()))
    per_block = np.array([[len(b.connectivity) for b in problem.local.cells]])
    cells = gather_rows(comm, per_block)
    if cells is not None:
        found["cells"] = cells
    problem.close()
    return found


class Faulty(Material):
    """Raises a plain Python error in the update at `time` on one rank only."""

    def __init__(self, rank: int, time: float) -> None:
        super().__init__(neml2fe.load_model(HERE / "j2.i", "model"))
        self.rank, self.at = rank, time

    def update(self, *arguments: Any, **options: Any) -> PointResult:
        if comm.rank == self.rank and arguments[2] >= self.at:
            raise RuntimeError("the material broke")
        return super().update(*arguments, **options)


class Failing(Material):
    """All points of one rank report failure at steps longer than `longest`."""

    def __init__(self, rank: int, longest: float) -> None:
        super().__init__(neml2fe.load_model(HERE / "j2.i", "model"))
        self.rank, self.longest = rank, longest

    def update(self, *arguments: Any, **options: Any) -> PointResult:
        result = super().update(*arguments, **options)
        if comm.rank == self.rank and arguments[3] > self.longest:
            result.status.fill_(1)
            result.stress.fill_(torch.nan)
        return result


def everyone(value: object) -> NDArray[Any]:
    return np.array(comm.allgather(value))


def faulty() -> dict[str, NDArray[Any]]:
    """The error that each rank sees."""
    mesh = MESHES["quad9"]() if comm.rank == 0 else None
    problem = Problem(mesh, Faulty(comm.size - 1, 0.5), conditions(2), comm=comm)
    assert problem.advance(0.4).converged
    try:
        problem.advance(0.7)
        message = "no error"
    except Exception as error:
        message = f"{type(error).__name__}: {error}"
    return {"messages": everyone(message), "times": everyone(problem.time)}


def failing() -> dict[str, NDArray[Any]]:
    """A step that fails on the last rank, then a shorter one."""
    mesh = MESHES["quad9"]() if comm.rank == 0 else None
    problem = Problem(mesh, Failing(comm.size - 1, 0.2), conditions(2), comm=comm)
    long = problem.advance(0.4)
    short = problem.advance(0.2)
    here = problem.solids[0].block.n_points if comm.rank == comm.size - 1 else 0
    return {
        "converged": everyone([long.converged, short.converged]),
        "reasons": everyone(long.reason),
        "failed": everyone(long.failed_points),
        "points": np.array(comm.allreduce(here)),
    }


def refused() -> dict[str, NDArray[Any]]:
    """Input errors as each rank sees them."""
    mesh = MESHES["quad9"]() if comm.rank == 0 else None
    nan = Traction("top", [lambda t: np.nan, 0.0], label="nan")
    tries = {
        "boundary": [*conditions(2), Traction("rigth", [1.0, 0.0])],
        "clash": [*conditions(2), Dirichlet("left", "x", 1.0, label="clash")],
        "nan": [*conditions(2), nan],
    }
    found = {}
    for name, given in tries.items():
        try:
            Problem(mesh, material("j2"), given, comm=comm).advance(0.4)
            message = "no error"
        except Error as error:
            message = f"{type(error).__name__}: {error}"
        found[name] = everyone(message)
    free = Problem(mesh, material("j2"), [Traction("right", [1.0, 0.0])], comm=comm)
    found["free"] = everyone(free.advance(0.4).reason)
    return found


def run(case: str) -> dict[str, NDArray[Any]]:
    alone = {"faulty": faulty, "failing": failing, "refused": refused}
    if case in alone:
        return alone[case]()
    mesh_name, material_name, *gamg = case.split("-")
    options = {"petsc_options": GAMG} if gamg else {}
    return solve(mesh_name, material_name, "petsc", comm, **options)


if __name__ == "__main__":
    from mpi4py import MPI

    torch.set_num_threads(1)
    comm = MPI.COMM_WORLD
    folder, *cases = sys.argv[1:]
    try:
        for case in cases:
            data = run(case)
            if comm.rank == 0:
                np.savez(Path(folder) / f"{case}.npz", **data)
    except Exception:
        traceback.print_exc()
        comm.Abort(1)
