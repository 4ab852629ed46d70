"""Gradients of whole runs on some MPI ranks; under mpiexec: FOLDER CASE [CASE ...].

Rank 0 writes FOLDER/CASE.npz with the gradients by name, sensitivities of all observations along
each of their tensors, and whether all ranks had the same bits; or, for the case `refused`, what
each rank raised. `gradients` also runs in the test process.
"""

from __future__ import annotations

import sys
import traceback
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gradients_box import (
    EP,
    LAWS,
    STEPS,
    Loss,
    deck_model,
    held,
    law,
    param,
    parametrised,
    sides,
)
from numpy.typing import NDArray

import neml2fe.models as m
from neml2fe.errors import Error
from neml2fe.fem import (
    Body,
    BodyForce,
    ControlDisplacement,
    ControlForce,
    Dirichlet,
    ElementField,
    NodalField,
    PeriodicCell,
    PiecewiseLinear,
    Pressure,
    Problem,
    RigidBody,
    Springs,
    Traction,
)
from neml2fe.fem.adjoint.checkpoints import Checkpoints
from neml2fe.fem.adjoint.inputs import tensors_of_problem
from neml2fe.fem.mesh.generate import box, rectangle
from neml2fe.fem.observations import (
    DisplacementsAt,
    ElementMeans,
    MeanStress,
    NodalDisplacements,
    Observation,
    PointValues,
    Reaction,
)
from neml2fe.material import Material

TURNED = [[0.8, 0.6, 0.0], [-0.6, 0.8, 0.0], [0.0, 0.0, 1.0]]
GAMG = {"ksp_type": "gmres", "pc_type": "gamg"}


def fed() -> Material:
    """Plasticity whose yield stress `sy` is a field."""
    body = LAWS["j2"].replace("yield_stress = 200", "yield_stress = 'sy'")
    known = "[Bodies]\n[all]\nmaterial = 'law'\nfield_names = 'sy'\n[]\n[]"
    return Material(parametrised(deck_model(body, known)), backend="kernel")


@cache
def rubber() -> Material:
    model = m.NeoHookean(bulk_modulus=500.0, shear_modulus=80.0)
    return Material(parametrised(model), backend="kernel")


def made(name: str, comm: Any = None) -> tuple[Problem, dict[str, Observation], dict[str, Any]]:
    """A problem, what is observed, and how it is solved."""
    root = comm is None or comm.rank == 0
    options: dict[str, Any] = {}
    given: dict[str, Any] = {"backend": "scipy" if comm is None else "petsc", "comm": comm}
    if name == "chaboche":
        mesh = box(2, 2, 3, "hexahedron", distortion=0.2)
        bodies, conditions = Body(law("chaboche")), sides(3)
        observed: dict[str, Observation] = {
            "force": Reaction("pull"), "points": PointValues(EP), "nodes": NodalDisplacements("top")
        }  # fmt: skip
        options["checkpoints"] = Checkpoints("revolve", snapshots=2)
    elif name == "cell":
        mesh = rectangle(4, 4, "quad", distortion=0.2)
        bodies = Body(law("j2"))
        strain = {"xx": PiecewiseLinear([0.0, 0.5, 1.0], param([0.0, 0.004, 0.001]))}
        conditions = [PeriodicCell(strain, {"yy": param(30.0)})]
        observed = {"stress": MeanStress(), "plastic": ElementMeans(EP)}
    elif name == "shape":
        mesh = rectangle(6, 4, "quad", distortion=0.2)
        given["coordinates"] = param(mesh.points)
        bodies = Body(law("j2"))
        conditions = [
            *sides(2), Traction("top", [param(20.0), 5.0]), Pressure("bottom", 10.0),
            BodyForce([param(3.0), 1.0]),
        ]  # fmt: skip
        observed = {"force": Reaction("pull"), "plastic": PointValues(EP)}
    elif name == "rigid":
        mesh = box(2, 2, 3, "hexahedron", distortion=0.1)
        bodies = Body(rubber())
        conditions = [
            Dirichlet("back", "x", param(0.02), frame=TURNED, label="wall"),
            *[Dirichlet("back", c, frame=TURNED) for c in "yz"],
            RigidBody("front", (0.5, 0.5, 1.3), label="head"),
            ControlDisplacement("head", "ry", param(0.3)),
            ControlForce("head", "x", param(5.0)),
            Pressure("right", param(10.0), follower=True),
        ]
        observed = {
            "force": Reaction("wall"), "moment": Reaction("head_ry"), "nodes": NodalDisplacements()
        }  # fmt: skip
    else:
        mesh = rectangle(6, 4, "quad", distortion=0.2)
        if comm is not None:
            given["petsc_options"] = GAMG
        sy = ElementField(param(200.0 + 30.0 * np.sin(np.arange(24.0))))
        old = NodalField(param(1e-4 * np.arange(35.0)))
        bodies = Body(fed(), fields={"sy": sy}, initial_state={EP: old})
        conditions = [
            *held(2),
            Dirichlet("right", "x", PiecewiseLinear([0.0, 1.0], param([0.0, 0.006])), label="pull"),
            Traction("top", [param(20.0), 0.0]),
            Springs("bottom", [1e4, 2e4]),
        ]
        observed = {
            "force": Reaction("pull"), "points": DisplacementsAt([[0.3, 0.4], [0.9, 0.2]]),
            "plastic": ElementMeans(EP),
        }  # fmt: skip
    return Problem(mesh if root else None, bodies, conditions, **given), observed, options


