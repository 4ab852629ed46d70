# J2 plasticity with linear hardening by radial return: the law of the finite-element cases. 1 unknown.
[Models]
  [trial_elastic_strain]
    type    = SR2LinearCombination
    from    = 'E plastic_strain~1'
    to      = trial_elastic_strain
    weights = '1 -1'
  []
  [trial_elasticity]
    type              = LinearIsotropicElasticity
    coefficients      = '2e5 0.3'
    coefficient_types = 'YOUNGS_MODULUS POISSONS_RATIO'
    strain            = trial_elastic_strain
    stress            = trial_stress
  []
  [trial_mandel_stress]
    type          = IsotropicMandelStress
    cauchy_stress = trial_stress
    mandel_stress = trial_mandel_stress
  []
  [trial_vonmises]
    type           = SR2Invariant
    invariant_type = VONMISES
    tensor         = trial_mandel_stress
    invariant      = trial_effective_stress
  []
  [flow_direction]
    type          = AssociativeJ2FlowDirection
    mandel_stress = trial_mandel_stress
  []
  [trial]
    type   = ComposedModel
    models = 'trial_elastic_strain trial_elasticity trial_mandel_stress trial_vonmises flow_direction'
  []
  [trial_update]
    type                 = LinearIsotropicElasticJ2TrialStressUpdate
    coefficients         = '2e5 0.3'
    coefficient_types    = 'YOUNGS_MODULUS POISSONS_RATIO'
    elastic_trial_stress = trial_effective_stress
    updated_trial_stress = effective_stress
  []
  [isoharden]
    type              = LinearIsotropicHardening
    hardening_modulus = 1000
  []
  [yield_surface]
    type                = YieldFunction
    yield_stress        = 250
    isotropic_hardening = isotropic_hardening
  []
  [eprate]
    type          = ScalarVariableRate
    variable      = equivalent_plastic_strain
    variable_rate = flow_rate
  []
  [consistency]
    type         = FBComplementarity
    a            = yield_function
    a_inequality = LE
    b            = flow_rate
  []
  [surface]
    type   = ComposedModel
    models = 'trial_update isoharden yield_surface eprate consistency'
  []
[]

[EquationSystems]
  [system]
    type      = NonlinearSystem
    model     = surface
    unknowns  = 'equivalent_plastic_strain'
    residuals = 'complementarity'
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
    unknowns_Scalar = equivalent_plastic_strain
  []
  [return_map]
    type            = ImplicitUpdate
    equation_system = system
    solver          = newton
    predictor       = predictor
  []
  [Eprate]
    type = AssociativePlasticFlow
  []
  [integrate_Ep]
    type     = SR2ForwardEulerTimeIntegration
    variable = plastic_strain
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
  [model]
    type               = ComposedModel
    models             = 'trial return_map eprate Eprate integrate_Ep elastic_strain elasticity'
    additional_outputs = 'plastic_strain equivalent_plastic_strain'
  []
[]
