# A small plate that is clamped at its left, pulled and pushed at its right.
!include viscoplastic.i

[Meshes]
  [plate]
    type = Rectangle
    divisions = '5 4'
    lengths = '2 1'
    cell_type = 'quad'
  []
[]

[Functions]
  [cycle]
    type = PiecewiseLinear
    times = '0 0.45 1'
    values = '0 0.012 -0.004'
  []
  [breaks]
    type = Expression
    expr = '0.01 * torch.sqrt(0.55 - t)'
  []
[]

[BoundaryConditions]
  [hold_x]
    type = Dirichlet
    boundary = 'left'
    component = 'x'
    value = 0
  []
  [hold_y]
    type = Dirichlet
    boundary = 'left'
    component = 'y'
    value = 0
  []
  [pull]
    type = Dirichlet
    boundary = 'right'
    component = 'x'
    value = 'cycle'
  []
  [shear]
    type = Traction
    boundary = 'top'
    value = '5 0'
  []
[]

[Materials]
  [metal]
    model = 'model'
  []
[]

[Drivers]
  [plate]
    type = FiniteElementDriver
    boundary_conditions = 'hold_x hold_y pull shear'
    formulation = 'plane_strain'
    end_time = 1
    dt = 0.1
    checkpoint_every = 2
  []
[]
