[Models]
  [hot]
    type = LinearElasticity
    elasticity = 'isotropic(E = 200e3, nu = 0.3)'
    thermal_expansion = 1e-5
    reference_temperature = 300
  []
[]

[Materials]
  [hot]
    model = hot
  []
[]

[Meshes]
  [plate]
    type = Rectangle
    divisions = '8 2'
    lengths = '8 2'
    cell_type = quad
  []
[]

[Functions]
  [warm]
    type = Expression
    expr = '300 + torch.sqrt(20 - x)'
  []
[]

[Bodies]
  [all]
    material = hot
    field_names = temperature
    field_values = warm
  []
[]

[BoundaryConditions]
  [left]
    type = Dirichlet
    boundary = left
    component = x
  []
  [bottom]
    type = Dirichlet
    boundary = bottom
    component = y
  []
[]

[Drivers]
  [run]
    type = FiniteElementDriver
    end_time = 1
    dt = 0.5
  []
[]
