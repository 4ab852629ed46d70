# Perzyna viscoplasticity with Voce hardening under uniaxial stress, cyclic, three rates:
# by the mixed-control driver, and with strain and stress as unknowns of one local system.
[Tensors]
  [rates]
    type = Python
    expr = 'Scalar(torch.logspace(-4.0, -2.0, 3, dtype=torch.float64))'
  []
  [path]
    type = Python
    expr = 'Scalar(torch.cat([torch.linspace(0.0, 1.0, 6, dtype=torch.float64), torch.linspace(0.8, -1.0, 10, dtype=torch.float64)]))'
  []
  [times]
    type = Python
    expr = 'Scalar(torch.linspace(0.0, 3.0, 16, dtype=torch.float64).unsqueeze(-1) * 0.01 / rates.data.unsqueeze(0))'
  []
  [strains]
    type = Python
    expr = 'SR2(path.data.reshape(16, 1, 1) * torch.tensor([0.01, 0.0, 0.0, 0.0, 0.0, 0.0], dtype=torch.float64).expand(3, 6).unsqueeze(0))'
  []
  [control]
    type = Python
    expr = 'SR2(torch.tensor([0.0, 1.0, 1.0, 1.0, 1.0, 1.0], dtype=torch.float64).expand(16, 3, 6).contiguous())'
  []
  [with_nan]
    type = Python
    expr = 'SR2(strains.data / path.data.reshape(16, 1, 1))'
  []
  [too_short]
    type = Python
    expr = 'SR2(strains.data[:5])'
  []
  [four_specimens]
    type = Python
    expr = 'SR2(torch.zeros(16, 4, 6, dtype=torch.float64))'
  []
  [halves]
    type = Python
    expr = 'SR2(0.5 * control.data)'
  []
  [standing]
    type = Python
    expr = 'Scalar(torch.zeros(16, 3, dtype=torch.float64))'
  []
[]

[Drivers]
  [mixed]
    type = MixedControlDriver
    model = 'material'
    prescribed_time = 'times'
    control = 'strain stress stress stress stress stress'
    prescribed_strain = 'strains'
  []
  [setup]
    type = TransientDriver
    model = 'mixed_system'
    prescribed_time = 'times'
    prescribed_SR2_names = 'conditions control'
    prescribed_SR2_values = 'strains control'
  []
  [strained]
    type = TransientDriver
    model = 'material'
    prescribed_time = 'times'
    prescribed_SR2_names = 'E'
    prescribed_SR2_values = 'strains'
  []
[]

[Models]
  [mandel_stress]
    type = IsotropicMandelStress
    cauchy_stress = 'stress'
  []
  [vonmises]
    type = SR2Invariant
    invariant_type = 'VONMISES'
    tensor = 'mandel_stress'
    invariant = 'effective_stress'
  []
  [isoharden]
    type = VoceIsotropicHardening
    saturated_hardening = 80
    saturation_rate = 40
  []
  [yield_surface]
    type = YieldFunction
    yield_stress = 120
    isotropic_hardening = 'isotropic_hardening'
  []
  [flow]
    type = ComposedModel
    models = 'vonmises yield_surface'
  []
  [normality]
    type = Normality
    model = 'flow'
    function = 'yield_function'
    from = 'mandel_stress isotropic_hardening'
    to = 'flow_direction isotropic_hardening_direction'
  []
  [flow_rate]
    type = PerzynaPlasticFlowRate
    reference_stress = 500
    exponent = 3
  []
  [eprate]
    type = AssociativeIsotropicPlasticHardening
  []
  [Eprate]
    type = AssociativePlasticFlow
  []
  [Erate]
    type = SR2VariableRate
    variable = 'E'
  []
  [Eerate]
    type = SR2LinearCombination
    from = 'E_rate plastic_strain_rate'
    to = 'strain_rate'
    weights = '1 -1'
  []
  [elasticity]
    type = LinearIsotropicElasticity
    coefficients = '1e5 0.3'
    coefficient_types = 'YOUNGS_MODULUS POISSONS_RATIO'
    rate_form = true
  []
  [integrate_stress]
    type = SR2BackwardEulerTimeIntegration
    variable = 'stress'
  []
  [integrate_ep]
    type = ScalarBackwardEulerTimeIntegration
    variable = 'equivalent_plastic_strain'
  []
  [rates_and_residuals]
    type = ComposedModel
    models = 'mandel_stress vonmises isoharden yield_surface normality flow_rate eprate Eprate Erate Eerate elasticity integrate_stress integrate_ep'
  []
  [split]
    type = MixedControlSetup
    x_above = 'stress'
    x_below = 'E'
  []
  [condition_met]
    type = SR2LinearCombination
    from = 'y conditions'
    to = 'y_residual'
    weights = '1 -1'
  []
  [rates_residuals_and_conditions]
    type = ComposedModel
    models = 'rates_and_residuals split condition_met'
  []
  [material]
    type = ImplicitUpdate
    equation_system = 'strain_driven'
    solver = 'newton'
  []
  [mixed_system]
    type = ImplicitUpdate
    equation_system = 'with_conditions'
    solver = 'newton'
  []
[]

[EquationSystems]
  [strain_driven]
    type = NonlinearSystem
    model = 'rates_and_residuals'
    unknowns = 'stress equivalent_plastic_strain'
  []
  [with_conditions]
    type = NonlinearSystem
    model = 'rates_residuals_and_conditions'
    unknowns = 'stress E equivalent_plastic_strain'
    residuals = 'stress_residual y_residual equivalent_plastic_strain_residual'
  []
[]

[Solvers]
  [newton]
    type = Newton
  []
[]
