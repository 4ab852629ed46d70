# Forest dislocations: a density for each of 12 slip systems, in one implicit update with the elastic
# strain. Two fixed orientations; shear, then the reverse of it.
[Tensors]
  [way]
    type = Python
    expr = 'Scalar(torch.cat([torch.ones(13, dtype=torch.float64), -torch.ones(12, dtype=torch.float64)]))'
  []
  [part]
    type = Python
    expr = 'Scalar(5.0 * torch.linspace(0.0, 1.0, 13, dtype=torch.float64) ** 2)'
  []
  [times]
    type = Python
    expr = 'Scalar(torch.cat([part.data, 5.0 + part.data[1:]]).unsqueeze(-1).expand(25, 2))'
  []
  [stretching]
    type = Python
    expr = 'SR2(way.data.reshape(25, 1, 1) * torch.tensor([0.004, -0.002, -0.002, 0.001, 0.0015, 0.003], dtype=torch.float64).expand(25, 2, 6))'
  []
  [spinning]
    type = Python
    expr = 'WR2(way.data.reshape(25, 1, 1) * torch.tensor([0.001, -0.002, 0.003], dtype=torch.float64).expand(25, 2, 3))'
  []
  [turn]
    type = Python
    expr = 'MRP(torch.tensor([[0.0, 0.0, 0.0], [0.1, -0.2, 0.15]], dtype=torch.float64).expand(25, 2, 3))'
  []
  [densities]
    type = Python
    expr = 'Scalar(torch.linspace(0.8, 1.2, 12, dtype=torch.float64).expand(2, 12), sub_batch_ndim=1)'
  []
  [directions]
    type = Python
    expr = 'MillerIndex(torch.tensor([1, 1, 0]))'
  []
  [planes]
    type = Python
    expr = 'MillerIndex(torch.tensor([1, 1, 1]))'
  []
[]

[Drivers]
  [driver]
    type                  = TransientDriver
    model                 = model
    prescribed_time       = times
    prescribed_SR2_names  = deformation_rate
    prescribed_SR2_values = stretching
    prescribed_WR2_names  = vorticity
    prescribed_WR2_values = spinning
    prescribed_MRP_names  = orientation
    prescribed_MRP_values = turn
    ic_Scalar_names       = rho
    ic_Scalar_values      = densities
    save_as               = result.pt
  []
[]

[Data]
  [crystal_geometry]
    type              = CubicCrystal
    lattice_parameter = 3.6
    slip_directions   = directions
    slip_planes       = planes
  []
[]

[Models]
  [rotation]
    type = RotationMatrix
    from = orientation
    to   = orientation_matrix
  []
  [elasticity]
    type              = LinearIsotropicElasticity
    coefficients      = '1.2e5 0.33'
    coefficient_types = 'YOUNGS_MODULUS POISSONS_RATIO'
    strain            = elastic_strain
    stress            = cauchy_stress
  []
  [resolved]
    type   = ResolvedShear
    stress = cauchy_stress
  []
  [strength]
    type                = DislocationObstacleStrengthMap
    dislocation_density = rho
    constant_strength   = 10.0
    alpha               = 0.3
    mu                  = 45e3
    b                   = 2.5e-3
  []
  [slip]
    type   = PowerLawSlipRule
    gamma0 = 1e-3
    n      = 6.0
  []
  [forest]
    type                = PerSlipForestDislocationEvolution
    dislocation_density = rho
    k1                  = 150.0
    k2                  = 60.0
  []
  [plastic_rate]
    type = PlasticDeformationRate
  []
  [elastic_rate]
    type = ElasticStrainRate
  []
  [integrate_density]
    type     = ScalarBackwardEulerTimeIntegration
    variable = rho
  []
  [integrate_strain]
    type     = SR2BackwardEulerTimeIntegration
    variable = elastic_strain
  []
  [rates]
    type   = ComposedModel
    models = 'rotation elasticity resolved strength slip forest plastic_rate elastic_rate integrate_density integrate_strain'
  []
[]

[EquationSystems]
  [system]
    type     = NonlinearSystem
    model    = rates
    unknowns = 'elastic_strain rho'
  []
[]

[Solvers]
  [newton]
    type          = Newton
    linear_solver = lu
    abs_tol       = 1e-11
    rel_tol       = 1e-11
    max_its       = 50
  []
  [lu]
    type = DenseLU
  []
[]

[Models]
  [predictor]
    type            = ConstantExtrapolationPredictor
    unknowns_SR2    = elastic_strain
    unknowns_Scalar = rho
  []
  [update]
    type            = ImplicitUpdate
    equation_system = system
    solver          = newton
    predictor       = predictor
  []
  [model]
    type               = ComposedModel
    models             = 'update elasticity'
    additional_outputs = 'elastic_strain rho'
  []
[]
