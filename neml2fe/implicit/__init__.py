"""Nonlinear systems, per-point Newton, and updates differentiated implicitly."""

from neml2fe.implicit.linear_solvers import DenseLU, LinearSolver
from neml2fe.implicit.log import SolveLog, recorded_solves
from neml2fe.implicit.newton import Newton, NewtonResult, NewtonWithLineSearch, Status
from neml2fe.implicit.system import NonlinearSystem
from neml2fe.implicit.update import ImplicitUpdate

__all__ = [
    "DenseLU",
    "ImplicitUpdate",
    "LinearSolver",
    "Newton",
    "NewtonResult",
    "NewtonWithLineSearch",
    "NonlinearSystem",
    "SolveLog",
    "Status",
    "recorded_solves",
]
