"""The finite-element solver: meshes, conditions, problems and simulations over MPI."""

from neml2fe.fem.conditions import BodyForce, Condition, Dirichlet, Pressure, Traction
from neml2fe.fem.distribution import LocalMesh, distribute, gather_elements, gather_nodes
from neml2fe.fem.functions import PiecewiseLinear
from neml2fe.fem.mesh import CellBlock, Mesh
from neml2fe.fem.problem import Problem, StepResult
from neml2fe.fem.recorder import Recorder
from neml2fe.fem.simulation import Run, StepRecord, simulate
from neml2fe.fem.stepping import TimeStepping

__all__ = [
    "BodyForce",
    "CellBlock",
    "Condition",
    "Dirichlet",
    "LocalMesh",
    "Mesh",
    "PiecewiseLinear",
    "Pressure",
    "Problem",
    "Recorder",
    "Run",
    "StepRecord",
    "StepResult",
    "TimeStepping",
    "Traction",
    "distribute",
    "gather_elements",
    "gather_nodes",
    "simulate",
]
