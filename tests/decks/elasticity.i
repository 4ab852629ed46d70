# Linear isotropic elasticity in total form, in rate form, and as a compliance of another
# material fed with the stress. One unbatched specimen.
[Tensors]
  [times]
    type = Python
    expr = 'Scalar(torch.linspace(0.0, 2.0, 4, dtype=torch.float64))'
  []
  [strains]
    type = Python
    expr = 'SR2(torch.linspace(0.0, 1.0, 4, dtype=torch.float64).unsqueeze(-1) * torch.tensor([0.01, -0.004, 0.002, 0.003, -0.001, 0.005], dtype=torch.float64))'
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
  [elasticity]
    type              = LinearIsotropicElasticity
    coefficients      = '2e5 0.3'
    coefficient_types = 'YOUNGS_MODULUS POISSONS_RATIO'
    strain            = E
  []
  [compliance]
    type              = LinearIsotropicElasticity
    coefficients      = '1.8e5 0.35'
    coefficient_types = 'YOUNGS_MODULUS POISSONS_RATIO'
    compliance        = true
    strain            = 'strain_back'
  []
  [Erate]
    type     = SR2VariableRate
    variable = E
  []
  [rate_elasticity]
    type              = LinearIsotropicElasticity
    coefficients      = '2e5 0.3'
    coefficient_types = 'YOUNGS_MODULUS POISSONS_RATIO'
    strain            = E
    stress            = s
    rate_form         = true
  []
  [model]
    type               = ComposedModel
    models             = 'elasticity compliance Erate rate_elasticity'
    additional_outputs = 'stress E_rate'
  []
[]
