# Viscoplasticity with one flow rate: the return path from the flow rate to the yield function is
# made linear at zero rate, and one coordinate solved. The first step starts from the flow rate found.
[Tensors]
  [way]
    type = Python
    expr = 'Scalar(torch.cat([torch.ones(11, dtype=torch.float64), -torch.ones(10, dtype=torch.float64)]))'
  []
  [part]
    type = Python
    expr = 'Scalar(3.0 * torch.linspace(0.0, 1.0, 11, dtype=torch.float64) ** 2)'
  []
  [times]
    type = Python
    expr = 'Scalar(torch.cat([part.data, 3.0 + part.data[1:]]).unsqueeze(-1).expand(21, 2))'
  []
  [stretching]
    type = Python
    expr = 'SR2(way.data.reshape(21, 1, 1) * torch.tensor([[0.004, -0.002, -0.001, 0.001, 0.0015, 0.003], [0.002, 0.0, -0.002, 0.003, 0.0, 0.001]], dtype=torch.float64))'
  []
[]

[Drivers]
  [driver]
    type                  = TransientDriver
    model                 = observed
    prescribed_time       = times
    prescribed_SR2_names  = strain_rate
    prescribed_SR2_values = stretching
    save_as               = result.pt
  []
[]

[Models]
  [trial_strain]
    type         = SR2ForwardEulerTimeIntegration
    variable     = trial_strain
    rate         = strain_rate
    old_variable = elastic_strain~1
  []
  [trial_stress]
    type              = LinearIsotropicElasticity
    coefficients      = '1.2e5 0.33'
    coefficient_types = 'YOUNGS_MODULUS POISSONS_RATIO'
    strain            = trial_strain
    stress            = trial_stress
  []
  [direction]
    type           = AssociativeJ2FlowDirection
    mandel_stress  = trial_stress
    flow_direction = direction
  []
  [path_flow]
    type                = AssociativePlasticFlow
    flow_rate           = rate
    flow_direction      = direction
    plastic_strain_rate = path_plastic_rate
  []
  [path_rate]
    type    = SR2LinearCombination
    from    = 'strain_rate path_plastic_rate'
    to      = path_elastic_rate
    weights = '1 -1'
  []
  [path_strain]
    type         = SR2ForwardEulerTimeIntegration
    variable     = path_strain
    rate         = path_elastic_rate
    old_variable = elastic_strain~1
  []
  [path_stress]
    type              = LinearIsotropicElasticity
    coefficients      = '1.2e5 0.33'
    coefficient_types = 'YOUNGS_MODULUS POISSONS_RATIO'
    strain            = path_strain
    stress            = path_stress
  []
  [path_effective]
    type           = SR2Invariant
    invariant_type = VONMISES
    tensor         = path_stress
    invariant      = path_effective
  []
  [path_slip]
    type         = ScalarForwardEulerTimeIntegration
    variable     = path_slip
    rate         = rate
    old_variable = p~1
  []
  [path_hardening]
    type                      = VoceIsotropicHardening
    equivalent_plastic_strain = path_slip
    isotropic_hardening       = path_hardening
    saturated_hardening       = 90.0
    saturation_rate           = 40.0
  []
  [path_yield]
    type                = YieldFunction
    effective_stress    = path_effective
    isotropic_hardening = path_hardening
    yield_function      = path_yield
    yield_stress        = 100.0
  []
  [path]
    type   = ComposedModel
    models = 'path_flow path_rate path_strain path_stress path_effective path_slip path_hardening path_yield'
  []
  [condense]
    type                = RateCondensation
    model               = path
    rate                = rate
    driving_force       = path_yield
    coupling            = coupling
    trial_driving_force = trial_yield
  []
  [law]
    type             = PerzynaPlasticFlowRate
    yield_function   = law_yield
    flow_rate        = law_rate
    reference_stress = 400.0
    exponent         = 4.0
  []
  [descent]
    type                = CoordinateDescentPredictor
    rate_law            = law
    driving_force_input = law_yield
    coupling            = coupling
    trial_driving_force = trial_yield
    rate                = guessed_rate
  []
  [guessed_flow]
    type                = AssociativePlasticFlow
    flow_rate           = guessed_rate
    flow_direction      = direction
    plastic_strain_rate = guessed_plastic_rate
  []
  [guessed_elastic_rate]
    type    = SR2LinearCombination
    from    = 'strain_rate guessed_plastic_rate'
    to      = guessed_elastic_rate
    weights = '1 -1'
  []
  [guessed_strain]
    type         = SR2ForwardEulerTimeIntegration
    variable     = guessed_strain
    rate         = guessed_elastic_rate
    old_variable = elastic_strain~1
  []
  [guess]
    type   = ComposedModel
    models = 'trial_strain trial_stress direction condense descent guessed_flow guessed_elastic_rate guessed_strain'
  []
  [extrapolate]
    type            = ConstantExtrapolationPredictor
    unknowns_SR2    = elastic_strain
    unknowns_Scalar = p
    cold            = elastic_strain:guessed_strain
  []
  [predictor]
    type   = ComposedModel
    models = 'guess extrapolate'
  []
  [coupled]
    type               = ComposedModel
    models             = 'trial_strain trial_stress direction condense descent'
    additional_outputs = 'coupling trial_yield'
  []
[]

[Models]
  [elasticity]
    type              = LinearIsotropicElasticity
    coefficients      = '1.2e5 0.33'
    coefficient_types = 'YOUNGS_MODULUS POISSONS_RATIO'
    strain            = elastic_strain
    stress            = cauchy_stress
  []
  [effective]
    type           = SR2Invariant
    invariant_type = VONMISES
    tensor         = cauchy_stress
    invariant      = effective_stress
  []
  [hardening]
    type                      = VoceIsotropicHardening
    equivalent_plastic_strain = p
    saturated_hardening       = 90.0
    saturation_rate           = 40.0
  []
  [yield_surface]
    type                = YieldFunction
    yield_stress        = 100.0
    isotropic_hardening = isotropic_hardening
  []
  [flow_rate]
    type             = PerzynaPlasticFlowRate
    reference_stress = 400.0
    exponent         = 4.0
  []
  [normal]
    type          = AssociativeJ2FlowDirection
    mandel_stress = cauchy_stress
  []
  [flow]
    type = AssociativePlasticFlow
  []
  [elastic_rate]
    type    = SR2LinearCombination
    from    = 'strain_rate plastic_strain_rate'
    to      = elastic_strain_rate
    weights = '1 -1'
  []
  [integrate_strain]
    type     = SR2BackwardEulerTimeIntegration
    variable = elastic_strain
  []
  [integrate_slip]
    type     = ScalarBackwardEulerTimeIntegration
    variable = p
    rate     = flow_rate
  []
  [rates]
    type   = ComposedModel
    models = 'elasticity effective hardening yield_surface flow_rate normal flow elastic_rate integrate_strain integrate_slip'
  []
[]

[EquationSystems]
  [system]
    type     = NonlinearSystem
    model    = rates
    unknowns = 'elastic_strain p'
  []
[]

[Solvers]
  [newton]
    type          = Newton
    linear_solver = lu
    abs_tol       = 1e-11
    rel_tol       = 1e-11
    max_its       = 50
  []
  [lu]
    type = DenseLU
  []
[]

[Models]
  [update]
    type            = ImplicitUpdate
    equation_system = system
    solver          = newton
    predictor       = predictor
  []
  [model]
    type               = ComposedModel
    models             = 'update elasticity'
    additional_outputs = 'elastic_strain p'
  []
  [observed]
    type   = ComposedModel
    models = 'model coupled'
  []
[]
