# Perzyna viscoplasticity with Voce hardening in rate form: a strain cycle with shear at
# three rates a decade apart. 7 unknowns.
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
    expr = 'Scalar(torch.logspace(-3.0, -1.0, 3, dtype=torch.float64) / 0.02)'
  []
  [times]
    type = Python
    expr = 'Scalar(clock.data.unsqueeze(-1) / rates.data)'
  []
  [strains]
    type = Python
    expr = 'SR2(path.data.reshape(31, 1, 1) * torch.tensor([[0.02, -0.009, -0.008, 0.002, 0.0, 0.004]], dtype=torch.float64).expand(3, 6))'
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
    type                = VoceIsotropicHardening
    saturated_hardening = 90
    saturation_rate     = 12
  []
  [yield_surface]
    type                = YieldFunction
    yield_stress        = 150
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
    reference_stress = 700
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
    coefficients      = '1.2e5 0.32'
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
