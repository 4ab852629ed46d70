# Uniaxial tension, rate-independent J2 whose Frederick-Armstrong back stress saturates,
# mixed control.
[Tensors]
  [times]
    type = Python
    expr = 'Scalar(torch.linspace(0.0, 1.0, 21, dtype=torch.float64))'
  []
  [conditions]
    type = Python
    expr = 'SR2(torch.linspace(0.0, 0.25, 21, dtype=torch.float64).unsqueeze(-1) * torch.tensor([1.0, 0.0, 0.0, 0.0, 0.0, 0.0], dtype=torch.float64).expand(6))'
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
    models = 'overstress vonmises yield_surface'
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
  [backstress]
    type        = FredrickArmstrongPlasticHardening
    C           = 30000.0
    g           = 400
    back_stress = X
  []
  [mandel_stress]
    type          = IsotropicMandelStress
    cauchy_stress = stress
  []
  [overstress]
    type    = SR2LinearCombination
    from    = 'mandel_stress X'
    to      = O
    weights = '1 -1'
  []
  [vonmises]
    type           = SR2Invariant
    invariant_type = VONMISES
    tensor         = O
    invariant      = 'effective_stress'
  []
  [yield_surface]
    type         = YieldFunction
    yield_stress = 200
  []
  [normality]
    type     = Normality
    model    = flow
    function = 'yield_function'
    from     = 'mandel_stress'
    to       = 'flow_direction'
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
  [integrate_X]
    type     = SR2BackwardEulerTimeIntegration
    variable = X
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
    models = 'elastic_strain elasticity backstress mandel_stress overstress vonmises yield_surface normality Eprate consistency integrate_Ep integrate_X mixed condition_met'
  []
[]

[EquationSystems]
  [eq_sys]
    type      = NonlinearSystem
    model     = surface
    unknowns  = 'E plastic_strain flow_rate X'
    residuals = 'y_residual plastic_strain_residual complementarity X_residual'
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
    unknowns_SR2    = 'E plastic_strain X'
    unknowns_Scalar = 'flow_rate'
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
    additional_outputs = 'E plastic_strain X'
  []
[]
