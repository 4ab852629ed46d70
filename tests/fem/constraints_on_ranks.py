"""Cases of linked displacements; under mpiexec: FOLDER CASE [CASE ...].

Rank 0 writes FOLDER/CASE.npz with displacements in the order of the mesh, the load table and
what was homogenised. `solve` also runs in the test process, for the answers of SciPy.
"""

from __future__ import annotations

import sys
import traceback
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import neml2fe
import neml2fe.models as m
from neml2fe.fem.body import Body
from neml2fe.fem.conditions.conditions import (
    CohesiveInterface,
    Condition,
    ControlDisplacement,
    ControlForce,
    Dirichlet,
    PeriodicCell,
    Pressure,
    RigidBody,
    Springs,
    Traction,
)
from neml2fe.fem.conditions.fields import ElementField
from neml2fe.fem.conditions.functions import SpaceFunction
from neml2fe.fem.homogenisation import homogenised_stress, homogenised_tangent
from neml2fe.fem.mesh.distribution import gather_nodes
from neml2fe.fem.mesh.generate import box, rectangle
from neml2fe.fem.mesh.interfaces import split_regions
from neml2fe.fem.mesh.mesh import Mesh
from neml2fe.fem.problem import Problem
from neml2fe.material import Material

HERE = Path(__file__).parent
TIMES = [0.5, 1.0]
EP = "equivalent_plastic_strain"


def material(name: str) -> Material:
    return Material(neml2fe.load_model(HERE / f"{name}.i", "model"))


def neo_hookean(factor: float = 1.0) -> Material:
    return Material(m.NeoHookean(bulk_modulus=500.0 * factor, shear_modulus=80.0 * factor))


def two_phases(mesh: Mesh) -> Mesh:
    """A mesh with the region `inclusion` in the middle of `matrix`."""
    low, high = mesh.bounding_box
    at = mesh.points[mesh.cells[0].connectivity].mean(axis=1)
    inside = (np.abs(at - (low + high) / 2) < 0.3 * (high - low)).all(axis=1)
    regions = {"inclusion": (np.flatnonzero(inside),), "matrix": (np.flatnonzero(~inside),)}
    return Mesh(mesh.points, mesh.cells, mesh.boundaries, regions=regions)


def turned(mesh: Mesh, angle: float) -> tuple[Mesh, NDArray]:
    """A mesh turned about the z axis, and its axes, one in a row."""
    axes = np.eye(mesh.dim)
    axes[:2, :2] = [[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]]
    return Mesh(mesh.points @ axes, mesh.cells, mesh.boundaries), axes


def case(name: str) -> tuple[Mesh, list[Body], list[Condition]]:
    """Mesh, bodies and conditions."""
    if name == "rollers":
        mesh, axes = turned(box(2, 2, 3, "hexahedron", (1.0, 1.0, 2.0), distortion=0.2), 0.4)
        frame = tuple(map(tuple, axes))
        return mesh, [Body(material("j2"))], [
            *[Dirichlet(side, "normal") for side in ("left", "bottom", "back")],
            Dirichlet("right", "x", lambda t: 0.01 * t, frame=frame, label="pull"),
        ]  # fmt: skip
    if name == "rigid":
        mesh = box(2, 2, 3, "hexahedron", (1.0, 1.0, 2.0))
        return mesh, [Body(neo_hookean())], [
            *[Dirichlet("back", c) for c in "xyz"],
            RigidBody("front", (0.5, 0.5, 3.0), label="head"),
            ControlDisplacement("head", "rz", lambda t: 0.8 * t),
            ControlForce("head", "x", lambda t: 5.0 * t),
            ControlForce("head", "ry", lambda t: 2.0 * t),
        ]  # fmt: skip
    if name == "cell":
        mesh = two_phases(rectangle(6, 6, "quad", (2.0, 1.5)))
        bodies = [Body(material("j2"), ["matrix"]), Body(material("elastic"), ["inclusion"])]
        strain = {"xx": lambda t: 0.01 * t, "xy": lambda t: 0.004 * t}
        return mesh, bodies, [PeriodicCell(strain, {"yy": lambda t: 30.0 * t})]
    if name == "finite":
        mesh = two_phases(box(3, 3, 3, "hexahedron"))
        bodies = [Body(neo_hookean(), ["matrix"]), Body(neo_hookean(5.0), ["inclusion"])]
        strain = {"xx": lambda t: 0.2 * t, "xy": lambda t: 0.3 * t}
        return mesh, bodies, [PeriodicCell(strain, {"zz": lambda t: 20.0 * t})]
    if name == "glued":
        mesh = two_phases(rectangle(6, 6, "quad9", (2.0, 1.0)))
        mesh = split_regions(mesh, "matrix", "inclusion", "glue")
        plastic = ElementField(np.linspace(0.0, 0.01, mesh.n_elements))
        return mesh, [Body(material("j2"), initial_state={EP: plastic})], [
            CohesiveInterface("glue", material("interface")),
            *[Dirichlet("left", c) for c in "xy"],
            Springs("right", {"normal": 500.0, "tangential": 100.0}),
            Pressure("right", SpaceFunction(lambda t, x: -80.0 * t * (1.0 + x[:, 1]))),
        ]  # fmt: skip
    if name == "blown":
        mesh = box(3, 3, 2, "hexahedron")
        return mesh, [Body(neo_hookean())], [
            *[Dirichlet("back", c) for c in "xyz"],
            Pressure("front", lambda t: 20.0 * t, follower=True),
            Dirichlet("left", "x", SpaceFunction(lambda t, x: -0.1 * t * x[:, 2])),
        ]  # fmt: skip
    raise ValueError(name)


def solve(name: str, backend: str, comm: Any = None) -> dict[str, NDArray]:
    root = comm is None or comm.rank == 0
    mesh, bodies, conditions = case(name)
    problem = Problem(mesh if root else None, bodies, conditions, backend=backend, comm=comm)
    for time in TIMES:
        result = problem.advance(time)
        assert result.converged, result.reason
    local = problem.local
    u = gather_nodes(local, problem.u.reshape(-1, local.dim)[: local.n_owned])
    found: dict[str, Any] = {"residuals": np.array(result.residual_norms)}
    found["loads"] = np.array(list(problem.load_row().values()))
    if problem.unknowns.cells:
        found["stress"] = homogenised_stress(problem)
        found["tangent"] = homogenised_tangent(problem)
    before = problem.u.copy()
    problem.restore(problem.q.copy(), problem.time)
    found["restored"] = np.abs(problem.u - before).max(initial=0.0)
    if u is not None:
        found["u"] = u
    problem.close()
    return found


def refused(comm: Any) -> dict[str, NDArray]:
    """What each rank is told of conditions that contradict each other."""
    mesh, bodies, conditions = case("rigid")
    conditions = [*conditions, Dirichlet("front", "x"), Traction("front", [1.0, 0.0, 0.0])]
    try:
        Problem(mesh if comm.rank == 0 else None, bodies, conditions, comm=comm)
        message = "no error"
    except Exception as error:
        message = f"{type(error).__name__}: {error}"
    return {"messages": np.array(comm.allgather(message))}


if __name__ == "__main__":
    from mpi4py import MPI

    comm = MPI.COMM_WORLD
    folder, *cases = sys.argv[1:]
    try:
        for name in cases:
            data = refused(comm) if name == "refused" else solve(name, "petsc", comm)
            if comm.rank == 0:
                np.savez(Path(folder) / f"{name}.npz", **data)
    except Exception:
        traceback.print_exc()
        comm.Abort(1)
