# Triclinic elasticity, linear hardening and slip laws that differ by slip system; the orientation
# follows each implicit update by the exponential of the lattice's spin, and is kept off its
# singularity. Three orientations, the last of which is changed to the shadow parameters.
[Tensors]
  [start]
    type = Python
    expr = 'MRP(torch.tensor([[0.0, 0.0, 0.0], [0.1, -0.2, 0.15], [0.8, 0.55, -0.2253]], dtype=torch.float64))'
  []
  [way]
    type = Python
    expr = 'Scalar(torch.cat([torch.ones(13, dtype=torch.float64), -torch.ones(12, dtype=torch.float64)]))'
  []
  [part]
    type = Python
    expr = 'Scalar(5.0 * torch.linspace(0.0, 1.0, 13, dtype=torch.float64) ** 2)'
  []
  [times]
    type = Python
    expr = 'Scalar(torch.cat([part.data, 5.0 + part.data[1:]]).unsqueeze(-1).expand(25, 3))'
  []
  [stretching]
    type = Python
    expr = 'SR2(way.data.reshape(25, 1, 1) * torch.tensor([0.004, -0.002, -0.002, 0.001, 0.0015, 0.003], dtype=torch.float64).expand(25, 3, 6))'
  []
  [spinning]
    type = Python
    expr = 'WR2(way.data.reshape(25, 1, 1) * torch.tensor([0.03, -0.02, 0.04], dtype=torch.float64).expand(25, 3, 3))'
  []
  [directions]
    type = Python
    expr = 'MillerIndex(torch.tensor([1, 1, 0]))'
  []
  [planes]
    type = Python
    expr = 'MillerIndex(torch.tensor([1, 1, 1]))'
  []
  [stiffness]
    type = Python
    expr = 'SSR4(torch.tensor([[200.0, 110.0, 100.0, 4.0, -6.0, 3.0], [110.0, 190.0, 105.0, -5.0, 7.0, 2.0], [100.0, 105.0, 210.0, 6.0, 1.0, -4.0], [4.0, -5.0, 6.0, 140.0, 3.0, -2.0], [-6.0, 7.0, 1.0, 3.0, 150.0, 5.0], [3.0, 2.0, -4.0, -2.0, 5.0, 130.0]], dtype=torch.float64) * 1e3)'
  []
  [reference_rate]
    type = Python
    expr = 'Scalar(1e-3 * torch.linspace(0.8, 1.3, 12, dtype=torch.float64), sub_batch_ndim=1)'
  []
  [sensitivity]
    type = Python
    expr = 'Scalar(torch.linspace(5.0, 7.0, 12, dtype=torch.float64), sub_batch_ndim=1)'
  []
[]

[Drivers]
  [driver]
    type                  = TransientDriver
    model                 = model
    prescribed_time       = times
    prescribed_SR2_names  = deformation_rate
    prescribed_SR2_values = stretching
    prescribed_WR2_names  = vorticity
    prescribed_WR2_values = spinning
    ic_MRP_names          = orientation
    ic_MRP_values         = start
    save_as               = result.pt
  []
[]

[Data]
  [crystal_geometry]
    type              = CubicCrystal
    lattice_parameter = 3.6
    slip_directions   = directions
    slip_planes       = planes
  []
[]

[Models]
  [old_rotation]
    type = RotationMatrix
    from = orientation~1
    to   = orientation_matrix
  []
  [elasticity]
    type                     = GeneralElasticity
    elastic_stiffness_tensor = stiffness
    orientation              = orientation~1
    strain                   = elastic_strain
    stress                   = cauchy_stress
  []
  [resolved]
    type   = ResolvedShear
    stress = cauchy_stress
  []
  [strength]
    type              = SingleSlipStrengthMap
    constant_strength = 40.0
  []
  [slip]
    type   = PowerLawSlipRule
    gamma0 = reference_rate
    n      = sensitivity
  []
  [total_slip]
    type = SumSlipRates
  []
  [hardening]
    type            = LinearSingleSlipHardeningRule
    hardening_slope = 150.0
  []
  [plastic_rate]
    type = PlasticDeformationRate
  []
  [plastic_spin]
    type = PlasticVorticity
  []
  [elastic_rate]
    type = ElasticStrainRate
  []
  [lattice_spin]
    type = OrientationRate
  []
  [integrate_hardening]
    type     = ScalarBackwardEulerTimeIntegration
    variable = slip_hardening
  []
  [integrate_strain]
    type     = SR2BackwardEulerTimeIntegration
    variable = elastic_strain
  []
  [rates]
    type   = ComposedModel
    models = 'old_rotation elasticity resolved strength slip total_slip hardening plastic_rate elastic_rate integrate_hardening integrate_strain'
  []
[]

[EquationSystems]
  [system]
    type     = NonlinearSystem
    model    = rates
    unknowns = 'elastic_strain slip_hardening'
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
  [predictor]
    type            = ConstantExtrapolationPredictor
    unknowns_SR2    = elastic_strain
    unknowns_Scalar = slip_hardening
  []
  [update]
    type            = ImplicitUpdate
    equation_system = system
    solver          = newton
    predictor       = predictor
  []
  [turn]
    type     = WR2ExplicitExponentialTimeIntegration
    variable = orientation
  []
  [fix]
    type   = FixOrientation
    input  = orientation
    output = orientation
  []
  [model]
    type               = ComposedModel
    models             = 'update old_rotation elasticity resolved strength slip plastic_rate plastic_spin lattice_spin turn fix'
    additional_outputs = 'elastic_strain slip_hardening cauchy_stress slip_rates'
  []
[]
