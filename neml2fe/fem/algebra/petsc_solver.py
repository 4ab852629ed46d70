"""One Newton solve on PETSc, repeated where another set-up may still succeed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

from petsc4py import PETSc

from neml2fe.fem.algebra.interface import (
    Jacobian,
    Monitor,
    NonlinearResult,
    Residual,
    check_length,
)
from neml2fe.fem.algebra.layout import Array
from neml2fe.fem.algebra.petsc_defaults import BACKTRACKING, LINE_SEARCH
from neml2fe.fem.algebra.petsc_linear import PetscLinear
from neml2fe.fem.algebra.petsc_reasons import (
    NO_DESCENT,
    SNES_CODE,
    linear_failure,
    nonlinear_reason,
)

T = TypeVar("T")
OVERSOLVE = 0.1
"""A Newton iteration solves its linear system to this fraction of the residual aimed at."""


class PetscSolver(PetscLinear):
    """The solves of a `PetscAlgebra`."""

    def nonlinear(
        self,
        mat: Any,
        residual: Residual,
        jacobian: Jacobian,
        x0: Array,
        monitor: Monitor | None,
        atol: float | None,
    ) -> NonlinearResult:
        """Newton's method; see `Algebra.solve_nonlinear`. `jacobian` sets the values of `mat`.

        Where the line search finds no way on, whole steps are tried from `x0`: residuals with
        kinks, such as those of points that leave the yield surface together, rise before they
        fall.
        """
        self.statistics.newton_solves += 1
        arguments = mat, residual, jacobian, x0, monitor, atol
        result = self._newton(*arguments)
        if result.reason != NO_DESCENT or self._options.has(LINE_SEARCH):
            return result
        usual = self._options.default(LINE_SEARCH, BACKTRACKING)
        self._options.default(LINE_SEARCH, "basic")
        self.rebuild()
        self.statistics.retries += 1
        try:
            whole = self._newton(*arguments)
        finally:
            self._options.default(LINE_SEARCH, usual)
            self.rebuild()
        return whole if whole.converged else result

    def _newton(
        self,
        mat: Any,
        residual: Residual,
        jacobian: Jacobian,
        x0: Array,
        monitor: Monitor | None,
        atol: float | None,
    ) -> NonlinearResult:
        """Newton's method, going on where the linear solver failed and may yet succeed."""
        self._norms, linear_iterations = [], 0
        x = x0
        while True:
            result, failure = self._attempt_nonlinear(mat, residual, jacobian, x, monitor, atol)
            x, linear_iterations = result.x, linear_iterations + result.linear_iterations
            self.statistics.linear_iterations += result.linear_iterations
            self.statistics.newton_iterations += result.iterations
            if not failure or not self._remedy(failure):
                return replace(
                    result,
                    iterations=max(len(self._norms) - 1, 0),
                    residual_norms=self._norms,
                    linear_iterations=linear_iterations,
                )

    def _attempt_nonlinear(
        self,
        mat: Any,
        residual: Residual,
        jacobian: Jacobian,
        x0: Array,
        monitor: Monitor | None,
        atol: float | None,
    ) -> tuple[NonlinearResult, str]:
        snes, norms, begun = self._snes, self._norms, max(len(self._norms) - 1, 0)
        x, r = mat.createVecs()
        x.array[:] = x0

        def checked(at: Array) -> Array:
            values = residual(at)
            check_length("the residual", values, len(x0))
            return values

        def function(_snes: Any, at: Any, out: Any) -> None:
            out.array[:] = self._guard(checked, at.array_r.copy())

        def derivative(_snes: Any, at: Any, _a: Any, _p: Any) -> None:
            self._guard(jacobian, at.array_r.copy())
            self._prepare(mat)

        def record(_snes: Any, iteration: int, norm: float) -> None:
            if iteration:
                self._learn()
            elif norms:
                return  # a further attempt starts where the last one ended
            norms.append(norm)
            if monitor:
                self._guard(monitor, begun + iteration, norm)

        snes.setFunction(function, r)
        snes.setJacobian(derivative, mat)
        self._set_tolerances(begun, atol)
        failure, sound = "", False
        snes.setMonitor(record)
        try:
            failure = self._numeric_failure(lambda: snes.solve(None, x))
            solved = snes.getLinearSolveIterations() > 0
            if solved or snes.reason == SNES_CODE.DIVERGED_LINEAR_SOLVE:
                failure = failure or linear_failure(snes.getKSP())
            self._warn_unused_options()
            sound = not failure
            result = NonlinearResult(
                x.array.copy(),
                sound and snes.reason > 0,
                failure or nonlinear_reason(snes),
                snes.its,
                linear_iterations=snes.getLinearSolveIterations(),
            )
            return result, failure
        finally:
            snes.cancelMonitor()
            if not sound and not failure:  # an exception passes through
                self.rebuild()
            x.destroy()
            r.destroy()

    def _set_tolerances(self, begun: int, atol: float | None) -> None:
        """Of Newton's method after `begun` iterations, and of its linear solves."""
        snes, has, limits = self._snes, self._options.has, self._tolerances
        if not has("snes_atol"):
            snes.setTolerances(atol=limits.atol if atol is None else atol)
        if begun:
            rtol, atol, _, max_it = snes.getTolerances()
            goal = max(atol, rtol * self._norms[0])
            snes.setTolerances(rtol=0.0, atol=goal, max_it=max_it - begun)
        ksp, enough = snes.getKSP(), self._atol
        # A preconditioned residual has another unit than the residual aimed at.
        if not has("ksp_atol") and ksp.getNormType() == PETSc.KSP.NormType.UNPRECONDITIONED:
            enough = max(OVERSOLVE * snes.getTolerances()[1], enough)
        ksp.setTolerances(rtol=self._rtol, atol=enough)

    def _guard(self, call: Callable[..., T], *arguments: Any) -> T:
        """Run a callback; when it fails on any rank, raise on all at the same place."""
        error: BaseException | None = None
        try:
            value = call(*arguments)
        except BaseException as found:
            error = found
        self._algebra.raise_together(error)
        return value
