# A predictor from slip rates: coordinate descent on the slip systems' elastic interaction gives them
# at the trial state, and they the elastic strain of the first step. The rates that it predicts are
# outputs as well. Rotations of the lattice are left out.
[Tensors]
  [way]
    type = Python
    expr = 'Scalar(torch.cat([torch.ones(5, dtype=torch.float64), -torch.ones(4, dtype=torch.float64)]))'
  []
  [part]
    type = Python
    expr = 'Scalar(1.0 * torch.linspace(0.0, 1.0, 5, dtype=torch.float64) ** 2)'
  []
  [times]
    type = Python
    expr = 'Scalar(torch.cat([part.data, 1.0 + part.data[1:]]).unsqueeze(-1).expand(9, 2))'
  []
  [stretching]
    type = Python
    expr = 'SR2(way.data.reshape(9, 1, 1) * torch.tensor([0.004, -0.002, -0.002, 0.001, 0.0015, 0.003], dtype=torch.float64).expand(9, 2, 6))'
  []
  [spinning]
    type = Python
    expr = 'WR2(way.data.reshape(9, 1, 1) * torch.tensor([0.001, -0.002, 0.003], dtype=torch.float64).expand(9, 2, 3))'
  []
  [turn]
    type = Python
    expr = 'MRP(torch.tensor([[0.0, 0.0, 0.0], [0.1, -0.2, 0.15]], dtype=torch.float64).expand(9, 2, 3))'
  []
  [directions]
    type = Python
    expr = 'MillerIndex(torch.tensor([1, 1, 0]))'
  []
  [planes]
    type = Python
    expr = 'MillerIndex(torch.tensor([1, 1, 1]))'
  []
  [stiffness]
    type = Python
    expr = 'SSR4(torch.block_diag(torch.tensor([[168.0, 121.0, 121.0], [121.0, 168.0, 121.0], [121.0, 121.0, 168.0]], dtype=torch.float64), 150.0 * torch.eye(3, dtype=torch.float64)) * 1e3)'
  []
[]

[Drivers]
  [driver]
    type                  = TransientDriver
    model                 = observed
    prescribed_time       = times
    prescribed_SR2_names  = deformation_rate
    prescribed_SR2_values = stretching
    prescribed_WR2_names  = vorticity
    prescribed_WR2_values = spinning
    prescribed_MRP_names  = orientation
    prescribed_MRP_values = turn
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
    type                     = GeneralElasticity
    elastic_stiffness_tensor = stiffness
    strain                   = elastic_strain
    stress                   = cauchy_stress
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
  [elastic_rate]
    type = ElasticStrainRate
  []
  [integrate_hardening]
    type     = ScalarBackwardEulerTimeIntegration
    variable = slip_hardening
  []
  [integrate_strain]
    type     = SR2BackwardEulerTimeIntegration
    variable = elastic_strain
  []
  [rates]
    type   = ComposedModel
    models = 'rotation elasticity resolved strength slip total_slip hardening plastic_rate elastic_rate integrate_hardening integrate_strain'
  []
[]

[Models]
  [trial_strain]
    type         = SR2ForwardEulerTimeIntegration
    variable     = trial_strain
    rate         = deformation_rate
    old_variable = elastic_strain~1
  []
  [trial_elasticity]
    type                     = GeneralElasticity
    elastic_stiffness_tensor = stiffness
    strain                   = trial_strain
    stress                   = trial_stress
  []
  [trial_shears]
    type            = ResolvedShear
    stress          = trial_stress
    resolved_shears = trial_shears
  []
  [old_strength]
    type              = SingleSlipStrengthMap
    slip_hardening    = slip_hardening~1
    slip_strengths    = old_strengths
    constant_strength = 30.0
  []
  [interaction]
    type                     = SlipSystemElasticInteraction
    elastic_stiffness_tensor = stiffness
    coupling                 = coupling
  []
  [old_slip]
    type           = PowerLawSlipRule
    slip_strengths = old_strengths
    slip_rates     = trial_rates
    gamma0         = 1e-3
    n              = 6.0
  []
  [descent]
    type                = CoordinateDescentPredictor
    rate_law            = old_slip
    driving_force_input = resolved_shears
    coupling            = coupling
    trial_driving_force = trial_shears
    rate                = guessed_rates
    sweeps              = 2
    bisections          = 8
  []
  [guessed_plastic_rate]
    type                     = PlasticDeformationRate
    slip_rates               = guessed_rates
    plastic_deformation_rate = guessed_plastic_rate
  []
  [guessed_elastic_rate]
    type    = SR2LinearCombination
    from    = 'deformation_rate guessed_plastic_rate'
    to      = guessed_elastic_rate
    weights = '1 -1'
  []
  [guessed_strain]
    type         = SR2ForwardEulerTimeIntegration
    variable     = guessed_strain
    rate         = guessed_elastic_rate
    old_variable = elastic_strain~1
  []
  [guess]
    type               = ComposedModel
    models             = 'rotation trial_strain trial_elasticity trial_shears old_strength interaction descent guessed_plastic_rate guessed_elastic_rate guessed_strain'
    additional_outputs = 'guessed_rates coupling'
  []
  [first]
    type   = ComposedModel
    models = 'rotation trial_strain trial_elasticity trial_shears old_strength interaction descent guessed_plastic_rate guessed_elastic_rate guessed_strain'
  []
  [extrapolate]
    type            = ConstantExtrapolationPredictor
    unknowns_SR2    = elastic_strain
    unknowns_Scalar = slip_hardening
    cold            = elastic_strain:guessed_strain
  []
  [predictor]
    type   = ComposedModel
    models = 'first extrapolate'
  []
[]

[EquationSystems]
  [system]
    type     = NonlinearSystem
    model    = rates
    unknowns = 'elastic_strain slip_hardening'
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
  [update]
    type            = ImplicitUpdate
    equation_system = system
    solver          = newton
    predictor       = predictor
  []
  [model]
    type               = ComposedModel
    models             = 'update elasticity'
    additional_outputs = 'elastic_strain slip_hardening'
  []
  [observed]
    type   = ComposedModel
    models = 'model guess'
  []
[]
