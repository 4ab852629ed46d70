# Tension of an austenitic steel from 20 to 800 degC and from 1e-5 to 1e-1 per s (mm, N, s, K, MPa).
#
# The yield stress falls on the two lines of the Kocks-Mecking diagram: normalised by the shear
# modulus, its logarithm is C at low activation energies g, where the rate does not matter, and
# B + A g beyond g0 = (C - B) / A, where it does. Both flow rates share the Voce hardening, whose
# saturation and rate are tables over temperature.
#
# Every specimen is a uniaxial test under mixed control: the axial strain is prescribed, the other
# stresses are zero. 25 specimens: 5 temperatures, each with 5 rates.
[Tensors]
  [rate]
    type = Python
    expr = 'Scalar(torch.logspace(-5.0, -1.0, 5, dtype=torch.float64).repeat(5).expand(101, 25).contiguous())'
  []
  [temperature]
    type = Python
    expr = 'Scalar(torch.linspace(293.15, 1073.15, 5, dtype=torch.float64).repeat_interleave(5).expand(101, 25).contiguous())'
  []
  [strain]
    type = Python
    expr = 'Scalar(torch.linspace(0.0, 0.25, 101, dtype=torch.float64))'
  []
  [times]
    type = Python
    expr = 'Scalar(strain.data.unsqueeze(-1) / rate.data)'
  []
  [conditions]
    type = Python
    expr = 'SR2(strain.data.reshape(101, 1, 1) * torch.tensor([1.0, 0.0, 0.0, 0.0, 0.0, 0.0], dtype=torch.float64).expand(25, 6))'
  []
  [control]
    type = Python
    expr = 'SR2(torch.tensor([0.0, 1.0, 1.0, 1.0, 1.0, 1.0], dtype=torch.float64).expand(101, 25, 6).contiguous())'
  []
  [knots]
    type = Python
    expr = 'Scalar(torch.linspace(293.15, 1073.15, 5, dtype=torch.float64))'
  []
  [young_values]
    type = Python
    expr = 'Scalar(torch.tensor([195.0e3, 181.0e3, 166.0e3, 150.0e3, 133.0e3], dtype=torch.float64))'
  []
  [shear_values]
    type = Python
    expr = 'Scalar(torch.tensor([75.0e3, 69.6e3, 63.8e3, 57.7e3, 51.2e3], dtype=torch.float64))'
  []
  [saturation_values]
    type = Python
    expr = 'Scalar(torch.tensor([420.0, 370.0, 330.0, 240.0, 90.0], dtype=torch.float64))'
  []
  [hardening_rate_values]
    type = Python
    expr = 'Scalar(torch.tensor([7.0, 8.0, 9.0, 12.0, 18.0], dtype=torch.float64))'
  []
[]

[Drivers]
  [driver]
    type                     = TransientDriver
    model                    = model
    prescribed_time          = times
    prescribed_SR2_names     = 'conditions control'
    prescribed_SR2_values    = 'conditions control'
    prescribed_Scalar_names  = 'temperature rate'
    prescribed_Scalar_values = 'temperature rate'
    save_as                  = result.pt
  []
[]

