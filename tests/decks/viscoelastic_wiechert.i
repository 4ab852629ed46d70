# A Wiechert solid with relaxation times of 0.5 and 8, its variables renamed: ramp, relaxation,
# reversal, relaxation, at three rates.
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
  [element]
    type                = WiechertElement
    viscous_strain_1    = fast
    viscous_strain_2    = slow
    equilibrium_modulus = 300
    modulus_1           = 900
    viscosity_1         = 450
    modulus_2           = 500
    viscosity_2         = 4000
  []
  [integrate_fast]
    type     = SR2BackwardEulerTimeIntegration
    variable = 'fast'
  []
  [integrate_slow]
    type     = SR2BackwardEulerTimeIntegration
    variable = 'slow'
  []
  [rates]
    type   = ComposedModel
    models = 'element integrate_fast integrate_slow'
  []
[]

[EquationSystems]
  [eq_sys]
    type      = NonlinearSystem
    model     = rates
    unknowns  = 'fast slow'
    residuals = 'fast_residual slow_residual'
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
    unknowns_SR2 = 'fast slow'
  []
  [model]
    type               = ComposedModel
    models             = 'update element'
    additional_outputs = 'fast slow'
  []
[]
