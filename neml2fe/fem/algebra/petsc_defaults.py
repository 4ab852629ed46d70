"""What PETSc is told where the user says nothing.

`docs/decisions/002-linear-solver-defaults.md` holds the measurements behind the choices.
"""

from __future__ import annotations

from petsc4py import PETSc

from neml2fe.fem.algebra.interface import NULL_PIVOT, DofLayout, Tolerances
from neml2fe.fem.algebra.petsc_options import ScopedOptions

DIRECT_LIMIT = {1: 500_000, 2: 200_000, 3: 30_000}
"""Global dofs, by space dimension, up to which a direct solve is the default."""


def insert_defaults(
    options: ScopedOptions,
    layout: DofLayout,
    n_global: int,
    symmetric: bool,
    tolerances: Tolerances,
) -> bool:
    """Insert the options that the user left open; True when the linear solve is direct."""
    default = options.default
    package = _direct_package(layout.n_ranks)
    small = n_global <= DIRECT_LIMIT.get(layout.coordinates.shape[1], 0)
    factor = "cholesky" if symmetric and package != "superlu_dist" else "lu"
    direct = default("pc_type", factor if package and small else "gamg") in ("lu", "cholesky")
    if direct:
        default("ksp_type", "preonly")
        if package:
            default("pc_factor_mat_solver_type", package)
        default("mat_mumps_icntl_14", 50)  # per cent of extra memory for pivoting
        default("mat_mumps_icntl_24", 1)  # look for null pivots
        default("mat_mumps_cntl_3", NULL_PIVOT)
    else:
        if not options.has("ksp_type"):  # not every method can monitor |b - A x|
            default("ksp_norm_type", "unpreconditioned")
        default("ksp_type", "cg" if symmetric else "gmres")
        default("ksp_rtol", 1e-8)
        default("ksp_max_it", 500)
        default("ksp_gmres_restart", 100)
    default("snes_type", "newtonls")
    default("snes_linesearch_type", "bt")
    default("snes_rtol", tolerances.rtol)
    default("snes_atol", tolerances.atol)
    default("snes_max_it", tolerances.max_it)
    default("snes_stol", 0.0)  # a short step is no proof of equilibrium
    return direct


def _direct_package(n_ranks: int) -> str:
    """The best direct solver that this PETSc was built with; empty when there is none."""
    for package in ("mumps", "superlu_dist"):
        if PETSc.Sys.hasExternalPackage(package):
            return package
    return "petsc" if n_ranks == 1 else ""
