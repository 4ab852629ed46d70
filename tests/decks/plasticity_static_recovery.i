# Static recovery of isotropic hardening and of the back stress during holds of the strain, beside
# slope-saturation Voce and Frederick-Armstrong hardening; Perzyna flow. 13 unknowns.
[Tensors]
  [path]
    type = Python
    expr = 'Scalar(torch.cat([torch.linspace(0.0, 1.0, 11, dtype=torch.float64), torch.ones(8, dtype=torch.float64), torch.linspace(0.9, -0.7, 17, dtype=torch.float64), torch.full([1], -0.7, dtype=torch.float64)]))'
  []
  [times]
    type = Python
    expr = 'Scalar(torch.cat([torch.linspace(0.0, 1.0, 11, dtype=torch.float64), torch.linspace(11.0, 81.0, 8, dtype=torch.float64), torch.linspace(81.1, 82.7, 17, dtype=torch.float64), torch.full([1], 112.7, dtype=torch.float64)]).unsqueeze(-1) * torch.tensor([1.0, 10.0], dtype=torch.float64))'
  []
  [strains]
    type = Python
    expr = 'SR2(path.data.reshape(37, 1, 1) * torch.tensor([[0.015, -0.006, -0.005, 0.002, 0.0, 0.004], [0.015, -0.006, -0.005, 0.002, 0.0, 0.004]], dtype=torch.float64))'
  []
[]

[Drivers]
  [driver]
    type                  = TransientDriver
    model                 = model
    prescribed_time       = times
    prescribed_SR2_names  = E
    prescribed_SR2_values = strains
    save_as               = result.pt
  []
[]

[Models]
  [flow]
    type   = ComposedModel
    models = 'overstress vonmises yield_surface'
  []
  [mandel_stress]
    type          = IsotropicMandelStress
    cauchy_stress = stress
  []
  [overstress]
    type    = SR2LinearCombination
    from    = 'mandel_stress X'
    to      = overstress
    weights = '1 -1'
  []
  [vonmises]
    type           = SR2Invariant
    invariant_type = VONMISES
    tensor         = overstress
    invariant      = 'effective_stress'
  []
  [yield_surface]
    type                = YieldFunction
    yield_stress        = 100
    isotropic_hardening = 'isotropic_hardening'
  []
  [normality]
    type     = Normality
    model    = flow
    function = 'yield_function'
    from     = 'mandel_stress'
    to       = 'flow_direction'
  []
  [flow_rate]
    type             = PerzynaPlasticFlowRate
    reference_stress = 250
    exponent         = 4
  []
  [Eprate]
    type = AssociativePlasticFlow
  []
  [isoharden]
    type                     = SlopeSaturationVoceIsotropicHardening
    saturated_hardening      = 80
    initial_hardening_rate   = 2600
    isotropic_hardening_rate = 'hardening_rate'
  []
  [isorecover]
    type                     = PowerLawIsotropicHardeningStaticRecovery
    tau                      = 120
    n                        = 2.6
    isotropic_hardening_rate = 'recovery_rate'
  []
  [isorate]
    type    = ScalarLinearCombination
    from    = 'hardening_rate recovery_rate'
    to      = 'isotropic_hardening_rate'
    weights = '1 1'
  []
  [kinharden]
    type             = FredrickArmstrongPlasticHardening
    C                = 20000
    g                = 180
    back_stress      = X
    back_stress_rate = 'X_hardening_rate'
  []
  [kinrecover]
    type             = PowerLawKinematicHardeningStaticRecovery
    tau              = 150
    n                = 3.4
    back_stress      = X
    back_stress_rate = 'X_recovery_rate'
  []
  [kinrate]
    type    = SR2LinearCombination
    from    = 'X_hardening_rate X_recovery_rate'
    to      = 'X_rate'
    weights = '1 1'
  []
  [Erate]
    type     = SR2VariableRate
    variable = E
  []
  [Eerate]
    type    = SR2LinearCombination
    from    = 'E_rate plastic_strain_rate'
    to      = 'strain_rate'
    weights = '1 -1'
  []
  [elasticity]
    type              = LinearIsotropicElasticity
    coefficients      = '2e5 0.3'
    coefficient_types = 'YOUNGS_MODULUS POISSONS_RATIO'
    rate_form         = true
  []
  [integrate_stress]
    type     = SR2BackwardEulerTimeIntegration
    variable = stress
  []
  [integrate_i]
    type     = ScalarBackwardEulerTimeIntegration
    variable = 'isotropic_hardening'
  []
  [integrate_X]
    type     = SR2BackwardEulerTimeIntegration
    variable = X
  []
  [rates]
    type   = ComposedModel
    models = 'mandel_stress overstress vonmises yield_surface normality flow_rate Eprate Erate Eerate elasticity integrate_stress isoharden isorecover isorate kinharden kinrecover kinrate integrate_i integrate_X'
  []
[]

[EquationSystems]
  [eq_sys]
    type      = NonlinearSystem
    model     = rates
    unknowns  = 'stress isotropic_hardening X'
    residuals = 'stress_residual isotropic_hardening_residual X_residual'
  []
[]

[Solvers]
  [newton]
    type          = Newton
    linear_solver = lu
    abs_tol       = 1e-10
    rel_tol       = 1e-10
  []
  [lu]
    type = DenseLU
  []
[]

[Models]
  [predictor]
    type            = ConstantExtrapolationPredictor
    unknowns_SR2    = 'stress X'
    unknowns_Scalar = 'isotropic_hardening'
  []
  [model]
    type            = ImplicitUpdate
    equation_system = 'eq_sys'
    solver          = newton
    predictor       = predictor
  []
[]
