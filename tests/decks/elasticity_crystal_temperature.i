# A cubic crystal whose moduli fall with temperature: the stiffness is a model of models. The stress
# is summed from its rates. One crystal turns, one stays cold.
[Tensors]
  [path]
    type = Python
    expr = 'Scalar(torch.cat([torch.linspace(0.0, 1.0, 11, dtype=torch.float64), torch.linspace(0.85, -1.0, 18, dtype=torch.float64), torch.linspace(-0.8, 0.3, 8, dtype=torch.float64)]))'
  []
  [times]
    type = Python
    expr = 'Scalar(torch.linspace(0.0, 3.6, 37, dtype=torch.float64).unsqueeze(-1).expand(37, 3))'
  []
  [temperatures]
    type = Python
    expr = 'Scalar(torch.linspace(20.0, 800.0, 37, dtype=torch.float64).unsqueeze(-1) * torch.tensor([1.0, 0.5, 0.0], dtype=torch.float64))'
  []
  [strains]
    type = Python
    expr = 'SR2(path.data.reshape(37, 1, 1) * torch.tensor([[0.004, -0.001, -0.002, 0.001, 0.0, 0.002], [0.001, 0.001, -0.002, 0.003, 0.002, 0.0], [-0.002, 0.001, 0.0, 0.0, 0.001, -0.003]], dtype=torch.float64))'
  []
  [turn]
    type = Python
    expr = 'MRP(torch.linspace(0.0, 1.0, 37, dtype=torch.float64).reshape(37, 1, 1) * torch.tensor([[0.0, 0.0, 0.0], [0.0, 0.0, 0.0], [0.4, -0.2, 0.3]], dtype=torch.float64) + torch.tensor([[0.0, 0.0, 0.0], [0.3, -0.1, 0.2], [-0.1, 0.25, 0.0]], dtype=torch.float64))'
  []
[]

[Drivers]
  [driver]
    type                     = TransientDriver
    model                    = model
    prescribed_time          = times
    prescribed_SR2_names     = E
    prescribed_SR2_values    = strains
    prescribed_MRP_names     = 'orientation'
    prescribed_MRP_values    = turn
    prescribed_Scalar_names  = T
    prescribed_Scalar_values = temperatures
    save_as                  = result.pt
  []
[]

[Models]
  [youngs]
    type    = ScalarLinearCombination
    from    = T
    to      = young
    weights = -55
    offset  = 1.3e5
  []
  [shear]
    type    = ScalarLinearCombination
    from    = T
    to      = mu
    weights = -25
    offset  = 7.5e4
  []
  [cubic]
    type              = CubicElasticityTensor
    coefficients      = 'shear youngs 0.36'
    coefficient_types = 'SHEAR_MODULUS YOUNGS_MODULUS POISSONS_RATIO'
  []
  [hot]
    type              = IsotropicElasticityTensor
    coefficients      = 'youngs 0.36'
    coefficient_types = 'YOUNGS_MODULUS POISSONS_RATIO'
  []
  [Erate]
    type     = SR2VariableRate
    variable = E
  []
  [crystal_rate]
    type                     = GeneralElasticity
    strain                   = 'E_rate'
    stress                   = 'stress_rate'
    elastic_stiffness_tensor = cubic
  []
  [integrate_stress]
    type     = SR2ForwardEulerTimeIntegration
    variable = stress
  []
  [hot_body]
    type                     = GeneralElasticity
    strain                   = E
    stress                   = 'hot_stress'
    elastic_stiffness_tensor = hot
  []
  [model]
    type   = ComposedModel
    models = 'Erate crystal_rate integrate_stress hot_body'
  []
[]
