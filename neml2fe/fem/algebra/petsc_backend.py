"""The parallel backend: PETSc's vectors with ghosts, its matrices, SNES, KSP and PC."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from petsc4py import PETSc
from scipy.sparse import csr_array

from neml2fe.errors import Error, InputError
from neml2fe.fem.algebra.interface import (
    NO_MATRIX,
    Algebra,
    Jacobian,
    LinearResult,
    Monitor,
    NonlinearResult,
    Residual,
    Tolerances,
    check_length,
    check_transform,
)
from neml2fe.fem.algebra.layout import Array, DofLayout
from neml2fe.fem.algebra.pattern import BlockPattern, check_pattern
from neml2fe.fem.algebra.petsc_log import Log
from neml2fe.fem.algebra.petsc_matrix import GlobalMatrix, make_matrix
from neml2fe.fem.algebra.petsc_near_null import orthonormal, reduced_modes, rigid_modes
from neml2fe.fem.algebra.petsc_options import ScopedOptions
from neml2fe.fem.algebra.petsc_solver import PetscSolver
from neml2fe.fem.algebra.petsc_transform import PetscTransform


class PetscAlgebra(Algebra):
    """`Algebra` on PETSc. Owns matrices, vectors, solvers and options; `close()` destroys them."""

    def __init__(
        self,
        layout: DofLayout,
        options: Mapping[str, str | None],
        prefix: str,
        symmetric: bool | None,
        tolerances: Tolerances,
    ) -> None:
        super().__init__(layout)
        if np.dtype(PETSc.ScalarType).kind == "c":
            raise InputError("this PETSc has complex scalars; neml2fe needs a PETSc with real ones")
        n_global = layout.n_global_nodes() * layout.block_size
        if n_global > np.iinfo(PETSc.IntType).max:
            raise InputError(f"{n_global} dofs need a PETSc configured with 64-bit indices")
        self._comm = PETSc.COMM_SELF if layout.comm is None else PETSc.Comm(layout.comm)
        self._ghosted = PETSc.Vec().createGhost(
            layout.global_nodes[layout.n_owned_nodes :].astype(PETSc.IntType),
            (layout.n_owned_dofs, None),
            bsize=layout.block_size,
            comm=self._comm,
        )
        self._constrained = np.zeros(layout.n_owned_dofs, dtype=bool)
        self._carried = np.zeros(layout.n_owned_dofs, dtype=bool)
        self._n_entries = 0
        self._matrix: GlobalMatrix | None = None
        self._transform: PetscTransform | None = None
        self._options = ScopedOptions(options, prefix)
        self._solver = PetscSolver(
            self, self._comm, self._options, n_global, symmetric, tolerances, self._rigid_modes
        )
        self._log = Log()

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

    def set_pattern(self, indptr: NDArray[Any], indices: NDArray[Any]) -> None:
        layout = self.layout
        pattern = BlockPattern(np.asarray(indptr), np.asarray(indices))
        error: Exception | None = None
        try:
            check_pattern(pattern, len(layout.global_nodes))
        except InputError as found:
            error = found
        self.raise_together(error)
        self._drop_matrices()
        self._matrix = make_matrix(layout, self._comm, self._options.prefix, pattern)
        self._n_entries = len(pattern) * layout.block_size**2
        carried = np.repeat(np.diff(pattern.indptr) > 1, layout.block_size).astype(float)
        self._carried = self.sum_to_owners(carried) > 0.0
        self._solver.renew()

    def set_transform(self, rows: csr_array | None) -> None:
        if rows is not None:
            check_transform(rows, self.layout)
            if self._transform is not None and self._transform.update(rows):
                self._transform.set_constrained(self._constrained)
                return  # also in the middle of a solve, whose matrix stays
        self._drop_transform()
        if rows is not None:
            self._transform = PetscTransform(self.layout, self._comm, rows)
            self._transform.set_constrained(self._constrained)
        self._solver.rebuild()

    def set_constrained(self, mask: NDArray[np.bool_]) -> None:
        check_length("mask of constrained dofs", mask, self.layout.n_owned_dofs)
        self._constrained = np.array(mask, dtype=bool)
        if self._transform is not None:
            self._transform.set_constrained(self._constrained)
        self._solver.rebuild()  # multigrid keeps the modes of its first set-up

    def set_matrix(self, values: Array, diagonal: float | None = None) -> None:
        check_length("matrix values", values, self._n_entries)
        if self._matrix is None:
            raise Error(NO_MATRIX)
        self._matrix.fill(np.ascontiguousarray(values, dtype=np.float64))
        mat = self._matrix.mat
        if self._transform is not None:
            mat = self._transform.reduce(mat)
        if diagonal is not None:
            entries = mat.getDiagonal()
            entries.array[self._constrained] = diagonal
            mat.setDiagonal(entries)
            entries.destroy()

    def to_displacement(self, q: Array) -> Array:
        check_length("reduced vector", q, self.layout.n_owned_dofs)
        return q.copy() if self._transform is None else self._transform.to_displacement(q)

    def to_reduced(self, r: Array) -> Array:
        check_length("owned vector", r, self.layout.n_owned_dofs)
        return r.copy() if self._transform is None else self._transform.to_reduced(r)

    def _rigid_modes(self) -> Array | None:
        modes = rigid_modes(self.layout, self.allreduce)
        if modes is None:
            return None
        if self._transform is not None:
            modes = reduced_modes(self._transform.mat, modes, self._carried)
        return orthonormal(modes, self._constrained, self.allreduce)

    def _system(self) -> Any:
        """The matrix of the solves."""
        if self._matrix is None:
            raise Error(NO_MATRIX)
        if self._transform is None:
            return self._matrix.mat
        if self._transform.reduced is None:
            self._transform.reduce(self._matrix.mat)
        return self._transform.reduced

    # solves

    def solve_linear(
        self,
        rhs: Array,
        rtol: float | None = None,
        transposed: bool = False,
        reuse: bool = False,
    ) -> LinearResult:
        check_length("right-hand side", rhs, self.layout.n_owned_dofs)
        return self._solver.linear(self._system(), rhs, rtol, transposed, reuse)

    def solve_nonlinear(
        self,
        residual: Residual,
        jacobian: Jacobian,
        x0: Array,
        monitor: Monitor | None = None,
        atol: float | None = None,
    ) -> NonlinearResult:
        check_length("x0", x0, self.layout.n_owned_dofs)
        held = self._constrained

        def holding(x: Array) -> Array:
            # Multigrid moves constrained dofs by what a linear solve may leave of its residual.
            x[held] = x0[held]
            return x

        result = self._solver.nonlinear(
            self._system(),
            lambda x: residual(holding(x)),
            lambda x: jacobian(holding(x)),
            x0,
            monitor,
            atol,
        )
        return replace(result, x=holding(result.x))

    def renew(self) -> None:
        self._solver.renew()

    def describe(self) -> str:
        version = ".".join(map(str, PETSc.Sys.getVersion()))
        return f"PETSc {version}: {self._solver.describe()}"

    def log_summary(self) -> list[tuple[str, int, float, float]]:
        return self._log.rows(self.allreduce)

    def close(self) -> None:
        self._drop_matrices()
        self._ghosted.destroy()
        self._solver.close()
        self._options.remove()

    def _drop_transform(self) -> None:
        if self._transform is not None:
            self._transform.destroy()
        self._transform = None

    def _drop_matrices(self) -> None:
        self._drop_transform()
        if self._matrix is not None:
            self._matrix.mat.destroy()
        self._matrix = None
