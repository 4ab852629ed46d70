"""Tests of one material on four ranks, distributed in several ways; under mpiexec: FOLDER.

Rank 0 writes FOLDER/found.npz: what each way gives, and what all ranks are told of a failure.
`plate`, `load` and `results` also run in the test process.
"""

from __future__ import annotations

import sys
import traceback
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from simulations_box import SY, R, lifted, pulled

from neml2fe.calibration import fit
from neml2fe.calibration.interface import Problem
from neml2fe.calibration.simulations import JointProblem
from neml2fe.errors import ConvergenceError

Found = dict[str, NDArray]


def plate(comm: Any = None) -> Problem:
    return pulled(SY, R, comm=comm, error=1.0)


def load(comm: Any = None) -> Problem:
    return lifted(SY, comm=comm, error=1.0)


def results(problem: Problem) -> Found:
    """Loss, gradient, residuals, Jacobian and the end of a fit."""
    x = problem.parameters.x0.clone().requires_grad_()
    loss = problem.loss(x)
    (gradient,) = torch.autograd.grad(loss, x)
    residuals, jacobian = problem.linearised(x.detach())
    result = fit(problem)
    assert result.converged and result.uncertainty is not None
    return {
        "loss": loss.detach().numpy(),
        "gradient": gradient.numpy(),
        "residuals": residuals.numpy(),
        "jacobian": jacobian.numpy(),
        "fit": result.x.numpy(),
        "errors": result.uncertainty.standard_errors.numpy(),
    }


def told(problem: Problem) -> str:
    """What is said where the load cannot be carried."""
    try:
        problem.loss(torch.zeros(len(problem.parameters.names), dtype=torch.float64))
    except ConvergenceError as error:
        return str(error)
    return "no error"


def on_four_ranks(world: Any) -> Found:
    """A test on two ranks and one on the other two; both tests on all; the load on one rank and
    the plate on all, so that a failure of the first must not keep the others waiting."""
    half = world.Split(world.rank // 2)
    first, last = world.rank < 2, world.rank == 3
    halves = {"plate": plate(half) if first else None, "load": None if first else load(half)}
    problems = {
        "halves": JointProblem(halves, world),
        "all": JointProblem({"plate": plate(world), "load": load(world)}, world),
    }
    found: Found = {}
    for way, problem in problems.items():
        for name, value in results(problem).items():
            assert all(np.array_equal(value, other) for other in world.allgather(value)), name
            found[f"{way} {name}"] = value
    mixed = {"load": load(MPI.COMM_SELF) if last else None, "plate": plate(world)}
    for way, problem in {"halves": problems["halves"], "mixed": JointProblem(mixed, world)}.items():
        found[f"{way} told"] = np.array(world.allgather(told(problem)))
    return found


if __name__ == "__main__":
    from mpi4py import MPI

    try:
        everything = on_four_ranks(MPI.COMM_WORLD)
        if MPI.COMM_WORLD.rank == 0:
            np.savez(Path(sys.argv[1]) / "found.npz", **everything)
    except Exception:
        traceback.print_exc()
        MPI.COMM_WORLD.Abort(1)
