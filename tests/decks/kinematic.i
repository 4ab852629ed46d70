# Linear kinematic hardening with Perzyna flow, elasticity in total form, no isotropic
# hardening; one proportional cycle and one in shear. 12 unknowns.
[Tensors]
  [path]
    type = Python
    expr = 'Scalar(torch.cat([torch.linspace(0.0, 1.0, 11, dtype=torch.float64), torch.linspace(0.9, -1.0, 20, dtype=torch.float64)]))'
  []
  [clock]
    type = Python
    expr = 'Scalar(torch.linspace(0.0, 3.0, 31, dtype=torch.float64))'
  []
  [times]
    type = Python
    expr = 'Scalar(clock.data.unsqueeze(-1).expand(31, 2))'
  []
  [strains]
    type = Python
    expr = 'SR2(path.data.reshape(31, 1, 1) * torch.tensor([[0.01, -0.004, -0.005, 0.001, 0.0, 0.002], [0.0, 0.0, 0.0, 0.0, 0.0, 0.012]], dtype=torch.float64))'
  []
[]

[Drivers]
  [driver]
    type                  = TransientDriver
    model                 = model
    prescribed_time       = times
    prescribed_SR2_names  = E
    prescribed_SR2_values = strains
    save_as               = result.pt
  []
[]

[Models]
  [flow]
    type   = ComposedModel
    models = 'overstress vonmises yield_surface'
  []
  [elastic_strain]
    type    = SR2LinearCombination
    from    = 'E plastic_strain'
    to      = 'elastic_strain'
    weights = '1 -1'
  []
  [elasticity]
    type              = LinearIsotropicElasticity
    coefficients      = '1e5 0.3'
    coefficient_types = 'YOUNGS_MODULUS POISSONS_RATIO'
    strain            = 'elastic_strain'
  []
  [kinharden]
    type              = LinearKinematicHardening
    hardening_modulus = 6000
    back_stress       = X
  []
  [mandel_stress]
    type          = IsotropicMandelStress
    cauchy_stress = stress
  []
  [overstress]
    type    = SR2LinearCombination
    from    = 'mandel_stress X'
    to      = O
    weights = '1 -1'
  []
  [vonmises]
    type           = SR2Invariant
    invariant_type = VONMISES
    tensor         = O
    invariant      = 'effective_stress'
  []
  [yield_surface]
    type         = YieldFunction
    yield_stress = 100
  []
  [normality]
    type     = Normality
    model    = flow
    function = 'yield_function'
    from     = 'mandel_stress X'
    to       = 'flow_direction kinematic_hardening_direction'
  []
  [flow_rate]
    type             = PerzynaPlasticFlowRate
    reference_stress = 120
    exponent         = 5
  []
  [Kprate]
    type = AssociativeKinematicPlasticHardening
  []
  [Eprate]
    type = AssociativePlasticFlow
  []
  [integrate_Kp]
    type     = SR2BackwardEulerTimeIntegration
    variable = 'kinematic_plastic_strain'
  []
  [integrate_Ep]
    type     = SR2BackwardEulerTimeIntegration
    variable = 'plastic_strain'
  []
  [surface]
    type   = ComposedModel
    models = 'elastic_strain elasticity kinharden mandel_stress overstress vonmises yield_surface normality flow_rate Kprate Eprate integrate_Kp integrate_Ep'
  []
[]

[EquationSystems]
  [eq_sys]
    type      = NonlinearSystem
    model     = surface
    unknowns  = 'plastic_strain kinematic_plastic_strain'
    residuals = 'plastic_strain_residual kinematic_plastic_strain_residual'
  []
[]

[Solvers]
  [newton]
    type          = Newton
    linear_solver = lu
    abs_tol       = 1e-10
    rel_tol       = 1e-10
  []
  [lu]
    type = DenseLU
  []
[]

[Models]
  [predictor]
    type         = ConstantExtrapolationPredictor
    unknowns_SR2 = 'plastic_strain kinematic_plastic_strain'
  []
  [return_map]
    type            = ImplicitUpdate
    equation_system = 'eq_sys'
    solver          = newton
    predictor       = predictor
  []
  [model]
    type               = ComposedModel
    models             = 'return_map elastic_strain elasticity'
    additional_outputs = 'plastic_strain'
  []
[]
