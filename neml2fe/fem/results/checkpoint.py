"""Checkpoints of a problem, in the order of the mesh file: a run on any number of ranks can go on
from one."""

from __future__ import annotations

import hashlib
import os
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from neml2fe import io
from neml2fe.errors import OutputError
from neml2fe.fem.collective import collectively, gather_rows, scatter_rows
from neml2fe.fem.conditions.conditions import CohesiveInterface
from neml2fe.fem.mesh.distribution import gather_nodes, scatter_nodes
from neml2fe.fem.mesh.elements import Index
from neml2fe.fem.problem import Problem
from neml2fe.fem.results.energies import Energies
from neml2fe.fem.results.materials import named_parameters
from neml2fe.fem.terms.term import History

Path = str | os.PathLike[str]


def save(path: Path, problem: Problem, step: int, next_dt: float, energies: Energies) -> None:
    """Write displacements, states and stresses after step number `step`. Collective.

    Raises `OutputError` on every rank if the file cannot be written; the one before is kept.
    """
    local = problem.local
    n = local.n_owned * local.dim

    def gather(values: NDArray[np.float64]) -> NDArray[np.float64] | None:
        return gather_nodes(local, values[:n].reshape(-1, local.dim))

    arrays: dict[str, Any] = {
        "displacement": gather(problem.u),
        "out_of_balance_force": gather(problem.unbalanced),
    }
    if problem.unknowns.linked:
        arrays |= {"unknown": gather(problem.q), "control": problem.unknowns.controls(problem.q)}
    for k, history in enumerate(_histories(problem)):
        for name, value in history.variables.items():
            arrays[f"{name}/{k}"] = _gather(problem, history.numbers, value)
    meta = {
        **_identity(problem),
        "time": problem.time,
        "step": step,
        "next_dt": next_dt,
        "energies": energies.totals,
    }
    collectively(problem.comm, lambda: io.checkpoint.save(path, arrays, meta))


def restore(path: Path, problem: Problem, energies: Energies) -> tuple[int, float]:
    """Put the problem into the state of a checkpoint; the step number and next step size.

    Raises `OutputError` on every rank when the checkpoint is damaged or of another mesh,
    formulation, material, value of a parameter or set of bodies. Collective.
    """
    local, expected = problem.local, _identity(problem)

    def read() -> tuple[dict[str, NDArray[Any]], dict[str, Any]] | None:
        if local.rank != 0:
            return None
        arrays, meta = io.checkpoint.load(path)
        for key, value in expected.items():
            if meta.get(key) != value:
                raise OutputError(
                    f"checkpoint '{os.fspath(path)}' is of another run: its {key} differ "
                    f"from those of this deck{_difference(meta.get(key), value)}"
                )
        return arrays, meta

    loaded = collectively(problem.comm, read, every_rank=True)
    arrays, meta = loaded if loaded is not None else ({}, {})
    if problem.comm is not None:
        meta = problem.comm.bcast(meta)

    def scatter(name: str) -> NDArray[np.float64]:
        return np.array(scatter_nodes(local, arrays.get(name))[: local.n_owned]).reshape(-1)

    q = scatter("unknown" if problem.unknowns.linked else "displacement")
    if problem.unknowns.n_control:
        control = arrays.get("control")
        control = control if problem.comm is None else problem.comm.bcast(control)
        if len(problem.q) > len(q):  # this rank owns the control nodes
            q = np.concatenate([q, np.asarray(control)])
    problem.restore(q, float(meta["time"]))
    problem.unbalanced, problem.steps = scatter("out_of_balance_force"), int(meta["step"])
    for k, history in enumerate(_histories(problem)):
        for name, value in history.variables.items():
            value.copy_(_scatter(problem, history.numbers, value, arrays.get(f"{name}/{k}")))
    energies.restore(meta["energies"])
    return int(meta["step"]), float(meta["next_dt"])


def _identity(problem: Problem) -> dict[str, Any]:
    """What a checkpoint and a problem must have in common."""
    solids = problem.solids
    return {
        "mesh": problem.digest,
        "kinematics": {
            "formulation": problem.formulation,
            "strains": "finite" if solids[0].block.measure.finite else "small",
            "bodies with volumetric correction": ", ".join(
                dict.fromkeys(s.name for s in solids if s.body.volumetric_locking_correction)
            ),
        },
        "cells": [solid.block.cell_type for solid in solids],
        "quadrature": [solid.block.n_quadrature for solid in solids],
        "states": [
            {name: kind.__name__ for name, kind in solid.material.state_spec.items()}
            for solid in solids
        ],
        "bodies": [solid.name for solid in solids],
        "history": [sorted(history.variables) for history in _histories(problem)],
        "parameters": _parameters(problem),
    }


def _parameters(problem: Problem) -> dict[str, float | str]:
    """Values of the materials' parameters by place and name, of tensors a digest."""
    materials = {solid.name: solid.body.material for solid in problem.solids}
    materials |= {
        c.name: c.material for c in problem.conditions if isinstance(c, CohesiveInterface)
    }
    found: dict[str, float | str] = {}
    for place, material in materials.items():
        for name, value in named_parameters(material):
            data = value.numpy()
            digest = hashlib.sha256(f"{data.shape}".encode() + data.tobytes()).hexdigest()
            found[f"{place}/{name}"] = value.item() if value.numel() == 1 else digest[:16]
    return found


def _difference(there: Any, here: Any) -> str:
    """What differs first, where both say it by name."""
    if not (isinstance(there, dict) and isinstance(here, dict)):
        return ""
    name = next(n for n in [*here, *there] if there.get(n) != here.get(n))
    said = (repr(values.get(name, "missing")) for values in (there, here))
    return f": '{name}' is {' there, '.join(said)} here"


def _histories(problem: Problem) -> list[History]:
    found = (term.history(problem.local) for term in problem.terms)
    return [history for history in found if history is not None]


def _gather(problem: Problem, mine: Index, value: torch.Tensor) -> NDArray[Any] | None:
    """Values `(n, ...)` as (elements, points of each, ...) of all ranks, elements in the order
    of the mesh file, on rank 0; None elsewhere."""
    points = len(value) // max(len(mine), 1)
    rows = value.reshape(len(mine), points, *value.shape[1:]).cpu().numpy()
    if problem.comm is not None:  # a rank without elements knows no number of points
        points = problem.algebra.allreduce(points, "max")
        rows = rows.reshape(len(mine), points, *value.shape[1:])
    gathered = gather_rows(problem.comm, rows)
    numbers = gather_rows(problem.comm, mine)
    return None if gathered is None or numbers is None else gathered[np.argsort(numbers)]


def _scatter(
    problem: Problem, mine: Index, like: torch.Tensor, values: NDArray[Any] | None
) -> torch.Tensor:
    """The inverse of `_gather`, shaped `like` this rank's values."""
    numbers = gather_rows(problem.comm, mine)
    rows = None
    if values is not None and numbers is not None:
        rows = values[np.searchsorted(np.sort(numbers), numbers)]
    received = np.ascontiguousarray(scatter_rows(problem.comm, rows, len(mine)))
    return torch.as_tensor(received).reshape(like.shape)
