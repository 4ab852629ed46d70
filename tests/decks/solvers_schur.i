# Perzyna viscoplasticity with linear hardening: the stress is eliminated from each Newton step,
# and GMRES solves what remains. Residual groups stand in another order than unknown groups.
[Tensors]
  [path]
    type = Python
    expr = 'Scalar(torch.cat([torch.linspace(0.0, 1.0, 9, dtype=torch.float64), torch.linspace(0.9, -0.7, 16, dtype=torch.float64)]))'
  []
  [times]
    type = Python
    expr = 'Scalar(torch.linspace(0.0, 5.0, 25, dtype=torch.float64).unsqueeze(-1) * torch.tensor([1.0, 20.0], dtype=torch.float64))'
  []
  [strains]
    type = Python
    expr = 'SR2(path.data.reshape(25, 1, 1) * torch.tensor([[0.012, -0.005, -0.004, 0.001, 0.0, 0.003], [0.0, 0.007, -0.006, 0.0, 0.004, 0.0]], dtype=torch.float64))'
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
    models = 'vonmises yield_surface'
  []
  [mandel_stress]
    type          = IsotropicMandelStress
    cauchy_stress = stress
  []
  [vonmises]
    type           = SR2Invariant
    invariant_type = VONMISES
    tensor         = 'mandel_stress'
    invariant      = 'effective_stress'
  []
  [isoharden]
    type              = LinearIsotropicHardening
    hardening_modulus = 1800
  []
  [yield_surface]
    type                = YieldFunction
    yield_stress        = 90
    isotropic_hardening = 'isotropic_hardening'
  []
  [normality]
    type     = Normality
    model    = flow
    function = 'yield_function'
    from     = 'mandel_stress isotropic_hardening'
    to       = 'flow_direction isotropic_hardening_direction'
  []
  [flow_rate]
    type             = PerzynaPlasticFlowRate
    reference_stress = 400
    exponent         = 3
  []
  [eprate]
    type = AssociativeIsotropicPlasticHardening
  []
  [Eprate]
    type = AssociativePlasticFlow
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
    coefficients      = '9e4 0.27'
    coefficient_types = 'YOUNGS_MODULUS POISSONS_RATIO'
    rate_form         = true
  []
  [integrate_stress]
    type     = SR2BackwardEulerTimeIntegration
    variable = stress
  []
  [integrate_ep]
    type     = ScalarBackwardEulerTimeIntegration
    variable = 'equivalent_plastic_strain'
  []
  [rates]
    type   = ComposedModel
    models = 'mandel_stress vonmises isoharden yield_surface normality flow_rate eprate Eprate Erate Eerate elasticity integrate_stress integrate_ep'
  []
[]

[EquationSystems]
  [eq_sys]
    type      = NonlinearSystem
    model     = rates
    unknowns  = 'stress; equivalent_plastic_strain'
    residuals = 'equivalent_plastic_strain_residual; stress_residual'
  []
[]

[Solvers]
  [newton]
    type          = Newton
    linear_solver = schur
    abs_tol       = 1e-10
    rel_tol       = 1e-10
  []
  [schur]
    type                   = SchurComplement
    residual_primary_group = 1
    unknown_primary_group  = 0
    primary_solver         = lu
    schur_solver           = gmres
  []
  [lu]
    type = DenseLU
  []
  [gmres]
    type    = GMRES
    rel_tol = 1e-8
  []
[]

[Models]
  [predictor]
    type            = ConstantExtrapolationPredictor
    unknowns_SR2    = stress
    unknowns_Scalar = 'equivalent_plastic_strain'
  []
  [model]
    type            = ImplicitUpdate
    equation_system = 'eq_sys'
    solver          = newton
    predictor       = predictor
  []
[]
