"""What an entry of the ladder looks like, and the samples that entries share.

Each `rungs_<family>.py` beside this file holds `RUNGS: dict[str, Rung]`, one entry for every
registered type of the family, and may hold `KINKS: dict[str, Kink]`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from ladder import Raw, f64

from neml2fe.models import Model

STRESS = f64([120.0, -40.0, 25.0, 35.0, -20.0, 60.0])
STRAIN = f64([0.01, -0.004, 0.002, 0.003, -0.001, 0.005])
DIRECTION = f64([0.7, -0.4, -0.3, 0.2, 0.1, 0.45])
VECTOR, SKEW = f64([1.0, -2.0, 0.5]), f64([0.3, 0.1, -0.2])
MATRIX = f64([[1.1, 0.2, -0.1], [0.3, 0.9, 0.05], [0.0, -0.2, 1.2]])
TIMES = {"t": f64(2.0), "t~1": f64(1.5)}
ELASTIC = {
    "coefficients": [2e5, 0.3],
    "coefficient_types": ["YOUNGS_MODULUS", "POISSONS_RATIO"],
}


@dataclass
class Rung:
    """How to make a model and where to evaluate it.

    `degree`: of the outputs as a polynomial in inputs and parameters together, None when
    they are none. Central differences are exact for values of degree two and gradients of
    degree three at most. `input_degree` is the degree in the inputs alone, where it is
    lower. `isotropic`: rotated inputs give rotated outputs. `sub`: numbers of sub-batch
    dimensions of the inputs that have any. `pointwise`: false where the points of a batch are
    taken together.
    """

    make: Callable[[], Model]
    inputs: Callable[[], Raw]
    degree: int | None = None
    input_degree: int | None = None
    isotropic: bool = True
    sub: dict[str, int] = field(default_factory=dict)
    pointwise: bool = True


def rung(cls: type[Model], fields: dict, inputs: Raw, **more: object) -> Rung:
    return Rung(lambda: cls(**fields), lambda: inputs, **more)  # type: ignore[arg-type]


SAMPLES = {
    "Scalar": (f64(3.0), f64(1.2)),
    "Vec": (VECTOR, VECTOR.flip(0) + 1.0),
    "R2": (MATRIX, MATRIX.T + 0.3),
    "SR2": (STRESS, STRESS.flip(0) + 7.0),
    "WR2": (SKEW, SKEW.flip(0) + 1.0),
}


@dataclass
class Kink:
    """A model at a point where its formula has a kink or a power of zero."""

    make: Callable[[], Model]
    inputs: Raw
    expected: Raw = field(default_factory=dict)
    sub: dict[str, int] = field(default_factory=dict)


ZERO, NONE = f64(0.0), torch.zeros(6, dtype=torch.float64)
