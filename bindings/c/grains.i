# A Taylor aggregate of three grains, whose orientations are parameters: their elastic strains and
# hardening are sub-batches of the state, and the stress is the mean.
[Tensors]
  [directions]
    type = Python
    expr = 'MillerIndex(torch.tensor([1, 1, 0]))'
  []
  [planes]
    type = Python
    expr = 'MillerIndex(torch.tensor([1, 1, 1]))'
  []
  [turn]
    type = Python
    expr = 'MRP(torch.tensor([[0.1, -0.2, 0.15],[0.3,0.1,0.0],[-.2,.2,.4]], dtype=torch.float64), sub_batch_ndim=1)'
  []
[]
[Data]
  [crystal_geometry]
    type = CubicCrystal
    lattice_parameter = 0.3615
    slip_directions = 'directions'
    slip_planes = 'planes'
  []
[]
[Models]
  [axes]
    type = MRPConstantParameter
    value = 'turn'
    parameter = 'orientation'
  []
  [rotation]
    type = RotationMatrix
    from = 'orientation'
    to = 'orientation_matrix'
  []
  [stiffness]
    type = CubicElasticityTensor
    coefficients = '66689 0.41891 75.4e3'
    coefficient_types = 'YOUNGS_MODULUS POISSONS_RATIO SHEAR_MODULUS'
  []
  [elasticity]
    type = GeneralElasticity
    elastic_stiffness_tensor = 'stiffness'
    strain = 'elastic_strain'
  []
  [resolved]
    type = ResolvedShear
    stress = 'stress'
  []
  [strength]
    type = SingleSlipStrengthMap
    constant_strength = 40
  []
  [slip]
    type = PowerLawSlipRule
    gamma0 = 1e-3
    n = 10
  []
  [total_slip]
    type = SumSlipRates
  []
  [hardening]
    type = VoceSingleSlipHardeningRule
    initial_slope = 250
    saturated_hardening = 100
  []
  [plastic_rate]
    type = PlasticDeformationRate
  []
  [strain_rate]
    type = SR2VariableRate
    variable = 'strain'
    variable_rate = 'strain_rate'
  []
  [elastic_rate]
    type = SR2LinearCombination
    from = 'strain_rate plastic_deformation_rate'
    to = 'elastic_strain_rate'
    weights = '1 -1'
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
    models = 'axes rotation elasticity resolved strength slip total_slip hardening plastic_rate strain_rate elastic_rate integrate_hardening integrate_strain'
  []
  [predictor]
    type = ConstantExtrapolationPredictor
    unknowns_SR2 = 'elastic_strain'
    unknowns_Scalar = 'slip_hardening'
  []
  [update]
    type = ImplicitUpdate
    equation_system = 'system'
    solver = 'newton'
    predictor = 'predictor'
  []
  [crystal]
    type = ComposedModel
    models = 'update axes rotation elasticity'
    additional_outputs = 'elastic_strain slip_hardening'
  []
  [average]
    type    = SR2IntermediateMean
    from    = stress
    to      = mean_stress
    reduces = grain
  []
  [taylor]
    type = ComposedModel
    models = 'update axes rotation elasticity average'
    additional_outputs = 'elastic_strain slip_hardening'
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
    max_its = 50
  []
  [lu]
    type = DenseLU
  []
[]
[Materials]
  [aggregate]
    model = 'taylor'
    stress = mean_stress
  []
[]
