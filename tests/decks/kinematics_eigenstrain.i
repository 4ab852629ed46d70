# Thermal expansion with a coefficient that grows with temperature, a change of volume and a phase
# transformation, taken from the strain of an elastic material.
[Tensors]
  [path]
    type = Python
    expr = 'Scalar(torch.cat([torch.linspace(0.0, 1.0, 11, dtype=torch.float64), torch.linspace(0.85, -1.0, 18, dtype=torch.float64), torch.linspace(-0.8, 0.3, 8, dtype=torch.float64)]))'
  []
  [times]
    type = Python
    expr = 'Scalar(torch.linspace(0.0, 3.6, 37, dtype=torch.float64).unsqueeze(-1).expand(37, 3))'
  []
  [strains]
    type = Python
    expr = 'SR2(path.data.reshape(37, 1, 1) * torch.tensor([[0.004, -0.001, -0.002, 0.001, 0.0, 0.002], [0.001, 0.001, -0.002, 0.003, 0.002, 0.0], [-0.002, 0.001, 0.0, 0.0, 0.001, -0.003]], dtype=torch.float64))'
  []
  [temperatures]
    type = Python
    expr = 'Scalar(300.0 + torch.cat([torch.linspace(0.0, 1.0, 19, dtype=torch.float64), torch.linspace(0.9, -0.2, 18, dtype=torch.float64)]).unsqueeze(-1) * torch.tensor([500.0, 300.0, -100.0], dtype=torch.float64))'
  []
  [volumes]
    type = Python
    expr = 'Scalar(2.0 + torch.cat([torch.linspace(0.0, 1.0, 19, dtype=torch.float64), torch.linspace(0.9, -0.2, 18, dtype=torch.float64)]).unsqueeze(-1) * torch.tensor([0.05, -0.03, 0.0], dtype=torch.float64))'
  []
  [fractions]
    type = Python
    expr = 'Scalar(torch.cat([torch.linspace(0.0, 1.0, 19, dtype=torch.float64), torch.linspace(0.9, -0.2, 18, dtype=torch.float64)]).unsqueeze(-1) ** 2 * torch.tensor([1.0, 0.4, 0.8], dtype=torch.float64))'
  []
  [changes]
    type = Python
    expr = 'Scalar(0.01 + torch.cat([torch.linspace(0.0, 1.0, 19, dtype=torch.float64), torch.linspace(0.9, -0.2, 18, dtype=torch.float64)]).unsqueeze(-1) * torch.tensor([0.0, 0.004, -0.02], dtype=torch.float64))'
  []
[]

[Drivers]
  [driver]
    type                     = TransientDriver
    model                    = model
    prescribed_time          = times
    prescribed_SR2_names     = E
    prescribed_SR2_values    = strains
    prescribed_Scalar_names  = 'T V phase change'
    prescribed_Scalar_values = 'temperatures volumes fractions changes'
    save_as                  = result.pt
  []
[]

[Models]
  [expansion]
    type    = ScalarLinearCombination
    from    = T
    to      = cte
    weights = 2e-9
    offset  = 1.1e-5
  []
  [thermal]
    type                  = ThermalEigenstrain
    temperature           = T
    eigenstrain           = Eth
    reference_temperature = 300
    CTE                   = expansion
  []
  [swelling]
    type             = VolumeChangeEigenstrain
    volume           = V
    eigenstrain      = Ev
    reference_volume = 2.0
  []
  [transformation]
    type                   = PhaseTransformationEigenstrain
    phase_fraction         = phase
    volume_fraction_change = change
    eigenstrain            = Ept
  []
  [elastic_strain]
    type    = SR2LinearCombination
    from    = 'E Eth Ev Ept'
    to      = 'elastic_strain'
    weights = '1 -1 -1 -1'
  []
  [elasticity]
    type              = LinearIsotropicElasticity
    coefficients      = '2e5 0.3'
    coefficient_types = 'YOUNGS_MODULUS POISSONS_RATIO'
    strain            = 'elastic_strain'
  []
  [thermal_rate]
    type     = SR2VariableRate
    variable = Eth
  []
  [model]
    type               = ComposedModel
    models             = 'thermal swelling transformation elastic_strain elasticity thermal_rate'
    additional_outputs = 'Eth Ev Ept'
  []
[]
