# A Taylor aggregate: eight grains in each of two points share the deformation, and the stress of a
# point is the mean over its grains. The grains are a sub-batch.
[Tensors]
  [way]
    type = Python
    expr = 'Scalar(torch.cat([torch.ones(9, dtype=torch.float64), -torch.ones(8, dtype=torch.float64)]))'
  []
  [part]
    type = Python
    expr = 'Scalar(3.0 * torch.linspace(0.0, 1.0, 9, dtype=torch.float64) ** 2)'
  []
  [times]
    type = Python
    expr = 'Scalar(torch.cat([part.data, 3.0 + part.data[1:]]).unsqueeze(-1).expand(17, 2))'
  []
  [stretching]
    type = Python
    expr = 'SR2(way.data.reshape(17, 1, 1) * torch.tensor([0.004, -0.002, -0.002, 0.001, 0.0015, 0.003], dtype=torch.float64).expand(17, 2, 6))'
  []
  [spinning]
    type = Python
    expr = 'WR2(way.data.reshape(17, 1, 1) * torch.tensor([0.001, -0.002, 0.003], dtype=torch.float64).expand(17, 2, 3))'
  []
  [angles]
    type = Python
    expr = 'torch.linspace(0.1, 2.4, 24, dtype=torch.float64).reshape(8, 3)'
  []
  [start]
    type = Python
    expr = 'MRP((0.4 * torch.sin(7.0 * angles)).expand(2, 8, 3), sub_batch_ndim=1)'
  []
  [no_strain]
    type = Python
    expr = 'SR2(torch.zeros(2, 8, 6, dtype=torch.float64), sub_batch_ndim=1)'
  []
  [no_hardening]
    type = Python
    expr = 'Scalar(torch.zeros(2, 8, dtype=torch.float64), sub_batch_ndim=1)'
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
    ic_MRP_names          = orientation
    ic_MRP_values         = start
    ic_SR2_names          = elastic_strain
    ic_SR2_values         = no_strain
    ic_Scalar_names       = slip_hardening
    ic_Scalar_values      = no_hardening
    save_as               = result.pt
  []
[]

[Settings]
  [example_batch_shape]
    orientation    = '(2; 8)'
    elastic_strain = '(2; 8)'
    slip_hardening = '(2; 8)'
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
    type              = SingleSlipStrengthMap
    constant_strength = 30.0
  []
  [slip]
    type   = PowerLawSlipRule
    gamma0 = 1e-3
    n      = 6.0
  []
  [total_slip]
    type = SumSlipRates
  []
  [hardening]
    type                = VoceSingleSlipHardeningRule
    initial_slope       = 400.0
    saturated_hardening = 60.0
  []
  [plastic_rate]
    type = PlasticDeformationRate
  []
  [plastic_spin]
    type = PlasticVorticity
  []
  [elastic_rate]
    type = ElasticStrainRate
  []
  [lattice_spin]
    type = OrientationRate
  []
  [integrate_hardening]
    type     = ScalarBackwardEulerTimeIntegration
    variable = slip_hardening
  []
  [integrate_strain]
    type     = SR2BackwardEulerTimeIntegration
    variable = elastic_strain
  []
  [integrate_orientation]
    type     = WR2ImplicitExponentialTimeIntegration
    variable = orientation
  []
  [rates]
    type   = ComposedModel
    models = 'rotation elasticity resolved strength slip total_slip hardening plastic_rate plastic_spin elastic_rate lattice_spin integrate_hardening integrate_strain integrate_orientation'
  []
[]

[EquationSystems]
  [system]
    type     = NonlinearSystem
    model    = rates
    unknowns = 'elastic_strain slip_hardening orientation'
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
    unknowns_Scalar = slip_hardening
    unknowns_MRP    = orientation
  []
  [update]
    type            = ImplicitUpdate
    equation_system = system
    solver          = newton
    predictor       = predictor
  []
  [average]
    type    = SR2IntermediateMean
    from    = cauchy_stress
    to      = stress
    reduces = grain
  []
  [model]
    type               = ComposedModel
    models             = 'update elasticity average'
    additional_outputs = 'elastic_strain slip_hardening orientation'
  []
[]
