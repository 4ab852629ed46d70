# Perzyna with Voce hardening marched by forward Euler: no implicit part. Elasticity in rate
# form; the initial stress is not zero.
[Tensors]
  [times]
    type = Python
    expr = 'Scalar(torch.linspace(0.0, 1.5, 31, dtype=torch.float64).unsqueeze(-1) * torch.tensor([1.0, 5.0], dtype=torch.float64))'
  []
  [strains]
    type = Python
    expr = 'SR2(torch.linspace(0.0, 0.006, 31, dtype=torch.float64).reshape(31, 1, 1) * torch.tensor([1.0, -0.4, -0.3, 0.1, 0.2, 0.3], dtype=torch.float64).expand(2, 6))'
  []
  [residual_stress]
    type = Python
    expr = 'SR2(torch.tensor([30.0, -10.0, 5.0, 0.0, 8.0, 0.0], dtype=torch.float64).expand(2, 6).contiguous())'
  []
[]

[Drivers]
  [driver]
    type                  = TransientDriver
    model                 = model
    prescribed_time       = times
    prescribed_SR2_names  = E
    prescribed_SR2_values = strains
    ic_SR2_names          = stress
    ic_SR2_values         = 'residual_stress'
    save_as               = result.pt
  []
[]

[Models]
  [flow]
    type   = ComposedModel
    models = 'vonmises yield_surface'
  []
  [mandel_stress]
    type          = IsotropicMandelStress
    cauchy_stress = 'stress~1'
  []
  [vonmises]
    type           = SR2Invariant
    invariant_type = VONMISES
    tensor         = 'mandel_stress'
    invariant      = 'effective_stress'
  []
  [isoharden]
    type                      = VoceIsotropicHardening
    saturated_hardening       = 90
    saturation_rate           = 12
    equivalent_plastic_strain = 'equivalent_plastic_strain~1'
  []
  [yield_surface]
    type                = YieldFunction
    yield_stress        = 150
    isotropic_hardening = 'isotropic_hardening'
  []
  [normality]
    type     = Normality
    model    = flow
    function = 'yield_function'
    from     = 'mandel_stress isotropic_hardening'
    to       = 'flow_direction isotropic_hardening_direction'
  []
  [flow_rate]
    type             = PerzynaPlasticFlowRate
    reference_stress = 700
    exponent         = 4
  []
  [eprate]
    type = AssociativeIsotropicPlasticHardening
  []
  [Eprate]
    type = AssociativePlasticFlow
  []
  [Erate]
    type     = SR2VariableRate
    variable = E
  []
  [Eerate]
    type    = SR2LinearCombination
    from    = 'E_rate plastic_strain_rate'
    to      = 'strain_rate'
    weights = '1 -1'
  []
  [elasticity]
    type              = LinearIsotropicElasticity
    coefficients      = '1.2e5 0.32'
    coefficient_types = 'YOUNGS_MODULUS POISSONS_RATIO'
    rate_form         = true
  []
  [integrate_stress]
    type     = SR2ForwardEulerTimeIntegration
    variable = stress
  []
  [integrate_ep]
    type     = ScalarForwardEulerTimeIntegration
    variable = 'equivalent_plastic_strain'
  []
  [model]
    type   = ComposedModel
    models = 'mandel_stress vonmises isoharden yield_surface normality flow_rate eprate Eprate Erate Eerate elasticity integrate_stress integrate_ep'
  []
[]
