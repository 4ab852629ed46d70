# Rate-independent J2 plasticity with linear hardening, closest-point projection with a
# Fischer-Burmeister condition. 8 unknowns.
[Models]
  [flow]
    type   = ComposedModel
    models = 'vonmises yield_surface'
  []
  [elastic_strain]
    type    = SR2LinearCombination
    from    = 'E plastic_strain'
    to      = elastic_strain
    weights = '1 -1'
  []
  [elasticity]
    type              = LinearIsotropicElasticity
    coefficients      = '2e5 0.3'
    coefficient_types = 'YOUNGS_MODULUS POISSONS_RATIO'
    strain            = elastic_strain
  []
  [mandel_stress]
    type          = IsotropicMandelStress
    cauchy_stress = stress
  []
  [vonmises]
    type           = SR2Invariant
    invariant_type = VONMISES
    tensor         = mandel_stress
    invariant      = effective_stress
  []
  [isoharden]
    type              = LinearIsotropicHardening
    hardening_modulus = 1500
  []
  [yield_surface]
    type                = YieldFunction
    yield_stress        = 180
    isotropic_hardening = isotropic_hardening
  []
  [normality]
    type     = Normality
    model    = flow
    function = yield_function
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
    a            = yield_function
    a_inequality = LE
    b            = flow_rate
  []
  [integrate_ep]
    type     = ScalarBackwardEulerTimeIntegration
    variable = equivalent_plastic_strain
  []
  [integrate_Ep]
    type     = SR2BackwardEulerTimeIntegration
    variable = plastic_strain
  []
  [surface]
    type   = ComposedModel
    models = 'elastic_strain elasticity mandel_stress vonmises isoharden yield_surface normality eprate Eprate consistency integrate_ep integrate_Ep'
  []
[]

[EquationSystems]
  [system]
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
    rel_tol       = 1e-12
    max_its       = 25
  []
  [lu]
    type = DenseLU
  []
[]

[Models]
  [predictor]
    type            = ConstantExtrapolationPredictor
    unknowns_SR2    = plastic_strain
    unknowns_Scalar = 'equivalent_plastic_strain flow_rate'
  []
  [return_map]
    type            = ImplicitUpdate
    equation_system = system
    solver          = newton
    predictor       = predictor
  []
  [model]
    type               = ComposedModel
    models             = 'return_map elastic_strain elasticity'
    additional_outputs = 'plastic_strain equivalent_plastic_strain'
  []
[]
