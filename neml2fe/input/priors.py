"""Fields of [Parameters] blocks that say what is known of a parameter before the tests."""

from __future__ import annotations

import math
from collections.abc import Mapping

from neml2fe.calibration.parameters import FitParameter
from neml2fe.input.deck import Block

PRIOR = ("prior_mean", "prior_deviation")


def priors(
    fitted: Mapping[str, FitParameter], places: Mapping[str, Block]
) -> dict[str, tuple[float, float]]:
    """Mean and standard deviation by parameter, of those that have a prior; both by block. Raises
    `InputError` for half a prior, a deviation that is not positive, a mean out of bounds."""
    found = {}
    for name, parameter in fitted.items():
        mean, deviation = (places[name].get(field) for field in PRIOR)
        if mean is None and deviation is None:
            continue
        if mean is None or deviation is None:
            given = mean or deviation
            assert given is not None
            raise given.error(f"a prior has a mean and a deviation: give {' and '.join(PRIOR)}")
        value, size = mean.as_float(), deviation.as_float()
        if not 0.0 < size < math.inf:
            raise deviation.error(f"the deviation of a prior must be positive, got {size:g}")
        if not parameter.lower <= value <= parameter.upper:
            raise mean.error(
                f"the prior mean {value:g} is outside of the bounds {parameter.lower:g} to "
                f"{parameter.upper:g}"
            )
        found[parameter.name] = (value, size)
    return found
