"""Whole decks of the examples that need other blocks beside their own."""

from __future__ import annotations

from neml2fe.inspection.example_runs import ELASTICITY, RUNS

# Directions and planes of slip in face-centred and in hexagonal crystals.
_SLIP = """
[Tensors]
  [directions]
    type = Python
    expr = 'MillerIndex(torch.tensor([1, 1, 0]))'
  []
  [planes]
    type = Python
    expr = 'MillerIndex(torch.tensor([1, 1, 1]))'
  []
"""
_FAMILIES = """    slip_directions = directions
    slip_planes = planes
  []
[]
"""
_CUBIC = f"""{_SLIP}[]
[Data]
  [crystal_geometry]
    type = CubicCrystal
    lattice_parameter = 0.36
{_FAMILIES}"""
_BASAL = _SLIP.replace("[1, 1, 0]", "[1, 0, 0]").replace("[1, 1, 1]", "[0, 0, 1]")

OTHERS: dict[str, str] = {"CrystalGeometry": _CUBIC.lstrip("\n")}

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


def _table(kind: str, dim: int) -> str:
    """Interpolation in a table of one or two arguments."""
    values = "[2e5, 1.5e5]" if dim == 1 else "[[2e5, 1.8e5], [1.5e5, 1e5]]"
    size = {"Scalar": "", "Vec": ", 3", "SR2": ", 6"}[kind]
    tail = f".unsqueeze(-1).expand({', '.join(['2'] * dim)}{size})" if size else ""
    names = [("temperature", "")] if dim == 1 else [("temperature", "1"), ("dose", "2")]
    arguments = "".join(f"    argument{k} = {name}\n" for name, k in names)
    axes = "".join(f"    abscissa{k} = knots\n" for _, k in names)
    return f"""
[Tensors]
  [knots]
    type = Python
    expr = 'Scalar(torch.tensor([300.0, 600.0], dtype=torch.float64))'
  []
  [values]
    type = Python
    expr = '{kind}(torch.tensor({values}, dtype=torch.float64){tail})'
  []
[]
[Models]
  [modulus]
    type = {kind}{"Linear" if dim == 1 else "Bilinear"}Interpolation
{arguments}{axes}    ordinate = values
  []
[]
"""


DECKS: dict[str, str] = {
    **RUNS,
    **{f"Models/{k}LinearInterpolation": _table(k, 1) for k in ("Scalar", "Vec", "SR2")},
    **{f"Models/{k}BilinearInterpolation": _table(k, 2) for k in ("Scalar", "Vec", "SR2")},
    "Data/CubicCrystal": _CUBIC,
    "Data/HexagonalCrystal": f"""{_BASAL}[]
[Data]
  [zirconium]
    type = HexagonalCrystal
    lattice_parameter_a = 0.323
    lattice_parameter_c = 0.515
{_FAMILIES}""",
    "Data/CrystalGeometry": f"""{_BASAL}  [cell]
    type = Python
    expr = 'R2(torch.diag(torch.tensor([0.29, 0.59, 0.5], dtype=torch.float64)))'
  []
[]
[Data]
  [uranium]
    type = CrystalGeometry
    lattice_vectors = cell
{_FAMILIES}""",
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
    "Models/CoordinateDescentPredictor": """
[Models]
  [law]
    type = PerzynaPlasticFlowRate
    reference_stress = 100
    exponent = 5
  []
  [predictor]
    type = CoordinateDescentPredictor
    rate_law = law
    driving_force_input = yield_function
  []
[]
""",
    "Models/RateCondensation": """
[Models]
  [overstress]
    type = ScalarLinearCombination
    from = 'trial_stress flow_rate'
    to = force
    weights = '1 -10'
  []
  [condensed]
    type = RateCondensation
    model = overstress
    rate = flow_rate
    driving_force = force
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
    "Models/LogarithmicStrainWrapper": f"""{ELASTICITY[:-3]}  [lifted]
    type = LogarithmicStrainWrapper
    model = elasticity
  []
[]
""",
}
