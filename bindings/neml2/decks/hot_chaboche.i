# Two back stresses with static recovery, Voce hardening and a viscosity (MPa, s, K). Modulus and
# yield stress are tables of the temperature, the viscosity follows Arrhenius' law.

[Tensors]
  [temperatures]
    type = Python
    expr = 'Scalar(torch.tensor([300.0, 600.0, 1000.0], dtype=torch.float64))'
  []
  [moduli]
    type = Python
    expr = 'Scalar(torch.tensor([2.0e5, 1.8e5, 1.2e5], dtype=torch.float64))'
  []
  [strengths]
    type = Python
    expr = 'Scalar(torch.tensor([240.0, 200.0, 90.0], dtype=torch.float64))'
  []
[]

[Models]
  [E]
    type = ScalarLinearInterpolation
    argument = 'T'
    abscissa = 'temperatures'
    ordinate = 'moduli'
  []
  [sy]
    type = ScalarLinearInterpolation
    argument = 'T'
    abscissa = 'temperatures'
    ordinate = 'strengths'
  []
  [eta]
    type = ArrheniusParameter
    reference_value = 150.0
    activation_energy = -2000.0
    ideal_gas_constant = 8.314
    temperature = 'T'
  []
  [mandel_stress]
    type = IsotropicMandelStress
    cauchy_stress = 'stress'
  []
  [overstress]
    type = SR2LinearCombination
    from = 'mandel_stress X1 X2'
    to = 'overstress'
    weights = '1 -1 -1'
  []
  [vonmises]
    type = SR2Invariant
    invariant_type = 'VONMISES'
    tensor = 'overstress'
    invariant = 'effective_stress'
  []
  [isotropic_hardening]
    type = VoceIsotropicHardening
    saturated_hardening = 60
    saturation_rate = 12
  []
  [yield_surface]
    type = YieldFunction
    yield_stress = 'sy'
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
    reference_stress = 'eta'
    exponent = 4
  []
  [plastic_strain_rate]
    type = AssociativePlasticFlow
  []
  [equivalent_plastic_strain_rate]
    type = AssociativeIsotropicPlasticHardening
  []
  [fast]
    type = ChabochePlasticHardening
    C = 30000
    g = 400
    A = 1e-4
    a = 1.8
    back_stress = 'X1'
  []
  [slow]
    type = ChabochePlasticHardening
    C = 6000
    g = 40
    A = 2e-5
    a = 2.1
    back_stress = 'X2'
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
    coefficients = 'E 0.3'
    coefficient_types = 'YOUNGS_MODULUS POISSONS_RATIO'
    strain = 'elastic_strain'
    rate_form = true
  []
  [integrate_stress]
    type = SR2BackwardEulerTimeIntegration
    variable = 'stress'
  []
  [integrate_fast]
    type = SR2BackwardEulerTimeIntegration
    variable = 'X1'
  []
  [integrate_slow]
    type = SR2BackwardEulerTimeIntegration
    variable = 'X2'
  []
  [integrate_equivalent_plastic_strain]
    type = ScalarBackwardEulerTimeIntegration
    variable = 'equivalent_plastic_strain'
  []
  [rates]
    type = ComposedModel
    models = 'E sy eta mandel_stress overstress vonmises isotropic_hardening yield_surface normality
              flow_rate plastic_strain_rate equivalent_plastic_strain_rate fast slow strain_rate
              elastic_strain_rate elasticity integrate_stress integrate_fast integrate_slow
              integrate_equivalent_plastic_strain'
  []
  [model]
    type = ImplicitUpdate
    equation_system = 'system'
    solver = 'newton'
  []
[]

[EquationSystems]
  [system]
    type = NonlinearSystem
    model = 'rates'
    unknowns = 'stress X1 X2 equivalent_plastic_strain'
  []
[]

[Solvers]
  [newton]
    type = Newton
    linear_solver = 'lu'
    abs_tol = 1e-10
    rel_tol = 1e-12
    max_its = 60
  []
  [lu]
    type = DenseLU
  []
[]
