# The material of the plate alone: strain and mixed control of two specimens, three figures.
!include viscoplastic.i

[Tensors]
  [times]
    type = Python
    expr = 'Scalar(torch.linspace(0.0, 1.0, 9, dtype=torch.float64).unsqueeze(-1).expand(9, 2))'
  []
  [ends]
    type = Python
    expr = 'torch.tensor([[0.01, -0.004, -0.004, 0.0, 0.0, 0.002], [0.02, -0.01, -0.01, 0.0, 0.0, 0.0]], dtype=torch.float64)'
  []
  [strains]
    type = Python
    expr = 'SR2(times.data.unsqueeze(-1) * ends)'
  []
  [jump]
    type = Python
    expr = 'SR2(strains.data * (1.0 + 1.0e9 * (times.data.unsqueeze(-1) > 0.6)))'
  []
  [column]
    type = Python
    expr = 'SR2(torch.zeros(9, 2, 5, dtype=torch.float64))'
  []
  [short]
    type = Python
    expr = 'SR2(strains.data[:4])'
  []
[]

[Drivers]
  [strained]
    type = TransientDriver
    model = 'model'
    prescribed_time = 'times'
    prescribed_SR2_names = 'strain'
    prescribed_SR2_values = 'strains'
  []
  [uniaxial]
    type = MixedControlDriver
    model = 'model'
    prescribed_time = 'times'
    control = 'strain stress stress stress stress stress'
    prescribed_strain = 'strains'
  []
[]
