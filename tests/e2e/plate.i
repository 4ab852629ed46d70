# A small plate that is clamped at its left, pulled and pushed at its right: Perzyna
# viscoplasticity with Voce hardening, plane strain.
[Meshes]
  [plate]
    type = Rectangle
    divisions = '5 4'
    lengths = '2 1'
    cell_type = 'quad'
  []
[]

[Functions]
  [cycle]
    type = PiecewiseLinear
    times = '0 0.45 1'
    values = '0 0.012 -0.004'
  []
  [breaks]
    type = Expression
    expr = '0.01 * torch.sqrt(0.55 - t)'
  []
[]

[BoundaryConditions]
  [hold_x]
    type = Dirichlet
    boundary = 'left'
    component = 'x'
    value = 0
  []
  [hold_y]
    type = Dirichlet
    boundary = 'left'
    component = 'y'
    value = 0
  []
  [pull]
    type = Dirichlet
    boundary = 'right'
    component = 'x'
    value = 'cycle'
  []
  [shear]
    type = Traction
    boundary = 'top'
    value = '5 0'
  []
[]

[Materials]
  [metal]
    model = 'model'
  []
[]

[Drivers]
  [plate]
    type = FiniteElementDriver
    boundary_conditions = 'hold_x hold_y pull shear'
    formulation = 'plane_strain'
    end_time = 1
    dt = 0.1
    checkpoint_every = 2
  []
[]

[Models]
  [mandel_stress]
    type = IsotropicMandelStress
    cauchy_stress = 'stress'
  []
  [vonmises]
    type = SR2Invariant
    invariant_type = 'VONMISES'
    tensor = 'mandel_stress'
    invariant = 'effective_stress'
  []
  [hardening]
    type = VoceIsotropicHardening
    saturated_hardening = 90
    saturation_rate = 12
  []
  [yield]
    type = YieldFunction
    yield_stress = 150
    isotropic_hardening = 'isotropic_hardening'
  []
  [flow]
    type = ComposedModel
    models = 'vonmises yield'
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
    reference_stress = 300
    exponent = 4
  []
  [equivalent_plastic_strain_rate]
    type = AssociativeIsotropicPlasticHardening
  []
  [plastic_strain_rate]
    type = AssociativePlasticFlow
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
    coefficients = '1.2e5 0.32'
    coefficient_types = 'YOUNGS_MODULUS POISSONS_RATIO'
    strain = 'elastic_strain'
    rate_form = true
  []
  [integrate_stress]
    type = SR2BackwardEulerTimeIntegration
    variable = 'stress'
  []
  [integrate_equivalent_plastic_strain]
    type = ScalarBackwardEulerTimeIntegration
    variable = 'equivalent_plastic_strain'
  []
  [rates]
    type = ComposedModel
    models = 'mandel_stress vonmises hardening yield normality flow_rate plastic_strain_rate
              equivalent_plastic_strain_rate strain_rate elastic_strain_rate elasticity
              integrate_stress integrate_equivalent_plastic_strain'
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
    unknowns = 'stress equivalent_plastic_strain'
  []
[]

[Solvers]
  [newton]
    type = Newton
  []
[]
