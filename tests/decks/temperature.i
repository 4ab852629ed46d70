# Parameters that are models of the temperature (Young's modulus, yield stress) and one that
# varies by specimen (reference stress); Perzyna with Voce hardening. 7 unknowns.
[Tensors]
  [path]
    type = Python
    expr = 'Scalar(torch.cat([torch.linspace(0.0, 1.0, 11, dtype=torch.float64), torch.linspace(0.9, -1.0, 20, dtype=torch.float64)]))'
  []
  [clock]
    type = Python
    expr = 'Scalar(torch.linspace(0.0, 3.0, 31, dtype=torch.float64))'
  []
  [rates]
    type = Python
    expr = 'Scalar(torch.tensor([0.05, 0.05, 5.0], dtype=torch.float64))'
  []
  [times]
    type = Python
    expr = 'Scalar(clock.data.unsqueeze(-1) / rates.data)'
  []
  [temperatures]
    type = Python
    expr = 'Scalar(300.0 + 400.0 * clock.data.unsqueeze(-1) / 3.0 * torch.tensor([0.0, 1.0, 1.0], dtype=torch.float64))'
  []
  [drag]
    type = Python
    expr = 'Scalar(torch.tensor([700.0, 600.0, 500.0], dtype=torch.float64))'
  []
  [strains]
    type = Python
    expr = 'SR2(path.data.reshape(31, 1, 1) * torch.tensor([[0.02, -0.009, -0.008, 0.002, 0.0, 0.004]], dtype=torch.float64).expand(3, 6))'
  []
[]

[Drivers]
  [driver]
    type                     = TransientDriver
    model                    = model
    prescribed_time          = times
    prescribed_SR2_names     = E
    prescribed_SR2_values    = strains
    prescribed_Scalar_names  = T
    prescribed_Scalar_values = temperatures
    save_as                  = result.pt
  []
[]

[Models]
  [youngs]
    type    = ScalarLinearCombination
    from    = T
    to      = young
    weights = -60
    offset  = 1.38e5
  []
  [yield_stress]
    type    = ScalarLinearCombination
    from    = T
    to      = sy
    weights = -0.1
    offset  = 180
  []
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
    type                = VoceIsotropicHardening
    saturated_hardening = 90
    saturation_rate     = 12
  []
  [yield_surface]
    type                = YieldFunction
    yield_stress        = yield_stress
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
    reference_stress = drag
    exponent         = 4
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
    coefficients      = 'youngs 0.32'
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
  [rates_and_residuals]
    type   = ComposedModel
    models = 'mandel_stress vonmises isoharden yield_surface normality flow_rate eprate Eprate Erate Eerate elasticity integrate_stress integrate_ep'
  []
[]

[EquationSystems]
  [eq_sys]
    type      = NonlinearSystem
    model     = 'rates_and_residuals'
    unknowns  = 'stress equivalent_plastic_strain'
    residuals = 'stress_residual equivalent_plastic_strain_residual'
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
