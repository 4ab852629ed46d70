"""Gradients by tensors in fields, loads and constraints; under mpiexec: FOLDER.

Rank 0 writes FOLDER/gradients.npz, sums over the ranks. `gradients` also runs in the test process.
"""

from __future__ import annotations

import sys
import traceback
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from test_fields import thermal

from neml2fe.errors import InputError
from neml2fe.fem.conditions.conditions import (
    BodyForce,
    Condition,
    ControlDisplacement,
    ControlForce,
    Dirichlet,
    NodalForce,
    Pressure,
    RigidBody,
    Traction,
)
from neml2fe.fem.conditions.fields import ElementField, FieldTable, NodalField
from neml2fe.fem.conditions.functions import PiecewiseLinear, SpaceFunction
from neml2fe.fem.conditions.tensors import condition_tensors, named_tensors
from neml2fe.fem.mesh.generate import rectangle
from neml2fe.fem.problem import Problem

TIME = 0.6


class Gradients:
    """Sums of what `through` is given, by the names of the tensors."""

    def __init__(self, tensors: dict[str, torch.Tensor]) -> None:
        self.tensors = tensors
        self.values = {name: torch.zeros_like(tensor) for name, tensor in tensors.items()}

    def through(self, output: torch.Tensor, bar: torch.Tensor) -> None:
        assert output.shape == bar.shape
        found = torch.autograd.grad(output, list(self.tensors.values()), bar, allow_unused=True)
        for name, part in zip(self.tensors, found, strict=True):
            if part is not None:
                self.values[name] += part


def parameter(*values: float) -> torch.Tensor:
    data = torch.tensor(values if len(values) > 1 else values[0], dtype=torch.float64)
    return data.requires_grad_()


def conditions() -> list[Condition]:
    """Some of each kind that other ranks than one have a part in."""
    p, edge, a, b = parameter(2.0, -1.0), parameter(0.3), parameter(0.4), parameter(-0.2)
    sheared = SpaceFunction(lambda t, x: t * edge * x[:, 1] ** 2, tensors=[edge])
    return [
        Dirichlet("left", "x", sheared),
        Dirichlet("left", "y", lambda t: 0.02 * t, label="the same"),
        Dirichlet("left", "y", PiecewiseLinear([0.0, 1.0], [0.0, parameter(0.02)])),
        Traction("top", [SpaceFunction(lambda t, x: p[0] * torch.sin(p[1] * t * x[:, 0]),
                                       tensors={"p": p}), parameter(0.7)]),
        Pressure("bottom", PiecewiseLinear([0.0, 1.0], parameter(1.0, 3.0)), label="water"),
        BodyForce([parameter(0.2), SpaceFunction(lambda t, x: a * x[:, 0] * t, tensors=[a])]),
        NodalForce("top", [SpaceFunction(lambda t, x: b * x[:, 0] ** 2, tensors=[b]), 0.0]),
        RigidBody("right", (4.0, 0.5), label="head"),
        ControlForce("head", "x", parameter(5.0)),
        ControlDisplacement("head", "rz", parameter(0.01)),
    ]  # fmt: skip


def wave(numbers: NDArray, dim: int) -> NDArray:
    """Some cotangents of the nodes of these numbers, `(n * dim,)`."""
    return np.sin(1.0 + numbers[:, None] * dim + np.arange(dim)).reshape(-1)


def gradients(backend: str, comm: Any = None) -> dict[str, NDArray]:
    root = comm is None or comm.rank == 0
    mesh = rectangle(7, 5, "quad", (2.0, 1.0), distortion=0.2)
    nodes = torch.linspace(20.0, 30.0, mesh.n_nodes, dtype=torch.float64).requires_grad_()
    elements = torch.linspace(0.0, 9.0, mesh.n_elements, dtype=torch.float64).requires_grad_()
    field = FieldTable([0.0, 1.0], [NodalField(nodes), ElementField(elements)])
    given = conditions()
    problem = Problem(
        mesh if root else None, thermal(), given, fields={"temperature": field}, backend=backend,
        comm=comm,
    )  # fmt: skip
    local, block = problem.local, problem.solids[0].block
    everywhere = slice(0, block.n_elements)
    tensors = {f"field{at}": tensor for at, tensor in named_tensors(field).items()}
    for condition in given:
        for name, tensor in condition_tensors(condition).items():
            tensors[f"{condition.name} {name}"] = tensor
    to = Gradients(tensors)
    with torch.enable_grad():
        values = problem.solids[0].fields(TIME, everywhere)["temperature"]
    x = block.positions().flatten(0, 1)
    to.through(values, torch.cos(3.0 * x[:, 0] + x[:, 1]))
    owned = wave(local.nodes[: local.n_owned], local.dim)
    n = problem.unknowns.layout.n_owned_dofs - len(owned)
    unknowns = np.append(owned, np.arange(1.0, 1.0 + n))
    problem.loads.pull(owned, TIME, to.through)
    problem.constraints.pull(unknowns, TIME, to.through)
    problem.constraints.pull_control(unknowns, TIME, to.through)
    problem.close()
    mine = {name: value.numpy() for name, value in to.values.items()}
    return mine if comm is None else {n: comm.allreduce(value) for n, value in mine.items()}


def refusals(comm: Any) -> NDArray:
    """What each rank is told of a tensor that not all ranks have, or that differs."""
    mesh = rectangle(4, 3, "quad", (2.0, 1.0))
    told = []
    for values in (
        torch.ones(mesh.n_nodes).requires_grad_() if comm.rank == 0 else None,
        torch.full((mesh.n_nodes,), float(comm.rank)),
    ):
        fields = {"temperature": NodalField(values)}
        try:
            Problem(mesh if comm.rank == 0 else None, thermal(), [], fields=fields, comm=comm)
            told.append("no error")
        except InputError as error:
            told.append(str(error))
    return np.array(comm.allgather(told))


if __name__ == "__main__":
    from mpi4py import MPI

    world = MPI.COMM_WORLD
    try:
        found = {**gradients("petsc", world), "refusals": refusals(world)}
        if world.rank == 0:
            np.savez(Path(sys.argv[1]) / "gradients.npz", **found)
    except Exception:
        traceback.print_exc()
        world.Abort(1)
