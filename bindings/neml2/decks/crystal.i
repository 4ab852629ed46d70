# A cubic crystal at small strain (MPa, s): twelve slip systems {111}<110>,
# isotropic elasticity, Voce hardening. The orientation of the lattice is a field;
# the slip rates, one a system, are outputs.

[Tensors]
  [directions]
    type = Python
    expr = 'MillerIndex(torch.tensor([1, 1, 0]))'
  []
  [planes]
    type = Python
    expr = 'MillerIndex(torch.tensor([1, 1, 1]))'
  []
[]

[Data]
  [crystal_geometry]
    type = CubicCrystal
    lattice_parameter = 3.6
    slip_directions = 'directions'
    slip_planes = 'planes'
  []
[]

[Models]
  [rotation]
    type = RotationMatrix
    from = 'orientation'
    to = 'orientation_matrix'
  []
  [stretching]
    type = SR2VariableRate
    variable = 'strain'
    variable_rate = 'deformation_rate'
  []
  [elasticity]
    type = LinearIsotropicElasticity
    coefficients = '1.2e5 0.33'
    coefficient_types = 'YOUNGS_MODULUS POISSONS_RATIO'
    strain = 'elastic_strain'
    stress = 'stress'
  []
  [resolved]
    type = ResolvedShear
    stress = 'stress'
  []
  [strength]
    type = SingleSlipStrengthMap
    constant_strength = 25.0
  []
  [slip]
    type = PowerLawSlipRule
    gamma0 = 2e-3
    n = 5.0
  []
  [total_slip]
    type = SumSlipRates
  []
  [hardening]
    type = VoceSingleSlipHardeningRule
    initial_slope = 300.0
    saturated_hardening = 50.0
  []
  [plastic_rate]
    type = PlasticDeformationRate
  []
  [elastic_rate]
    type = ElasticStrainRate
  []
  [integrate_hardening]
    type = ScalarBackwardEulerTimeIntegration
    variable = 'slip_hardening'
  []
  [integrate_strain]
    type = SR2BackwardEulerTimeIntegration
    variable = 'elastic_strain'
  []
  [rates]
    type = ComposedModel
    models = 'rotation stretching elasticity resolved strength slip total_slip hardening
              plastic_rate elastic_rate integrate_hardening integrate_strain'
  []
  [update]
    type = ImplicitUpdate
    equation_system = 'system'
    solver = 'newton'
  []
  [model]
    type = ComposedModel
    models = 'update rotation elasticity resolved strength slip'
    additional_outputs = 'stress elastic_strain slip_hardening'
  []
[]

[EquationSystems]
  [system]
    type = NonlinearSystem
    model = 'rates'
    unknowns = 'elastic_strain slip_hardening'
  []
[]

[Solvers]
  [newton]
    type = Newton
    linear_solver = 'lu'
    abs_tol = 1e-10
    rel_tol = 1e-12
    max_its = 100
  []
  [lu]
    type = DenseLU
  []
[]
