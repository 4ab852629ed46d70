# A bilinear interface with the Benzeggagh-Kenane criterion.
# Four specimens (mode I, mode II, mixed, changing mixity) opened, closed into contact, reopened,
# unloaded, broken and closed again.
[Tensors]
  [path]
    type = Python
    expr = 'Scalar(0.01 * torch.cat([torch.zeros(1, dtype=torch.float64), torch.linspace(0.0, 0.5, 7, dtype=torch.float64)[1:], torch.linspace(0.5, -0.15, 7, dtype=torch.float64)[1:], torch.linspace(-0.15, 0.9, 9, dtype=torch.float64)[1:], torch.linspace(0.9, 0.2, 7, dtype=torch.float64)[1:], torch.linspace(0.2, 2.4, 10, dtype=torch.float64)[1:], torch.linspace(2.4, -0.3, 9, dtype=torch.float64)[1:]]))'
  []
  [times]
    type = Python
    expr = 'Scalar(torch.linspace(0.0, 1.0, 44, dtype=torch.float64).unsqueeze(-1).expand(44, 4))'
  []
  [turn]
    type = Python
    expr = 'Scalar(0.2 + torch.linspace(0.0, 1.0, 44, dtype=torch.float64).unsqueeze(-1) * torch.tensor([0.0, 0.0, 0.0, 1.0], dtype=torch.float64))'
  []
  [normal]
    type = Python
    expr = 'Scalar(path.data.unsqueeze(-1) * torch.tensor([1.0, 0.0, 0.8, 0.7], dtype=torch.float64))'
  []
  [opening]
    type = Python
    expr = 'Scalar(torch.clamp(normal.data, min=0.0))'
  []
  [penetration]
    type = Python
    expr = 'Scalar(torch.clamp(normal.data, max=0.0))'
  []
  [slide_1]
    type = Python
    expr = 'Scalar(path.data.unsqueeze(-1) * torch.tensor([0.0, 1.0, 0.5, 1.0], dtype=torch.float64) * turn.data)'
  []
  [slide_2]
    type = Python
    expr = 'Scalar(path.data.unsqueeze(-1) * torch.tensor([0.0, -0.3, 0.4, 0.1], dtype=torch.float64))'
  []
  [slide]
    type = Python
    expr = 'Scalar(torch.sqrt(slide_1.data ** 2 + slide_2.data ** 2))'
  []
  [effective]
    type = Python
    expr = 'Scalar(torch.sqrt(opening.data ** 2 + slide.data ** 2))'
  []
[]

[Drivers]
  [driver]
    type                     = TransientDriver
    model                    = model
    prescribed_time          = times
    prescribed_Scalar_names  = 'dn dp s1 s2 s m'
    prescribed_Scalar_values = 'opening penetration slide_1 slide_2 slide effective'
    save_as                  = result.pt
  []
[]

[Models]
  [mixity]
    type                  = ModeMixity
    normal_separation     = dn
    tangential_separation = s
  []
  [critical]
    type              = CamanhoDavilaCriticalSeparation
    normal_separation = dn
    mode_mixity       = mixity
    penalty_stiffness = 10000
    normal_strength   = 60
    shear_strength    = 90
  []
  [full]
    type                       = BenzeggaghKenaneFullSeparation
    normal_separation          = dn
    mode_mixity                = mixity
    critical_separation        = critical
    penalty_stiffness          = 10000
    mode_I_fracture_toughness  = 0.3
    mode_II_fracture_toughness = 0.9
    shear_strength             = 90
    eta                        = 1.6
  []
  [interface]
    type                    = BilinearTraction
    effective_separation    = m
    normal_separation       = dn
    normal_penetration      = dp
    tangential_separation_1 = s1
    tangential_separation_2 = s2
    penalty_stiffness       = 10000
    critical_separation     = critical
    full_separation         = full
  []
  [rate]
    type     = VecVariableRate
    variable = traction
  []
  [model]
    type               = ComposedModel
    models             = 'mixity critical full interface rate'
    additional_outputs = 'traction mode_mixity critical_separation full_separation'
  []
[]
