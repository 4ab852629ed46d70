"""The finite-element solver: meshes, conditions, problems and simulations over MPI."""

from neml2fe.fem.adjoint.checkpoints import Checkpoints
from neml2fe.fem.adjoint.solve import Solution
from neml2fe.fem.adjoint.taylor import TaylorTest
from neml2fe.fem.body import Body
from neml2fe.fem.conditions.conditions import (
    BodyForce,
    Centrifugal,
    CohesiveInterface,
    Condition,
    ControlDisplacement,
    ControlForce,
    Dirichlet,
    Gravity,
    NodalForce,
    PeriodicCell,
    Pressure,
    RigidBody,
    Springs,
    Traction,
)
from neml2fe.fem.conditions.field_files import (
    ScatteredField,
    field_from_csv,
    field_from_result,
)
from neml2fe.fem.conditions.fields import ElementField, FieldTable, NodalField, PointField
from neml2fe.fem.conditions.functions import PiecewiseLinear, SpaceFunction
from neml2fe.fem.homogenisation import (
    homogenised_strain,
    homogenised_stress,
    homogenised_tangent,
)
from neml2fe.fem.mesh.distribution import LocalMesh, distribute, gather_elements, gather_nodes
from neml2fe.fem.mesh.mesh import CellBlock, Mesh
from neml2fe.fem.observations import (
    ControlMotion,
    DisplacementsAt,
    ElementMeans,
    MeanStrain,
    MeanStress,
    NodalDisplacements,
    PointValues,
    Reaction,
    SurfaceDisplacementsAt,
    VirtualWork,
    VolumeIntegral,
)
from neml2fe.fem.problem import Problem, StepResult
from neml2fe.fem.results.recorder import Recorder
from neml2fe.fem.simulation import Run, StepRecord, simulate
from neml2fe.fem.stepping import TimeStepping

__all__ = [
    "Body",
    "BodyForce",
    "CellBlock",
    "Centrifugal",
    "Checkpoints",
    "CohesiveInterface",
    "Condition",
    "ControlDisplacement",
    "ControlForce",
    "ControlMotion",
    "Dirichlet",
    "DisplacementsAt",
    "ElementField",
    "ElementMeans",
    "FieldTable",
    "Gravity",
    "LocalMesh",
    "MeanStrain",
    "MeanStress",
    "Mesh",
    "NodalDisplacements",
    "NodalField",
    "NodalForce",
    "PeriodicCell",
    "PiecewiseLinear",
    "PointField",
    "PointValues",
    "Pressure",
    "Problem",
    "Reaction",
    "Recorder",
    "RigidBody",
    "Run",
    "ScatteredField",
    "Solution",
    "SpaceFunction",
    "Springs",
    "StepRecord",
    "StepResult",
    "SurfaceDisplacementsAt",
    "TaylorTest",
    "TimeStepping",
    "Traction",
    "VirtualWork",
    "VolumeIntegral",
    "distribute",
    "field_from_csv",
    "field_from_result",
    "gather_elements",
    "gather_nodes",
    "homogenised_strain",
    "homogenised_stress",
    "homogenised_tangent",
    "simulate",
]
