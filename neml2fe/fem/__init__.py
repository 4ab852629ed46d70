"""The finite-element solver: meshes, conditions, problems and simulations over MPI."""

from neml2fe.fem.conditions.conditions import BodyForce, Condition, Dirichlet, Pressure, Traction
from neml2fe.fem.mesh.distribution import LocalMesh, distribute, gather_elements, gather_nodes
from neml2fe.fem.conditions.functions import PiecewiseLinear
from neml2fe.fem.mesh.mesh import CellBlock, Mesh
from neml2fe.fem.problem import Problem, StepResult
from neml2fe.fem.results.recorder import Recorder
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
