"""What PETSc is told where the user says nothing.

`docs/decisions/010-multigrid-and-newton.md` and `002-linear-solver-defaults.md` hold the
measurements behind the choices.
"""

from __future__ import annotations

from petsc4py import PETSc

from neml2fe.fem.algebra.interface import NULL_PIVOT, Tolerances
from neml2fe.fem.algebra.layout import DofLayout
from neml2fe.fem.algebra.petsc_options import ScopedOptions

DIRECT_LIMIT = {1: 500_000, 2: 20_000, 3: 6_000}
"""Global dofs, by space dimension, up to which a direct solve is the default."""
RESCUE_LIMIT = {1: 500_000, 2: 500_000, 3: 100_000}
"""Global dofs up to which a direct solve takes over where multigrid by default fails."""
DIRECT = ("lu", "cholesky")
LINE_SEARCH, BACKTRACKING = "snes_linesearch_type", "bt"


def starts_direct(layout: DofLayout, n_global: int) -> bool:
    """True when the first method tried is a direct one."""
    return _within(DIRECT_LIMIT, layout, n_global)


def can_rescue(layout: DofLayout, n_global: int) -> bool:
    """True when a direct method may take over from multigrid."""
    return _within(RESCUE_LIMIT, layout, n_global)


def _within(limit: dict[int, int], layout: DofLayout, n_global: int) -> bool:
    dim = layout.coordinates.shape[1]
    return bool(_direct_package(layout.n_ranks)) and n_global <= limit.get(dim, 0)


def insert_linear(
    options: ScopedOptions, layout: DofLayout, direct: bool, symmetric: bool, patient: bool
) -> None:
    """Insert the options of the linear solver that the user left open.

    `direct` or multigrid; for a `symmetric` matrix or any; `patient` where nothing can
    take over when multigrid fails.
    """
    default = options.default
    package = _direct_package(layout.n_ranks)
    factor = "cholesky" if symmetric and package != "superlu_dist" else "lu"
    if default("pc_type", factor if direct else "gamg") in DIRECT:
        default("ksp_type", "preonly")
        if package:
            default("pc_factor_mat_solver_type", package)
        default("mat_mumps_icntl_14", 50)  # per cent of extra memory for pivoting
        default("mat_mumps_icntl_24", 1)  # look for null pivots
        default("mat_mumps_cntl_3", NULL_PIVOT)
        return
    if not options.has("ksp_type"):  # not every method can monitor |b - A x|
        default("ksp_norm_type", "unpreconditioned")
    default("ksp_type", "cg" if symmetric else "gmres")
    default("ksp_rtol", 1e-8)
    default("ksp_max_it", 500 if patient else 300)
    default("ksp_gmres_restart", 100)
    # Eisenstat and Walker's inexact Newton, never looser than 1e-2: hardly an iteration more.
    default("snes_ksp_ew", "true")
    default("snes_ksp_ew_rtol0", 1e-2)
    default("snes_ksp_ew_rtolmax", 1e-2)
    if options.has("pc_gamg_agg_nsmooths"):
        return  # the cycle below belongs to aggregates that are not smoothed
    default("pc_gamg_agg_nsmooths", 0)
    default("pc_gamg_reuse_interpolation", "true")
    default("pc_mg_cycle_type", "w")
    default("mg_levels_ksp_max_it", 1)
    default("mg_levels_ksp_chebyshev_esteig", "0,0.2,0,1.1")


def insert_newton(options: ScopedOptions, tolerances: Tolerances) -> None:
    """Insert the options of Newton's method that the user left open."""
    options.default("snes_type", "newtonls")
    options.default(LINE_SEARCH, BACKTRACKING)
    options.default("snes_rtol", tolerances.rtol)
    options.default("snes_atol", tolerances.atol)
    options.default("snes_max_it", tolerances.max_it)
    options.default("snes_stol", 0.0)  # a short step is no proof of equilibrium


def _direct_package(n_ranks: int) -> str:
    """The best direct solver that this PETSc was built with; empty when there is none."""
    for package in ("mumps", "superlu_dist"):
        if PETSc.Sys.hasExternalPackage(package):
            return package
    return "petsc" if n_ranks == 1 else ""
