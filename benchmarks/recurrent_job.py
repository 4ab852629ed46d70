"""Solves histories for one job of recurrent.py, takes times and memory; for both environments.

Both codes have the same names (`nonlinear`, `chunktime`), so that this file is the same script for
both: `own_recurrent.py` and `peer_recurrent.py` hand it their model and how it is solved.
"""

from __future__ import annotations

import ctypes
import gc
import json
import resource
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

Solve = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]  # of initial state and forces


def read_job() -> tuple[Path, dict[str, Any]]:
    folder = Path(sys.argv[1])
    job: dict[str, Any] = json.loads((folder / "job.json").read_text())
    torch.set_num_threads(job["threads"])
    torch.set_default_dtype(torch.float64)
    return folder, job


def recursion(nonlinear: Any, chunktime: Any, model: Any, job: dict[str, Any], **more: Any) -> Any:
    """The solver of the job, made as in a script for pyzag."""
    return nonlinear.RecursiveNonlinearEquationSolver(
        model,
        step_generator=nonlinear.StepGenerator(job["chunk"]),
        predictor=getattr(nonlinear, job["predictor"])(),
        direct_solve_operator=getattr(chunktime, job["operator"]),
        nonlinear_solver=chunktime.ChunkNewtonRaphson(
            rtol=job["rtol"], atol=job["atol"], miter=50, throw_on_fail=True
        ),
        **more,
    )


def inputs(folder: Path, model: Any) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Initial states `(S, 7)`, forces `(rows, S, 7)` and the weights of the loss `(rows, S, 7)`.

    The loss is the work of the prescribed strains by the rectangle rule, mean over specimens:
    linear in the stress, so that its cotangent is an input and costs neither time nor memory.
    """
    given = {name: torch.from_numpy(v) for name, v in np.load(folder / "inputs.npz").items()}
    strain = given["E"]
    rows, specimens, _ = strain.shape
    start = {
        "stress": torch.zeros(specimens, 6),
        "equivalent_plastic_strain": torch.zeros(specimens),
    }
    work = torch.zeros_like(strain)
    work[1:] = strain.diff(dim=0) / specimens
    no_loss = torch.zeros(rows, specimens)
    packed = {"stress": work, "equivalent_plastic_strain": no_loss}
    weights = torch.stack(
        [model.assemble_state({name: v[k] for name, v in packed.items()}) for k in range(rows)]
    )
    return model.assemble_state(start), model.assemble_forces(given), weights


def peak() -> float:
    """Largest memory that this process has held, MB, since the last `forgotten`."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6


def forgotten() -> None:
    """Makes what is held now the peak of this process (Linux), with no freed memory kept by."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")


def perform(folder: Path, job: dict[str, Any], model: Any, solve: Solve) -> dict[str, Any]:
    """Forward and adjoint, `repeat` times after one that does not count, and what they needed.

    A run of two specimens and a few chunks comes first, so that the base of the memory has all
    that is imported, built and allocated once; then the inputs, which belong to the base too.
    """
    y0, forces, weights = inputs(folder, model)
    rows = 3 * job["chunk"] + 1

    def both(rows: int, specimens: int) -> tuple[torch.Tensor, tuple[float, float]]:
        part = (y[:rows, :specimens].contiguous() for y in (forces, weights))
        force, weight = part if rows < len(forces) else (forces, weights)
        model.zero_grad()
        start = time.perf_counter()
        y = solve(y0[:specimens], force)
        middle = time.perf_counter()
        y.backward(weight)
        return y.detach(), (middle - start, time.perf_counter() - middle)

    if job["tiny"]:
        both(min(rows, len(forces) - 1), 2)
    forgotten()
    base = peak()
    y, first = both(len(forces), len(y0))
    memory = peak() - base
    times = [both(len(forces), len(y0))[1] for _ in range(job["repeat"])] or [first]
    forward, adjoint = zip(*times, strict=True)
    gradients = {name: p.grad.item() for name, p in model.named_parameters() if p.grad is not None}
    if not (torch.isfinite(y).all() and np.isfinite(list(gradients.values())).all()):
        raise FloatingPointError("states or gradients that are not finite")
    np.save(folder / "states.npy", y.numpy())
    return {
        "forward": summary(forward),
        "adjoint": summary(adjoint),
        "first": sum(first),
        "base_mb": base,
        "memory_mb": memory,
        "loss": float((weights * y).sum()),
        "gradients": gradients,
    }


def summary(seconds: tuple[float, ...]) -> dict[str, float]:
    return {
        "best": min(seconds),
        "median": statistics.median(seconds),
        "worst": max(seconds),
        "repetitions": len(seconds),
    }
