# Drucker-Prager as a composition: von Mises stress plus 0.15 times the trace, linear hardening,
# associative flow (dilating), rate-independent. 8 unknowns.
[Tensors]
  [path]
    type = Python
    expr = 'Scalar(torch.cat([torch.linspace(0.0, 1.0, 11, dtype=torch.float64), torch.linspace(0.85, -1.0, 18, dtype=torch.float64), torch.linspace(-0.8, 0.3, 8, dtype=torch.float64)]))'
  []
  [times]
    type = Python
    expr = 'Scalar(torch.linspace(0.0, 3.6, 37, dtype=torch.float64).unsqueeze(-1).expand(37, 3))'
  []
  [strains]
    type = Python
    expr = 'SR2(path.data.reshape(37, 1, 1) * torch.tensor([[0.004, -0.0024, -0.0022, 0.001, 0.0, 0.002], [0.0005, -0.003, 0.0018, 0.0, 0.003, 0.001], [0.0003, -0.0006, 0.0, 0.002, 0.003, 0.001]], dtype=torch.float64))'
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
    models = 'vonmises pressure cone yield_surface'
  []
  [elastic_strain]
    type    = SR2LinearCombination
    from    = 'E plastic_strain'
    to      = 'elastic_strain'
    weights = '1 -1'
  []
  [elasticity]
    type              = LinearIsotropicElasticity
    coefficients      = '2.4e4 0.2'
    coefficient_types = 'YOUNGS_MODULUS POISSONS_RATIO'
    strain            = 'elastic_strain'
  []
  [mandel_stress]
    type          = IsotropicMandelStress
    cauchy_stress = stress
  []
  [vonmises]
    type           = SR2Invariant
    invariant_type = VONMISES
    tensor         = 'mandel_stress'
    invariant      = 'vonmises_stress'
  []
  [pressure]
    type           = SR2Invariant
    invariant_type = I1
    tensor         = 'mandel_stress'
    invariant      = I1
  []
  [cone]
    type    = ScalarLinearCombination
    from    = 'vonmises_stress I1'
    to      = 'effective_stress'
    weights = '1 0.15'
  []
  [isoharden]
    type              = LinearIsotropicHardening
    hardening_modulus = 900
  []
  [yield_surface]
    type                = YieldFunction
    yield_stress        = 25
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
  [integrate_Ep]
    type     = SR2BackwardEulerTimeIntegration
    variable = 'plastic_strain'
  []
  [surface]
    type   = ComposedModel
    models = 'elastic_strain elasticity mandel_stress vonmises pressure cone isoharden yield_surface normality eprate Eprate consistency integrate_ep integrate_Ep'
  []
[]

[EquationSystems]
  [eq_sys]
    type      = NonlinearSystem
    model     = surface
    unknowns  = 'plastic_strain equivalent_plastic_strain flow_rate'
    residuals = 'plastic_strain_residual equivalent_plastic_strain_residual complementarity'
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
    unknowns_SR2    = 'plastic_strain'
    unknowns_Scalar = 'equivalent_plastic_strain flow_rate'
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
    additional_outputs = 'plastic_strain equivalent_plastic_strain'
  []
[]
