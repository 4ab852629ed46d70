"""Nonlinear systems, per-point Newton, and updates differentiated implicitly."""

from neml2fe.implicit.newton import DenseLU, Newton, NewtonResult, NewtonWithLineSearch, Status
from neml2fe.implicit.system import NonlinearSystem
from neml2fe.implicit.update import ImplicitUpdate, SolveLog, recorded_solves

__all__ = [
    "DenseLU",
    "ImplicitUpdate",
    "Newton",
    "NewtonResult",
    "NewtonWithLineSearch",
    "NonlinearSystem",
    "SolveLog",
    "Status",
    "recorded_solves",
]
