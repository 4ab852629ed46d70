# A cubic crystal with 12 slip systems {111}<110>: elastic strain, hardening and orientation in
# one implicit update. 10 unknowns.
[Tensors]
  [directions]
    type = Python
    expr = 'MillerIndex(torch.tensor([1, 1, 0]))'
  []
  [planes]
    type = Python
    expr = 'MillerIndex(torch.tensor([1, 1, 1]))'
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
    stress            = stress
  []
  [resolved]
    type   = ResolvedShear
    stress = stress
  []
  [strength]
    type              = SingleSlipStrengthMap
    constant_strength = 60.0
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
    abs_tol       = 1e-10
    rel_tol       = 1e-10
    max_its       = 50
  []
  [lu]
    type = DenseLU
  []
[]

[Models]
  [guess_strain]
    type      = CrystalPlasticityStrainPredictor
    scale     = 0.3
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
