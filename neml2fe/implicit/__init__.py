"""Nonlinear systems, per-point Newton, and updates differentiated implicitly."""

from neml2fe.implicit.bicgstab import BiCGStab
from neml2fe.implicit.gmres import GMRES
from neml2fe.implicit.linear_solvers import DenseLU, LinearSolver, SchurComplement
from neml2fe.implicit.log import SolveLog, recorded_solves
from neml2fe.implicit.newton import Newton, NewtonResult, NewtonWithLineSearch, Status
from neml2fe.implicit.preconditioners import (
    BlockJacobiPreconditioner,
    FullPreconditioner,
    JacobiPreconditioner,
    NoPreconditioner,
    Preconditioner,
)
from neml2fe.implicit.system import NonlinearSystem
from neml2fe.implicit.update import ImplicitUpdate

__all__ = [
    "GMRES",
    "BiCGStab",
    "BlockJacobiPreconditioner",
    "DenseLU",
    "FullPreconditioner",
    "ImplicitUpdate",
    "JacobiPreconditioner",
    "LinearSolver",
    "Newton",
    "NewtonResult",
    "NewtonWithLineSearch",
    "NoPreconditioner",
    "NonlinearSystem",
    "Preconditioner",
    "SchurComplement",
    "SolveLog",
    "Status",
    "recorded_solves",
]
