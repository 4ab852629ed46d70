"""Solves and times a job of fem.py with torch-fem, in the environment that has it.

    python peer_torchfem.py FOLDER

FOLDER holds job.json; result.json is written there. A cube of `nodes` nodes along each edge, one
face clamped, the opposite one pulled by `pull` in equal increments. All options of the solver are
those that it has by itself: conjugate gradients with smoothed aggregation to 1e-10, Newton to 1e-8
of its first residual or 1e-6.
"""

from __future__ import annotations

import json
from importlib.metadata import version
from typing import Any

import torch
from fem_job import enough, forgotten, peak, read_job, timed
from torch import Tensor
from torchfem import Solid
from torchfem.materials import Hyperelastic3D, IsotropicElasticity3D, IsotropicPlasticity3D
from torchfem.mesh import cube_hexa


def energy(f: Tensor, parameters: Tensor) -> Tensor:
    """The neo-Hookean energy that torch-fem's documentation gives."""
    mu, lam = parameters
    c = f.T @ f
    log_j = 0.5 * torch.logdet(c)
    return 0.5 * mu * (torch.trace(c) - 3.0) - mu * log_j + 0.5 * lam * log_j**2


def material(law: str, p: dict[str, float]) -> Any:
    if law == "elastic":
        return IsotropicElasticity3D(E=p["E"], nu=p["nu"])
    if law == "neo_hookean":
        mu = p["E"] / (2 * (1 + p["nu"]))
        lam = p["E"] * p["nu"] / ((1 + p["nu"]) * (1 - 2 * p["nu"]))
        return Hyperelastic3D(energy, [mu, lam])
    return IsotropicPlasticity3D(
        E=p["E"],
        nu=p["nu"],
        sigma_f=lambda q: p["yield_stress"] + p["hardening"] * q,
        sigma_f_prime=lambda q: p["hardening"],
    )


def cube(job: dict[str, Any], nodes: int) -> Any:
    points, elements = cube_hexa(nodes, nodes, nodes)
    solid = Solid(points, elements, material(job["law"], job["parameters"]))
    left, right = points[:, 0] == 0.0, points[:, 0] == 1.0
    solid.constraints[left, :] = True
    solid.constraints[right, :] = torch.tensor([True, job["clamped"], job["clamped"]])
    solid.displacements[right, 0] = job["pull"]
    return solid


def main() -> None:
    folder, job = read_job()
    loads = torch.linspace(0.0, 1.0, job["increments"] + 1)
    forgotten()
    base = peak()
    _, first = timed(lambda: cube(job, job["warm_up"]).solve(loads))
    setup: list[float] = []
    solve: list[float] = []
    while not enough(solve):
        solid, seconds = timed(lambda: cube(job, job["nodes"]))
        setup.append(seconds)
        (u, f, *_), seconds = timed(lambda solid=solid: solid.solve(loads))
        solve.append(seconds)
        if len(solve) == 1:
            memory = peak() - base
    right = solid.nodes[:, 0] == 1.0
    found = {
        "versions": {"torch-fem": version("torch-fem"), "torch": torch.__version__},
        "dofs": solid.n_dofs,
        "elements": solid.n_elem,
        "first": first,
        "setup": setup,
        "solve": solve,
        "memory_mb": memory,
        "results": {
            "reaction": float(f[right, 0].sum()),
            "displacement_norm": float(torch.linalg.norm(u)),
        },
    }
    (folder / "result.json").write_text(json.dumps(found))


main()
