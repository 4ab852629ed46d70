# Two-stage thermal annealing of isotropic hardening and of the back stress: loading below the first
# temperature, heating under hold to between the two, above the second, cooling, and reloading. The
# last specimen stays cold. Perzyna flow. 13 unknowns.
[Tensors]
  [path]
    type = Python
    expr = 'Scalar(torch.cat([torch.linspace(0.0, 1.0, 11, dtype=torch.float64), torch.ones(8, dtype=torch.float64), torch.linspace(0.9, -0.7, 17, dtype=torch.float64), torch.full([1], -0.7, dtype=torch.float64)]))'
  []
  [times]
    type = Python
    expr = 'Scalar(torch.cat([torch.linspace(0.0, 1.0, 11, dtype=torch.float64), torch.linspace(11.0, 81.0, 8, dtype=torch.float64), torch.linspace(81.1, 82.7, 17, dtype=torch.float64), torch.full([1], 112.7, dtype=torch.float64)]).unsqueeze(-1) * torch.tensor([1.0, 1.0, 1.0], dtype=torch.float64))'
  []
  [strains]
    type = Python
    expr = 'SR2(path.data.reshape(37, 1, 1) * torch.tensor([[0.015, -0.006, -0.005, 0.002, 0.0, 0.004], [0.015, -0.006, -0.005, 0.002, 0.0, 0.004], [0.015, -0.006, -0.005, 0.002, 0.0, 0.004]], dtype=torch.float64))'
  []
  [heat]
    type = Python
    expr = 'Scalar(torch.cat([torch.full([11], 20.0, dtype=torch.float64), torch.tensor([400.0, 600.0, 750.0, 900.0, 1000.0, 950.0, 700.0, 300.0], dtype=torch.float64), torch.full([10], 20.0, dtype=torch.float64), torch.full([8], 650.0, dtype=torch.float64)]))'
  []
  [temperatures]
    type = Python
    expr = 'Scalar(heat.data.unsqueeze(-1) * torch.tensor([1.0, 0.8, 0.1], dtype=torch.float64))'
  []
[]

[Drivers]
  [driver]
    type                     = TransientDriver
    model                    = model
    prescribed_time          = times
    prescribed_SR2_names     = E
    prescribed_SR2_values    = strains
    prescribed_Scalar_names  = T
    prescribed_Scalar_values = temperatures
    save_as                  = result.pt
  []
[]

[Models]
  [flow]
    type   = ComposedModel
    models = 'overstress vonmises yield_surface'
  []
  [mandel_stress]
    type          = IsotropicMandelStress
    cauchy_stress = stress
  []
  [overstress]
    type    = SR2LinearCombination
    from    = 'mandel_stress X'
    to      = overstress
    weights = '1 -1'
  []
  [vonmises]
    type           = SR2Invariant
    invariant_type = VONMISES
    tensor         = overstress
    invariant      = 'effective_stress'
  []
  [yield_surface]
    type                = YieldFunction
    yield_stress        = 100
    isotropic_hardening = 'isotropic_hardening'
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
    reference_stress = 250
    exponent         = 4
  []
  [Eprate]
    type = AssociativePlasticFlow
  []
  [isoharden]
    type                     = SlopeSaturationVoceIsotropicHardening
    saturated_hardening      = 80
    initial_hardening_rate   = 2600
    isotropic_hardening_rate = 'hardening_rate'
  []
  [isoanneal]
    type          = ScalarTwoStageThermalAnnealing
    base_rate     = 'hardening_rate'
    base          = 'isotropic_hardening'
    temperature   = T
    modified_rate = 'isotropic_hardening_rate'
    T1            = 600
    T2            = 900
    tau           = 20
  []
  [kinharden]
    type             = FredrickArmstrongPlasticHardening
    C                = 20000
    g                = 180
    back_stress      = X
    back_stress_rate = 'X_hardening_rate'
  []
  [kinanneal]
    type          = SR2TwoStageThermalAnnealing
    base_rate     = 'X_hardening_rate'
    base          = X
    temperature   = T
    modified_rate = 'X_rate'
    T1            = 600
    T2            = 900
    tau           = 8
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
    coefficients      = '2e5 0.3'
    coefficient_types = 'YOUNGS_MODULUS POISSONS_RATIO'
    rate_form         = true
  []
  [integrate_stress]
    type     = SR2BackwardEulerTimeIntegration
    variable = stress
  []
  [integrate_i]
    type     = ScalarBackwardEulerTimeIntegration
    variable = 'isotropic_hardening'
  []
  [integrate_X]
    type     = SR2BackwardEulerTimeIntegration
    variable = X
  []
  [rates]
    type   = ComposedModel
    models = 'mandel_stress overstress vonmises yield_surface normality flow_rate Eprate Erate Eerate elasticity integrate_stress isoharden isoanneal kinharden kinanneal integrate_i integrate_X'
  []
[]

[EquationSystems]
  [eq_sys]
    type      = NonlinearSystem
    model     = rates
    unknowns  = 'stress isotropic_hardening X'
    residuals = 'stress_residual isotropic_hardening_residual X_residual'
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
    unknowns_SR2    = 'stress X'
    unknowns_Scalar = 'isotropic_hardening'
  []
  [model]
    type            = ImplicitUpdate
    equation_system = 'eq_sys'
    solver          = newton
    predictor       = predictor
  []
[]
