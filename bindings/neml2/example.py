"""A sheet in plane strain, stretched by 2 %, with the law of steel.i by NEML2 and by neml2fe.

python example.py
"""

from __future__ import annotations

import time
from pathlib import Path

from neml2fe_neml2 import Neml2Material

import neml2fe
from neml2fe import fem
from neml2fe.fem.mesh.generate import rectangle
from neml2fe.material import Material, PointMaterial

DECK, MODEL = Path(__file__).with_name("steel.i"), "viscoplasticity"


def forces_of(material: PointMaterial) -> tuple[list[float], float]:
    """Forces at the right edge after each step, and the seconds that all took."""
    for value in material.parameters.values():
        value.requires_grad_(False)
    conditions = [
        fem.Dirichlet("left", "x"),
        fem.Dirichlet("left", "y"),
        fem.Dirichlet("right", "x", lambda t: 0.02 * t),
    ]
    mesh = rectangle(8, 4, "quad")
    problem = fem.Problem(mesh, material, conditions, formulation="plane_strain")
    forces, start = [], time.perf_counter()
    for k in range(1, 5):
        fem.simulate(problem, fem.TimeStepping(end=k / 4, dt=0.25), quiet=True)
        forces.append(problem.load_row()["right_x_reaction"])
    return forces, time.perf_counter() - start


if __name__ == "__main__":
    theirs, slow = forces_of(Neml2Material(DECK, MODEL))
    ours, fast = forces_of(Material(neml2fe.load_model(DECK, MODEL)))
    print(f"{'stretch':>8} {'NEML2, N/mm':>18} {'neml2fe, N/mm':>18} {'difference':>11}")
    for k, (a, b) in enumerate(zip(theirs, ours, strict=True), 1):
        print(f"{0.02 * k / 4:8.3f} {a:18.10f} {b:18.10f} {abs(a - b) / abs(b):11.1e}")
    print(f"{slow:.1f} s with NEML2, {fast:.1f} s with neml2fe's own law")
