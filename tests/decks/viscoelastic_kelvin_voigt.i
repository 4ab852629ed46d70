# A Kelvin-Voigt solid under stress: creep, recovery, compression, reversal, at three rates.
[Tensors]
  [viscosities]
    type = Python
    expr = 'Scalar(torch.tensor([400.0, 900.0, 2500.0], dtype=torch.float64))'
  []
  [path]
    type = Python
    expr = 'Scalar(torch.cat([torch.zeros(1, dtype=torch.float64), torch.ones(12, dtype=torch.float64), torch.zeros(8, dtype=torch.float64), torch.linspace(0.0, -0.8, 6, dtype=torch.float64), torch.linspace(-0.4, 0.5, 5, dtype=torch.float64)]))'
  []
  [times]
    type = Python
    expr = 'Scalar((4.0 * torch.linspace(0.0, 1.0, 32, dtype=torch.float64) ** 1.5).unsqueeze(-1) * torch.tensor([0.5, 1.0, 3.0], dtype=torch.float64))'
  []
  [values]
    type = Python
    expr = 'SR2(path.data.reshape(32, 1, 1) * torch.tensor([[12.0, -5.0, 3.0, 4.0, -2.0, 7.0]], dtype=torch.float64).expand(3, 6))'
  []
[]

[Drivers]
  [driver]
    type                  = TransientDriver
    model                 = model
    prescribed_time       = times
    prescribed_SR2_names  = applied_stress
    prescribed_SR2_values = values
    save_as               = result.pt
  []
[]

[Models]
  [element]
    type      = KelvinVoigtElement
    modulus   = 800
    viscosity = viscosities
  []
  [rate]
    type     = SR2VariableRate
    variable = strain
  []
  [equilibrium]
    type    = SR2LinearCombination
    from    = 'stress applied_stress'
    to      = equilibrium_residual
    weights = '1 -1'
  []
  [rates]
    type   = ComposedModel
    models = 'element rate equilibrium'
  []
[]

[EquationSystems]
  [eq_sys]
    type      = NonlinearSystem
    model     = rates
    unknowns  = 'strain'
    residuals = 'equilibrium_residual'
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
    unknowns_SR2 = 'strain'
  []
  [model]
    type   = ComposedModel
    models = 'update'
  []
[]
