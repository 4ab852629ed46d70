"""Run under mpiexec by test_algebra_mpi.py: `algebra_on_ranks.py FOLDER CASE [CASE ...]`.

Every case checks what must hold on each rank and lets rank 0 save the gathered result as
FOLDER/CASE.npz.
"""

from __future__ import annotations

import sys
import traceback
import warnings
from pathlib import Path

import numpy as np
from elasticity_box import Box, box
from mpi4py import MPI
from scipy.sparse import csr_array

from neml2fe.errors import ConvergenceError
from neml2fe.fem.algebra import Algebra, Tolerances, make_algebra
from neml2fe.fem.algebra.pattern import BlockPattern

COMM = MPI.COMM_WORLD
CELLS = (12, 7)
MULTIGRID = {"pc_type": "gamg", "ksp_rtol": "1e-13"}


class Boom(Exception):
    pass


def cubic(part: Box, algebra: Algebra):
    """Residual and Jacobian of `K x + x^3 = f`, assembled from elements through the ghosts."""
    dim = part.layout.block_size
    index = (part.cells[:, :, None] * dim + np.arange(dim)).reshape(len(part.cells), -1)
    n_owned = part.layout.n_owned_nodes
    rows = np.repeat(np.arange(n_owned), np.diff(part.indptr[: n_owned + 1]))
    pattern = BlockPattern(part.indptr, part.indices)
    own = np.flatnonzero(part.indices[: len(rows)] == rows)
    diagonal = pattern.positions(own, rows[own], dim).reshape(n_owned, dim, dim)
    diagonal = np.einsum("nii->ni", diagonal).ravel()
    scale = 200.0

    def residual(x: np.ndarray) -> np.ndarray:
        forces = np.einsum("eij,ej->ei", part.stiffness, algebra.update_ghosts(x)[index])
        local_forces = np.bincount(
            index.ravel(), weights=forces.ravel(), minlength=part.layout.n_local_dofs
        )
        return algebra.sum_to_owners(local_forces) + scale * x**3 - part.rhs

    def jacobian(x: np.ndarray) -> None:
        values = part.values.copy()
        values[diagonal] += 3 * scale * x**2
        algebra.set_matrix(values)

    algebra.set_constrained(part.constrained)
    algebra.set_pattern(part.indptr, part.indices)
    return residual, jacobian


def solve(part: Box, backend: str = "petsc", options=None):
    """Displacement (n_owned_dofs,) and result of the cubic problem."""
    with make_algebra(
        part.layout, backend, options, tolerances=Tolerances(1e-14, 1e-15)
    ) as algebra:
        residual, jacobian = cubic(part, algebra)
        return algebra.solve_nonlinear(residual, jacobian, np.zeros(part.layout.n_owned_dofs))


def gather(owned: np.ndarray) -> np.ndarray:
    return np.concatenate(COMM.allgather(owned))


def case_newton() -> dict:
    result = solve(box(CELLS, COMM))
    assert result.converged, result.reason
    return {"x": gather(result.x), "norms": result.residual_norms}


def case_multigrid() -> dict:
    part = box((12, 12, 12), COMM)
    with make_algebra(part.layout, "petsc", {"pc_type": "gamg"}, symmetric=True) as algebra:
        part.fill(algebra)
        result = algebra.solve_linear(part.rhs)
    assert result.converged, result.reason
    return {"x": gather(result.x), "iterations": result.iterations}


def case_ghosts() -> dict:
    part = box(CELLS, COMM)
    with make_algebra(part.layout, "petsc") as algebra:
        rng = np.random.default_rng(COMM.rank)
        a = rng.normal(size=part.layout.n_local_dofs)
        b = rng.normal(size=part.layout.n_owned_dofs)
        forward = algebra.dot(algebra.sum_to_owners(a), b)
        backward = algebra.allreduce(float(a @ algebra.update_ghosts(b)))
        nodes = part.layout.global_nodes[:, None] * 2 + np.arange(2)
        owned = nodes[: part.layout.n_owned_nodes].ravel().astype(float)
        np.testing.assert_array_equal(algebra.update_ghosts(owned), nodes.ravel())
        assert algebra.allreduce(COMM.rank, "max") == COMM.size - 1
    return {"forward": forward, "backward": backward}


def case_nan() -> dict:
    """NaN on the last rank only: every rank must see the same failure."""
    part = box(CELLS, COMM)
    with make_algebra(part.layout, "petsc") as algebra:
        residual, jacobian = cubic(part, algebra)

        def poisoned(x: np.ndarray) -> np.ndarray:
            r = residual(x)
            return r * np.nan if COMM.rank == COMM.size - 1 else r

        result = algebra.solve_nonlinear(poisoned, jacobian, np.zeros(part.layout.n_owned_dofs))
    reasons = COMM.allgather((result.converged, result.reason))
    assert len(set(reasons)) == 1 and not result.converged
    return {"reason": result.reason}


