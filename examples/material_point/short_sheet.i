# An aluminium sheet (MPa) in one block: Hill's yield surface with Swift hardening, in tension
# along and across the rolling direction. Nested blocks are the longer form of one-line laws.
#
#   neml2fe run examples/material_point/short_sheet.i

[Models]
  [sheet]
    type = J2Plasticity
    elasticity = 'isotropic(E = 70e3, nu = 0.33)'
    yield_stress = 130
    [isotropic_hardening]
      type = SwiftIsotropicHardening
      strength = 400
      initial_strain = 0.008
      exponent = 0.25
    []
    equivalent_stress = 'lankford(r0 = 0.7, r45 = 0.5, r90 = 0.9)'
  []
[]

[Tensors]
  [times]
    type = Python
    expr = 'Scalar(torch.linspace(0.0, 1.0, 31).unsqueeze(-1))'
  []
  [strains]
    type = Python
    expr = 'SR2(times.data.unsqueeze(-1) * torch.tensor([[0.06, 0.0, 0.0, 0.0, 0.0, 0.0], [0.0, 0.06, 0.0, 0.0, 0.0, 0.0]]))'
  []
  [pulled]
    type = Python
    expr = 'SR2(torch.tensor([[0.0, 1.0, 1.0, 1.0, 1.0, 1.0], [1.0, 0.0, 1.0, 1.0, 1.0, 1.0]]))'
  []
[]

[Drivers]
  [tension]
    type = MixedControlDriver
    model = 'sheet'
    prescribed_time = 'times'
    prescribed_strain = 'strains'
    control = 'pulled'
  []
[]
