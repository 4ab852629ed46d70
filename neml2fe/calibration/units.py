"""Units that columns of test data come in, converted to those of the model."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from neml2fe.errors import InputError

Values = TypeVar("Values", float, NDArray[np.float64], torch.Tensor)

_POUND_FORCE_PER_SQUARE_INCH = 4.4482216152605 / 0.0254**2

# For each dimension and unit: factor and offset to the base unit, base = factor * (value + offset)
UNITS: dict[str, dict[str, tuple[float, float]]] = {
    "stress": {
        "Pa": (1.0, 0.0),
        "kPa": (1e3, 0.0),
        "MPa": (1e6, 0.0),
        "GPa": (1e9, 0.0),
        "psi": (_POUND_FORCE_PER_SQUARE_INCH, 0.0),
        "ksi": (1e3 * _POUND_FORCE_PER_SQUARE_INCH, 0.0),
    },
    "strain": {
        "1": (1.0, 0.0),
        "%": (1e-2, 0.0),
        "permille": (1e-3, 0.0),
        "microstrain": (1e-6, 0.0),
    },
    "time": {"s": (1.0, 0.0), "ms": (1e-3, 0.0), "min": (60.0, 0.0), "h": (3600.0, 0.0)},
    "temperature": {"K": (1.0, 0.0), "degC": (1.0, 273.15), "degF": (5.0 / 9.0, 459.67)},
}


def convert(values: Values, unit: str, to: str) -> Values:
    """`values` of any shape from `unit` to the unit `to`; temperatures are absolute ones.

    Raises `InputError` for an unknown unit, and for units of two dimensions.
    """
    dimensions = [_dimension(name) for name in (unit, to)]
    if dimensions[0] != dimensions[1]:
        raise InputError(
            f"'{unit}' ({dimensions[0]}) cannot be converted to '{to}' ({dimensions[1]}); units "
            f"of {dimensions[0]}: {', '.join(UNITS[dimensions[0]])}"
        )
    if unit == to:
        return values
    (factor, offset), (to_factor, to_offset) = (UNITS[dimensions[0]][name] for name in (unit, to))
    scaled = (values + offset) * (factor / to_factor) if offset else values * (factor / to_factor)
    return scaled - to_offset if to_offset else scaled


def _dimension(unit: str) -> str:
    for dimension, units in UNITS.items():
        if unit in units:
            return dimension
    known = "; ".join(f"{name}: {', '.join(units)}" for name, units in UNITS.items())
    raise InputError(f"there is no unit '{unit}'; known are {known}")
