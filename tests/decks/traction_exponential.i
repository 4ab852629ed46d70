# The exponential interface of Salehani and Irani.
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
    prescribed_Scalar_names  = 'dn dp s1 s2'
    prescribed_Scalar_values = 'opening penetration slide_1 slide_2'
    save_as                  = result.pt
  []
[]

[Models]
  [interface]
    type                             = SalehaniIraniTraction
    normal_separation                = dn
    normal_penetration               = dp
    tangential_separation_1          = s1
    tangential_separation_2          = s2
    normal_characteristic_length     = 0.004
    tangential_characteristic_length = 0.006
    normal_strength                  = 60
    shear_strength                   = 90
    penalty_stiffness                = 50000.0
  []
  [rate]
    type     = VecVariableRate
    variable = traction
  []
  [model]
    type               = ComposedModel
    models             = 'interface rate'
    additional_outputs = 'traction'
  []
[]
