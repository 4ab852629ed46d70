"""Linear solves on PETSc, repeated where another set-up may still succeed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from sys import float_info
from typing import Any

from petsc4py import PETSc

from neml2fe.errors import Error
from neml2fe.fem.algebra.interface import (
    NOT_FINITE,
    REUSE_RTOL,
    SINGULAR,
    LinearResult,
    useless,
)
from neml2fe.fem.algebra.layout import Array
from neml2fe.fem.algebra.petsc_policy import SetUp, is_symmetric
from neml2fe.fem.algebra.petsc_reasons import (
    KSP_CODE,
    NOT_SUPPORTED,
    code_name,
    error_failure,
    linear_failure,
    message,
)
from neml2fe.fem.algebra.petsc_reuse import solve_with_kept
from neml2fe.fem.algebra.petsc_setup import FAILED, FreeMotion, PetscSetUp

NO_TRANSPOSE = "the preconditioner cannot be transposed"
TOO_LOOSE = "it stopped before the residual was small enough"
SLACK = 2.0
"""A residual may exceed the tolerance by this factor, for what recurrences lose by round-off."""
SHARPER = 3
"""Repetitions to a smaller tolerance of a solve whose residual is too large."""
DIRECT_RTOL = 1e-6
"""Relative residual that direct methods always reach, but where the matrix is not what it was
promised to be: symmetric."""
NEVER_TRANSPOSED = ("eisenstat",)
"""Preconditioners with which PETSc 3.18 crashes in a transposed solve."""


class PetscLinear(PetscSetUp):
    """The linear solves of a `PetscAlgebra`."""

    def linear(
        self, mat: Any, rhs: Array, rtol: float | None, transposed: bool, reuse: bool
    ) -> LinearResult:
        """Solve `mat` x = `rhs`, or with the transpose; see `Algebra.solve_linear`."""
        if reuse and (kept := self._attempt_kept(mat, rhs, rtol, transposed)):
            return kept
        if self._options.has("ksp_rtol"):  # the user's, unless a transposed solve asks for more
            rtol = min(self._rtol, rtol or self._rtol) if transposed else self._rtol
        rtol = self._rtol if rtol is None else rtol
        kind = self._snes.getKSP().getPC().type
        if not transposed or not (self._explicit or kind in NEVER_TRANSPOSED):
            result = self._repeat(mat, rhs, rtol, transposed, transposed)
            hopeless = any(text in result.reason for text in (SINGULAR, NOT_FINITE))
            if result.converged or not transposed or hopeless:
                return result
            self._explicit = NO_TRANSPOSE in result.reason
        return self._with_explicit_transpose(mat, rhs, rtol)

    def _with_explicit_transpose(self, mat: Any, rhs: Array, rtol: float) -> LinearResult:
        """Solve with the transpose in a matrix of its own, and a set-up that is not kept."""
        turned = mat.transpose(PETSc.Mat())
        turned.setOptionsPrefix(mat.getOptionsPrefix())
        self.rebuild()
        try:
            return self._repeat(turned, rhs, rtol, False, True)
        finally:
            turned.destroy()
            self.rebuild()

    def _repeat(
        self, mat: Any, rhs: Array, rtol: float, transposed: bool, strict: bool
    ) -> LinearResult:
        """Solve, again where another set-up may succeed. `strict`: only a small residual is
        success, whatever norm an iterative method watches."""
        aim, size, sharpened = rtol, self._algebra.norm(rhs), 0
        while True:
            result = self._attempt_linear(mat, rhs, aim, transposed)
            reachable = max(rtol, DIRECT_RTOL) if self.direct else rtol
            goal = max(reachable * size, self._atol, float_info.min)
            excess = result.residual_norm / goal if strict else 0.0
            if result.converged and excess <= SLACK:
                return result
            if result.converged:
                result = replace(result, converged=False, reason=f"{FAILED}: {TOO_LOOSE}")
                aim, sharpened = aim / (SLACK * excess), sharpened + 1
                if sharpened <= SHARPER and not self.direct:
                    self.statistics.retries += 1
                    continue
                self._policy.action = SetUp.REBUILD  # the like of this set-up would do no better
            if not self._remedy(result.reason):
                return result
            aim = rtol

    def _attempt_kept(
        self, mat: Any, rhs: Array, rtol: float | None, transposed: bool
    ) -> LinearResult | None:
        """Solve with factors of an earlier matrix; None without any, or where they do not do."""
        known = self._promise is not None or not self._symmetric
        if not self.direct or self._policy.action is SetUp.REBUILD:
            return None
        if not known and not is_symmetric(mat, self._algebra):
            return None
        x, b = mat.createVecs()
        b.array[:] = rhs
        rtol = REUSE_RTOL if rtol is None else rtol
        symmetric, turned = self._symmetric, transposed and not self._symmetric
        try:
            pc = self._snes.getKSP().getPC()
            iterations, good = solve_with_kept(pc, mat, b, x, symmetric, turned, rtol)
            self.statistics.linear_iterations += iterations
            norm = self._residual(mat, rhs, x, transposed)
            if not good or not norm <= SLACK * rtol * self._algebra.norm(rhs):
                return None
            self.statistics.linear_solves += 1
            reason = "solved with the factors of an earlier matrix"
            return LinearResult(x.array.copy(), iterations, norm, True, reason)
        finally:
            x.destroy()
            b.destroy()

    def _residual(self, mat: Any, rhs: Array, x: Any, transposed: bool) -> float:
        product = mat.createVecRight()
        (mat.multTranspose if transposed else mat.mult)(x, product)
        norm = self._algebra.norm(rhs - product.array)
        product.destroy()
        return norm

    def _attempt_linear(self, mat: Any, rhs: Array, rtol: float, transposed: bool) -> LinearResult:
        ksp, algebra = self._snes.getKSP(), self._algebra
        x, b = mat.createVecs()
        b.array[:] = rhs
        self._snes.setUseEW(False)

        def solve() -> None:
            self._prepare(mat)  # may set all options anew
            ksp.setTolerances(rtol=rtol, atol=self._atol)
            ksp.setOperators(mat)
            (ksp.solveTranspose if transposed and not self._symmetric else ksp.solve)(b, x)

        try:
            failure = self._numeric_failure(solve) or linear_failure(ksp)
            self._warn_unused_options()
            scale, norm = algebra.norm(rhs), self._residual(mat, rhs, x, transposed)
            if not failure and (cause := useless(norm, scale)):
                failure = f"{FAILED}: {cause}"
            if not failure:
                self._learn()
            self.statistics.linear_iterations += ksp.its
            reason = failure or code_name(KSP_CODE, ksp.reason)
            return LinearResult(x.array.copy(), ksp.its, norm, not failure, reason)
        finally:
            self._snes.setUseEW(self._inexact)
            x.destroy()
            b.destroy()

    def _numeric_failure(self, solve: Callable[[], None]) -> str:
        """Run a solve; text of a PETSc error that numbers caused, other errors are raised."""
        try:
            solve()
        except FreeMotion:
            return f"{FAILED}: {SINGULAR}"
        except PETSc.Error as error:
            failure = error_failure(error)
            if failure:
                return failure
            if error.ierr == NOT_SUPPORTED and "ranspose" in str(error):
                return f"{FAILED}: {NO_TRANSPOSE}"
            raise Error(f"PETSc failed: {message(error)}") from error
        return ""
