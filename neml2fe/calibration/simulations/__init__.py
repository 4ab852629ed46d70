"""Calibration of finite-element simulations: tests, their measurements, several at once."""

from neml2fe.calibration.simulations.gauss_newton import gauss_newton_product
from neml2fe.calibration.simulations.joint import JointProblem
from neml2fe.calibration.simulations.measurements import (
    FieldMeasurement,
    GaugeMeasurement,
    LoadMeasurement,
    Measurement,
)
from neml2fe.calibration.simulations.nodal_motion import NodalMotion
from neml2fe.calibration.simulations.penalties import Tikhonov, TotalVariation
from neml2fe.calibration.simulations.posterior import (
    GaussianPrior,
    LaplacePosterior,
    laplace,
    low_rank_laplace,
)
from neml2fe.calibration.simulations.problem import SimulationProblem
from neml2fe.calibration.simulations.regularised import RegularisedProblem
from neml2fe.calibration.simulations.tests_fit import TestsFit, Weighing, fit_tests
from neml2fe.calibration.simulations.tradeoff import (
    by_discrepancy,
    corner,
    l_curve,
    regularised_fit,
)
from neml2fe.calibration.simulations.virtual_fields import (
    VirtualField,
    VirtualFieldsMeasurement,
    VirtualFieldsProblem,
    covariance_of_virtual_work,
    virtual_fields,
    with_covariance,
)

__all__ = [
    "FieldMeasurement",
    "GaugeMeasurement",
    "GaussianPrior",
    "JointProblem",
    "LaplacePosterior",
    "LoadMeasurement",
    "Measurement",
    "NodalMotion",
    "RegularisedProblem",
    "SimulationProblem",
    "TestsFit",
    "Tikhonov",
    "TotalVariation",
    "VirtualField",
    "VirtualFieldsMeasurement",
    "VirtualFieldsProblem",
    "Weighing",
    "by_discrepancy",
    "corner",
    "covariance_of_virtual_work",
    "fit_tests",
    "gauss_newton_product",
    "l_curve",
    "laplace",
    "low_rank_laplace",
    "regularised_fit",
    "virtual_fields",
    "with_covariance",
]