def gradients(name: str, comm: Any = None) -> dict[str, NDArray]:
    problem, observed, options = made(name, comm)
    inputs = {n: t for n, t in tensors_of_problem(problem).items() if t.requires_grad}
    solution = problem.solve(STEPS, observed, **options)
    loss = Loss()(solution)
    found = torch.autograd.grad(loss, list(inputs.values()))
    rates = solution.sensitivities([{n: _direction(t)} for n, t in inputs.items()])
    bits = b"".join(g.numpy().tobytes() for g in (*found, *rates.values()))
    same = comm is None or len(set(comm.allgather(bits))) == 1
    problem.close()
    results = {n: g.numpy() for n, g in zip(inputs, found, strict=True)}
    for d, name in enumerate(inputs):
        parts = [(r[..., d] / solution[o].detach().abs().max()).flatten() for o, r in rates.items()]
        results[f"along {name}"] = torch.cat(parts).numpy()
    return {**results, "same": np.array(same)}


def _direction(tensor: torch.Tensor) -> torch.Tensor:
    wave = torch.arange(tensor.numel(), dtype=torch.float64).cos()
    return wave.reshape(tensor.shape) * tensor.detach().abs().max()


def refusals(comm: Any) -> dict[str, NDArray]:
    """What each rank raises for a loss of its own, by size and by sign, and a failing adjoint."""
    problem, observed, _ = made("cell", comm)
    messages = []
    for factor in (1.0 + comm.rank, (-1.0) ** comm.rank):
        loss = factor * Loss()(problem.solve(STEPS, observed))
        messages.append(comm.allgather(raised(loss)))
    solution = problem.solve(STEPS, observed)
    if comm.rank == comm.size - 1:
        problem.solids[0].material.vjp = failing
    messages.append(comm.allgather(raised(Loss()(solution))))
    problem.close()
    return {"messages": np.array(messages)}


def failing(*given: Any) -> Any:
    raise ValueError("this rank alone")


def raised(loss: torch.Tensor) -> str:
    try:
        loss.backward()
    except (Error, ValueError) as error:
        return str(error)
    return "nothing"


def main(folder: str, *names: str) -> None:
    from mpi4py import MPI

    comm = MPI.COMM_WORLD
    try:
        for name in names:
            found = refusals(comm) if name == "refused" else gradients(name, comm)
            if comm.rank == 0:
                np.savez(Path(folder) / f"{name}.npz", **found)
    except BaseException:
        traceback.print_exc()
        comm.Abort(1)


if __name__ == "__main__":
    main(*sys.argv[1:])
