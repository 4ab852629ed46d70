# Tensors of every type: constants, parameters fed by variables, copies; parts, determinants and
# products of a deformation gradient that is turned and stretched back and forth; rotation
# matrices of an orientation integrated explicitly; forward Euler and rates.
[Tensors]
  [clock]
    type = Python
    expr = 'Scalar(torch.linspace(0.0, 3.0, 25, dtype=torch.float64).unsqueeze(-1).expand(25, 2))'
  []
  [wave]
    type = Python
    expr = 'Scalar(torch.sin(2.1 * clock.data) * torch.tensor([1.0, -0.6], dtype=torch.float64))'
  []
  [gradients]
    type = Python
    expr = 'R2(torch.eye(3, dtype=torch.float64) + wave.data.reshape(25, 2, 1, 1) * torch.tensor([[0.2, 0.3, 0.0], [-0.1, -0.15, 0.05], [0.02, 0.1, 0.1]], dtype=torch.float64))'
  []
  [strains]
    type = Python
    expr = 'SR2(wave.data.unsqueeze(-1) * torch.tensor([0.5, -0.2, 0.1, 0.3, -0.1, 0.2], dtype=torch.float64))'
  []
  [vectors]
    type = Python
    expr = 'Vec(torch.cos(clock.data).unsqueeze(-1) * torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64))'
  []
  [spins]
    type = Python
    expr = 'WR2(torch.stack([torch.cos(clock.data), 0.5 * wave.data, 0.3 + clock.data * 0.1], dim=-1) * 0.8)'
  []
  [turns]
    type = Python
    expr = 'MRP(wave.data.unsqueeze(-1) * torch.tensor([0.1, 0.3, -0.2], dtype=torch.float64))'
  []
  [stiffnesses]
    type = Python
    expr = 'SSR4(wave.data.reshape(25, 2, 1, 1) * (torch.eye(6, dtype=torch.float64) + 0.1 * torch.arange(36.0, dtype=torch.float64).reshape(6, 6)))'
  []
  [directions]
    type = Python
    expr = 'MillerIndex(clock.data.unsqueeze(-1) * torch.tensor([1.0, 1.0, 2.0], dtype=torch.float64))'
  []
  [scale]
    type = Python
    expr = 'Scalar(torch.tensor([1.0, 1.5], dtype=torch.float64))'
  []
  [a_vector]
    type = Python
    expr = 'Vec(scale.data.unsqueeze(-1) * torch.tensor([0.3, -0.1, 0.7], dtype=torch.float64))'
  []
  [a_matrix]
    type = Python
    expr = 'R2(scale.data.reshape(2, 1, 1) * torch.tensor([[0.3, -0.1, 0.7], [0.2, 0.9, 0.0], [-0.4, 0.1, 1.1]], dtype=torch.float64))'
  []
  [a_strain]
    type = Python
    expr = 'SR2(scale.data.unsqueeze(-1) * torch.tensor([0.3, -0.1, 0.7, 0.2, 0.9, -0.4], dtype=torch.float64))'
  []
  [a_spin]
    type = Python
    expr = 'WR2(scale.data.unsqueeze(-1) * torch.tensor([0.3, -0.1, 0.7], dtype=torch.float64))'
  []
  [a_turn]
    type = Python
    expr = 'MRP(scale.data.unsqueeze(-1) * torch.tensor([0.2, -0.1, 0.05], dtype=torch.float64))'
  []
  [a_direction]
    type = Python
    expr = 'MillerIndex(scale.data.unsqueeze(-1) * torch.tensor([1.0, 1.0, 2.0], dtype=torch.float64))'
  []
  [a_stiffness]
    type = Python
    expr = 'SSR4(torch.eye(6, dtype=torch.float64) + 0.1 * scale.data.reshape(2, 1, 1) * torch.arange(36.0, dtype=torch.float64).reshape(6, 6))'
  []
[]

[Drivers]
  [driver]
    type                          = TransientDriver
    model                         = model
    prescribed_time               = clock
    prescribed_Scalar_names       = w
    prescribed_Scalar_values      = wave
    prescribed_R2_names           = F
    prescribed_R2_values          = gradients
    prescribed_SR2_names          = E
    prescribed_SR2_values         = strains
    prescribed_Vec_names          = v
    prescribed_Vec_values         = vectors
    prescribed_WR2_names          = spin
    prescribed_WR2_values         = spins
    prescribed_MRP_names          = turn
    prescribed_MRP_values         = turns
    prescribed_SSR4_names         = C
    prescribed_SSR4_values        = stiffnesses
    prescribed_MillerIndex_names  = hkl
    prescribed_MillerIndex_values = directions
    save_as                       = result.pt
  []
[]

