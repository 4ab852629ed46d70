# Rate-independent plasticity with linear isotropic and kinematic hardening, each Newton step by
# GMRES with the diagonal blocks of the variables, which are kept while they serve.
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
    expr = 'SR2(path.data.reshape(26, 1, 1) * torch.tensor([[0.01, -0.004, -0.004, 0.0, 0.002, 0.001], [0.0, 0.006, -0.006, 0.005, 0.0, 0.0]], dtype=torch.float64))'
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
  [kinharden]
    type              = LinearKinematicHardening
    hardening_modulus = 2500
    back_stress       = X
  []
  [Kprate]
    type = AssociativeKinematicPlasticHardening
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
    hardening_modulus = 1500
  []
  [yield_surface]
    type                = YieldFunction
    yield_stress        = 130
    isotropic_hardening = 'isotropic_hardening'
  []
  [normality]
    type     = Normality
    model    = flow
    function = 'yield_function'
    from     = 'mandel_stress X isotropic_hardening'
    to       = 'flow_direction kinematic_hardening_direction isotropic_hardening_direction'
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
  [integrate_Kp]
    type     = SR2BackwardEulerTimeIntegration
    variable = kinematic_plastic_strain
  []
  [integrate_Ep]
    type     = SR2BackwardEulerTimeIntegration
    variable = 'plastic_strain'
  []
  [surface]
    type   = ComposedModel
    models = 'elastic_strain elasticity isoharden kinharden Kprate mandel_stress overstress vonmises yield_surface normality eprate Eprate consistency integrate_ep integrate_Kp integrate_Ep'
  []
[]

[EquationSystems]
  [eq_sys]
    type      = NonlinearSystem
    model     = surface
    unknowns  = 'plastic_strain kinematic_plastic_strain equivalent_plastic_strain flow_rate'
    residuals = 'plastic_strain_residual kinematic_plastic_strain_residual equivalent_plastic_strain_residual complementarity'
  []
[]

[Solvers]
  [newton]
    type          = Newton
    linear_solver = gmres
    abs_tol       = 1e-10
    rel_tol       = 1e-10
  []
  [gmres]
    type           = GMRES
    restart        = 20
    max_its        = 200
    rel_tol        = 1e-5
    preconditioner = blocks
    cache_strategy = max_its
    cache_max_its  = 4
  []
  [blocks]
    type = BlockJacobiPreconditioner
  []
  [lu]
    type = DenseLU
  []
[]

[Models]
  [predictor]
    type            = ConstantExtrapolationPredictor
    unknowns_SR2    = 'plastic_strain kinematic_plastic_strain'
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
