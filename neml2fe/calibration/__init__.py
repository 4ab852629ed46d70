"""Calibration of material parameters against measured histories of specimens."""

from neml2fe.calibration.csvspecimen import CSVColumn, CSVSpecimen
from neml2fe.calibration.fit import FitResult, Iteration, fit
from neml2fe.calibration.noise import GaussianNoise, HuberNoise, Noise, RelativeNoise, StudentNoise
from neml2fe.calibration.parameters import FitParameter, ParameterSet
from neml2fe.calibration.problem import CalibrationProblem
from neml2fe.calibration.scatter import fit_with_scatter
from neml2fe.calibration.specimens import Specimens
from neml2fe.calibration.uncertainty import Uncertainty

__all__ = [
    "CSVColumn",
    "CSVSpecimen",
    "CalibrationProblem",
    "FitParameter",
    "FitResult",
    "GaussianNoise",
    "HuberNoise",
    "Iteration",
    "Noise",
    "ParameterSet",
    "RelativeNoise",
    "Specimens",
    "StudentNoise",
    "Uncertainty",
    "fit",
    "fit_with_scatter",
]