[Models]
  [constant_vec]
    type  = VecConstantParameter
    value = a_vector
  []
  [input_vec]
    type      = VecInputParameter
    variable  = v
    parameter = parameter_vec
  []
  [variable_vec]
    type  = VecParameterToVariable
    from  = a_vector
    to    = fixed_vec
  []
  [copy_vec]
    type  = CopyVec
    from  = parameter_vec
    to    = again_vec
  []
  [constant_r2]
    type  = R2ConstantParameter
    value = a_matrix
  []
  [input_r2]
    type      = R2InputParameter
    variable  = F
    parameter = parameter_r2
  []
  [variable_r2]
    type  = R2ParameterToVariable
    from  = a_matrix
    to    = fixed_r2
  []
  [copy_r2]
    type  = CopyR2
    from  = parameter_r2
    to    = again_r2
  []
  [constant_sr2]
    type  = SR2ConstantParameter
    value = a_strain
  []
  [input_sr2]
    type      = SR2InputParameter
    variable  = E
    parameter = parameter_sr2
  []
  [variable_sr2]
    type  = SR2ParameterToVariable
    from  = a_strain
    to    = fixed_sr2
  []
  [copy_sr2]
    type  = CopySR2
    from  = parameter_sr2
    to    = again_sr2
  []
  [constant_wr2]
    type  = WR2ConstantParameter
    value = a_spin
  []
  [input_wr2]
    type      = WR2InputParameter
    variable  = spin
    parameter = parameter_wr2
  []
  [variable_wr2]
    type  = WR2ParameterToVariable
    from  = a_spin
    to    = fixed_wr2
  []
  [copy_wr2]
    type  = CopyWR2
    from  = parameter_wr2
    to    = again_wr2
  []
  [constant_mrp]
    type  = MRPConstantParameter
    value = a_turn
  []
  [input_mrp]
    type      = MRPInputParameter
    variable  = turn
    parameter = parameter_mrp
  []
  [variable_mrp]
    type  = MRPParameterToVariable
    from  = a_turn
    to    = fixed_mrp
  []
  [copy_mrp]
    type  = CopyMRP
    from  = parameter_mrp
    to    = again_mrp
  []
  [constant_ssr4]
    type  = SSR4ConstantParameter
    value = a_stiffness
  []
  [input_ssr4]
    type      = SSR4InputParameter
    variable  = C
    parameter = parameter_ssr4
  []
  [variable_ssr4]
    type  = SSR4ParameterToVariable
    from  = a_stiffness
    to    = fixed_ssr4
  []
  [copy_ssr4]
    type  = CopySSR4
    from  = parameter_ssr4
    to    = again_ssr4
  []
  [constant_miller]
    type  = MillerIndexConstantParameter
    value = a_direction
  []
  [input_miller]
    type      = MillerIndexInputParameter
    variable  = hkl
    parameter = parameter_miller
  []
  [variable_miller]
    type  = MillerIndexParameterToVariable
    from  = a_direction
    to    = fixed_miller
  []
  [copy_miller]
    type  = CopyMillerIndex
    from  = parameter_miller
    to    = again_miller
  []
  [symmetric]
    type   = R2ToSR2
    input  = F
    output = symmetric
  []
  [skew]
    type   = R2ToWR2
    input  = F
    output = skew
  []
  [full]
    type   = SR2ToR2
    input  = symmetric
    output = full
  []
  [determinant]
    type        = R2Determinant
    input       = F
    determinant = J
  []
  [symmetric_determinant]
    type        = SR2Determinant
    input       = symmetric
    determinant = J_sym
  []
  [diagonal]
    type   = ScalarToDiagonalSR2
    input  = J
    output = J_diag
  []
  [components]
    type  = VecComponents
    from  = again_vec
    to    = 'v_x v_y v_z'
  []
  [explicit_orientation]
    type     = WR2ExplicitExponentialTimeIntegration
    variable = orientation
    rate     = spin
  []
  [rotation]
    type  = RotationMatrix
    from  = orientation
    to    = R
  []
  [back_rotated]
    type        = R2Multiplication
    A           = R
    B           = F
    to          = RtF
    transpose_A = true
  []
  [relative]
    type        = R2Multiplication
    A           = F
    B           = R
    to          = FRit
    invert_B    = true
    transpose_B = true
  []
  [inverse_first]
    type     = R2Multiplication
    A        = F
    B        = full
    to       = FiS
    invert_A = true
  []
  [integrated_w]
    type     = ScalarForwardEulerTimeIntegration
    variable = w_integral
    rate     = w
  []
  [integrated_e]
    type     = SR2ForwardEulerTimeIntegration
    variable = E_integral
    rate     = E
  []
  [integrated_f]
    type         = R2ForwardEulerTimeIntegration
    variable     = F_trial
    rate         = full
    old_variable = 'F~1'
  []
  [v_speed]
    type     = VecVariableRate
    variable = v
  []
  [f_speed]
    type     = R2VariableRate
    variable = F
  []
  [e_speed]
    type          = SR2VariableRate
    variable      = E
    variable_rate = strain_rate
  []
  [v_residual]
    type     = VecBackwardEulerTimeIntegration
    variable = v
    rate     = again_vec
  []
  [model]
    type               = ComposedModel
    models             = 'constant_vec input_vec variable_vec copy_vec constant_r2 input_r2 variable_r2 copy_r2 constant_sr2 input_sr2 variable_sr2 copy_sr2 constant_wr2 input_wr2 variable_wr2 copy_wr2 constant_mrp input_mrp variable_mrp copy_mrp constant_ssr4 input_ssr4 variable_ssr4 copy_ssr4 constant_miller input_miller variable_miller copy_miller symmetric skew full determinant symmetric_determinant diagonal components explicit_orientation rotation back_rotated relative inverse_first integrated_w integrated_e integrated_f v_speed f_speed e_speed v_residual'
    additional_outputs = 'parameter_vec parameter_r2 parameter_sr2 parameter_wr2 parameter_mrp parameter_ssr4 parameter_miller symmetric full J orientation R'
  []
[]
