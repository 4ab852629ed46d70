# Uniaxial tension of a Perzyna material without hardening: the stress settles at a value set
# by the rate. Three rates, mixed control.
[Tensors]
  [times]
    type = Python
    expr = 'Scalar(torch.linspace(0.0, 0.2, 21, dtype=torch.float64).unsqueeze(-1) / torch.logspace(-4.0, 0.0, 3, dtype=torch.float64))'
  []
  [conditions]
    type = Python
    expr = 'SR2(torch.linspace(0.0, 0.2, 21, dtype=torch.float64).reshape(21, 1, 1) * torch.tensor([1.0, 0.0, 0.0, 0.0, 0.0, 0.0], dtype=torch.float64).expand(3, 6))'
  []
  [control]
    type = Python
    expr = 'SR2(torch.tensor([0.0, 1.0, 1.0, 1.0, 1.0, 1.0], dtype=torch.float64).expand(21, 3, 6).contiguous())'
  []
[]

[Drivers]
  [driver]
    type                  = TransientDriver
    model                 = model
    prescribed_time       = times
    prescribed_SR2_names  = 'conditions control'
    prescribed_SR2_values = 'conditions control'
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
  [yield_surface]
    type         = YieldFunction
    yield_stress = 150
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
    reference_stress = 700
    exponent         = 4
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
  [mixed]
    type    = MixedControlSetup
    x_above = stress
    x_below = E
  []
  [condition_met]
    type    = SR2LinearCombination
    from    = 'y conditions'
    to      = 'y_residual'
    weights = '1 -1'
  []
  [rates_and_residuals]
    type   = ComposedModel
    models = 'mandel_stress vonmises yield_surface normality flow_rate Eprate Erate Eerate elasticity integrate_stress mixed condition_met'
  []
[]

[EquationSystems]
  [eq_sys]
    type      = NonlinearSystem
    model     = 'rates_and_residuals'
    unknowns  = 'stress E'
    residuals = 'stress_residual y_residual'
  []
[]

[Solvers]
  [newton]
    type          = Newton
    linear_solver = lu
    abs_tol       = 1e-11
    rel_tol       = 1e-12
  []
  [lu]
    type = DenseLU
  []
[]

[Models]
  [predictor]
    type         = ConstantExtrapolationPredictor
    unknowns_SR2 = 'stress E'
  []
  [model]
    type            = ImplicitUpdate
    equation_system = 'eq_sys'
    solver          = newton
    predictor       = predictor
  []
[]
