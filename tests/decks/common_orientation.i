# A material frame turned implicitly by the spin that the frame sees (exponential integration of
# modified Rodrigues parameters, increments up to half a radian), with a second-order tensor
# convected along. 12 unknowns; a constant predictor with a start of its own on the first step.
[Tensors]
  [clock]
    type = Python
    expr = 'Scalar(torch.linspace(0.0, 2.0, 21, dtype=torch.float64).unsqueeze(-1).expand(21, 3))'
  []
  [wave]
    type = Python
    expr = 'Scalar(torch.cos(1.7 * clock.data) * torch.tensor([0.2, -1.0, 3.0], dtype=torch.float64))'
  []
  [gradients]
    type = Python
    expr = 'R2(wave.data.reshape(21, 3, 1, 1) * torch.tensor([[0.1, 1.0, 0.3], [-0.9, -0.2, 0.5], [0.2, -0.4, 0.1]], dtype=torch.float64))'
  []
  [seeds]
    type = Python
    expr = 'MRP(torch.tensor([0.02, 0.0, 0.01], dtype=torch.float64).expand(21, 3, 3))'
  []
  [unit]
    type = Python
    expr = 'R2(torch.eye(3, dtype=torch.float64).expand(3, 3, 3))'
  []
  [start]
    type = Python
    expr = 'MRP(torch.tensor([[0.1, 0.2, -0.1], [0.0, 0.0, 0.0], [-0.3, 0.1, 0.2]], dtype=torch.float64))'
  []
[]

[Drivers]
  [driver]
    type                  = TransientDriver
    model                 = model
    prescribed_time       = clock
    prescribed_R2_names   = L
    prescribed_R2_values  = gradients
    prescribed_MRP_names  = seed
    prescribed_MRP_values = seeds
    ic_R2_names           = A
    ic_R2_values          = unit
    ic_MRP_names          = orientation
    ic_MRP_values         = start
    save_as               = result.pt
  []
[]

[Models]
  [rotation]
    type = RotationMatrix
    from = orientation
    to   = R
  []
  [seen]
    type        = R2Multiplication
    A           = R
    B           = L
    to          = RL
    transpose_A = true
  []
  [spin]
    type   = R2ToWR2
    input  = RL
    output = spin
  []
  [turn]
    type     = WR2ImplicitExponentialTimeIntegration
    variable = orientation
    rate     = spin
  []
  [convected]
    type = R2Multiplication
    A    = L
    B    = A
    to   = A_rate
  []
  [convect]
    type     = R2BackwardEulerTimeIntegration
    variable = A
  []
  [residuals]
    type   = ComposedModel
    models = 'rotation seen spin turn convected convect'
  []
[]

[EquationSystems]
  [eq_sys]
    type      = NonlinearSystem
    model     = residuals
    unknowns  = 'orientation A'
    residuals = 'orientation_residual A_residual'
  []
[]

[Solvers]
  [newton]
    type          = Newton
    linear_solver = lu
    abs_tol       = 1e-12
    rel_tol       = 1e-12
  []
  [lu]
    type = DenseLU
  []
[]

[Models]
  [predictor]
    type         = ConstantExtrapolationPredictor
    unknowns_MRP = orientation
    unknowns_R2  = A
    cold         = 'orientation:seed'
  []
  [model]
    type            = ImplicitUpdate
    equation_system = 'eq_sys'
    solver          = newton
    predictor       = predictor
  []
[]
