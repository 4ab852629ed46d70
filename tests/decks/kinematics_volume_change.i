# Finite strain: thermal expansion and a liquid that swells and freezes in the pores are taken out of
# the deformation gradient; Green-Lagrange strain of the rest, elastic.
[Tensors]
  [path]
    type = Python
    expr = 'Scalar(torch.cat([torch.linspace(0.0, 1.0, 11, dtype=torch.float64), torch.linspace(0.85, -1.0, 18, dtype=torch.float64), torch.linspace(-0.8, 0.3, 8, dtype=torch.float64)]))'
  []
  [times]
    type = Python
    expr = 'Scalar(torch.linspace(0.0, 3.6, 37, dtype=torch.float64).unsqueeze(-1).expand(37, 2))'
  []
  [gradients]
    type = Python
    expr = 'R2(torch.eye(3, dtype=torch.float64) + path.data.reshape(37, 1, 1, 1) * torch.tensor([[[0.02, 0.04, -0.02], [0.01, -0.016, 0.01], [0.0, -0.04, 0.024]], [[-0.01, 0.0, 0.02], [0.02, 0.004, 0.0], [0.06, 0.0, 0.002]]], dtype=torch.float64))'
  []
  [temperatures]
    type = Python
    expr = 'Scalar(300.0 + torch.cat([torch.linspace(0.0, 1.0, 19, dtype=torch.float64), torch.linspace(0.9, -0.2, 18, dtype=torch.float64)]).unsqueeze(-1) * torch.tensor([500.0, -100.0], dtype=torch.float64))'
  []
  [fluids]
    type = Python
    expr = 'Scalar(0.3 + torch.cat([torch.linspace(0.0, 1.0, 19, dtype=torch.float64), torch.linspace(0.9, -0.2, 18, dtype=torch.float64)]).unsqueeze(-1) * torch.tensor([0.2, -0.1], dtype=torch.float64))'
  []
  [liquids]
    type = Python
    expr = 'Scalar(torch.cat([torch.linspace(1.0, 0.0, 19, dtype=torch.float64), torch.linspace(0.0, 0.6, 18, dtype=torch.float64)]).unsqueeze(-1) * torch.tensor([1.0, 0.5], dtype=torch.float64))'
  []
[]

[Drivers]
  [driver]
    type                     = TransientDriver
    model                    = model
    prescribed_time          = times
    prescribed_R2_names      = F
    prescribed_R2_values     = gradients
    prescribed_Scalar_names  = 'T fluid liquid'
    prescribed_Scalar_values = 'temperatures fluids liquids'
    save_as                  = result.pt
  []
[]

[Models]
  [expansion]
    type    = ScalarLinearCombination
    from    = T
    to      = cte
    weights = 6e-9
    offset  = 3.3e-5
  []
  [thermal]
    type                  = ThermalDeformationJacobian
    temperature           = T
    jacobian              = Jth
    reference_temperature = 300
    CTE                   = expansion
  []
  [freezing]
    type                        = SwellingAndPhaseChangeDeformationJacobian
    fluid_fraction              = fluid
    jacobian                    = Jf
    phase_fraction              = liquid
    swelling_coefficient        = 0.02
    reference_volume_difference = 0.09
  []
  [volume]
    type = ScalarMultiplication
    from = 'Jth Jf'
    to   = J
  []
  [adjust]
    type     = VolumeAdjustDeformationGradient
    input    = F
    jacobian = J
    output   = Fe
  []
  [strain]
    type                 = GreenLagrangeStrain
    deformation_gradient = Fe
    strain               = Ee
  []
  [elasticity]
    type              = LinearIsotropicElasticity
    coefficients      = '2e5 0.3'
    coefficient_types = 'YOUNGS_MODULUS POISSONS_RATIO'
    strain            = Ee
  []
  [Frate]
    type     = R2VariableRate
    variable = F
  []
  [model]
    type               = ComposedModel
    models             = 'thermal freezing volume adjust strain elasticity Frate'
    additional_outputs = 'Jth Jf J Fe Ee'
  []
[]
