# Functions of scalars: tables in one and two arguments (one ordinate per specimen, queries at
# knots and beyond both ends), smooth steps, norms, a ratchet, constants.
# Temperature and amplitude rise, fall and change sign.
[Tensors]
  [clock]
    type = Python
    expr = 'Scalar(torch.linspace(0.0, 4.0, 26, dtype=torch.float64).unsqueeze(-1).expand(26, 3))'
  []
  [temperatures]
    type = Python
    expr = 'Scalar(700.0 + torch.sin(1.9 * clock.data) * torch.tensor([150.0, 400.0, 550.0], dtype=torch.float64))'
  []
  [amplitudes]
    type = Python
    expr = 'Scalar(torch.cos(2.3 * clock.data) * torch.tensor([0.3, 1.0, 2.5], dtype=torch.float64))'
  []
  [knots]
    type = Python
    expr = 'Scalar(torch.tensor([300.0, 500.0, 700.0, 1000.0], dtype=torch.float64))'
  []
  [moduli]
    type = Python
    expr = 'Scalar(torch.tensor([[200.0, 190.0, 165.0, 120.0], [210.0, 204.0, 170.0, 130.0], [80.0, 75.0, 71.0, 60.0]], dtype=torch.float64))'
  []
  [rows]
    type = Python
    expr = 'Scalar(torch.tensor([-1.0, 0.0, 1.5], dtype=torch.float64))'
  []
  [scalar_grid]
    type = Python
    expr = 'Scalar(torch.tensor([[4.0, 5.0, 7.0], [3.0, 4.5, 8.0], [2.0, 4.0, 9.0], [1.0, 2.0, 9.5]], dtype=torch.float64))'
  []
  [vector_grid]
    type = Python
    expr = 'Vec(torch.cos(torch.arange(36.0, dtype=torch.float64)).reshape(4, 3, 3))'
  []
  [tensor_grid]
    type = Python
    expr = 'SR2(torch.sin(torch.arange(72.0, dtype=torch.float64)).reshape(4, 3, 6))'
  []
[]

[Drivers]
  [driver]
    type                     = TransientDriver
    model                    = model
    prescribed_time          = clock
    prescribed_Scalar_names  = 'T a'
    prescribed_Scalar_values = 'temperatures amplitudes'
    save_as                  = result.pt
  []
[]

[Models]
  [viscosity]
    type               = ArrheniusParameter
    temperature        = T
    reference_value    = 3.5
    activation_energy  = 2.4e4
    ideal_gas_constant = 8.314
  []
  [modulus]
    type     = ScalarLinearInterpolation
    argument = T
    abscissa = knots
    ordinate = moduli
  []
  [scalar_map]
    type      = ScalarBilinearInterpolation
    argument1 = T
    argument2 = a
    abscissa1 = knots
    abscissa2 = rows
    ordinate  = scalar_grid
  []
  [vector_map]
    type      = VecBilinearInterpolation
    argument1 = T
    argument2 = a
    abscissa1 = knots
    abscissa2 = rows
    ordinate  = vector_grid
  []
  [tensor_map]
    type      = SR2BilinearInterpolation
    argument1 = T
    argument2 = a
    abscissa1 = knots
    abscissa2 = rows
    ordinate  = tensor_grid
  []
  [begin]
    type  = ScalarConstantParameter
    value = -0.4
  []
  [end_of_step]
    type      = ScalarInputParameter
    variable  = modulus
    parameter = end
  []
  [scaled_end]
    type    = ScalarMultiplication
    from    = 'end viscosity'
    to      = last
    scaling = 0.2
  []
  [rise]
    type        = HermiteSmoothStep
    argument    = a
    value       = rising
    lower_bound = -0.4
    upper_bound = 1.1
  []
  [fall]
    type        = HermiteSmoothStep
    argument    = a
    value       = falling
    lower_bound = -0.2
    upper_bound = 0.9
    complement  = true
  []
  [bump]
    type        = SymmetricHermiteInterpolation
    argument    = a
    lower_bound = -0.4
    upper_bound = 0.8
  []
  [split]
    type        = MacaulaySplit
    from        = a
    to_positive = a_plus
    to_negative = a_minus
  []
  [norm]
    type     = ScalarPNorm
    from     = 'a_minus rising scalar_map'
    to       = size
    exponent = 2.5
    weights  = '1.5 1 0.2'
  []
  [sharp_norm]
    type     = ScalarPNorm
    from     = 'a rising'
    to       = sharp_size
    exponent = 9
  []
  [ratchet]
    type = IrreversibleScalar
    from = a_plus
    to   = largest
  []
  [seven]
    type = ScalarParameterToVariable
    from = 7
    to   = lucky
  []
  [sum]
    type    = ScalarLinearCombination
    from    = 'lucky a'
    to      = sum_of_both
    weights = '2 -1'
    offset  = 0.5
  []
  [copy]
    type = CopyScalar
    from = sum_of_both
    to   = sum_again
  []
  [speed]
    type     = ScalarVariableRate
    variable = a
  []
  [model]
    type               = ComposedModel
    models             = 'speed viscosity modulus scalar_map vector_map tensor_map begin end_of_step scaled_end rise fall bump split norm sharp_norm ratchet seven sum copy'
    additional_outputs = 'viscosity modulus scalar_map rising a_plus a_minus'
  []
[]
