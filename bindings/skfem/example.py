"""A sheet in plane stress, pulled, pushed back and pulled again: scikit-fem with `MaterialPoints`,
and neml2fe's own solver with the same elements and steps."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import skfem
from neml2fe_skfem import MaterialPoints, internal_forces, stiffness
from numpy.typing import NDArray
from skfem.helpers import grad

from neml2fe import fem, load_model
from neml2fe.errors import ConvergenceError
from neml2fe.fem.mesh import CellBlock, Mesh
from neml2fe.material import Material, PointMaterial

Array = NDArray[np.float64]
History = tuple[Array, Array]  # displacements (steps, nodes, d), reactions (steps, d)

LAWS = Path(__file__).parent / "laws.i"
PATH = (0.2, 0.6, 1.0, 0.6, 0.2, -0.2, 0.3)
VTK_ORDER = {4: [0, 3, 2, 1], 8: [0, 3, 6, 2, 1, 5, 7, 4]}  # nodes of cells of init_tensor


def with_skfem(
    material: PointMaterial,
    formulation: str,
    mesh: skfem.Mesh,
    pull: float,
    path: Sequence[float] = PATH,
    tolerance: float = 1e-11,
) -> History:
    """The side x = 0 is clamped; the nodes of the largest x move by `pull` in x and y, times
    `path`, a step for each second."""
    d = mesh.dim()
    element = skfem.ElementQuad1() if d == 2 else skfem.ElementHex1()
    basis = skfem.Basis(mesh, skfem.ElementVector(element), intorder=2)
    points = MaterialPoints(material, basis, formulation)
    left = basis.nodal_dofs[:, mesh.p[0] == 0.0]
    right = basis.nodal_dofs[:2, mesh.p[0] == mesh.p[0].max()]
    fixed = np.unique(np.concatenate([left.ravel(), right.ravel()]))

    def forces_and_stiffness(u: Array, time: float) -> tuple[Array, object]:
        stress, tangent = points.update(grad(basis.interpolate(u)), time, dt=1.0)
        return (
            internal_forces.assemble(basis, stress=stress),
            stiffness.assemble(basis, tangent=tangent),
        )

    u = basis.zeros()
    f, matrix = forces_and_stiffness(u, 1.0)
    displacements, reactions = [], []
    for step, factor in enumerate(path, 1):
        change = np.zeros_like(u)
        change[right] = factor * pull - u[right]
        for _ in range(20):
            u = u + skfem.solve(*skfem.condense(matrix, -f, x=change, D=fixed))
            change = np.zeros_like(u)
            f, matrix = forces_and_stiffness(u, float(step))
            unbalanced = np.delete(f, fixed)
            if np.linalg.norm(unbalanced) <= tolerance * np.linalg.norm(f):
                break
        else:
            raise ConvergenceError(f"Newton's method failed in step {step}")
        points.accept()
        displacements.append(u[basis.nodal_dofs].T)
        reactions.append(f[left].sum(1))
    return np.array(displacements), np.array(reactions)


def with_neml2fe(
    material: PointMaterial,
    formulation: str,
    mesh: skfem.Mesh,
    pull: float,
    path: Sequence[float] = PATH,
    kinematics: str = "auto",
) -> History:
    """The same."""
    nodes, d = mesh.p.T, mesh.dim()
    cells = mesh.t[VTK_ORDER[len(mesh.t)]].T
    sides = {"left": nodes[:, 0] == 0.0, "right": nodes[:, 0] == nodes[:, 0].max()}
    history = fem.PiecewiseLinear(range(len(path) + 1), [0.0, *(pull * factor for factor in path)])
    problem = fem.Problem(
        Mesh(
            nodes,
            (CellBlock("quad" if d == 2 else "hexahedron", cells),),
            node_sets={name: np.flatnonzero(side) for name, side in sides.items()},
        ),
        material,
        [
            *(fem.Dirichlet("left", axis, label=f"left_{axis}") for axis in "xyz"[:d]),
            *(fem.Dirichlet("right", axis, history) for axis in "xy"),
        ],
        formulation=formulation,
        kinematics=kinematics,
        backend="scipy",
        tolerance=1e-11,
    )
    displacements, reactions = [], []
    for step in range(1, len(path) + 1):
        outcome = problem.advance(float(step))
        if not outcome.converged:
            raise ConvergenceError(f"step {step}: {outcome.reason}")
        row = problem.load_row()
        displacements.append(problem.u.reshape(-1, d).copy())
        reactions.append([row[f"left_{axis}_reaction"] for axis in "xyz"[:d]])
    return np.array(displacements), np.array(reactions)


def differences(found: History, expected: History) -> tuple[float, float]:
    """The largest of displacements and reactions, relative to the largest value of each."""
    displacement, reaction = (
        float(abs(a - b).max() / abs(b).max()) for a, b in zip(found, expected, strict=True)
    )
    return displacement, reaction


def main() -> None:
    mesh = skfem.MeshQuad.init_tensor(np.linspace(0, 20, 9), np.linspace(0, 10, 5))
    steel = Material(load_model(LAWS, "steel"), backend="kernel")
    found = with_skfem(steel, "plane_stress", mesh, pull=0.06)
    expected = with_neml2fe(steel, "plane_stress", mesh, pull=0.06)
    print("step  force in x [N]: scikit-fem        neml2fe")
    for step, (own, other) in enumerate(zip(found[1], expected[1], strict=True), 1):
        print(f"{step:4d} {-own[0]:26.6f} {-other[0]:14.6f}")
    displacement, reaction = differences(found, expected)
    print(f"largest difference: displacements {displacement:.1e}, reactions {reaction:.1e}")


if __name__ == "__main__":
    main()
