"""Run under mpiexec by test_transposed_solves.py: `transposed_on_ranks.py FOLDER`.

Solves with the transposes of unsymmetric matrices; rank 0 saves the gathered solutions.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from elasticity_box import Box, box

from neml2fe.fem.algebra import make_algebra

CELLS = (12, 7)
METHODS = {"direct": {}, "multigrid": {"pc_type": "gamg"}, "explicit": {"pc_type": "sor"}}
RTOL = 1e-11


def unsymmetric(cells: tuple[int, ...], comm=None, change: float = 0.0, skew: float = 0.1) -> Box:
    """A box whose elements have random moduli within 1 +- `change`, and forces of a random spin
    about them, of the fraction `skew` of their stiffness: the same on any number of ranks."""
    part = box(cells, comm)
    size = part.stiffness.shape[1]
    random = np.random.default_rng(5)
    spin = random.uniform(-1.0, 1.0, (int(np.prod(cells)), size, size))
    moduli = 1.0 + change * random.uniform(-1.0, 1.0, len(spin))
    if comm is not None:
        spin, moduli = (np.array_split(a, comm.Get_size())[comm.Get_rank()] for a in (spin, moduli))
    scale = abs(part.stiffness).max()
    entries = np.where(part.stiffness != 0.0, spin - spin.swapaxes(1, 2), 0.0)
    part.stiffness = (part.stiffness + skew * scale * entries) * moduli[:, None, None]
    part.assemble()
    return part


def solutions(method: str, backend: str = "petsc", comm=None) -> tuple[np.ndarray, list[int]]:
    """Those of two matrices that differ a little, (2, n_owned_dofs), and their iterations."""
    found, iterations = [], []
    for number, change in enumerate((0.0, 0.02)):
        part = unsymmetric(CELLS, comm, change)
        if not number:
            algebra = make_algebra(part.layout, backend, METHODS[method] or None)
            part.fill(algebra)
        algebra.set_matrix(part.values)
        result = algebra.solve_linear(part.rhs, RTOL, transposed=True, reuse=True)
        assert result.converged, result.reason
        assert result.residual_norm <= 2 * RTOL * algebra.norm(part.rhs)
        found.append(result.x)
        iterations.append(result.iterations)
    algebra.close()
    return np.stack(found), iterations


if __name__ == "__main__":
    from mpi4py import MPI

    from neml2fe.fem.algebra import petsc_reuse

    world = MPI.COMM_WORLD
    petsc_reuse.FLOPS_OF_AN_ITERATION = 1.0  # as in large bodies, where factors are dear
    outcome = {}
    for name in METHODS:
        mine, iterations = solutions(name, comm=world)
        assert name != "direct" or 1 == iterations[0] < iterations[1], iterations
        outcome[name] = np.concatenate(world.allgather(mine), axis=1)
    if world.rank == 0:
        np.savez(Path(sys.argv[1]) / "found.npz", **outcome)
