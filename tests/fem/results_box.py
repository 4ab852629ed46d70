"""Problems whose fields the tests of results set by hand, so that answers are known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

import neml2fe
import neml2fe.models
from neml2fe.fem import Body, Dirichlet, Mesh, Problem
from neml2fe.fem.mesh.generate import box, rectangle
from neml2fe.material import Material

HERE = Path(__file__).parent
PLANE = ("triangle", "triangle6", "quad", "quad8", "quad9")
SOLID = ("tetra", "tetra10", "wedge", "hexahedron", "hexahedron20", "hexahedron27")


def material(deck: str = "elastic", name: str = "model") -> Material:
    return Material(neml2fe.load_model(HERE / f"{deck}.i", name))


def mesh(cell_type: str, distortion: float = 0.2) -> Mesh:
    if cell_type in PLANE:
        return rectangle(3, 3, cell_type, distortion=distortion)
    return box(2, 2, 2, cell_type, distortion=distortion)


def halves(cell_type: str = "quad") -> Mesh:
    """A square with the regions `low` (x < 1/2) and `high`."""
    whole = rectangle(4, 2, cell_type)
    nodes = whole.cells[0].connectivity
    high = whole.points[nodes].mean(axis=1)[:, 0] > 0.5
    regions = {"low": (np.flatnonzero(~high),), "high": (np.flatnonzero(high),)}
    return Mesh(whole.points, whole.cells, whole.boundaries, regions=regions, name="halves")


def problem(of: Mesh, bodies: Any = None, **options: Any) -> Problem:
    held = [Dirichlet("left", axis) for axis in "xyz"[: of.points.shape[1]]]
    bodies = material() if bodies is None else bodies
    return Problem(of, bodies, held, **{"backend": "scipy", **options})


def two_bodies() -> Problem:
    bodies = [Body(material("j2"), ["low"]), Body(material("elastic"), ["high"])]
    return problem(halves(), bodies)


def linear(x: NDArray, size: int) -> NDArray[np.float64]:
    """A linear field `(..., size)` at positions `(..., dim)`."""
    slopes = np.random.default_rng(3).normal(size=(x.shape[-1], size))
    return x @ slopes + np.arange(1.0, size + 1.0)


def set_linear_stress(of: Problem) -> None:
    for solid in of.solids:
        x = solid.block.positions().reshape(-1, of.local.dim).numpy()
        solid.stress.copy_(torch.as_tensor(linear(x, 6)))


def set_linear_displacements(of: Problem) -> None:
    of.u = linear(of.local.points, of.local.dim).reshape(-1)
