"""Example decks of drivers and materials."""

from __future__ import annotations

ELASTICITY = """
[Models]
  [elasticity]
    type = LinearIsotropicElasticity
    coefficients = '2e5 0.3'
    coefficient_types = 'YOUNGS_MODULUS POISSONS_RATIO'
  []
[]
"""
_MATERIAL = f"""{ELASTICITY}[Materials]
  [steel]
    type = Material
    model = elasticity
    strain = strain
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
_SPECIMEN = """[Specimens]
  [tension]
    type = CSVSpecimen
    file = tension.csv
    variables = 'time strain_11 stress_11'
    columns = 'Time [s]; Strain [%]; Stress [MPa]'
    units = 's % MPa'
  []
[]
"""
_PARAMETER = """[Parameters]
  [youngs_modulus]
    type = FitParameter
    parameter = elasticity.E
    lower = 1e5
    upper = 3e5
  []
[]
"""

_CAMERA = """[Measurements]
  [camera]
    type = FullField
    file = camera.csv
    columns = 'x; y; u; v'
    time_column = image
    noise = 0.001
  []
[]
"""
_RUN_OF_A_PLATE = f"""{_MATERIAL}[Meshes]
  [plate]
    type = Rectangle
    divisions = '8 4'
    lengths = '2 1'
    cell_type = quad
  []
[]
[Drivers]
  [pull]
    type = FiniteElementDriver
    end_time = 2
    dt = 1
  []
[]
"""
_TEST = f"""{_CAMERA}[Tests]
  [plate]
    type = SimulationTest
    driver = pull
    measurements = camera
  []
[]
"""
_BAR = f"""{ELASTICITY}{_SPECIMEN}[Tests]
  [bar]
    type = SpecimenTest
    model = elasticity
    strain = strain
    sigma = 5
  []
[]
"""

RUNS: dict[str, str] = {
    "Measurements/FullField": _CAMERA,
    "Measurements/VirtualFields": f"""{_CAMERA}[Measurements]
  [work]
    type = VirtualFields
    camera = camera
    file = tension.csv
    time_column = 'Time [s]'
    value_column = 'Stress [MPa]'
    held = left
    loaded = right
    component = x
    noise = 5
  []
[]
""",
    "Parameters/FieldParameter": """
[Parameters]
  [youngs_modulus]
    type = FieldParameter
    parameter = fields.E
    lower = 1e5
    upper = 3e5
    initial = 2e5
    penalty = total_variation
    weight = 100
    smoothing = 0.1
  []
[]
""",
    "Functions/MeasuredDisplacement": f"""{_CAMERA}[Functions]
  [edge]
    type = MeasuredDisplacement
    measurement = camera
    component = x
    box = '1.9 0; 2 1'
  []
[]
""",
    "Tests/SimulationTest": _RUN_OF_A_PLATE + _TEST,
    "Tests/SpecimenTest": _BAR,
    "Calibrations/SimulationCalibration": f"""{_BAR}{_PARAMETER}[Calibrations]
  [fit]
    type = SimulationCalibration
    tests = bar
  []
[]
""",
    "Specimens/CSVSpecimen": _SPECIMEN,
    "Specimens/CSVSpecimenList": """
[Specimens]
  [tension]
    type = CSVSpecimenList
    index = tests.csv
    variables = 'time strain_11 stress_11'
    columns = 'Time [s]; Strain [%]; Stress [MPa]'
    units = 's % MPa'
    field_names = temperature
    field_values = 'Temperature [degC]'
    field_units = degC
  []
[]
""",
    "Parameters/FitParameter": _PARAMETER,
    "Calibrations/Calibration": f"""{ELASTICITY}{_SPECIMEN}{_PARAMETER}[Calibrations]
  [fit]
    type = Calibration
    model = elasticity
    strain = strain
    sigma = 5
  []
[]
""",
    "Materials/Material": _MATERIAL,
    "Fields/FieldTable": """
[Fields]
  [cold]
    type = RegionField
    values = 300
  []
  [hot]
    type = NodalField
    values = temperature
  []
  [heating]
    type = FieldTable
    times = '0 100'
    fields = 'cold hot'
  []
[]
""",
    "Bodies/Body": f"""{_MATERIAL}[Bodies]
  [fibres]
    type = Body
    material = steel
    regions = 'fibre coating'
  []
[]
""",
    "BoundaryConditions/CohesiveInterface": """
[Models]
  [parts]
    type = VecComponents
    from = jump
    to = 'normal tangential_separation_1 tangential_separation_2'
  []
  [contact]
    type = MacaulaySplit
    from = normal
    to_positive = normal_separation
    to_negative = normal_penetration
  []
  [springs]
    type = OrthotropicLinearTraction
    normal_penetration = normal_penetration
    normal_stiffness = 1e5
    tangential_stiffness = 5e4
    penalty_stiffness = 1e6
  []
  [law]
    type = ComposedModel
    models = 'parts contact springs'
  []
[]
[Materials]
  [glue]
    model = law
  []
[]
[BoundaryConditions]
  [bond]
    type = CohesiveInterface
    interface = bond
    material = glue
  []
[]
""",
    "Drivers/TransientDriver": f"{_TIMES}{ELASTICITY}[Drivers]\n{_RUN}[]",
    "Drivers/MixedControlDriver": f"""{_TIMES}{ELASTICITY}[Drivers]
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
    "Drivers/TransientRegression": f"""{_TIMES}{ELASTICITY}[Drivers]
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
[]{_TIMES}{ELASTICITY}[Drivers]
{_RUN}  [verification]
    type = Verification
    driver = run
    SR2_names = output.stress
    SR2_values = expected
  []
[]
""",
    "Drivers/FiniteElementDriver": f"""{_MATERIAL}[Meshes]
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
}
