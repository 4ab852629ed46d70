# A steel plate with a hole under cyclic tension (mm, N, s, MPa; plane strain, per mm of
# thickness). Perzyna viscoplasticity with Voce isotropic hardening and an Armstrong-Frederick
# back stress: the faster half of the cycle is the stronger one.
#
#   neml2fe run --ranks auto examples/perforated_plate/plate.i

[Meshes]
  [plate]
    file = '../../meshes/perforated_plate.msh'
  []
[]

[Functions]
  # Stretched in 4 s, pushed back in 1 s, stretched again in 4 s.
  [cycle]
    type = PiecewiseLinear
    times = '0 4 5 9'
    values = '0 0.4 0 0.5'
  []
[]

[BoundaryConditions]
  [bottom]
    type = Dirichlet
    boundary = 'bottom'
    component = 'y'
    value = 0
  []
  [corner]
    type = Dirichlet
    boundary = 'corner'
    component = 'x'
    value = 0
  []
  [top]
    type = Dirichlet
    boundary = 'top'
    component = 'y'
    value = 'cycle'
  []
[]

[Materials]
  [steel]
    model = 'viscoplasticity'
  []
[]

[Drivers]
  [plate]
    type = FiniteElementDriver
    mesh = 'plate'
    material = 'steel'
    formulation = 'plane_strain'
    end_time = 9
    dt = 0.1
    dt_max = 0.2
    output_every = 2
    checkpoint_every = 10
  []
[]

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
  [yield]
    type = YieldFunction
    yield_stress = 240
    isotropic_hardening = 'isotropic_hardening'
  []
  [flow]
    type = ComposedModel
    models = 'overstress vonmises yield'
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
    models = 'mandel_stress overstress vonmises isotropic_hardening yield normality flow_rate
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
  []
  [lu]
    type = DenseLU
  []
[]
