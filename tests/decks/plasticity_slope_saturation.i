# Slope-saturation Voce hardening as a rate equation, one specimen softening (R < 0); Perzyna flow.
# 7 unknowns.
[Tensors]
  [path]
    type = Python
    expr = 'Scalar(torch.cat([torch.linspace(0.0, 1.0, 11, dtype=torch.float64), torch.linspace(0.85, -1.0, 18, dtype=torch.float64), torch.linspace(-0.8, 0.3, 8, dtype=torch.float64)]))'
  []
  [times]
    type = Python
    expr = 'Scalar(torch.linspace(0.0, 3.6, 37, dtype=torch.float64).unsqueeze(-1) / torch.tensor([1.0, 0.01, 1.0], dtype=torch.float64))'
  []
  [strains]
    type = Python
    expr = 'SR2(path.data.reshape(37, 1, 1) * torch.tensor([[0.015, -0.006, -0.005, 0.002, 0.0, 0.004], [0.015, -0.006, -0.005, 0.002, 0.0, 0.004], [0.004, -0.002, 0.001, 0.006, 0.004, 0.0]], dtype=torch.float64))'
  []
  [saturation]
    type = Python
    expr = 'Scalar(torch.tensor([80.0, 80.0, -40.0], dtype=torch.float64))'
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
    type                   = SlopeSaturationVoceIsotropicHardening
    saturated_hardening    = saturation
    initial_hardening_rate = 2600
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
  [rates]
    type   = ComposedModel
    models = 'mandel_stress vonmises yield_surface normality flow_rate Eprate Erate Eerate elasticity integrate_stress isoharden integrate_i'
  []
[]

[EquationSystems]
  [eq_sys]
    type      = NonlinearSystem
    model     = rates
    unknowns  = 'stress isotropic_hardening'
    residuals = 'stress_residual isotropic_hardening_residual'
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
    unknowns_Scalar = 'isotropic_hardening'
  []
  [model]
    type            = ImplicitUpdate
    equation_system = 'eq_sys'
    solver          = newton
    predictor       = predictor
  []
[]
