"""Factors of an earlier matrix as the preconditioner of conjugate gradients or GMRES."""

from __future__ import annotations

from typing import Any

from petsc4py import PETSc

from neml2fe.fem.algebra.interface import REUSE_ITERATIONS
from neml2fe.fem.algebra.petsc_reasons import KSP_CODE, error_failure

FLOPS_OF_AN_ITERATION = 60.0
"""Operations for each entry of the factors after which making them costs twice an iteration
with them. Measured with MUMPS: 30, in a plane (133 operations for an entry; a factorisation costs
4 iterations) and in space (980; 28)."""
LAG = 100.0
"""Residuals may be larger by this factor than at a steady pace towards the tolerance."""
MUMPS_FLOPS, MUMPS_ENTRIES = 3, 29


def solve_with_kept(
    pc: Any, mat: Any, b: Any, x: Any, symmetric: bool, transposed: bool, rtol: float
) -> tuple[int, bool]:
    """Solve `mat` x = `b`, or with the transpose, by few iterations with `pc` as it is.

    Gives the iterations, and whether the residual fell to `rtol` of that of x = 0. `pc` belongs to
    a direct method that has solved with an earlier matrix of the same size. Collective.
    """
    limit, first = patience(pc), 0.0

    def watch(_krylov: Any, iteration: int, norm: float) -> int:
        nonlocal first
        first = first if iteration else norm
        if norm <= rtol * first:
            return int(KSP_CODE.CONVERGED_RTOL)
        on_pace = norm <= LAG * first * rtol ** (iteration / limit)  # false for NaN
        going = iteration < limit and on_pace
        return int(KSP_CODE.CONVERGED_ITERATING if going else KSP_CODE.DIVERGED_MAX_IT)

    krylov = PETSc.KSP().create(mat.getComm())
    try:
        krylov.setType(PETSc.KSP.Type.CG if symmetric else PETSc.KSP.Type.GMRES)
        if not symmetric:  # from the right, where GMRES minimises the residual itself
            krylov.setPCSide(PETSc.PC.Side.RIGHT)
        krylov.setNormType(PETSc.KSP.NormType.UNPRECONDITIONED)
        krylov.setConvergenceTest(watch)
        krylov.setPC(pc)
        pc.setReusePreconditioner(True)
        krylov.setOperators(mat)
        (krylov.solveTranspose if transposed else krylov.solve)(b, x)
        return krylov.its, krylov.reason > 0
    except PETSc.Error as error:
        if not error_failure(error):
            raise
        return 0, False
    finally:
        krylov.destroy()


def patience(pc: Any) -> int:
    """Iterations with the factors of `pc` that cost half of factors anew, at most
    `REUSE_ITERATIONS`. Counts, no clock: every run and every rank decides alike."""
    if pc.getFactorSolverType() != "mumps":
        return REUSE_ITERATIONS
    factors = pc.getFactorMatrix()
    entries = factors.getMumpsInfog(MUMPS_ENTRIES)
    entries = entries if entries > 0 else -1_000_000 * entries  # MUMPS counts in millions
    flops = factors.getMumpsRinfog(MUMPS_FLOPS)
    most = flops / (FLOPS_OF_AN_ITERATION * max(entries, 1))
    return int(min(max(most, 1), REUSE_ITERATIONS))
