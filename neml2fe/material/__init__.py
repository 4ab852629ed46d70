"""The batched quadrature-point interface between materials and host codes."""

from neml2fe.material.formulation import FORMULATIONS, in_formulation
from neml2fe.material.history import current_name, is_old, lags, split_lag
from neml2fe.material.interface import PointMaterial
from neml2fe.material.logarithmic import LogarithmicStrain
from neml2fe.material.measures import FirstPiolaKirchhoff, finite_strain
from neml2fe.material.path import MarchCotangents, MarchResult
from neml2fe.material.plane_stress import PlaneStress
from neml2fe.material.point import Material
from neml2fe.material.results import PointCotangents, PointResult, State
from neml2fe.models.model import Spec

__all__ = [
    "FORMULATIONS",
    "FirstPiolaKirchhoff",
    "LogarithmicStrain",
    "MarchCotangents",
    "MarchResult",
    "Material",
    "PlaneStress",
    "PointCotangents",
    "PointMaterial",
    "PointResult",
    "Spec",
    "State",
    "current_name",
    "finite_strain",
    "in_formulation",
    "is_old",
    "lags",
    "split_lag",
]