[Models]
  # -- what depends on temperature --------------------------------------------------------------
  [young]
    type     = ScalarLinearInterpolation
    argument = temperature
    abscissa = knots
    ordinate = young_values
  []
  [shear]
    type     = ScalarLinearInterpolation
    argument = temperature
    abscissa = knots
    ordinate = shear_values
  []
  [poisson]
    type  = ScalarConstantParameter
    value = 0.3
  []
  [saturation]
    type     = ScalarLinearInterpolation
    argument = temperature
    abscissa = knots
    ordinate = saturation_values
  []
  [hardening_rate]
    type     = ScalarLinearInterpolation
    argument = temperature
    abscissa = knots
    ordinate = hardening_rate_values
  []
  # -- the Kocks-Mecking diagram ----------------------------------------------------------------
  [A]
    type  = ScalarConstantParameter
    value = -6.5
  []
  [B]
    type  = ScalarConstantParameter
    value = -3
  []
  [C]
    type  = ScalarConstantParameter
    value = -5.7
  []
  [strain_rate]
    type     = SR2VariableRate
    variable = E
  []
  [energy]
    type              = KocksMeckingActivationEnergy
    temperature       = temperature
    strain_rate       = rate
    activation_energy = g
    shear_modulus     = shear
    eps0              = 1e10
    k                 = 1.38e-20
    b                 = 2.5e-7
  []
  [g0]
    type      = KocksMeckingIntercept
    A         = A
    B         = B
    C         = C
    intercept = g0
  []
  [exponent]
    type             = KocksMeckingRateSensitivity
    temperature      = temperature
    A                = A
    shear_modulus    = shear
    k                = 1.38e-20
    b                = 2.5e-7
    rate_sensitivity = exponent
  []
  [viscosity]
    type          = KocksMeckingFlowViscosity
    temperature   = temperature
    A             = A
    B             = B
    shear_modulus = shear
    eps0          = 1e10
    k             = 1.38e-20
    b             = 2.5e-7
  []
  [plateau]
    type          = KocksMeckingYieldStress
    C             = C
    shear_modulus = shear
  []
  # -- flow -------------------------------------------------------------------------------------
  [mandel_stress]
    type          = IsotropicMandelStress
    cauchy_stress = stress
  []
  [vonmises]
    type           = SR2Invariant
    invariant_type = VONMISES
    tensor         = 'mandel_stress'
    invariant      = 'effective_stress'
  []
  [hardening]
    type                = VoceIsotropicHardening
    saturated_hardening = saturation
    saturation_rate     = hardening_rate
  []
  [insensitive_surface]
    type                = YieldFunction
    yield_stress        = plateau
    isotropic_hardening = 'isotropic_hardening'
  []
  [overstress]
    type    = ScalarLinearCombination
    from    = 'effective_stress isotropic_hardening'
    to      = overstress
    weights = '1 -1'
  []
  [flow]
    type   = ComposedModel
    models = 'vonmises insensitive_surface'
  []
  [normality]
    type     = Normality
    model    = flow
    function = 'yield_function'
    from     = 'mandel_stress isotropic_hardening'
    to       = 'flow_direction isotropic_hardening_direction'
  []
  [sensitive_flow]
    type             = PerzynaPlasticFlowRate
    yield_function   = overstress
    reference_stress = viscosity
    exponent         = exponent
    flow_rate        = 'overstress_rate'
  []
  [sensitive_rate]  # sqrt(3/2): from the plastic strain rate to the length of its tensor
    type    = ScalarMultiplication
    from    = 'overstress_rate'
    to      = sensitive_rate
    scaling = 1.224744871391589
  []
  [beyond_plateau]
    type             = PerzynaPlasticFlowRate
    yield_function   = 'yield_function'
    reference_stress = 0.2
    exponent         = 1
    flow_rate        = 'beyond_plateau'
  []
  [insensitive_flow]  # in proportion to the strain rate: 0.3 MPa above the plateau at any rate
    type = ScalarMultiplication
    from = 'beyond_plateau rate'
    to   = insensitive_rate
  []
  [switch]
    type                       = KocksMeckingFlowSwitch
    activation_energy          = g
    rate_independent_flow_rate = insensitive_rate
    rate_dependent_flow_rate   = sensitive_rate
    g0                         = g0
    sharpness                  = 100
  []
  [plastic_strain_size]
    type = AssociativeIsotropicPlasticHardening
  []
  [plastic_strain]
    type = AssociativePlasticFlow
  []
  # -- elasticity, integration in time and control ------------------------------------------------
  [elastic_strain_rate]
    type    = SR2LinearCombination
    from    = 'E_rate plastic_strain_rate'
    to      = elastic_strain_rate
    weights = '1 -1'
  []
  [elasticity]
    type              = LinearIsotropicElasticity
    strain            = elastic_strain
    coefficients      = 'young poisson'
    coefficient_types = 'YOUNGS_MODULUS POISSONS_RATIO'
    rate_form         = true
  []
  [integrate_stress]
    type     = SR2BackwardEulerTimeIntegration
    variable = stress
  []
  [integrate_plastic_strain]
    type     = ScalarBackwardEulerTimeIntegration
    variable = 'equivalent_plastic_strain'
  []
  [mixed]
    type    = MixedControlSetup
    x_above = stress
    x_below = E
  []
  [condition_met]
    type    = SR2LinearCombination
    from    = 'y conditions'
    to      = y_residual
    weights = '1 -1'
  []
  [step]
    type   = ComposedModel
    models = 'A B C shear young saturation hardening_rate strain_rate energy mandel_stress vonmises hardening
              insensitive_surface overstress normality sensitive_flow sensitive_rate
              beyond_plateau insensitive_flow switch
              plastic_strain_size plastic_strain elastic_strain_rate elasticity integrate_stress
              integrate_plastic_strain mixed condition_met'
  []
[]

[EquationSystems]
  [system]
    type      = NonlinearSystem
    model     = step
    unknowns  = 'stress E equivalent_plastic_strain'
    residuals = 'stress_residual y_residual equivalent_plastic_strain_residual'
  []
[]

[Solvers]
  [newton]
    type          = Newton
    linear_solver = lu
    abs_tol       = 1e-10
    rel_tol       = 1e-10
    max_its       = 60
  []
  [lu]
    type = DenseLU
  []
[]

[Models]
  [predictor]
    type            = ConstantExtrapolationPredictor
    unknowns_SR2    = 'stress E'
    unknowns_Scalar = 'equivalent_plastic_strain'
  []
  [model]
    type            = ImplicitUpdate
    equation_system = system
    solver          = newton
    predictor       = predictor
  []
[]
