# A bilinear interface from the jump vector to the traction: its parts, their mixity, onset and
# failure by name. Two jumps turn from opening to sliding, with contact and unloading between.
[Tensors]
  [path]
    type = Python
    expr = 'Scalar(torch.cat([torch.zeros(1, dtype=torch.float64), torch.linspace(0.0, 0.006, 9, dtype=torch.float64)[1:], torch.linspace(0.006, -0.0021, 9, dtype=torch.float64)[1:], torch.linspace(-0.0021, 0.012, 10, dtype=torch.float64)[1:], torch.linspace(0.012, 0.003, 6, dtype=torch.float64)[1:], torch.linspace(0.003, 0.024, 10, dtype=torch.float64)[1:]]))'
  []
  [times]
    type = Python
    expr = 'Scalar(torch.linspace(0.0, 2.0, 40, dtype=torch.float64).unsqueeze(-1).expand(40, 2))'
  []
  [turn]
    type = Python
    expr = 'Scalar(torch.linspace(0.1, 1.3, 40, dtype=torch.float64).unsqueeze(-1) * torch.tensor([1.0, -0.7], dtype=torch.float64))'
  []
  [jumps]
    type = Python
    expr = 'Vec(path.data.reshape(40, 1, 1) * torch.stack([torch.cos(turn.data), torch.sin(turn.data), 0.4 * torch.cos(2.0 * turn.data)], dim=-1))'
  []
[]

[Drivers]
  [driver]
    type                  = TransientDriver
    model                 = model
    prescribed_time       = times
    prescribed_Vec_names  = jump
    prescribed_Vec_values = jumps
    save_as               = result.pt
  []
[]

[Models]
  [parts]
    type = VecComponents
    from = jump
    to   = 'normal tangential_separation_1 tangential_separation_2'
  []
  [contact]
    type        = MacaulaySplit
    from        = normal
    to_positive = normal_separation
    to_negative = normal_penetration
  []
  [sliding]
    type     = ScalarPNorm
    from     = 'tangential_separation_1 tangential_separation_2'
    to       = tangential_separation
    exponent = 2
  []
  [effective]
    type     = ScalarPNorm
    from     = 'normal_separation tangential_separation'
    to       = effective_separation
    exponent = 2
  []
  [mixity]
    type = ModeMixity
  []
  [onset]
    type              = CamanhoDavilaCriticalSeparation
    mode_mixity       = 'mode_mixity'
    penalty_stiffness = 1e4
    normal_strength   = 60
    shear_strength    = 90
  []
  [failure]
    type                       = BenzeggaghKenaneFullSeparation
    mode_mixity                = 'mode_mixity'
    critical_separation        = 'critical_separation'
    penalty_stiffness          = 1e4
    mode_I_fracture_toughness  = 0.3
    mode_II_fracture_toughness = 0.9
    shear_strength             = 90
    eta                        = 2
  []
  [interface]
    type                = BilinearTraction
    normal_penetration  = normal_penetration
    penalty_stiffness   = 1e4
    critical_separation = 'critical_separation'
    full_separation     = 'full_separation'
  []
  [rate]
    type     = VecVariableRate
    variable = traction
  []
  [model]
    type               = ComposedModel
    models             = 'parts contact sliding effective mixity onset failure interface rate'
    additional_outputs = 'traction mode_mixity critical_separation full_separation'
  []
[]
