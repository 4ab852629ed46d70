"""Rigid-body modes: what multigrid must represent, and what a body may not be left free to do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from petsc4py import PETSc

from neml2fe.fem.algebra.layout import Array, DofLayout

Sum = Callable[[Any], Any]
FREE = 1e-14
"""Energy of a rigid-body mode, relative to the largest diagonal entry, that is round-off. A free
one has up to 2e-16, a box 1000 x 1 x 1 of 24^3 cells held at its end 4e-12."""
VANISHED = 1e-12
"""A mode below this fraction of the largest one after masking is dropped."""


def rigid_modes(layout: DofLayout, total: Sum) -> Array | None:
    """Translations and rotations of owned nodes, (n_owned_dofs, 3 or 6); None where the dofs are
    no displacements in 2-D or 3-D."""
    dim = layout.coordinates.shape[1]
    if layout.block_size != dim or dim < 2:
        return None
    x = layout.coordinates[: layout.n_owned_nodes]
    x = x - total(x.sum(axis=0)) / total(len(x))
    size = np.sqrt(total(float((x * x).sum())) / total(len(x))) or 1.0
    modes = [np.broadcast_to(axis, x.shape) for axis in np.eye(dim)]
    for i, j in ((0, 1), (1, 2), (2, 0))[: 1 if dim == 2 else 3]:
        turn = np.zeros(x.shape)
        turn[:, i], turn[:, j] = -x[:, j] / size, x[:, i] / size
        modes.append(turn)
    return np.stack([mode.reshape(-1) for mode in modes], axis=1)


def reduced_modes(transform: Any, modes: Array, carried: NDArray[np.bool_]) -> Array:
    """The q whose displacements T q fit `modes` best at the owned dofs `carried` by elements.

    Dofs that T makes of others, and control dofs that move nothing, come out as zero.
    """
    matrix = transform.duplicate(copy=True)
    weight = matrix.createVecLeft()
    weight.array[:] = carried
    matrix.diagonalScale(weight, None)
    solver = PETSc.KSP().create(matrix.getComm())
    solver.setType(PETSc.KSP.Type.LSQR)
    solver.getPC().setType(PETSc.PC.Type.NONE)
    solver.setOperators(matrix)
    solver.setTolerances(rtol=1e-10, max_it=200)
    q, u = matrix.createVecs()
    found = np.empty_like(modes)
    for k, mode in enumerate(modes.T):
        u.array[:] = mode * carried
        q.set(0.0)
        solver.solve(u, q)
        found[:, k] = q.array
    for thing in (solver, matrix, weight, q, u):
        thing.destroy()
    return found


def orthonormal(modes: Array, masked: NDArray[np.bool_], total: Sum) -> Array:
    """The span of `modes` set to zero at the dofs `masked`; a mode that vanished is dropped."""
    modes = np.where(masked[:, None], 0.0, modes)
    gram, turn = np.linalg.eigh(total(modes.T @ modes))
    kept = gram > VANISHED * max(gram[-1], 1e-300)
    return modes @ (turn[:, kept] / np.sqrt(gram[kept]))


def set_near_null_space(mat: Any, modes: Array) -> None:
    """Hand the orthonormal `modes` to multigrid."""
    vectors = []
    for mode in modes.T:
        vectors.append(mat.createVecRight())
        vectors[-1].array[:] = mode
    near = PETSc.NullSpace().create(vectors=vectors, comm=mat.getComm())
    mat.setNearNullSpace(near)
    for thing in (near, *vectors):
        thing.destroy()


def free_motion(mat: Any, modes: Array, total: Sum) -> bool:
    """True when a combination of `modes`, which respect the constraints, costs no energy.

    An iterative solver need not notice: loads that are in equilibrium do not excite it.
    """
    x, y = mat.createVecs()
    products = np.empty_like(modes)
    for k, mode in enumerate(modes.T):
        x.array[:] = mode
        mat.mult(x, y)
        products[:, k] = y.array
    mat.getDiagonal(y)
    scale = y.norm(PETSc.NormType.NORM_INFINITY)
    x.destroy()
    y.destroy()
    energies = total(modes.T @ products)
    if not energies.size or not np.isfinite(energies).all():
        return False
    return bool(np.linalg.eigvalsh(0.5 * (energies + energies.T))[0] < FREE * scale)
