"""Set-up of SNES, KSP and PC: which method, when it is renewed, and what follows a failure.

PETSc options decide everything; `petsc_defaults` holds those that the user leaves open. Left
open, the method follows the matrix: CG or Cholesky where it is symmetric, multigrid where the
problem is large, a direct solver where multigrid fails.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

from petsc4py import PETSc

from neml2fe.errors import InputError
from neml2fe.fem.algebra.interface import (
    NOT_FINITE,
    Algebra,
    Tolerances,
)
from neml2fe.fem.algebra.layout import Array
from neml2fe.fem.algebra.petsc_calls import set_lag_preconditioner
from neml2fe.fem.algebra.petsc_defaults import (
    DIRECT,
    can_rescue,
    insert_linear,
    insert_newton,
    starts_direct,
)
from neml2fe.fem.algebra.petsc_near_null import free_motion, set_near_null_space
from neml2fe.fem.algebra.petsc_options import ScopedOptions
from neml2fe.fem.algebra.petsc_policy import SetUp, SetUpPolicy, is_symmetric
from neml2fe.fem.algebra.petsc_reasons import (
    NOT_DEFINITE,
    message,
)

FAILED = "the linear solver failed"


class FreeMotion(Exception):
    """A rigid-body motion is left free; raised by all ranks together."""


class PetscSetUp:
    """What `PetscSolver` solves with: SNES, KSP, PC, and what follows a failure.

    `symmetric` None: every matrix is looked at. `modes()` gives the rigid-body modes of the
    unknowns, or None.
    """

    def __init__(
        self,
        algebra: Algebra,
        comm: Any,
        options: ScopedOptions,
        n_global: int,
        symmetric: bool | None,
        tolerances: Tolerances,
        modes: Callable[[], Array | None],
    ) -> None:
        self.statistics = algebra.statistics
        self._algebra, self._comm, self._modes = algebra, comm, modes
        self._options, self._tolerances, self._promise = options, tolerances, symmetric
        self._begin_direct = starts_direct(algebra.layout, n_global)
        self._rescue = can_rescue(algebra.layout, n_global)
        self._options_checked = self._explicit = False
        self._snes: Any = None
        self._norms: list[float] = []
        insert_newton(options, tolerances)
        self.renew()

    # set-up

    def renew(self) -> None:
        """Forget every set-up and what was learnt: as at the start."""
        self._use(self._begin_direct, self._promise is not False)

    def rebuild(self) -> None:
        """New PETSc objects: for another matrix, and after a failure, which leaves them
        undefined."""
        self._use(self._direct, self._symmetric)

    def _use(self, direct: bool, symmetric: bool) -> None:
        self._direct, self._symmetric = direct, symmetric
        self._insert_linear()
        self.close()
        self._snes = PETSc.SNES().create(self._comm)
        self._snes.setOptionsPrefix(self._options.prefix)
        try:
            self._snes.setFromOptions()
        except PETSc.Error as error:
            self.close()
            raise InputError(f"PETSc refuses an option: {message(error)}") from error
        ksp = self._snes.getKSP()
        ksp.setConvergenceHistory(reset=True)
        self._rtol, self._atol, *_ = ksp.getTolerances()
        self._inexact = self._snes.getUseEW()
        self._policy = SetUpPolicy(keeps=not self.direct)
        self._free_motion = False

    def _insert_linear(self) -> None:
        patient = self._options.has("pc_type") or not self._rescue
        layout = self._algebra.layout
        insert_linear(self._options, layout, self._direct, self._symmetric, patient)

    @property
    def direct(self) -> bool:
        return self._snes.getKSP().getPC().type in DIRECT

    def _prepare(self, mat: Any) -> None:
        """Choose, for the values that `mat` has now, method and set-up of the preconditioner."""
        ksp, action = self._snes.getKSP(), self._policy.action
        if self._promise is None and self._symmetric and not is_symmetric(mat, self._algebra):
            self._symmetric = False  # and stays so: a material that yields will do so again
            self._insert_linear()
            ksp.setFromOptions()
        if action is SetUp.REBUILD:
            ksp.reset()
            if not self.direct:
                self._give_modes(mat)
        keep = action is SetUp.KEEP
        ksp.getPC().setReusePreconditioner(keep)
        set_lag_preconditioner(self._snes, -1 if keep else 1)
        self.statistics.set_ups += not keep
        self.statistics.linear_solves += 1

    def _learn(self) -> None:
        """How many iterations reduced the residual how far, in the norm that they watched."""
        ksp = self._snes.getKSP()
        history = ksp.getConvergenceHistory()
        first = float(history[0]) if len(history) else 0.0
        self._policy.solved(ksp.its, ksp.norm / first if first else 0.0)

    def _give_modes(self, mat: Any) -> None:
        modes = self._modes()
        if modes is not None:
            set_near_null_space(mat, modes)
            if free_motion(mat, modes, self._algebra.allreduce):
                self._free_motion = True
                raise FreeMotion

    def _remedy(self, failure: str) -> bool:
        """After a `failure`: prepare another attempt; False when nothing is left to try."""
        kept = self._policy.action is not SetUp.REBUILD
        # A multigrid that is kept may be indefinite itself: its smoothers cover the spectrum of
        # the matrix that they were made for, and that of elements that flow is wider.
        indefinite = NOT_DEFINITE in failure and not kept
        indefinite = indefinite and self._symmetric and self._promise is None
        rescued = self._direct and not self._begin_direct
        if NOT_FINITE in failure or self._free_motion:
            self.rebuild()
        elif not self.direct and (kept or indefinite):
            self._use(self._direct, self._symmetric and not indefinite)
            self.statistics.retries += 1
            return True
        elif not self.direct and self._rescue and not self._options.has("pc_type"):
            self._use(True, self._symmetric)
            self.statistics.retries += 1
            return True
        else:
            self._use(self._direct and not rescued, self._symmetric)
        return False

    def _warn_unused_options(self) -> None:
        if self._options_checked:
            return
        self._options_checked = True
        unused = self._options.unused()
        if unused and self._algebra.layout.rank == 0:
            warnings.warn(
                f"PETSc options that nothing used (a typo?): {', '.join(unused)}", stacklevel=4
            )

    def describe(self) -> str:
        """SNES, KSP and PC."""
        ksp = self._snes.getKSP()
        pc = ksp.getPC()
        package = f" ({pc.getFactorSolverType()})" if self.direct else ""
        return f"{self._snes.type}, {ksp.type}, {pc.type}{package}"

    def close(self) -> None:
        if self._snes is not None:
            self._snes.destroy()
        self._snes = None
