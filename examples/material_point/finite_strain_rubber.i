# Treloar's vulcanised rubber (MPa) by Ogden's three terms, in simple shear F = 1 + gamma e1 e2
# up to gamma = 4. Of shear and normal stresses, the difference is gamma times the former in any
# isotropic elastic material.
#
#   neml2fe run examples/material_point/finite_strain_rubber.i

[Models]
  [rubber]
    type = Ogden
    coefficients = '0.63 0.0012 -0.01'
    exponents = '1.3 5.0 -2.0'
    bulk_modulus = 400
    measure = 'CAUCHY'
  []
[]

[Tensors]
  [times]
    type = Python
    expr = 'Scalar(torch.linspace(0.0, 1.0, 41))'
  []
  [shear]
    type = Python
    expr = 'R2(torch.eye(3) + 4.0 * times.data[:, None, None] * torch.tensor([[0.0, 1.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]]))'
  []
[]

[Drivers]
  [rubber]
    type = TransientDriver
    model = 'rubber'
    prescribed_time = 'times'
    prescribed_R2_names = 'F'
    prescribed_R2_values = 'shear'
    save_as = 'finite_strain_rubber.pt'
  []
[]