def case_exception() -> dict:
    """One rank raises, in turn in each callback: it sees its own error, the others are told."""
    part = box(CELLS, COMM)
    last = COMM.size - 1
    with make_algebra(part.layout, "petsc") as algebra:
        residual, jacobian = cubic(part, algebra)

        def raising(callback):
            def call(*arguments):
                value = callback(*arguments)
                if COMM.rank == last:
                    raise Boom("on purpose")
                return value

            return call

        x0 = np.zeros(part.layout.n_owned_dofs)
        for arguments in (
            (raising(residual), jacobian, x0),
            (residual, raising(jacobian), x0),
            (residual, jacobian, x0, raising(lambda *_: None)),
        ):
            try:
                algebra.solve_nonlinear(*arguments)
            except Boom:
                assert COMM.rank == last
            except ConvergenceError as error:
                assert COMM.rank != last
                assert str(error) == f"rank {last} failed: Boom: on purpose"
            else:
                raise AssertionError("the exception was lost")
        result = algebra.solve_nonlinear(residual, jacobian, x0)
        assert result.converged, result.reason
    return {"x": gather(result.x)}


def tied(part: Box) -> tuple[csr_array, np.ndarray]:
    """T of this rank and the mask of dofs that are no unknowns: every node of the last face
    moves with the first node of that face plus a control dof, the last node, times its place."""
    dim = part.layout.block_size
    n = len(part.free)
    last = np.arange(n // dim - (CELLS[1] + 1), n // dim)
    followers, leader, control = last[1:-1], last[0], last[-1]
    transform = np.eye(n)
    transform[dim * last[1] : n - dim] = 0.0
    for i in range(dim):
        transform[dim * followers + i, dim * leader + i] = 1.0
        transform[dim * followers + i, dim * control + i] = np.arange(1, CELLS[1])
    mask = ~part.free
    mask[(dim * followers[:, None] + np.arange(dim)).ravel()] = True
    owned = slice(part.start, part.start + part.layout.n_owned_dofs)
    return csr_array(transform[owned]), mask[owned]


def solve_tied(part: Box, backend: str = "petsc", options=None) -> np.ndarray:
    with make_algebra(part.layout, backend, options) as algebra:
        rows, mask = tied(part)
        algebra.set_pattern(part.indptr, part.indices)
        algebra.set_transform(rows)
        algebra.set_constrained(mask)
        for factor in (2.0, 1.0):
            algebra.set_matrix(factor * part.values, diagonal=1.0)
            result = algebra.solve_linear(np.where(mask, 0.0, algebra.to_reduced(part.rhs)))
            assert result.converged, result.reason
        return algebra.to_displacement(result.x)


def case_tied() -> dict:
    return {"u": gather(solve_tied(box(CELLS, COMM)))}


def case_tied_multigrid() -> dict:
    return {"u": gather(solve_tied(box(CELLS, COMM), options=MULTIGRID))}


def case_coo() -> dict:
    """A matrix type without values in place: the same product as with."""
    products = []
    for options in ({}, {"mat_type": "baij"}):
        part = box(CELLS, COMM)
        options |= {"pc_type": "jacobi", "ksp_type": "cg", "ksp_rtol": "1e-13"}
        with make_algebra(part.layout, "petsc", options) as algebra:
            part.fill(algebra)
            result = algebra.solve_linear(part.rhs)
        assert result.converged, result.reason
        products.append(gather(result.x))
    return {"in_place": products[0], "coo": products[1]}


def case_log() -> dict:
    part = box(CELLS, COMM)
    with make_algebra(part.layout, "petsc", {"pc_type": "jacobi"}) as algebra:
        part.fill(algebra)
        iterations = sum(algebra.solve_linear(part.rhs).iterations for _ in range(2))
        rows = algebra.log_summary()
        assert rows == COMM.bcast(rows)
        assert algebra.statistics.linear_iterations == iterations
    counts = {name: count for name, count, _, _ in rows}
    times = {name: seconds for name, _, seconds, _ in rows}
    assert times["KSPSolve"] >= times["PCApply"] > 0.0
    return {"solves": counts["KSPSolve"], "products": counts["MatMult"], "least": iterations}


def case_singular() -> dict:
    part = box(CELLS, COMM, fix=(0,))
    with make_algebra(part.layout, "petsc") as algebra:
        part.fill(algebra)
        result = algebra.solve_linear(part.rhs)
    return {"converged": result.converged, "reason": result.reason}


def case_unused_option() -> dict:
    """The warning comes once, from rank 0."""
    part = box(CELLS, COMM)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with make_algebra(part.layout, "petsc", {"ksp_typ": "cg"}) as algebra:
            part.fill(algebra)
            algebra.solve_linear(part.rhs)
            algebra.solve_linear(part.rhs)
    messages = COMM.allgather([str(w.message) for w in caught])
    return {"counts": [len(m) for m in messages], "message": messages[0][0]}


if __name__ == "__main__":
    folder, *cases = sys.argv[1:]
    try:
        for case in cases:
            outcome = globals()[f"case_{case}"]()
            if COMM.rank == 0:
                np.savez(Path(folder) / f"{case}.npz", **outcome)
    except BaseException:
        traceback.print_exc()
        COMM.Abort(1)
