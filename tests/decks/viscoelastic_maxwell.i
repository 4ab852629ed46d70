# A Maxwell solid from an isotropic spring and a dashpot: ramp, relaxation, reversal, relaxation,
# at three rates with three viscosities.
[Tensors]
  [viscosities]
    type = Python
    expr = 'Scalar(torch.tensor([400.0, 900.0, 2500.0], dtype=torch.float64))'
  []
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
  [elastic_strain]
    type    = SR2LinearCombination
    from    = 'strain viscous_strain'
    to      = 'elastic_strain'
    weights = '1 -1'
  []
  [spring]
    type              = LinearIsotropicElasticity
    coefficients      = '1500 0.3'
    coefficient_types = 'YOUNGS_MODULUS POISSONS_RATIO'
    strain            = 'elastic_strain'
  []
  [dashpot]
    type      = LinearDashpot
    viscosity = viscosities
  []
  [integrate_viscous_strain]
    type     = SR2BackwardEulerTimeIntegration
    variable = 'viscous_strain'
  []
  [rates]
    type   = ComposedModel
    models = 'elastic_strain spring dashpot integrate_viscous_strain'
  []
[]

[EquationSystems]
  [eq_sys]
    type      = NonlinearSystem
    model     = rates
    unknowns  = 'viscous_strain'
    residuals = 'viscous_strain_residual'
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
    unknowns_SR2 = 'viscous_strain'
  []
  [model]
    type               = ComposedModel
    models             = 'update elastic_strain spring'
    additional_outputs = 'viscous_strain'
  []
[]
