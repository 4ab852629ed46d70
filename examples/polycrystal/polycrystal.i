# Copper in tension, grain by grain (mm, N, MPa, s): one periodic cell of 100 grains in 12 x 12 x 12
# hexahedra. Each grain has the elastic constants of cubic copper and 12 slip systems {111}<110>
# in its own orientation, which comes with the mesh (meshes/polycrystal.py). The mean strain zz grows
# to 2 % in 20 s; all other mean stresses are zero. Small strain: lattices do not turn.
#
#   neml2fe run --ranks 2 examples/polycrystal/polycrystal.i
#   python examples/polycrystal/figure.py

[Meshes]
  [grains]
    file = '../../meshes/polycrystal.vtu'
  []
[]

[Fields]
  [orientation]
    type = ElementField
    values = 'orientation'
  []
[]

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
    lattice_parameter = 0.3615
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
  # C11 = 168.4, C12 = 121.4, C44 = 75.4 GPa.
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
    n = 20
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
    models = 'rotation elasticity resolved strength slip total_slip hardening plastic_rate
              strain_rate elastic_rate integrate_hardening integrate_strain'
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
    models = 'update elasticity'
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
  [copper]
    model = 'crystal'
  []
[]

[Bodies]
  [grains]
    material = 'copper'
    field_names = 'orientation'
    field_values = 'orientation'
  []
[]

[Functions]
  [pull]
    type = Expression
    expr = '1e-3 * t'
  []
[]

[BoundaryConditions]
  [cell]
    type = PeriodicCell
    strain_names = 'zz'
    strain_values = 'pull'
  []
[]

[Drivers]
  [polycrystal]
    type = FiniteElementDriver
    end_time = 20
    dt = 0.1
    dt_max = 1
    output_times = '1 20'
    checkpoint_every = 0
    tolerance = 1e-8
    figure = 'stress_mises'
  []
[]
