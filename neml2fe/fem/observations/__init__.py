"""What tests measure, as linear functions of a solution, with their exact transposes."""

from neml2fe.fem.observations.displacements import (
    DisplacementsAt,
    NodalDisplacements,
    SurfaceDisplacementsAt,
)
from neml2fe.fem.observations.observation import BoundObservation, Instant, Observation
from neml2fe.fem.observations.points import ElementMeans, PointValues, VolumeIntegral
from neml2fe.fem.observations.unknowns import (
    ControlMotion,
    MeanStrain,
    MeanStress,
    Reaction,
    VirtualWork,
)

__all__ = [
    "BoundObservation",
    "ControlMotion",
    "DisplacementsAt",
    "ElementMeans",
    "Instant",
    "MeanStrain",
    "MeanStress",
    "NodalDisplacements",
    "Observation",
    "PointValues",
    "Reaction",
    "SurfaceDisplacementsAt",
    "VirtualWork",
    "VolumeIntegral",
]
