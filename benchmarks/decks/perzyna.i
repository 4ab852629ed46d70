# Perzyna viscoplasticity with linear isotropic hardening, in rate form. 7 unknowns.
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
  [flow_rate]
    type             = PerzynaPlasticFlowRate
    reference_stress = 500
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
    to      = strain_rate
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
  [integrate_ep]
    type     = ScalarBackwardEulerTimeIntegration
    variable = equivalent_plastic_strain
  []
  [rates]
    type   = ComposedModel
    models = 'mandel_stress vonmises isoharden yield_surface normality flow_rate eprate Eprate Erate Eerate elasticity integrate_stress integrate_ep'
  []
[]

[EquationSystems]
  [system]
    type      = NonlinearSystem
    model     = rates
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
    max_its       = 25
  []
  [lu]
    type = DenseLU
  []
[]

[Models]
  [predictor]
    type            = ConstantExtrapolationPredictor
    unknowns_SR2    = 'stress'
    unknowns_Scalar = equivalent_plastic_strain
  []
  [model]
    type            = ImplicitUpdate
    equation_system = system
    solver          = newton
    predictor       = predictor
  []
[]
