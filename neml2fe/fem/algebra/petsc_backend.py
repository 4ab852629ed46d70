"""The parallel backend: PETSc vectors with ghosts, COO matrix, SNES, KSP and PC.

PETSc options decide everything; `petsc_defaults` holds those that the user leaves open.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from petsc4py import PETSc

from neml2fe.errors import Error, InputError
from neml2fe.fem.algebra.interface import (
    Algebra,
    Array,
    DofLayout,
    Jacobian,
    LinearResult,
    Monitor,
    NonlinearResult,
    Residual,
    Tolerances,
    check_length,
    check_pattern,
    useless,
)
from neml2fe.fem.algebra.petsc_coo import set_preallocation_coo, set_values_coo
from neml2fe.fem.algebra.petsc_defaults import insert_defaults
from neml2fe.fem.algebra.petsc_options import ScopedOptions
from neml2fe.fem.algebra.petsc_reasons import (
    KSP_CODE,
    SNES_CODE,
    code_name,
    error_failure,
    linear_failure,
    message,
    nonlinear_reason,
)

T = TypeVar("T")


class PetscAlgebra(Algebra):
    """`Algebra` on PETSc. Owns the matrix, vectors, SNES and options; `close()` destroys them."""

    def __init__(
        self,
        layout: DofLayout,
        options: Mapping[str, str | None],
        prefix: str,
        symmetric: bool,
        tolerances: Tolerances,
    ) -> None:
        super().__init__(layout)
        if np.dtype(PETSc.ScalarType).kind == "c":
            raise InputError("this PETSc has complex scalars; neml2fe needs a PETSc with real ones")
        self._n_global = layout.n_global_dofs()
        if self._n_global > np.iinfo(PETSc.IntType).max:
            raise InputError(f"{self._n_global} dofs need a PETSc configured with 64-bit indices")
        self._comm = PETSc.COMM_SELF if layout.comm is None else PETSc.Comm(layout.comm)
        self._symmetric = symmetric
        self._tolerances = tolerances
        self._ghosted = PETSc.Vec().createGhost(
            layout.global_nodes[layout.n_owned_nodes :].astype(PETSc.IntType),
            (layout.n_owned_dofs, None),
            bsize=layout.block_size,
            comm=self._comm,
        )
        self._constrained = np.zeros(layout.n_owned_dofs, dtype=bool)
        self._n_entries = 0
        self._matrix: Any = None
        self._snes: Any = None
        self._norms: list[float] = []
        self._monitor: Monitor | None = None
        self._options = ScopedOptions(options, prefix)
        self._options_checked = False
        self._direct = insert_defaults(self._options, layout, self._n_global, symmetric, tolerances)
        self._build_solvers()

    # vectors

    def sum_to_owners(self, local: Array) -> Array:
        check_length("local vector", local, self.layout.n_local_dofs)
        with self._ghosted.localForm() as form:
            form.array[:] = local
        self._ghosted.ghostUpdate(PETSc.InsertMode.ADD_VALUES, PETSc.ScatterMode.REVERSE)
        return self._ghosted.array.copy()

    def update_ghosts(self, owned: Array) -> Array:
        check_length("owned vector", owned, self.layout.n_owned_dofs)
        self._ghosted.array[:] = owned
        self._ghosted.ghostUpdate(PETSc.InsertMode.INSERT_VALUES, PETSc.ScatterMode.FORWARD)
        with self._ghosted.localForm() as form:
            return form.array.copy()

    # matrix

    def set_pattern(self, rows: NDArray[np.int64], cols: NDArray[np.int64]) -> None:
        error: Exception | None = None
        try:
            check_pattern(rows, cols, self._n_global)
        except InputError as found:
            error = found
        self.raise_together(error)
        if self._matrix is not None:
            self._matrix.destroy()
            self._build_solvers()
        n = self.layout.n_owned_dofs
        self._matrix = PETSc.Mat().create(self._comm)
        self._matrix.setSizes(((n, None), (n, None)))
        self._matrix.setBlockSize(self.layout.block_size)
        self._matrix.setType(PETSc.Mat.Type.AIJ)
        set_preallocation_coo(self._matrix, rows, cols)
        if self._symmetric:
            self._matrix.setOption(PETSc.Mat.Option.SYMMETRIC, True)
            self._matrix.setOption(PETSc.Mat.Option.SYMMETRY_ETERNAL, True)
        self._n_entries = len(rows)
        self._set_near_null_space()

    def set_matrix(self, values: Array) -> None:
        check_length("matrix values", values, self._n_entries)
        set_values_coo(self._require_matrix(), np.ascontiguousarray(values, dtype=np.float64))

    def set_constrained(self, mask: NDArray[np.bool_]) -> None:
        check_length("mask of constrained dofs", mask, self.layout.n_owned_dofs)
        self._constrained = np.array(mask, dtype=bool)
        if self._matrix is not None:
            self._set_near_null_space()

    def _set_near_null_space(self) -> None:
        """Give multigrid the rigid-body modes, zero where displacements are prescribed."""
        layout = self.layout
        dim = layout.coordinates.shape[1]
        if self._direct or layout.block_size != dim or dim < 2:
            return
        points = self._ghosted.duplicate()
        points.array[:] = layout.coordinates[: layout.n_owned_nodes].ravel()
        rigid = PETSc.NullSpace().createRigidBody(points)
        modes = np.stack([mode.array for mode in rigid.getVecs()], axis=1)
        modes[self._constrained] = 0.0
        # Orthonormal again through the Gram matrix; a mode that vanished is dropped.
        gram, turn = np.linalg.eigh(self.allreduce(modes.T @ modes))
        kept = gram > 1e-12 * gram[-1]
        modes = modes @ (turn[:, kept] / np.sqrt(gram[kept]))
        vectors = []
        for mode in modes.T:
            vectors.append(points.duplicate())
            vectors[-1].array[:] = mode
        near = PETSc.NullSpace().create(vectors=vectors, comm=self._comm)
        self._matrix.setNearNullSpace(near)
        self._snes.getKSP().reset()  # multigrid keeps the modes of its first set-up
        for thing in (near, rigid, points, *vectors):
            thing.destroy()

    # solvers

    def _build_solvers(self) -> None:
        """A new SNES: at the start, and after a failure, which leaves PETSc's objects undefined."""
        if self._snes is not None:
            self._snes.destroy()
        self._snes = PETSc.SNES().create(self._comm)
        self._snes.setOptionsPrefix(self._options.prefix)
        try:
            self._snes.setFromOptions()
        except PETSc.Error as error:
            self.close()
            raise InputError(f"PETSc refuses an option: {message(error)}") from error
        self._snes.setMonitor(self._record)

    def _record(self, _snes: Any, iteration: int, norm: float) -> None:
        self._norms.append(norm)
        if self._monitor:
            self._guard(self._monitor, iteration, norm)

    def solve_linear(self, rhs: Array) -> LinearResult:
        check_length("right-hand side", rhs, self.layout.n_owned_dofs)
        matrix, ksp = self._require_matrix(), self._snes.getKSP()
        x, b = matrix.createVecs()
        b.array[:] = rhs
        failure = "unfinished"
        try:
            ksp.setOperators(matrix)
            failure = self._numeric_failure(lambda: ksp.solve(b, x))
            failure = failure or linear_failure(ksp)
            self._warn_unused_options()
            norm = self.norm(rhs - (matrix * x).array)
            if not failure and (cause := useless(norm, self.norm(rhs))):
                failure = f"the linear solver failed: {cause}"
            reason = failure or code_name(KSP_CODE, ksp.reason)
            return LinearResult(x.array.copy(), ksp.its, norm, not failure, reason)
        finally:
            if failure:
                self._build_solvers()
            x.destroy()
            b.destroy()

    def solve_nonlinear(
        self,
        residual: Residual,
        jacobian: Jacobian,
        x0: Array,
        monitor: Monitor | None = None,
        atol: float | None = None,
    ) -> NonlinearResult:
        check_length("x0", x0, self.layout.n_owned_dofs)
        matrix, snes = self._require_matrix(), self._snes
        x, r = matrix.createVecs()
        x.array[:] = x0

        def checked(at: Array) -> Array:
            values = residual(at)
            check_length("the residual", values, self.layout.n_owned_dofs)
            return values

        def function(_snes: Any, at: Any, out: Any) -> None:
            out.array[:] = self._guard(checked, at.array_r.copy())

        def derivative(_snes: Any, at: Any, _a: Any, _p: Any) -> None:
            self._guard(jacobian, at.array_r.copy())

        snes.setFunction(function, r)
        snes.setJacobian(derivative, matrix)
        if not self._options.has("snes_atol"):
            snes.setTolerances(atol=self._tolerances.atol if atol is None else atol)
        self._norms, self._monitor = [], monitor
        sound = False
        try:
            failure = self._numeric_failure(lambda: snes.solve(None, x))
            solved = snes.getLinearSolveIterations() > 0
            if solved or snes.reason == SNES_CODE.DIVERGED_LINEAR_SOLVE:
                failure = failure or linear_failure(snes.getKSP())
            self._warn_unused_options()
            sound = not failure
            return NonlinearResult(
                x.array.copy(),
                sound and snes.reason > 0,
                failure or nonlinear_reason(snes),
                snes.its,
                self._norms,
                snes.getLinearSolveIterations(),
            )
        finally:
            self._monitor = None
            if not sound:
                self._build_solvers()
            x.destroy()
            r.destroy()

    def _guard(self, call: Callable[..., T], *arguments: Any) -> T:
        """Run a callback; when it fails on any rank, raise on all at the same place."""
        error: BaseException | None = None
        try:
            value = call(*arguments)
        except BaseException as found:
            error = found
        self.raise_together(error)
        return value

    def _numeric_failure(self, solve: Callable[[], None]) -> str:
        """Run a solve; text of a PETSc error that numbers caused, other errors are raised."""
        try:
            solve()
        except PETSc.Error as error:
            failure = error_failure(error)
            if failure:
                return failure
            raise Error(f"PETSc failed: {message(error)}") from error
        return ""

    def _warn_unused_options(self) -> None:
        if self._options_checked:
            return
        self._options_checked = True
        unused = self._options.unused()
        if unused and self.layout.rank == 0:
            warnings.warn(
                f"PETSc options that nothing used (a typo?): {', '.join(unused)}", stacklevel=3
            )

    def describe(self) -> str:
        version = ".".join(map(str, PETSc.Sys.getVersion()))
        ksp = self._snes.getKSP()
        pc = ksp.getPC()
        package = f" ({pc.getFactorSolverType()})" if self._direct else ""
        return f"PETSc {version}: {self._snes.type}, {ksp.type}, {pc.type}{package}"

    def close(self) -> None:
        for thing in (self._snes, self._matrix, self._ghosted):
            if thing is not None:
                thing.destroy()
        self._snes = self._matrix = None
        self._options.remove()

    def _require_matrix(self) -> Any:
        if self._matrix is None:
            raise Error("the algebra has no matrix: call set_pattern first, and not after close")
        return self._matrix
