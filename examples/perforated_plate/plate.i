# A steel plate with a hole under cyclic tension (mm, N, s, MPa; plane strain, forces per mm
# of thickness). The material is rate dependent: the fast way back is the stronger one.
#
#   neml2fe run --ranks auto examples/perforated_plate/plate.i

!include ../steel.i

[Meshes]
  [plate]
    file = '../../meshes/perforated_plate.msh'
  []
[]

[Functions]
  # Stretched in 4 s, pushed back in 2 s, stretched again in 4 s.
  [cycle]
    type = PiecewiseLinear
    times = '0 4 6 10'
    values = '0 0.4 0 0.5'
  []
[]

[BoundaryConditions]
  [bottom]
    type = Dirichlet
    boundary = 'bottom'
    component = 'y'
    value = 0
  []
  [corner]
    type = Dirichlet
    boundary = 'corner'
    component = 'x'
    value = 0
  []
  [top]
    type = Dirichlet
    boundary = 'top'
    component = 'y'
    value = 'cycle'
  []
[]

[Materials]
  [steel]
    model = 'viscoplasticity'
  []
[]

[Drivers]
  [plate]
    type = FiniteElementDriver
    mesh = 'plate'
    material = 'steel'
    formulation = 'plane_strain'
    end_time = 10
    dt = 0.1
    dt_max = 0.2
    output_every = 2
    checkpoint_every = 10
  []
[]
