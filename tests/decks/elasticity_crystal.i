# Crystals in different orientations, one of them turning: cubic stiffness in total form and between
# rates, a triclinic stiffness, and isotropic stiffnesses from two pairs of moduli.
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
  [turn]
    type = Python
    expr = 'MRP(torch.linspace(0.0, 1.0, 37, dtype=torch.float64).reshape(37, 1, 1) * torch.tensor([[0.0, 0.0, 0.0], [0.0, 0.0, 0.0], [0.4, -0.2, 0.3]], dtype=torch.float64) + torch.tensor([[0.0, 0.0, 0.0], [0.3, -0.1, 0.2], [-0.1, 0.25, 0.0]], dtype=torch.float64))'
  []
  [triclinic]
    type = Python
    expr = 'SSR4(torch.tensor([[250.0e3, 140.0e3, 120.0e3, 3.0e3, -6.0e3, 2.0e3], [140.0e3, 240.0e3, 130.0e3, 1.0e3, 4.0e3, -3.0e3], [120.0e3, 130.0e3, 230.0e3, -2.0e3, 5.0e3, 7.0e3], [3.0e3, 1.0e3, -2.0e3, 160.0e3, 2.0e3, 1.0e3], [-6.0e3, 4.0e3, 5.0e3, 2.0e3, 150.0e3, -4.0e3], [2.0e3, -3.0e3, 7.0e3, 1.0e3, -4.0e3, 140.0e3]], dtype=torch.float64))'
  []
[]

[Drivers]
  [driver]
    type                  = TransientDriver
    model                 = model
    prescribed_time       = times
    prescribed_SR2_names  = E
    prescribed_SR2_values = strains
    prescribed_MRP_names  = 'orientation'
    prescribed_MRP_values = turn
    save_as               = result.pt
  []
[]

[Models]
  [cubic]
    type              = CubicElasticityTensor
    coefficients      = '7.5e4 1.3e5 0.36'
    coefficient_types = 'SHEAR_MODULUS YOUNGS_MODULUS POISSONS_RATIO'
  []
  [lead]
    type              = IsotropicElasticityTensor
    coefficients      = '1.6e4 0.44'
    coefficient_types = 'YOUNGS_MODULUS POISSONS_RATIO'
  []
  [steel]
    type              = IsotropicElasticityTensor
    coefficients      = '1.6e5 8e4'
    coefficient_types = 'BULK_MODULUS SHEAR_MODULUS'
  []
  [Erate]
    type     = SR2VariableRate
    variable = E
  []
  [crystal]
    type                     = GeneralElasticity
    strain                   = E
    elastic_stiffness_tensor = cubic
  []
  [crystal_rate]
    type                     = GeneralElasticity
    strain                   = 'E_rate'
    stress                   = 'stress_rate'
    elastic_stiffness_tensor = cubic
  []
  [mineral]
    type                     = GeneralElasticity
    strain                   = E
    stress                   = 'triclinic_stress'
    elastic_stiffness_tensor = triclinic
  []
  [lead_body]
    type                     = GeneralElasticity
    strain                   = E
    stress                   = 'lead_stress'
    elastic_stiffness_tensor = lead
  []
  [steel_body]
    type                     = GeneralElasticity
    strain                   = E
    stress                   = 'steel_stress'
    elastic_stiffness_tensor = steel
  []
  [model]
    type               = ComposedModel
    models             = 'Erate crystal crystal_rate mineral lead_body steel_body'
    additional_outputs = 'E_rate'
  []
[]
