# The steel of ../steel.i in uniaxial tests at five strain rates, a decade apart: pulled to
# 3 %, pushed back to -1 %, pulled to 3 % again. The axial strain is prescribed, all other
# stresses are zero.
#
#   neml2fe run examples/material_point/uniaxial.i

!include ../steel.i

[Tensors]
  [rates]
    type = Python
    expr = 'Scalar(torch.logspace(-5.0, -1.0, 5))'
  []
  # The path in strain, 1 is 3 %: 40 steps up, 50 down, 50 up.
  [path]
    type = Python
    expr = 'torch.cat([torch.linspace(0.0, 1.0, 41), torch.linspace(1.0, -1.0 / 3.0, 51)[1:], torch.linspace(-1.0 / 3.0, 1.0, 51)[1:]])'
  []
  [distance]
    type = Python
    expr = 'torch.cat([torch.zeros(1), (path[1:] - path[:-1]).abs().cumsum(0)])'
  []
  [times]
    type = Python
    expr = 'Scalar(0.03 * distance.unsqueeze(-1) / rates.data)'
  []
  [strains]
    type = Python
    expr = 'SR2.fill(0.03 * path, 0.0, 0.0, 0.0, 0.0, 0.0)[:, None]'
  []
[]

[Drivers]
  [uniaxial]
    type = MixedControlDriver
    model = 'viscoplasticity'
    prescribed_time = 'times'
    prescribed_strain = 'strains'
    control = 'strain stress stress stress stress stress'
    save_as = 'uniaxial.pt'
  []
[]
