"""Calibration of finite-element simulations: tests, their measurements, several at once."""

from neml2fe.calibration.simulations.joint import JointProblem
from neml2fe.calibration.simulations.measurements import (
    FieldMeasurement,
    GaugeMeasurement,
    LoadMeasurement,
    Measurement,
)
from neml2fe.calibration.simulations.problem import SimulationProblem

__all__ = [
    "FieldMeasurement",
    "GaugeMeasurement",
    "JointProblem",
    "LoadMeasurement",
    "Measurement",
    "SimulationProblem",
]
