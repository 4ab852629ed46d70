"""Periodic Voronoi polycrystals on structured grids, and orientations for their grains."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from neml2fe.errors import InputError, MeshError
from neml2fe.fem.mesh.elements import Array
from neml2fe.fem.mesh.generate import box, rectangle
from neml2fe.fem.mesh.mesh import Mesh


def voronoi_box(
    n_grains: int,
    divisions: Sequence[int],
    lengths: Sequence[float],
    seed: int,
    cell_type: str = "hexahedron",
) -> Mesh:
    """A box or rectangle whose elements belong to the grain with the nearest seed point.

    Seed points are distributed uniformly at random; distances are periodic, so that the box is
    a representative volume element. Grain borders follow the faces of the elements.

    divisions, lengths: for each of the 2 or 3 axes. Grains are numbered from 1: regions
    'grain_1', ... and the cell data 'grain'. Boundaries as `generate.box` or `rectangle` has.
    Raises MeshError if a grain holds no element.
    """
    if n_grains < 1:
        raise InputError(f"a polycrystal needs at least 1 grain; got {n_grains}")
    if not 2 <= len(divisions) == len(lengths) <= 3:
        raise InputError(
            f"2 or 3 divisions and as many lengths are needed; got {tuple(divisions)} and "
            f"{tuple(lengths)}"
        )
    if len(divisions) == 3:
        nx, ny, nz = divisions
        mesh = box(nx, ny, nz, cell_type, lengths)
    else:
        nx, ny = divisions
        mesh = rectangle(nx, ny, cell_type, lengths)
    ((_, connectivity),) = mesh.cells
    size = np.asarray(lengths, dtype=np.float64)
    seeds = np.random.default_rng(seed).uniform(size=(n_grains, mesh.dim)) * size
    _, nearest = cKDTree(seeds, boxsize=size).query(mesh.points[connectivity].mean(axis=1))
    empty = np.setdiff1d(np.arange(n_grains), nearest)
    if empty.size:
        raise MeshError(
            f"{empty.size} of {n_grains} grains hold no element of the grid (grain "
            f"{empty[0] + 1} for one); use more divisions, fewer grains or another seed"
        )
    return replace(
        mesh,
        regions={f"grain_{g + 1}": (np.flatnonzero(nearest == g),) for g in range(n_grains)},
        cell_data={"grain": (nearest + 1,)},
        name=f"{n_grains} grains in a {mesh.name}",
    )


def random_orientations(n: int, seed: int) -> Array:
    """Modified Rodrigues parameters (n, 3) of rotations uniform over SO(3), of norm at most 1.

    As `neml2fe.types.MRP`: axis times tan(angle / 4).
    """
    return Rotation.random(n, random_state=np.random.default_rng(seed)).as_mrp()
