"""Run under mpiexec by test_algebra_mpi.py: `algebra_on_ranks.py CASE OUTPUT.npz`.

Every case checks what must hold on each rank and lets rank 0 save the gathered result.
"""

from __future__ import annotations

import sys
import warnings

import numpy as np
from elasticity_box import Box, box
from mpi4py import MPI

from neml2fe.errors import ConvergenceError
from neml2fe.fem.algebra import Algebra, Tolerances, make_algebra

COMM = MPI.COMM_WORLD
CELLS = (12, 7)


class Boom(Exception):
    pass


def cubic(part: Box, algebra: Algebra):
    """Residual and Jacobian of `K x + x^3 = f`, assembled from elements through the ghosts."""
    stiffness = part.values.reshape(len(part.element_dofs), part.element_dofs.shape[1], -1)
    local = {int(n): i for i, n in enumerate(part.layout.global_nodes)}
    block = part.layout.block_size
    index = np.array(
        [[local[d // block] * block + d % block for d in e] for e in part.element_dofs.tolist()]
    ).reshape(part.element_dofs.shape)
    owned = part.start + np.arange(part.layout.n_owned_dofs)
    scale = 200.0

    def residual(x: np.ndarray) -> np.ndarray:
        forces = np.einsum("eij,ej->ei", stiffness, algebra.update_ghosts(x)[index])
        local_forces = np.bincount(
            index.ravel(), weights=forces.ravel(), minlength=part.layout.n_local_dofs
        )
        return algebra.sum_to_owners(local_forces) + scale * x**3 - part.rhs

    def jacobian(x: np.ndarray) -> None:
        algebra.set_matrix(np.concatenate([part.values, 3 * scale * x**2]))

    algebra.set_constrained(part.constrained)
    algebra.set_pattern(np.concatenate([part.rows, owned]), np.concatenate([part.cols, owned]))
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
    outcome = globals()[f"case_{sys.argv[1]}"]()
    if COMM.rank == 0:
        np.savez(sys.argv[2], **outcome)
