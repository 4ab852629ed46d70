"""Elasticity tensors and anisotropic elasticity."""

from __future__ import annotations

from ladder import f64
from rung import SKEW, STRAIN, Rung, rung

import neml2fe.models as m

STIFFNESS = f64(
    [
        [250.0, 140.0, 120.0, 3.0, -6.0, 2.0],
        [140.0, 240.0, 130.0, 1.0, 4.0, -3.0],
        [120.0, 130.0, 230.0, -2.0, 5.0, 7.0],
        [3.0, 1.0, -2.0, 160.0, 2.0, 1.0],
        [-6.0, 4.0, 5.0, 2.0, 150.0, -4.0],
        [2.0, -3.0, 7.0, 1.0, -4.0, 140.0],
    ]
)
CUBIC = ["SHEAR_MODULUS", "YOUNGS_MODULUS", "POISSONS_RATIO"]

RUNGS: dict[str, Rung] = {
    "IsotropicElasticityTensor": rung(
        m.IsotropicElasticityTensor,
        {"coefficients": ["E", 0.3], "coefficient_types": ["YOUNGS_MODULUS", "POISSONS_RATIO"]},
        {"E": f64(2e5)},
        input_degree=1,
    ),
    "CubicElasticityTensor": rung(
        m.CubicElasticityTensor,
        {"coefficients": ["G", 1.3e5, "nu"], "coefficient_types": CUBIC},
        {"G": f64(7e4), "nu": f64(0.3)},
        isotropic=False,
    ),
    "GeneralElasticity": rung(
        m.GeneralElasticity,
        {"elastic_stiffness_tensor": "C"},
        {"strain": STRAIN, "orientation": SKEW, "C": STIFFNESS},
        isotropic=False,
    ),
}
