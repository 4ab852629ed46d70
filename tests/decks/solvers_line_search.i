# Rate-independent plasticity with a back stress of Frederick and Armstrong, each Newton step by
# GMRES with the LU factors of the first Jacobian, its length by strong Wolfe conditions.
[Tensors]
  [path]
    type = Python
    expr = 'Scalar(torch.cat([torch.linspace(0.0, 1.0, 8, dtype=torch.float64), torch.linspace(0.9, -0.8, 18, dtype=torch.float64)]))'
  []
  [times]
    type = Python
    expr = 'Scalar(torch.linspace(0.0, 1.0, 26, dtype=torch.float64).unsqueeze(-1).expand(26, 2))'
  []
  [strains]
    type = Python
    expr = 'SR2(path.data.reshape(26, 1, 1) * torch.tensor([[0.009, -0.004, -0.003, 0.001, 0.0, 0.002], [0.005, 0.0, -0.005, 0.0, 0.004, 0.0]], dtype=torch.float64))'
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
  [elastic_strain]
    type    = SR2LinearCombination
    from    = 'E plastic_strain'
    to      = 'elastic_strain'
    weights = '1 -1'
  []
  [elasticity]
    type              = LinearIsotropicElasticity
    coefficients      = '1.1e5 0.31'
    coefficient_types = 'YOUNGS_MODULUS POISSONS_RATIO'
    strain            = 'elastic_strain'
  []
  [backstress]
    type        = FredrickArmstrongPlasticHardening
    C           = 22000.0
    g           = 250
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
  [isoharden]
    type              = LinearIsotropicHardening
    hardening_modulus = 600
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
    from     = 'mandel_stress isotropic_hardening'
    to       = 'flow_direction isotropic_hardening_direction'
  []
  [eprate]
    type = AssociativeIsotropicPlasticHardening
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
  [integrate_ep]
    type     = ScalarBackwardEulerTimeIntegration
    variable = 'equivalent_plastic_strain'
  []
  [integrate_X]
    type     = SR2BackwardEulerTimeIntegration
    variable = X
  []
  [integrate_Ep]
    type     = SR2BackwardEulerTimeIntegration
    variable = 'plastic_strain'
  []
  [surface]
    type   = ComposedModel
    models = 'elastic_strain elasticity isoharden backstress mandel_stress overstress vonmises yield_surface normality eprate Eprate consistency integrate_ep integrate_X integrate_Ep'
  []
[]

[EquationSystems]
  [eq_sys]
    type      = NonlinearSystem
    model     = surface
    unknowns  = 'plastic_strain X equivalent_plastic_strain flow_rate'
    residuals = 'plastic_strain_residual X_residual equivalent_plastic_strain_residual complementarity'
  []
[]

[Solvers]
  [newton]
    type                         = NewtonWithLineSearch
    linear_solver                = gmres
    abs_tol                      = 1e-10
    rel_tol                      = 1e-10
    linesearch_type              = STRONG_WOLFE
    max_linesearch_iterations    = 6
    linesearch_cutback           = 3
    linesearch_stopping_criteria = 1e-4
  []
  [gmres]
    type           = GMRES
    rel_tol        = 1e-6
    preconditioner = factors
    cache_strategy = chord
  []
  [factors]
    type = FullPreconditioner
  []
  [lu]
    type = DenseLU
  []
[]

[Models]
  [predictor]
    type            = ConstantExtrapolationPredictor
    unknowns_SR2    = 'plastic_strain X'
    unknowns_Scalar = 'equivalent_plastic_strain flow_rate'
  []
  [return_map]
    type                     = ImplicitUpdate
    equation_system          = 'eq_sys'
    solver                   = newton
    predictor                = predictor
    input_sensitivity_solver = lu
  []
  [model]
    type               = ComposedModel
    models             = 'return_map elastic_strain elasticity'
    additional_outputs = 'plastic_strain equivalent_plastic_strain'
  []
[]
