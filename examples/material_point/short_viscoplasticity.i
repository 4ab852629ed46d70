# A steel (MPa, s) in one block: Perzyna viscoplasticity with Voce hardening, two back stresses
# and thermal expansion, in uniaxial tests at five strain rates while it gets warmer.
# `neml2fe inspect` prints the long deck that the block stands for.
#
#   neml2fe run examples/material_point/short_viscoplasticity.i

[Models]
  [yield_stress]
    type = ScalarLinearInterpolation
    argument = 'temperature'
    abscissa = 'temperatures'
    ordinate = 'yield_stresses'
  []
  [steel]
    type = J2Viscoplasticity
    elasticity = 'isotropic(E = 200e3, nu = 0.3)'
    yield_stress = 'yield_stress'
    isotropic_hardening = 'voce(R = 100, d = 12)'
    kinematic_hardening = 'chaboche(C = 1e4, g = 100, A = 1e-8, a = 1.2) + linear(H = 1000)'
    flow = 'perzyna(eta = 100, n = 4)'
    thermal_expansion = 1.2e-5
    reference_temperature = 293.15
  []
[]

[Tensors]
  [temperatures]
    type = Python
    expr = 'Scalar(torch.tensor([293.15, 673.15, 973.15]))'
  []
  [yield_stresses]
    type = Python
    expr = 'Scalar(torch.tensor([120.0, 90.0, 40.0]))'
  []
  [rates]
    type = Python
    expr = 'Scalar(torch.logspace(-5.0, -1.0, 5))'
  []
  # Up to 2 % and back to -1 %.
  [path]
    type = Python
    expr = 'torch.cat([torch.linspace(0.0, 0.02, 21), torch.linspace(0.02, -0.01, 31)[1:]])'
  []
  [distance]
    type = Python
    expr = 'torch.cat([torch.zeros(1), (path[1:] - path[:-1]).abs().cumsum(0)])'
  []
  [times]
    type = Python
    expr = 'Scalar(distance.unsqueeze(-1) / rates.data)'
  []
  [strains]
    type = Python
    expr = 'SR2.fill(path, 0.0, 0.0, 0.0, 0.0, 0.0)[:, None]'
  []
  [warm]
    type = Python
    expr = 'Scalar(torch.linspace(293.15, 573.15, 51).unsqueeze(-1))'
  []
[]

[Drivers]
  [uniaxial]
    type = MixedControlDriver
    model = 'steel'
    prescribed_time = 'times'
    prescribed_strain = 'strains'
    prescribed_Scalar_names = 'temperature'
    prescribed_Scalar_values = 'warm'
    control = 'strain stress stress stress stress stress'
  []
[]
