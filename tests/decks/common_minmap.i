# Rate-independent J2 plasticity with linear hardening by the minimum map: loading, unloading and
# reversal. The yield stress is a table of the temperature, another one for each specimen. A
# linear predictor with a start of its own for the flow rate on the first step. 8 unknowns.
[Tensors]
  [path]
    type = Python
    expr = 'Scalar(torch.cat([torch.linspace(0.0, 1.0, 13, dtype=torch.float64), torch.linspace(0.85, -1.0, 18, dtype=torch.float64)]))'
  []
  [clock]
    type = Python
    expr = 'Scalar(torch.linspace(0.0, 3.0, 31, dtype=torch.float64).unsqueeze(-1).expand(31, 3))'
  []
  [strains]
    type = Python
    expr = 'SR2(path.data.reshape(31, 1, 1) * torch.tensor([[0.02, -0.009, -0.008, 0.002, 0.0, 0.004], [0.0, 0.0, 0.0, 0.01, 0.004, -0.012], [0.004, 0.003, 0.001, 0.0, 0.0, 0.0]], dtype=torch.float64))'
  []
  [temperatures]
    type = Python
    expr = 'Scalar(300.0 + 200.0 * clock.data)'
  []
  [guesses]
    type = Python
    expr = 'Scalar(0.01 + 0.0 * clock.data)'
  []
  [knots]
    type = Python
    expr = 'Scalar(torch.tensor([350.0, 450.0, 600.0, 700.0], dtype=torch.float64))'
  []
  [strengths]
    type = Python
    expr = 'Scalar(torch.tensor([[180.0, 160.0, 120.0, 90.0], [150.0, 130.0, 110.0, 90.0], [90.0, 80.0, 75.0, 70.0]], dtype=torch.float64))'
  []
[]

[Drivers]
  [driver]
    type                     = TransientDriver
    model                    = model
    prescribed_time          = clock
    prescribed_SR2_names     = E
    prescribed_SR2_values    = strains
    prescribed_Scalar_names  = 'T rate_guess'
    prescribed_Scalar_values = 'temperatures guesses'
    save_as                  = result.pt
  []
[]

[Models]
  [strength]
    type     = ScalarLinearInterpolation
    argument = T
    abscissa = knots
    ordinate = strengths
    output   = tabulated_strength
  []
  [elastic_strain]
    type    = SR2LinearCombination
    from    = 'E plastic_strain'
    to      = 'elastic_strain'
    weights = '1 -1'
  []
  [elasticity]
    type              = LinearIsotropicElasticity
    coefficients      = '1e5 0.3'
    coefficient_types = 'YOUNGS_MODULUS POISSONS_RATIO'
    strain            = 'elastic_strain'
  []
  [vonmises]
    type           = SR2Invariant
    invariant_type = VONMISES
    tensor         = stress
    invariant      = 'effective_stress'
  []
  [hardening]
    type              = LinearIsotropicHardening
    hardening_modulus = 2500
  []
  [resistance]
    type    = ScalarLinearCombination
    from    = 'isotropic_hardening tabulated_strength'
    to      = resistance
    weights = '1 1'
  []
  [surface]
    type                = YieldFunction
    yield_stress        = 0
    isotropic_hardening = resistance
  []
  [flow]
    type   = ComposedModel
    models = 'vonmises surface'
  []
  [normality]
    type     = Normality
    model    = flow
    function = 'yield_function'
    from     = 'stress resistance'
    to       = 'flow_direction isotropic_hardening_direction'
  []
  [ep_rate]
    type = AssociativeIsotropicPlasticHardening
  []
  [strain_rate]
    type = AssociativePlasticFlow
  []
  [integrate_ep]
    type     = ScalarBackwardEulerTimeIntegration
    variable = 'equivalent_plastic_strain'
  []
  [integrate_strain]
    type     = SR2BackwardEulerTimeIntegration
    variable = 'plastic_strain'
  []
  [consistency]
    type            = MinMapComplementarity
    a               = 'yield_function'
    a_inequality    = LE
    b               = 'flow_rate'
    b_inequality    = GE
    complementarity = 'flow_rate_residual'
  []
  [residuals]
    type   = ComposedModel
    models = 'strength elastic_strain elasticity vonmises hardening resistance surface normality ep_rate strain_rate integrate_ep integrate_strain consistency'
  []
[]

[EquationSystems]
  [eq_sys]
    type      = NonlinearSystem
    model     = residuals
    unknowns  = 'plastic_strain equivalent_plastic_strain flow_rate'
    residuals = 'plastic_strain_residual equivalent_plastic_strain_residual flow_rate_residual'
  []
[]

[Solvers]
  [newton]
    type          = Newton
    linear_solver = lu
    abs_tol       = 1e-10
    rel_tol       = 1e-12
  []
  [lu]
    type = DenseLU
  []
[]

[Models]
  [predictor]
    type            = LinearExtrapolationPredictor
    unknowns_SR2    = 'plastic_strain'
    unknowns_Scalar = 'equivalent_plastic_strain flow_rate'
    cold            = 'flow_rate:rate_guess'
  []
  [return_map]
    type            = ImplicitUpdate
    equation_system = 'eq_sys'
    solver          = newton
    predictor       = predictor
  []
  [model]
    type               = ComposedModel
    models             = 'return_map elastic_strain elasticity'
    additional_outputs = 'plastic_strain'
  []
[]
