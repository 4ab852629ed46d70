# Sintering: Olevsky's sintering stress drives the pores of a GTN surface shut, with viscous flow.
# Nearly held, then pulled and compressed; particles of different radius. 7 unknowns.
[Tensors]
  [path]
    type = Python
    expr = 'Scalar(torch.cat([torch.linspace(0.0, 0.03, 15, dtype=torch.float64), torch.linspace(0.1, 0.9, 11, dtype=torch.float64), torch.linspace(0.8, -0.2, 11, dtype=torch.float64)]))'
  []
  [times]
    type = Python
    expr = 'Scalar(torch.linspace(0.0, 36.0, 37, dtype=torch.float64).unsqueeze(-1).expand(37, 3))'
  []
  [strains]
    type = Python
    expr = 'SR2(path.data.reshape(37, 1, 1) * torch.tensor([[0.004, -0.001, -0.001, 0.001, 0.0, 0.0], [0.004, -0.001, -0.001, 0.001, 0.0, 0.0], [-0.004, -0.004, -0.003, 0.0, 0.001, 0.0]], dtype=torch.float64))'
  []
  [radii]
    type = Python
    expr = 'Scalar(torch.tensor([0.02, 0.01, 0.02], dtype=torch.float64))'
  []
  [voids]
    type = Python
    expr = 'Scalar(torch.tensor([0.3, 0.3, 0.2], dtype=torch.float64))'
  []
[]

[Drivers]
  [driver]
    type                  = TransientDriver
    model                 = model
    prescribed_time       = times
    prescribed_SR2_names  = E
    prescribed_SR2_values = strains
    ic_Scalar_names       = 'void_fraction'
    ic_Scalar_values      = voids
    save_as               = result.pt
  []
[]

[Models]
  [flow]
    type   = ComposedModel
    models = 'vonmises pressure sintering opening yield_surface'
  []
  [mandel_stress]
    type          = IsotropicMandelStress
    cauchy_stress = stress
  []
  [vonmises]
    type           = SR2Invariant
    invariant_type = VONMISES
    tensor         = 'mandel_stress'
    invariant      = 'flow_invariant'
  []
  [pressure]
    type           = SR2Invariant
    invariant_type = I1
    tensor         = 'mandel_stress'
    invariant      = I1
  []
  [sintering]
    type            = OlevskySinteringStress
    surface_tension = 1.1
    particle_radius = radii
  []
  [opening]
    type    = ScalarLinearCombination
    from    = 'I1 sintering_stress'
    to      = 'poro_invariant'
    weights = '1 -1'
  []
  [yield_surface]
    type         = GTNYieldFunction
    yield_stress = 6
    q1           = 1.4
    q2           = 1.0
    q3           = 1.9
  []
  [normality]
    type     = Normality
    model    = flow
    function = 'yield_function'
    from     = 'mandel_stress'
    to       = 'flow_direction'
  []
  [flow_rate]
    type             = PerzynaPlasticFlowRate
    reference_stress = 30
    exponent         = 1.5
  []
  [Eprate]
    type = AssociativePlasticFlow
  []
  [voidrate]
    type = GursonCavitation
  []
  [Erate]
    type     = SR2VariableRate
    variable = E
  []
  [Eerate]
    type    = SR2LinearCombination
    from    = 'E_rate plastic_strain_rate'
    to      = 'strain_rate'
    weights = '1 -1'
  []
  [elasticity]
    type              = LinearIsotropicElasticity
    coefficients      = '9e3 0.25'
    coefficient_types = 'YOUNGS_MODULUS POISSONS_RATIO'
    rate_form         = true
  []
  [integrate_stress]
    type     = SR2BackwardEulerTimeIntegration
    variable = stress
  []
  [integrate_voids]
    type     = ScalarBackwardEulerTimeIntegration
    variable = 'void_fraction'
  []
  [rates]
    type   = ComposedModel
    models = 'mandel_stress vonmises pressure sintering opening yield_surface normality flow_rate Eprate voidrate Erate Eerate elasticity integrate_stress integrate_voids'
  []
[]

[EquationSystems]
  [eq_sys]
    type      = NonlinearSystem
    model     = rates
    unknowns  = 'stress void_fraction'
    residuals = 'stress_residual void_fraction_residual'
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
    type            = ConstantExtrapolationPredictor
    unknowns_SR2    = stress
    unknowns_Scalar = 'void_fraction'
  []
  [model]
    type            = ImplicitUpdate
    equation_system = 'eq_sys'
    solver          = newton
    predictor       = predictor
  []
[]
