"""Linear and nonlinear algebra of the finite-element solver: one interface, two backends."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping

from neml2fe.errors import InputError, suggest
from neml2fe.fem.algebra.interface import (
    Algebra,
    LinearResult,
    NonlinearResult,
    Statistics,
    Tolerances,
)
from neml2fe.fem.algebra.layout import DofLayout
from neml2fe.fem.algebra.options_file import bare, read_options

__all__ = [
    "Algebra",
    "DofLayout",
    "LinearResult",
    "NonlinearResult",
    "Statistics",
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
    symmetric: bool | None = None,
    tolerances: Tolerances | None = None,
    options_file: str | os.PathLike[str] | None = None,
) -> Algebra:
    """The algebra for `layout`: PETSc where petsc4py is found, else SciPy with a warning.

    - `backend`: 'auto', 'petsc' or 'scipy'.
    - `options`: PETSc options, with or without dash and `prefix`; a flag has the value None.
      Those of the environment (`PETSC_OPTIONS`) count too when they carry the prefix.
      An option that nothing reads is named in a warning after the first solve.
    - `symmetric`: True promises that every matrix is, for CG and Cholesky factors; False rules
      these out; None looks at each matrix.
    - `options_file`: more such options, one a line as for PETSc's `-options_file`; `options`
      come first.

    Raises `InputError` for an unknown backend, SciPy on several ranks, 'petsc' without
    petsc4py, a complex PETSc, an option value that PETSc refuses, or a file that is no list of
    options.
    """
    if backend not in BACKENDS:
        raise InputError(f"unknown algebra backend '{backend}'{suggest(backend, BACKENDS)}")
    tolerances = tolerances or Tolerances()
    given = dict(options or {})
    if options_file is not None:
        given = bare(read_options(options_file), prefix) | bare(given, prefix)
    if backend != "scipy" and petsc_available():
        from neml2fe.fem.algebra.petsc_backend import PetscAlgebra

        return PetscAlgebra(layout, given, prefix, symmetric, tolerances)
    if backend == "petsc":
        raise InputError("backend 'petsc' needs petsc4py, which cannot be imported here")
    if layout.n_ranks > 1:
        others = "leave out the backend" if petsc_available() else "install petsc4py"
        raise InputError(
            f"SciPy solves on one rank, this run has {layout.n_ranks}: {others} for PETSc, or use "
            "one rank"
        )
    if backend == "auto":
        warnings.warn("petsc4py is not installed: solving serially with SciPy", stacklevel=2)
    if given:
        warnings.warn(f"SciPy takes no PETSc options; ignored: {', '.join(given)}", stacklevel=2)
    from neml2fe.fem.algebra.scipy_backend import ScipyAlgebra

    return ScipyAlgebra(layout, tolerances)
