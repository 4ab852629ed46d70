"""Linear and nonlinear algebra of the finite-element solver: one interface, two backends."""

from __future__ import annotations

import warnings
from collections.abc import Mapping

from neml2fe.errors import InputError, suggest
from neml2fe.fem.algebra.interface import (
    Algebra,
    DofLayout,
    LinearResult,
    NonlinearResult,
    Tolerances,
)

__all__ = [
    "Algebra",
    "DofLayout",
    "LinearResult",
    "NonlinearResult",
    "Tolerances",
    "make_algebra",
    "petsc_available",
]

BACKENDS = ("auto", "petsc", "scipy")


def petsc_available() -> bool:
    """True when petsc4py can be imported."""
    try:
        from petsc4py import PETSc  # noqa: F401
    except ImportError:
        return False
    return True


def make_algebra(
    layout: DofLayout,
    backend: str = "auto",
    options: Mapping[str, str | None] | None = None,
    prefix: str = "neml2fe_",
    symmetric: bool = False,
    tolerances: Tolerances | None = None,
) -> Algebra:
    """The algebra for `layout`: PETSc where petsc4py is found, else SciPy with a warning.

    - `backend`: 'auto', 'petsc' or 'scipy'.
    - `options`: PETSc options, with or without dash and `prefix`; a flag has the value None.
      Those of the environment (`PETSC_OPTIONS`) count too when they carry the prefix.
      An option that nothing reads is named in a warning after the first solve.
    - `symmetric`: promise that the matrix is symmetric: PETSc then uses Cholesky or CG.

    Raises `InputError` for an unknown backend, SciPy on several ranks, 'petsc' without
    petsc4py, a complex PETSc, or an option value that PETSc refuses.
    """
    if backend not in BACKENDS:
        raise InputError(f"unknown algebra backend '{backend}'{suggest(backend, BACKENDS)}")
    tolerances = tolerances or Tolerances()
    if backend != "scipy" and petsc_available():
        from neml2fe.fem.algebra.petsc_backend import PetscAlgebra

        return PetscAlgebra(layout, options or {}, prefix, symmetric, tolerances)
    if backend == "petsc":
        raise InputError("backend 'petsc' needs petsc4py, which cannot be imported here")
    if layout.n_ranks > 1:
        raise InputError(
            f"SciPy solves on one rank, this run has {layout.n_ranks}: "
            "install petsc4py, or start neml2fe without mpiexec"
        )
    if backend == "auto":
        warnings.warn("petsc4py is not installed: solving serially with SciPy", stacklevel=2)
    if options:
        warnings.warn(f"SciPy takes no PETSc options; ignored: {', '.join(options)}", stacklevel=2)
    from neml2fe.fem.algebra.scipy_backend import ScipyAlgebra

    return ScipyAlgebra(layout, tolerances)
