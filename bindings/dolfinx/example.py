"""The plate of examples/perforated_plate in DOLFINx: cyclic tension, plane strain, viscoplastic.

python example.py                    # 12 steps of 0.5 s, compared with neml2fe's solver
mpiexec -n 2 python example.py 4     # 4 steps, on two ranks
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path

import meshio
import numpy as np
import ufl
from dolfinx import cpp, fem
from dolfinx.mesh import CellType, Mesh, create_mesh, locate_entities_boundary
from dolfinx.nls.petsc import NewtonSolver
from dolfinx_reference import ROOT, Case, python, reference
from mpi4py import MPI
from neml2fe_dolfinx import QuadratureMaterial, QuadratureProblem
from numpy.typing import NDArray

from neml2fe import load_model
from neml2fe.material import Material, PlaneStress, PointMaterial, finite_strain

PLATE = Case(
    mesh=str(ROOT / "meshes" / "perforated_plate.msh"),
    deck=str(ROOT / "examples" / "steel.i"),
    model="viscoplasticity",
    formulation="plane_strain",
    degree=4,
    held=[("bottom", "y"), ("corner", "x")],
    driven=("top", "y", [0.0, 4.0, 6.0], [0.0, 0.4, 0.0]),
    times=[0.5 * k for k in range(1, 13)],
)
# Name in meshio: shape, degree and dimension of an element.
ELEMENTS = {"quad9": ("quadrilateral", 2, 2), "triangle": ("triangle", 1, 2)}
ELEMENTS |= {"hexahedron": ("hexahedron", 1, 3)}
# Of each side: an axis and the end of it, low or high.
SIDES = {
    name: [(axis, end)]
    for axis, pair in enumerate((("left", "right"), ("bottom", "top"), ("back", "front")))
    for end, name in enumerate(pair)
}
SIDES |= {"corner": [*SIDES["left"], *SIDES["bottom"]]}


def read_mesh(comm: MPI.Comm, path: str) -> tuple[Mesh, int]:
    """The mesh of a file, which the first rank reads, and its degree."""
    cells = points = None
    if comm.rank == 0:
        file = meshio.read(path)
        cell_type = next(t for t in ELEMENTS if t in file.cells_dict)
        used, cells = np.unique(file.cells_dict[cell_type], return_inverse=True)
        cells = cells.reshape(file.cells_dict[cell_type].shape)
        points = file.points[used]
        known = cell_type, cells.shape[1]
    cell_type, nodes = comm.bcast(known if comm.rank == 0 else None)
    shape, degree, dim = ELEMENTS[cell_type]
    if cells is None or points is None:
        cells, points = np.empty((0, nodes), np.int64), np.empty((0, dim))
    order = cpp.io.perm_vtk(getattr(CellType, shape), nodes)
    domain = ufl.Mesh(ufl.VectorElement("Lagrange", shape, degree, dim=dim))
    return create_mesh(comm, cells[:, order], points[:, :dim], domain), degree


def material_of(case: Case) -> PointMaterial:
    """The law of `case`, in its formulation and kinematics."""
    material: PointMaterial = Material(load_model(case.deck, case.model))
    if case.kinematics == "finite":
        material = finite_strain(material)
    return PlaneStress(material) if case.formulation == "plane_stress" else material


def simulate(case: Case) -> tuple[fem.Function, NDArray[np.float64]]:
    """The displacements at the end, and the force on the driven side after each step."""
    comm = MPI.COMM_WORLD
    mesh, degree = read_mesh(comm, case.mesh)
    space = fem.VectorFunctionSpace(mesh, ("Lagrange", degree))
    u, pull = fem.Function(space), fem.Function(space)
    ends = comm.allgather((mesh.geometry.x.min(axis=0), mesh.geometry.x.max(axis=0)))
    low, high = (f([e[k] for e in ends], axis=0) for k, f in enumerate((np.min, np.max)))

    def dofs(side: str, component: str) -> tuple[NDArray[np.int32], fem.FunctionSpace]:
        at = [(axis, (low, high)[end][axis]) for axis, end in SIDES[side]]
        facets = locate_entities_boundary(
            mesh,
            mesh.topology.dim - len(at),
            lambda x: np.all([np.isclose(x[i], v) for i, v in at], 0),
        )
        part = space.sub("xyz".index(component))
        return fem.locate_dofs_topological(part, mesh.topology.dim - len(at), facets), part

    side, component, times, values = case.driven
    motion = fem.Constant(mesh, 0.0)
    driven = dofs(side, component)
    bcs = [fem.dirichletbc(0.0, *dofs(*held)) for held in case.held]
    bcs += [fem.dirichletbc(motion, *driven)]

    points = QuadratureMaterial(material_of(case), u, case.degree)
    problem = QuadratureProblem([points], u, bcs)
    solver = NewtonSolver(comm, problem)
    solver.convergence_criterion, solver.rtol, solver.atol = "residual", 1e-12, 1e-8
    solver.krylov_solver.setType("preonly")
    solver.krylov_solver.getPC().setType("lu")
    solver.krylov_solver.getPC().setFactorSolverType("mumps")

    pull.x.array[driven[0]] = 1.0  # the work of the stresses in this motion is the force
    force = fem.form(points.residual(pull))
    forces = []
    for time in case.times:
        problem.dt, problem.time = time - problem.time, time
        motion.value = np.interp(time, times, values)
        iterations, _ = solver.solve(u)
        problem.accept()
        forces.append(comm.allreduce(fem.assemble_scalar(force)))
        if comm.rank == 0:
            print(f"t = {time:4.1f} s   force {forces[-1]:10.3f} N/mm   {iterations} iterations")
    return u, np.array(forces)


def differences(
    case: Case, folder: Path, u: fem.Function, forces: NDArray[np.float64]
) -> tuple[float, float]:
    """The largest difference of forces, and of displacements at the end, to those of neml2fe's
    solver, over the largest of each."""
    space, comm = u.function_space, u.function_space.mesh.comm
    other = comm.bcast(reference(case, folder) if comm.rank == 0 else None)
    nodes, theirs = other["points"], other["displacements"][-1]
    dim, own = nodes.shape[1], space.dofmap.index_map.size_local
    at = space.tabulate_dof_coordinates()[:own, :dim]
    apart = np.linalg.norm(at[:, None] - nodes, axis=2)
    if apart.min(axis=1).max(initial=0.0) > 1e-9 * np.ptp(nodes):
        raise ValueError("the nodes of the two meshes are not the same")
    mine = u.x.array.reshape(-1, dim)[:own]
    of_u = comm.allreduce(abs(mine - theirs[apart.argmin(axis=1)]).max(initial=0.0), MPI.MAX)
    of_forces = abs(forces - other["force"]).max() / abs(other["force"]).max()
    return float(of_forces), float(of_u / abs(theirs).max())


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("steps", type=int, nargs="?", default=len(PLATE.times))
    case = replace(PLATE, times=PLATE.times[: parser.parse_args().steps])
    u, forces = simulate(case)
    if python() is None:
        return
    with tempfile.TemporaryDirectory() as folder:
        of_forces, of_u = differences(case, Path(folder), u, forces)
    if MPI.COMM_WORLD.rank == 0:
        print(f"relative to neml2fe's solver: forces {of_forces:.1e}, displacements {of_u:.1e}")


if __name__ == "__main__":
    main()
