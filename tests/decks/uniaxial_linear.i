# Uniaxial tension, rate-independent J2 with linear isotropic hardening, mixed control.
[Tensors]
  [times]
    type = Python
    expr = 'Scalar(torch.linspace(0.0, 1.0, 21, dtype=torch.float64))'
  []
  [conditions]
    type = Python
    expr = 'SR2(torch.linspace(0.0, 0.02, 21, dtype=torch.float64).unsqueeze(-1) * torch.tensor([1.0, 0.0, 0.0, 0.0, 0.0, 0.0], dtype=torch.float64).expand(6))'
  []
  [control]
    type = Python
    expr = 'SR2(torch.tensor([0.0, 1.0, 1.0, 1.0, 1.0, 1.0], dtype=torch.float64).expand(21, 6).contiguous())'
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
  [elastic_strain]
    type    = SR2LinearCombination
    from    = 'E plastic_strain'
    to      = 'elastic_strain'
    weights = '1 -1'
  []
  [elasticity]
    type              = LinearIsotropicElasticity
    coefficients      = '2e5 0.3'
    coefficient_types = 'YOUNGS_MODULUS POISSONS_RATIO'
    strain            = 'elastic_strain'
  []
  [isoharden]
    type              = LinearIsotropicHardening
    hardening_modulus = 1200
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
    yield_stress        = 200
    isotropic_hardening = 'isotropic_hardening'
  []
  [normality]
    type     = Normality
    model    = flow
    function = 'yield_function'
    from     = 'mandel_stress isotropic_hardening'
    to       = 'flow_direction isotropic_hardening_direction'
  []
  [Eprate]
    type = AssociativePlasticFlow
  []
  [consistency]
    type         = FBComplementarity
    a            = 'yield_function'
    a_inequality = LE
    b            = 'flow_rate'
  []
  [integrate_Ep]
    type     = SR2BackwardEulerTimeIntegration
    variable = 'plastic_strain'
  []
  [eprate]
    type = AssociativeIsotropicPlasticHardening
  []
  [integrate_ep]
    type     = ScalarBackwardEulerTimeIntegration
    variable = 'equivalent_plastic_strain'
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
  [surface]
    type   = ComposedModel
    models = 'elastic_strain elasticity isoharden mandel_stress vonmises yield_surface normality Eprate consistency integrate_Ep eprate integrate_ep mixed condition_met'
  []
[]

[EquationSystems]
  [eq_sys]
    type      = NonlinearSystem
    model     = surface
    unknowns  = 'E plastic_strain flow_rate equivalent_plastic_strain'
    residuals = 'y_residual plastic_strain_residual complementarity equivalent_plastic_strain_residual'
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
    type            = ConstantExtrapolationPredictor
    unknowns_SR2    = 'E plastic_strain'
    unknowns_Scalar = 'flow_rate equivalent_plastic_strain'
  []
  [return_map]
    type            = ImplicitUpdate
    equation_system = 'eq_sys'
    solver          = newton
    predictor       = predictor
  []
  [model]
    type               = ComposedModel
    models             = 'return_map elastic_strain elasticity'
    additional_outputs = 'E plastic_strain equivalent_plastic_strain'
  []
[]
