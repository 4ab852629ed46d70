"""Bodies and laws of the tests."""

from __future__ import annotations

from pathlib import Path

import meshio
import numpy as np
from dolfinx import fem
from dolfinx.mesh import CellType, create_box
from dolfinx_reference import ROOT
from mpi4py import MPI

from neml2fe import load_model
from neml2fe.material import Material

LAWS = str(Path(__file__).with_name("laws.i"))
STEEL = str(ROOT / "examples" / "steel.i")


def law(name: str = "plasticity", deck: str = LAWS) -> Material:
    return Material(load_model(deck, name))


def cube(n: int = 2) -> fem.Function:
    """Displacements on a cube of hexahedra."""
    mesh = create_box(MPI.COMM_WORLD, [[0.0] * 3, [1.0] * 3], [n] * 3, CellType.hexahedron)
    return fem.Function(fem.VectorFunctionSpace(mesh, ("Lagrange", 1)))


def bend(u: fem.Function, size: float) -> None:
    """An uneven motion with strains of about `size`."""
    u.interpolate(
        lambda x: (
            size
            * np.stack([x[0] + 0.3 * x[1] * x[2], 0.5 * x[0] ** 2, x[2] * x[0] - x[1]])[
                : u.function_space.mesh.geometry.dim
            ]
        )
    )


def lattice_file(path: Path, cell_type: str, n: int, lengths: tuple[float, ...]) -> str:
    """A rectangle of triangles or box of hexahedra in meshio's order, inner nodes shifted."""
    dim = len(lengths)
    numbers = np.arange((n + 1) ** dim).reshape((n + 1,) * dim)
    points = np.stack(np.meshgrid(*[np.linspace(0, 1, n + 1)] * dim, indexing="ij"), -1)
    points = points.reshape(-1, dim)
    inside = ((points > 0) & (points < 1)).all(1)
    shift = np.random.default_rng(1).uniform(-0.2, 0.2, points.shape) / n
    points[inside] += shift[inside]
    ring = [(0, 0), (1, 0), (1, 1), (0, 1)]
    if dim == 3:
        ring = [(*at, up) for up in (0, 1) for at in ring]
    cells = np.stack([numbers[tuple(slice(o, n + o) for o in at)].ravel() for at in ring], 1)
    if cell_type == "triangle":
        cells = np.vstack([cells[:, [0, 1, 2]], cells[:, [0, 2, 3]]])
    meshio.Mesh(np.pad(points * lengths, ((0, 0), (0, 3 - dim))), {cell_type: cells}).write(path)
    return str(path)
