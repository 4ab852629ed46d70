# Stresses of three specimens of four grains each: sum, mean and differences over the grains, sum
# and mean over the specimens.
[Tensors]
  [times]
    type = Python
    expr = 'Scalar(torch.linspace(0.0, 1.0, 9, dtype=torch.float64).unsqueeze(-1).expand(9, 3))'
  []
  [strain_rates]
    type = Python
    expr = 'SR2(torch.cos(4.0 * times.data).unsqueeze(-1) * torch.tensor([[0.01, -0.004, 0.002, 0.003, -0.001, 0.006], [0.0, 0.008, -0.008, 0.006, 0.0, 0.0], [0.004, 0.004, 0.0, 0.0, 0.002, -0.003]], dtype=torch.float64))'
  []
  [turn]
    type = Python
    expr = 'MRP((0.4 * torch.sin(7.0 * torch.linspace(0.1, 1.2, 12, dtype=torch.float64))).reshape(4, 3).expand(9, 3, 4, 3), sub_batch_ndim=1)'
  []
  [stiffness]
    type = Python
    expr = 'SSR4(torch.tensor([[200.0, 110.0, 100.0, 4.0, -6.0, 3.0], [110.0, 190.0, 105.0, -5.0, 7.0, 2.0], [100.0, 105.0, 210.0, 6.0, 1.0, -4.0], [4.0, -5.0, 6.0, 140.0, 3.0, -2.0], [-6.0, 7.0, 1.0, 3.0, 150.0, 5.0], [3.0, 2.0, -4.0, -2.0, 5.0, 130.0]], dtype=torch.float64) * 1e3)'
  []
[]

[Drivers]
  [driver]
    type                  = TransientDriver
    model                 = model
    prescribed_time       = times
    prescribed_SR2_names  = strain_rate
    prescribed_SR2_values = strain_rates
    prescribed_MRP_names  = orientation
    prescribed_MRP_values = turn
    save_as               = result.pt
  []
[]

[Models]
  [integrate]
    type     = SR2ForwardEulerTimeIntegration
    variable = strain
  []
  [elasticity]
    type                     = GeneralElasticity
    elastic_stiffness_tensor = stiffness
    strain                   = strain
    stress                   = grain_stress
  []
  [grain_mean]
    type    = SR2IntermediateMean
    from    = grain_stress
    to      = stress
    reduces = grain
  []
  [grain_sum]
    type    = SR2IntermediateSum
    from    = grain_stress
    to      = grain_sum
    reduces = grain
  []
  [grain_differences]
    type    = SR2IntermediateDiff
    from    = grain_stress
    to      = grain_differences
    reduces = grain
    dim     = 0
  []
  [second_differences]
    type    = SR2IntermediateDiff
    from    = grain_stress
    to      = second_differences
    reduces = grain
    dim     = -1
    n       = 2
  []
  [specimen_sum]
    type = SR2DynamicSum
    from = stress
    to   = specimen_sum
    dim  = -1
  []
  [specimen_mean]
    type = SR2DynamicMean
    from = stress
    to   = specimen_mean
    dim  = -1
  []
  [model]
    type               = ComposedModel
    models             = 'integrate elasticity grain_mean grain_sum grain_differences second_differences specimen_sum specimen_mean'
    additional_outputs = 'strain grain_stress stress'
  []
[]
