# Gurson-Tvergaard-Needleman plasticity with Voce hardening of the matrix and growing voids. 9
# unknowns.
[Models]
  [flow]
    type   = ComposedModel
    models = 'vonmises pressure yield_surface'
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
    invariant      = flow_invariant
  []
  [pressure]
    type           = SR2Invariant
    invariant_type = I1
    tensor         = mandel_stress
    invariant      = poro_invariant
  []
  [isoharden]
    type                = VoceIsotropicHardening
    saturated_hardening = 140
    saturation_rate     = 45
  []
  [yield_surface]
    type                = GTNYieldFunction
    yield_stress        = 180
    q1                  = 1.25
    q2                  = 1.0
    q3                  = 1.57
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
  [voidrate]
    type = GursonCavitation
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
  [integrate_voids]
    type     = ScalarBackwardEulerTimeIntegration
    variable = void_fraction
  []
  [surface]
    type   = ComposedModel
    models = 'elastic_strain elasticity mandel_stress vonmises pressure isoharden yield_surface normality eprate Eprate voidrate consistency integrate_ep integrate_Ep integrate_voids'
  []
[]

[EquationSystems]
  [system]
    type      = NonlinearSystem
    model     = surface
    unknowns  = 'plastic_strain equivalent_plastic_strain void_fraction flow_rate'
    residuals = 'plastic_strain_residual equivalent_plastic_strain_residual void_fraction_residual complementarity'
  []
[]

[Solvers]
  [newton]
    type          = Newton
    linear_solver = lu
    abs_tol       = 1e-10
    rel_tol       = 1e-12
    max_its       = 50
  []
  [lu]
    type = DenseLU
  []
[]

[Models]
  [predictor]
    type            = ConstantExtrapolationPredictor
    unknowns_SR2    = plastic_strain
    unknowns_Scalar = 'equivalent_plastic_strain void_fraction flow_rate'
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
    additional_outputs = 'plastic_strain equivalent_plastic_strain void_fraction'
  []
[]
