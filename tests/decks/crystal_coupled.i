# A cubic crystal with 12 slip systems {111}<110>: elastic strain, hardening and orientation in
# one implicit update. Four orientations under a shear that turns round; Voce hardening.
[Tensors]
  [start]
    type = Python
    expr = 'MRP(torch.tensor([[0.0, 0.0, 0.0], [0.1, -0.2, 0.15], [-0.3, 0.05, 0.2], [0.35, 0.3, -0.1]], dtype=torch.float64))'
  []
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
    expr = 'Scalar(torch.cat([part.data, 5.0 + part.data[1:]]).unsqueeze(-1).expand(25, 4))'
  []
  [stretching]
    type = Python
    expr = 'SR2(way.data.reshape(25, 1, 1) * torch.tensor([0.004, -0.002, -0.002, 0.001, 0.0015, 0.003], dtype=torch.float64).expand(25, 4, 6))'
  []
  [spinning]
    type = Python
    expr = 'WR2(way.data.reshape(25, 1, 1) * torch.tensor([0.001, -0.002, 0.003], dtype=torch.float64).expand(25, 4, 3))'
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
    max_its       = 100
  []
  [lu]
    type = DenseLU
  []
[]

[Models]
  [guess_strain]
    type      = CrystalPlasticityStrainPredictor
    scale     = 0.5
    threshold = 1e-5
  []
  [guess_others]
    type            = ConstantExtrapolationPredictor
    unknowns_Scalar = slip_hardening
    unknowns_MRP    = orientation
  []
  [predictor]
    type   = ComposedModel
    models = 'guess_strain guess_others'
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
    additional_outputs = 'elastic_strain slip_hardening orientation'
  []
[]
