# A steel (MPa, s) that NEML2 and neml2fe both read: Perzyna viscoplasticity with Voce isotropic
# hardening and an Armstrong-Frederick back stress, in rate form, integrated by backward Euler.

[Models]
  [mandel_stress]
    type = IsotropicMandelStress
    cauchy_stress = 'stress'
  []
  [overstress]
    type = SR2LinearCombination
    from = 'mandel_stress back_stress'
    to = 'overstress'
    weights = '1 -1'
  []
  [vonmises]
    type = SR2Invariant
    invariant_type = 'VONMISES'
    tensor = 'overstress'
    invariant = 'effective_stress'
  []
  [isotropic_hardening]
    type = VoceIsotropicHardening
    saturated_hardening = 110
    saturation_rate = 18
  []
  [yield_surface]
    type = YieldFunction
    yield_stress = 240
    isotropic_hardening = 'isotropic_hardening'
  []
  [flow]
    type = ComposedModel
    models = 'overstress vonmises yield_surface'
  []
  [normality]
    type = Normality
    model = 'flow'
    function = 'yield_function'
    from = 'mandel_stress isotropic_hardening'
    to = 'flow_direction isotropic_hardening_direction'
  []
  [flow_rate]
    type = PerzynaPlasticFlowRate
    reference_stress = 250
    exponent = 5
  []
  [plastic_strain_rate]
    type = AssociativePlasticFlow
  []
  [equivalent_plastic_strain_rate]
    type = AssociativeIsotropicPlasticHardening
  []
  [back_stress_rate]
    type = FredrickArmstrongPlasticHardening
    C = 12000
    g = 150
  []
  [strain_rate]
    type = SR2VariableRate
    variable = 'strain'
    variable_rate = 'total_strain_rate'
  []
  [elastic_strain_rate]
    type = SR2LinearCombination
    from = 'total_strain_rate plastic_strain_rate'
    to = 'elastic_strain_rate'
    weights = '1 -1'
  []
  [elasticity]
    type = LinearIsotropicElasticity
    coefficients = '2.0e5 0.3'
    coefficient_types = 'YOUNGS_MODULUS POISSONS_RATIO'
    strain = 'elastic_strain'
    rate_form = true
  []
  [integrate_stress]
    type = SR2BackwardEulerTimeIntegration
    variable = 'stress'
  []
  [integrate_back_stress]
    type = SR2BackwardEulerTimeIntegration
    variable = 'back_stress'
  []
  [integrate_equivalent_plastic_strain]
    type = ScalarBackwardEulerTimeIntegration
    variable = 'equivalent_plastic_strain'
  []
  [rates]
    type = ComposedModel
    models = 'mandel_stress overstress vonmises isotropic_hardening yield_surface normality flow_rate
              plastic_strain_rate equivalent_plastic_strain_rate back_stress_rate strain_rate
              elastic_strain_rate elasticity integrate_stress integrate_back_stress
              integrate_equivalent_plastic_strain'
  []
  [viscoplasticity]
    type = ImplicitUpdate
    equation_system = 'system'
    solver = 'newton'
  []
[]

[EquationSystems]
  [system]
    type = NonlinearSystem
    model = 'rates'
    unknowns = 'stress back_stress equivalent_plastic_strain'
  []
[]

[Solvers]
  [newton]
    type = Newton
    linear_solver = 'lu'
    abs_tol = 1e-10
    rel_tol = 1e-12
  []
  [lu]
    type = DenseLU
  []
[]
