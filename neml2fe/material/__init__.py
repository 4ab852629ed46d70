"""The batched quadrature-point interface between materials and host codes."""

from neml2fe.material.history import current_name, is_old, lags, split_lag
from neml2fe.material.path import MarchCotangents, MarchResult
from neml2fe.material.point import Material
from neml2fe.material.results import PointCotangents, PointResult, State

__all__ = [
    "MarchCotangents",
    "MarchResult",
    "Material",
    "PointCotangents",
    "PointResult",
    "State",
    "current_name",
    "is_old",
    "lags",
    "split_lag",
]
