"""PETSc's outcomes in words for a reader who knows no PETSc; its own names stay in brackets."""

from __future__ import annotations

from typing import Any

import numpy as np
from petsc4py import PETSc

from neml2fe.fem.algebra.interface import NOT_FINITE, SINGULAR
from neml2fe.fem.algebra.petsc_calls import pc_failure

KSP_CODE = PETSc.KSP.ConvergedReason
SNES_CODE = PETSc.SNES.ConvergedReason
NOT_DEFINITE = "the matrix is not positive definite"
OUT_OF_MEMORY = 55
NOT_SUPPORTED = 56
ZERO_PIVOT = {71, 81}
NUMERIC_ERRORS = {72, 76, 77, 82, 91}
"""Floating point, a failure inside MUMPS and its like, or multigrid of a matrix without norm, no
convergence. Other errors mean a wrong option or a defect."""
MUMPS_NULL_PIVOTS = 28
NO_DESCENT = "the line search found no step that reduces the residual"


def code_name(enumeration: Any, code: int) -> str:
    """PETSc's name of an enumeration value."""
    names = (n for n, v in vars(enumeration).items() if v == code and not n.startswith("_"))
    return next(names, str(code))


def message(error: Any) -> str:
    """The last line of PETSc's error text, where it says what went wrong."""
    return str(error).strip().splitlines()[-1].split("] ", 1)[-1]


def error_failure(error: Any) -> str:
    """What a PETSc error raised in a solve says about the numbers; empty for other errors."""
    if error.ierr == OUT_OF_MEMORY:
        return f"the linear solver failed: out of memory (PETSc: {message(error)})"
    if error.ierr in ZERO_PIVOT:
        return f"the linear solver failed: {SINGULAR} (PETSc: {message(error)})"
    if error.ierr in NUMERIC_ERRORS:
        return f"the linear solver failed (PETSc: {message(error)})"
    return ""


def linear_failure(ksp: Any) -> str:
    """Why the last linear solve failed; empty when it did not."""
    pc = ksp.getPC()
    failure = pc_failure(pc)
    if ksp.reason >= 0 and not failure and not _null_pivots(pc):
        return ""
    if not np.isfinite(ksp.getOperators()[0].norm()):
        cause = NOT_FINITE
    elif failure == "out of memory":
        cause = "the factors do not fit in memory; the option pc_type gamg needs less"
    elif failure or ksp.reason >= 0:
        cause = SINGULAR
    elif ksp.reason == KSP_CODE.DIVERGED_NANORINF:
        cause = NOT_FINITE
    elif ksp.reason in (KSP_CODE.DIVERGED_INDEFINITE_MAT, KSP_CODE.DIVERGED_INDEFINITE_PC):
        cause = NOT_DEFINITE
    else:
        cause = (
            f"not converged in {ksp.its} iterations; is rigid-body motion constrained? "
            "Thin bodies and stretched elements may need a direct solver (option pc_type lu)"
        )
    return f"the linear solver failed: {cause} (KSP: {code_name(KSP_CODE, ksp.reason)})"


def _null_pivots(pc: Any) -> bool:
    """True when MUMPS met pivots that it counts as zero, and stepped over them."""
    if pc.type not in ("lu", "cholesky") or pc.getFactorSolverType() != "mumps":
        return False
    return pc.getFactorMatrix().getMumpsInfog(MUMPS_NULL_PIVOTS) > 0


def nonlinear_reason(snes: Any) -> str:
    """How the last Newton solve ended, when it was not a failure of the linear solver."""
    texts = {
        SNES_CODE.CONVERGED_FNORM_ABS: "the residual is below atol",
        SNES_CODE.CONVERGED_FNORM_RELATIVE: "the residual fell below rtol",
        SNES_CODE.DIVERGED_MAX_IT: f"not converged in {snes.its} iterations",
        SNES_CODE.DIVERGED_LINE_SEARCH: NO_DESCENT,
        SNES_CODE.DIVERGED_FNORM_NAN: "the residual is not a number"
        + (" at the start of the solve" if snes.its == 0 else ""),
        SNES_CODE.DIVERGED_DTOL: "the residual grew",
    }
    return texts.get(snes.reason, f"SNES: {code_name(SNES_CODE, snes.reason)}")
