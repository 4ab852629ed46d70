"""A sheet in plane stress that forces bend to and fro: torch-fem with `NemlMaterial`, neml2fe's
own solver with the same elements and steps, and a gradient through torch-fem's history."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from neml2fe_torchfem import NemlMaterial, set_clock
from numpy.typing import NDArray
from torchfem import Planar, Solid
from torchfem.mesh import rect_quad

from neml2fe import fem, load_model
from neml2fe.errors import ConvergenceError
from neml2fe.fem.mesh import CellBlock, Mesh
from neml2fe.material import Material, PointMaterial

History = tuple[NDArray[np.float64], NDArray[np.float64]]
# displacements (steps, nodes, d), reactions (steps, d)

LAWS = Path(__file__).parent / "laws.i"
# Load factors. torch-fem starts each increment from the previous one: small ones next to a reversal
# spare it smaller steps, in which effects of rates would not be the same as in the full ones.
LOADS = (0.0, 0.5, 0.8, 0.99, 1.0, 0.99, 0.5, 0.0, -0.2)
TOLERANCES = {"rtol": 1e-12, "atol": 1e-8, "max_iter": 20}  # atol in N


def model_of(
    material: NemlMaterial, nodes: torch.Tensor, cells: torch.Tensor, force: float
) -> Planar | Solid:
    """The side x = 0 is clamped; `force` acts in y on each node of the largest x. A load factor
    changes by one in 10 s."""
    model = (Planar if nodes.shape[1] == 2 else Solid)(nodes, cells, material)
    model.constraints[nodes[:, 0] == 0.0] = True
    model.forces[nodes[:, 0] == nodes[:, 0].max(), 1] = force
    return set_clock(model, duration=10.0)


def with_torchfem(
    material: NemlMaterial, nodes: torch.Tensor, cells: torch.Tensor, force: float
) -> History:
    model = model_of(material, nodes, cells, force)
    with torch.no_grad():
        u, f, *_ = model.solve(torch.tensor(LOADS), return_intermediate=True, **TOLERANCES)
    return u[1:].numpy(), f[1:, nodes[:, 0] == 0.0].sum(1).numpy()


def with_neml2fe(
    material: PointMaterial,
    formulation: str,
    nodes: torch.Tensor,
    cells: torch.Tensor,
    force: float,
    kinematics: str = "auto",
    loads: Sequence[float] = LOADS,
) -> History:
    """The same."""
    x, d = nodes.numpy(), nodes.shape[1]
    sides = {"left": x[:, 0] == 0.0, "right": x[:, 0] == x[:, 0].max()}
    times = 10.0 * np.concatenate([[0.0], np.abs(np.diff(loads)).cumsum()])
    history = fem.PiecewiseLinear(times, [force * load for load in loads])
    problem = fem.Problem(
        Mesh(
            x,
            (CellBlock("quad" if d == 2 else "hexahedron", cells.numpy()),),
            node_sets={name: np.flatnonzero(side) for name, side in sides.items()},
        ),
        material,
        [
            *(fem.Dirichlet("left", axis, label=f"left_{axis}") for axis in "xyz"[:d]),
            fem.NodalForce("right", [0.0, history, 0.0][:d]),
        ],
        formulation=formulation,
        kinematics=kinematics,
        backend="scipy",
        tolerance=1e-11,
    )
    displacements, reactions = [], []
    for time in times[1:]:
        outcome = problem.advance(float(time))
        if not outcome.converged:
            raise ConvergenceError(f"time {time}: {outcome.reason}")
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
    torch.set_default_dtype(torch.float64)
    nodes, cells = rect_quad(9, 4, 30.0, 10.0)
    steel = Material(load_model(LAWS, "viscous_steel"), backend="kernel")
    for name, value in steel.parameters.items():
        value.requires_grad_(name.endswith((".sy", ".eta")))
    material = NemlMaterial(steel, "plane_stress")
    found = with_torchfem(material, nodes, cells, force=45.0)
    expected = with_neml2fe(steel, "plane_stress", nodes, cells, force=45.0)
    print("load factor  deflection [mm]: torch-fem      neml2fe")
    for load, own, other in zip(LOADS[1:], found[0], expected[0], strict=True):
        print(f"{load:11.1f} {own[-1, 1]:26.8f} {other[-1, 1]:12.8f}")
    displacement, reaction = differences(found, expected)
    print(f"largest difference: displacements {displacement:.1e}, reactions {reaction:.1e}")

    chosen = {name: p for name, p in steel.parameters.items() if p.requires_grad}
    model = model_of(material, nodes, cells, force=45.0)
    u, *_ = model.solve(
        torch.tensor(LOADS), differentiable_parameters=chosen.values(), **TOLERANCES
    )
    u[-1, 1].backward()
    for name, value in chosen.items():
        print(f"d deflection / d {name.rsplit('.')[-1]} = {float(value.grad):.6e}")


if __name__ == "__main__":
    main()
