# A double cantilever beam (mm, N, MPa; plane strain, forces per mm of width): two bonded aluminium
# strips, cracked over the first 50 mm, are pulled apart at their ends by 5 mm, which peels the bond,
# and unloaded. The bond is a cohesive interface: 20 MPa at most, 0.5 N/mm to break it.
#
#   neml2fe run examples/interface_debonding/cantilever.i
#   python examples/interface_debonding/figure.py

[Meshes]
  [strips]
    file = '../../meshes/double_cantilever.msh'
    interfaces = 'bond'
  []
[]

[Models]
  [elasticity]
    type = LinearIsotropicElasticity
    coefficients = '70e3 0.33'
    coefficient_types = 'YOUNGS_MODULUS POISSONS_RATIO'
  []

  [parts]
    type = VecComponents
    from = 'jump'
    to = 'normal tangential_separation_1 tangential_separation_2'
  []
  [contact]
    type = MacaulaySplit
    from = 'normal'
    to_positive = 'normal_separation'
    to_negative = 'normal_penetration'
  []
  [effective]
    type = ScalarPNorm
    from = 'normal_separation tangential_separation_1 tangential_separation_2'
    to = 'effective_separation'
    exponent = 2
  []
  [bilinear]
    type = BilinearTraction
    normal_penetration = 'normal_penetration'
    penalty_stiffness = 2e4
    critical_separation = 1e-3    # at 20 MPa
    full_separation = 0.05        # 2 * 0.5 N/mm / 20 MPa
  []
  [separation]
    type = ComposedModel
    models = 'parts contact effective bilinear'
  []
[]

[Materials]
  [aluminium]
    model = 'elasticity'
  []
  [adhesive]
    model = 'separation'
  []
[]

[Bodies]
  [strips]
    material = 'aluminium'
  []
[]

[Functions]
  [up]
    type = PiecewiseLinear
    times = '0 1 1.2'
    values = '0 2.5 0'
  []
  [down]
    type = PiecewiseLinear
    times = '0 1 1.2'
    values = '0 -2.5 0'
  []
[]

[BoundaryConditions]
  [bond]
    type = CohesiveInterface
    interface = 'bond'
    material = 'adhesive'
  []
  [end]
    type = Dirichlet
    boundary = 'end'
    component = 'x'
  []
  [up]
    type = Dirichlet
    boundary = 'pull_up'
    component = 'y'
    value = 'up'
  []
  [down]
    type = Dirichlet
    boundary = 'pull_down'
    component = 'y'
    value = 'down'
  []
[]

[Drivers]
  [cantilever]
    type = FiniteElementDriver
    formulation = 'plane_strain'
    end_time = 1.2
    dt = 0.02
    dt_max = 0.02
    output_times = '0.2 0.5 1 1.2'
    checkpoint_every = 0
    figure = 'stress_mises'
  []
[]
