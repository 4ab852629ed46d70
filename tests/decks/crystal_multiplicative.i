# A cubic crystal at finite strain, F = Fe Fp: the rate of Fp is the plastic velocity gradient in the
# axes of the reference lattice times Fp. Green-Lagrange strain of Fe, Voce hardening.
[Tensors]
  [start]
    type = Python
    expr = 'R2(torch.eye(3, dtype=torch.float64).expand(3, 3, 3))'
  []
  [turn]
    type = Python
    expr = 'MRP(torch.tensor([[0.0, 0.0, 0.0], [0.1, -0.2, 0.15], [-0.3, 0.05, 0.2]], dtype=torch.float64).expand(25, 3, 3))'
  []
  [way]
    type = Python
    expr = 'Scalar(torch.cat([torch.linspace(0.0, 1.0, 13, dtype=torch.float64) ** 2, 1.0 - 0.7 * torch.linspace(0.0, 1.0, 13, dtype=torch.float64)[1:] ** 2]))'
  []
  [part]
    type = Python
    expr = 'Scalar(5.0 * torch.linspace(0.0, 1.0, 13, dtype=torch.float64) ** 2)'
  []
  [times]
    type = Python
    expr = 'Scalar(torch.cat([part.data, 5.0 + part.data[1:]]).unsqueeze(-1).expand(25, 3))'
  []
  [gradients]
    type = Python
    expr = 'R2(torch.eye(3, dtype=torch.float64) + way.data.reshape(25, 1, 1, 1) * torch.tensor([[0.03, 0.02, 0.0], [0.0, -0.014, 0.01], [0.005, 0.0, -0.015]], dtype=torch.float64).expand(25, 3, 3, 3))'
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
    prescribed_R2_names   = F
    prescribed_R2_values  = gradients
    prescribed_MRP_names  = orientation
    prescribed_MRP_values = turn
    ic_R2_names           = Fp
    ic_R2_values          = start
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
  [elastic_part]
    type     = R2Multiplication
    A        = F
    B        = Fp
    invert_B = true
    to       = Fe
  []
  [green]
    type                 = GreenLagrangeStrain
    deformation_gradient = Fe
    strain               = elastic_strain
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
  [velocity]
    type = PlasticSpatialVelocityGradient
  []
  [plastic_rate]
    type = R2Multiplication
    A    = plastic_spatial_velocity_gradient
    B    = Fp
    to   = Fp_rate
  []
  [integrate_hardening]
    type     = ScalarBackwardEulerTimeIntegration
    variable = slip_hardening
  []
  [integrate_plastic]
    type     = R2BackwardEulerTimeIntegration
    variable = Fp
  []
  [rates]
    type   = ComposedModel
    models = 'rotation elastic_part green elasticity resolved strength slip total_slip hardening velocity plastic_rate integrate_hardening integrate_plastic'
  []
[]

[EquationSystems]
  [system]
    type     = NonlinearSystem
    model    = rates
    unknowns = 'Fp slip_hardening'
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
  [guess_plastic]
    type                         = CrystalPlasticityDeformationGradientPredictor
    deformation_gradient         = F
    plastic_deformation_gradient = Fp
    scale                        = 0.3
  []
  [guess_hardening]
    type            = ConstantExtrapolationPredictor
    unknowns_Scalar = slip_hardening
  []
  [predictor]
    type   = ComposedModel
    models = 'guess_plastic guess_hardening'
  []
  [update]
    type            = ImplicitUpdate
    equation_system = system
    solver          = newton
    predictor       = predictor
  []
  [model]
    type               = ComposedModel
    models             = 'update elastic_part green elasticity'
    additional_outputs = 'Fp slip_hardening'
  []
[]
