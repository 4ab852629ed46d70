"""Values and whole decks of the examples that cannot be made from the fields alone."""

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

_ELASTICITY = """
[Models]
  [elasticity]
    type = LinearIsotropicElasticity
    coefficients = '2e5 0.3'
    coefficient_types = 'YOUNGS_MODULUS POISSONS_RATIO'
  []
[]
"""
_YIELD = """
  [mises]
    type = SR2Invariant
    invariant_type = VONMISES
    tensor = stress
    invariant = effective_stress
  []
  [yield]
    type = YieldFunction
    yield_stress = 100
  []
  [flow]
    type = ComposedModel
    models = 'mises yield'
  []
""".strip("\n")
# x solves x = x~1 - k x (t - t~1)
_DECAY = """
[Models]
  [decay]
    type = ScalarLinearCombination
    from = x
    to = x_rate
    weights = -0.5
  []
  [integrate]
    type = ScalarBackwardEulerTimeIntegration
    variable = x
  []
  [residual]
    type = ComposedModel
    models = 'decay integrate'
  []
"""
_SYSTEM = """
[EquationSystems]
  [system]
    type = NonlinearSystem
    model = residual
    unknowns = x
  []
[]
"""
_TIMES = """
[Tensors]
  [times]
    type = Python
    expr = 'Scalar(torch.linspace(0.0, 1.0, 11, dtype=torch.float64))'
  []
  [strains]
    type = Python
    expr = 'SR2(torch.linspace(0.0, 0.01, 11, dtype=torch.float64).reshape(11, 1) * torch.eye(6, dtype=torch.float64)[0])'
  []
[]
"""  # noqa: E501 (an expression of a deck stands on one line)
_RUN = """  [run]
    type = TransientDriver
    model = elasticity
    prescribed_time = times
    prescribed_SR2_names = strain
    prescribed_SR2_values = strains
  []
"""


def _table(kind: str, ones: str) -> str:
    return f"""
[Tensors]
  [knots]
    type = Python
    expr = 'Scalar(torch.tensor([300.0, 600.0], dtype=torch.float64))'
  []
  [values]
    type = Python
    expr = '{kind}(torch.tensor([2e5, 1.5e5], dtype=torch.float64){ones})'
  []
[]
[Models]
  [modulus]
    type = {kind}LinearInterpolation
    argument = temperature
    abscissa = knots
    ordinate = values
  []
[]
"""


def _grid(kind: str, ones: str) -> str:
    return f"""
[Tensors]
  [knots]
    type = Python
    expr = 'Scalar(torch.tensor([300.0, 600.0], dtype=torch.float64))'
  []
  [values]
    type = Python
    expr = '{kind}(torch.tensor([[2e5, 1.8e5], [1.5e5, 1e5]], dtype=torch.float64){ones})'
  []
[]
[Models]
  [modulus]
    type = {kind}BilinearInterpolation
    argument1 = temperature
    argument2 = dose
    abscissa1 = knots
    abscissa2 = knots
    ordinate = values
  []
[]
"""


_ONES = {"Scalar": "", "Vec": ".unsqueeze(-1).expand(2, 3)", "SR2": ".unsqueeze(-1).expand(2, 6)"}

DECKS: dict[str, str] = {
    **{f"Models/{k}LinearInterpolation": _table(k, ones) for k, ones in _ONES.items()},
    **{
        f"Models/{k}BilinearInterpolation": _grid(k, ones.replace("(2, ", "(2, 2, "))
        for k, ones in _ONES.items()
    },
    "Models/ComposedModel": f"[Models]\n{_YIELD}\n[]",
    "Models/Normality": f"""
[Models]
{_YIELD}
  [normality]
    type = Normality
    model = flow
    function = yield_function
    from = stress
    to = flow_direction
  []
[]
""",
    "Models/ImplicitUpdate": f"""{_DECAY}  [model]
    type = ImplicitUpdate
    equation_system = system
    solver = newton
  []
[]{_SYSTEM}[Solvers]
  [newton]
    type = Newton
    linear_solver = lu
  []
  [lu]
    type = DenseLU
  []
[]
""",
    "EquationSystems/NonlinearSystem": f"{_DECAY}[]{_SYSTEM}",
    "Materials/Material": f"""{_ELASTICITY}[Materials]
  [steel]
    type = Material
    model = elasticity
    strain = strain
  []
[]
""",
    "Drivers/TransientDriver": f"{_TIMES}{_ELASTICITY}[Drivers]\n{_RUN}[]",
    "Drivers/MixedControlDriver": f"""{_TIMES}{_ELASTICITY}[Drivers]
  [tension]
    type = MixedControlDriver
    model = elasticity
    prescribed_time = times
    control = 'strain stress stress stress stress stress'
    prescribed_strain = strains
    strain = strain
  []
[]
""",
    "Drivers/TransientRegression": f"""{_TIMES}{_ELASTICITY}[Drivers]
{_RUN}  [regression]
    type = TransientRegression
    driver = run
    reference = 'gold/result.pt'
  []
[]
""",
    "Drivers/Verification": f"""
[Tensors]
  [expected]
    type = CSVSR2
    csv_file = history.csv
    variable = stress
  []
[]{_TIMES}{_ELASTICITY}[Drivers]
{_RUN}  [verification]
    type = Verification
    driver = run
    SR2_names = output.stress
    SR2_values = expected
  []
[]
""",
    "Drivers/FiniteElementDriver": f"""{_ELASTICITY}[Materials]
  [steel]
    type = Material
    model = elasticity
    strain = strain
  []
[]
[Meshes]
  [plate]
    type = Rectangle
    divisions = '8 4'
    lengths = '2 1'
    cell_type = quad
  []
[]
[BoundaryConditions]
  [left]
    type = Dirichlet
    boundary = left
    component = x
    value = 0
  []
  [pull]
    type = Traction
    boundary = right
    value = '100 0'
  []
[]
[Drivers]
  [run]
    type = FiniteElementDriver
    end_time = 1
    dt = 0.25
  []
[]
""",
    "Models/HyperelasticStress": """
[Models]
  [energy]
    type = NeoHookeanEnergy
    bulk_modulus = 100
    shear_modulus = 50
  []
  [stress]
    type = HyperelasticStress
    model = energy
  []
[]
""",
    "Models/LogarithmicStrainWrapper": f"""{_ELASTICITY[:-4]}  [lifted]
    type = LogarithmicStrainWrapper
    model = elasticity
  []
[]
""",
}
