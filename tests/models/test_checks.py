"""Parameters that no law can be evaluated with are refused, unless they have no value yet."""

from __future__ import annotations

from typing import Any

import pytest
from ladder import f64

import neml2fe.models as m
from neml2fe.errors import ModelError

HILL = {"F": 0.4, "G": 0.5, "H": 0.6, "N": 1.4}
LANKFORD = {"r0": 1.8, "r45": 1.2, "r90": 2.2}
CONCRETE = {
    "youngs_modulus": 3e4,
    "strength": 3.0,
    "fracture_energy": 0.1,
    "characteristic_length": 20.0,
}
OGDEN = {"bulk_modulus": 10.0, "coefficients": [1.0, -0.2], "exponents": [2.0, -2.0]}
REFUSED = [
    ("Hill48Stress", HILL, {"F": -0.6}, "must be positive, else"),
    ("Hill48Stress", HILL, {"F": -0.5, "H": -0.5, "G": 2.0}, "must be positive, else"),
    ("Hill48Stress", HILL, {"F": f64([0.4, -5.0])}, "got F = -5, G = 0.5, H = 0.6"),
    ("Hill48Stress", HILL, {"N": 0.0}, "'N' must be positive, got N = 0"),
    *(("LankfordHill48Stress", LANKFORD, {r: 0.0}, f"'{r}'") for r in LANKFORD),
    *(("ExponentialDamage", CONCRETE, {name: -1.0}, f"'{name}'") for name in CONCRETE),
    *(("LinearDamage", CONCRETE, {name: 0.0}, f"'{name}'") for name in CONCRETE),
    *(
        ("ModifiedVonMisesStrain", {"poissons_ratio": 0.2, "strength_ratio": 10.0}, bad, "must")
        for bad in ({"poissons_ratio": 0.5}, {"poissons_ratio": -1.0}, {"strength_ratio": 0.0})
    ),
    ("NeoHookean", {"bulk_modulus": 1.0, "shear_modulus": 1.0}, {"bulk_modulus": 0.0}, "bulk"),
    ("NeoHookeanEnergy", {"bulk_modulus": 1.0, "shear_modulus": 1.0}, {"shear_modulus": 0.0}, "G"),
    ("MooneyRivlin", {"bulk_modulus": 1.0, "C10": 0.2, "C01": 0.1}, {"C10": -0.1}, "C10 \\+ C01"),
    ("MooneyRivlin", {"bulk_modulus": 1.0, "C10": 0.2, "C01": 0.1}, {"bulk_modulus": -1.0}, "bulk"),
    ("Ogden", OGDEN, {"exponents": [2.0, 0.0]}, "no exponent may be zero, got alpha_1 = 0"),
    ("Ogden", OGDEN, {"coefficients": [1.0, 2.0]}, "the sum of coefficients times exponents"),
    ("Ogden", OGDEN, {"bulk_modulus": 0.0}, "bulk_modulus"),
]


@pytest.mark.parametrize(("name", "good", "bad", "said"), REFUSED)
def test_refused(name: str, good: dict[str, Any], bad: dict[str, Any], said: str) -> None:
    getattr(m, name)(**good)
    with pytest.raises(ModelError, match=said):
        getattr(m, name)(**{**good, **bad})


def test_a_parameter_without_a_value_is_not_checked() -> None:
    constant = m.ScalarConstantParameter(value=-1.0)
    for given in ("k", constant):
        model = m.NeoHookeanEnergy(bulk_modulus=given, shear_modulus=1.0)
        assert "K" not in dict(model.named_parameters(recurse=False))
