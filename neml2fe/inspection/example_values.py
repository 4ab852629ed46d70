"""Values of fields in examples, where those by type and dimension make no sense."""

from __future__ import annotations

_MODULI = {
    "coefficients": "2e5 0.3",
    "coefficient_types": "YOUNGS_MODULUS POISSONS_RATIO",
}
_BAND = {"characteristic_length": "0.01"}
_CELLS = {"divisions": "8 4", "lengths": "2 1", "cell_type": "quad"}

VALUES: dict[str, dict[str, str]] = {
    "LinearIsotropicElasticity": _MODULI,
    "IsotropicElasticityTensor": _MODULI,
    "LinearIsotropicElasticJ2TrialStressUpdate": _MODULI,
    "CubicElasticityTensor": {
        "coefficients": "1.3e5 0.35 7.5e4",
        "coefficient_types": "YOUNGS_MODULUS POISSONS_RATIO SHEAR_MODULUS",
    },
    "VecComponents": {"from": "traction", "to": "t_n t_s1 t_s2"},
    "GeneralizedMaxwellElement": {"moduli": "100 50", "viscosities": "1000 5000"},
    "GeneralizedKelvinVoigtElement": {"moduli": "100 50", "viscosities": "1000 5000"},
    "Yld2000Stress": {"alpha": "0.96 1.03 0.99 1.01 1.0 1.02 0.97 1.1"},
    "Yld2004Stress": {
        "c_prime": "1 1.1 0.9 1 1 1.1 1 1 1",
        "c_second": "0.9 1 1 1.1 1 1 1 0.9 1",
    },
    "ExponentialDamage": _BAND,
    "LinearDamage": _BAND,
    "Python": {"expr": "Scalar(torch.linspace(0.0, 1.0, 11, dtype=torch.float64))"},
    "CSVScalar": {"csv_file": "history.csv", "column_names": "time"},
    "CSVVec": {"csv_file": "history.csv", "variable": "traction"},
    "CSVSR2": {"csv_file": "history.csv", "variable": "stress"},
    "CSVWR2": {"csv_file": "history.csv", "variable": "spin"},
    "File": {"file": "plate.msh"},
    "Rectangle": _CELLS,
    "Box": {"divisions": "8 4 4", "lengths": "2 1 1", "cell_type": "hexahedron"},
    "QuarterAnnulus": {"divisions": "8 16", "radii": "1 2", "cell_type": "quad"},
    "PiecewiseLinear": {"times": "0 1 2", "values": "0 1 -1"},
    "Expression": {"expr": "0.01 * torch.sin(t)"},
    "Dirichlet": {"boundary": "left", "component": "x", "value": "0"},
    "Traction": {"boundary": "right", "value": "100 0"},
    "Pressure": {"boundary": "inner", "value": "25"},
    "BodyForce": {"value": "0 -7.7e-5"},
}
