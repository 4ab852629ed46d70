# A spring beside three Maxwell branches, from springs and dashpots; relaxation times 0.2, 2, 20.
# The same chain as one block is a GeneralizedMaxwellElement.
[Tensors]
  [path]
    type = Python
    expr = 'Scalar(torch.cat([torch.linspace(0.0, 1.0, 9, dtype=torch.float64), torch.ones(8, dtype=torch.float64), torch.linspace(0.8, -0.6, 8, dtype=torch.float64), torch.full((7,), -0.6, dtype=torch.float64)]))'
  []
  [times]
    type = Python
    expr = 'Scalar((3.0 * torch.linspace(0.0, 1.0, 32, dtype=torch.float64) ** 1.5).unsqueeze(-1) * torch.tensor([0.3, 1.0, 4.0], dtype=torch.float64))'
  []
  [values]
    type = Python
    expr = 'SR2(path.data.reshape(32, 1, 1) * torch.tensor([[0.01, -0.004, 0.002, 0.003, -0.001, 0.006]], dtype=torch.float64).expand(3, 6))'
  []
[]

[Drivers]
  [driver]
    type                  = TransientDriver
    model                 = model
    prescribed_time       = times
    prescribed_SR2_names  = strain
    prescribed_SR2_values = values
    save_as               = result.pt
  []
[]

[Models]
  [spring_1]
    type    = SR2LinearCombination
    from    = 'strain v1'
    to      = s1
    weights = '700 -700'
  []
  [dashpot_1]
    type                = LinearDashpot
    stress              = s1
    viscous_strain_rate = v1_rate
    viscosity           = 140
  []
  [spring_2]
    type    = SR2LinearCombination
    from    = 'strain v2'
    to      = s2
    weights = '400 -400'
  []
  [dashpot_2]
    type                = LinearDashpot
    stress              = s2
    viscous_strain_rate = v2_rate
    viscosity           = 800
  []
  [spring_3]
    type    = SR2LinearCombination
    from    = 'strain v3'
    to      = s3
    weights = '250 -250'
  []
  [dashpot_3]
    type                = LinearDashpot
    stress              = s3
    viscous_strain_rate = v3_rate
    viscosity           = 5000
  []
  [total]
    type    = SR2LinearCombination
    from    = 'strain s1 s2 s3'
    to      = stress
    weights = '200 1 1 1'
  []
  [integrate_v1]
    type     = SR2BackwardEulerTimeIntegration
    variable = 'v1'
  []
  [integrate_v2]
    type     = SR2BackwardEulerTimeIntegration
    variable = 'v2'
  []
  [integrate_v3]
    type     = SR2BackwardEulerTimeIntegration
    variable = 'v3'
  []
  [rates]
    type   = ComposedModel
    models = 'spring_1 dashpot_1 spring_2 dashpot_2 spring_3 dashpot_3 integrate_v1 integrate_v2 integrate_v3'
  []
[]

[EquationSystems]
  [eq_sys]
    type      = NonlinearSystem
    model     = rates
    unknowns  = 'v1 v2 v3'
    residuals = 'v1_residual v2_residual v3_residual'
  []
[]

[Solvers]
  [newton]
    type          = Newton
    linear_solver = lu
    abs_tol       = 1e-11
    rel_tol       = 1e-10
  []
  [lu]
    type = DenseLU
  []
[]

[Models]
  [update]
    type            = ImplicitUpdate
    equation_system = eq_sys
    solver          = newton
    predictor       = predictor
  []
  [predictor]
    type         = ConstantExtrapolationPredictor
    unknowns_SR2 = 'v1 v2 v3'
  []
  [model]
    type               = ComposedModel
    models             = 'update spring_1 spring_2 spring_3 total'
    additional_outputs = 'v1 v2 v3'
  []
[]
