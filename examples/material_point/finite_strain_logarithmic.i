# The small-strain steel of ../steel.i at finite strain, in simple shear to gamma = 1 and back
# at three rates, a decade apart. The wrapper feeds the logarithmic strain to `viscoplasticity`,
# whose variables keep their names, and gives the Cauchy stress.
#
#   neml2fe run examples/material_point/finite_strain_logarithmic.i

!include ../steel.i

[Models]
  [steel]
    type = LogarithmicStrainWrapper
    model = 'viscoplasticity'
    measure = 'CAUCHY'
  []
[]

[Tensors]
  [rates]
    type = Python
    expr = 'torch.logspace(-3.0, -1.0, 3)'
  []
  [path]
    type = Python
    expr = 'torch.cat([torch.linspace(0.0, 1.0, 21), torch.linspace(1.0, 0.0, 21)[1:]])'
  []
  [times]
    type = Python
    expr = 'Scalar(torch.linspace(0.0, 2.0, 41).unsqueeze(-1) / rates)'
  []
  [shear]
    type = Python
    expr = 'R2(torch.eye(3) + path[:, None, None] * torch.tensor([[0.0, 1.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]]))[:, None]'
  []
[]

[Drivers]
  [steel]
    type = TransientDriver
    model = 'steel'
    prescribed_time = 'times'
    prescribed_R2_names = 'F'
    prescribed_R2_values = 'shear'
    save_as = 'finite_strain_logarithmic.pt'
  []
[]
