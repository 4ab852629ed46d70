# Kocks-Mecking plasticity: a rate-independent surface where the activation energy is low, Perzyna
# flow with temperature-dependent exponent and viscosity where it is high, and a switch between
# them. Shear modulus and Young's modulus fall with temperature; different rates. 8 unknowns.
[Tensors]
  [path]
    type = Python
    expr = 'Scalar(torch.cat([torch.linspace(0.0, 1.0, 11, dtype=torch.float64), torch.linspace(0.85, -1.0, 18, dtype=torch.float64), torch.linspace(-0.8, 0.3, 8, dtype=torch.float64)]))'
  []
  [times]
    type = Python
    expr = 'Scalar(torch.linspace(0.0, 3.6, 37, dtype=torch.float64).unsqueeze(-1) / torch.tensor([1.0, 1.0, 1e4, 1e-2], dtype=torch.float64))'
  []
  [temperatures]
    type = Python
    expr = 'Scalar(torch.tensor([300.0, 850.0, 850.0, 650.0], dtype=torch.float64) + torch.linspace(0.0, 60.0, 37, dtype=torch.float64).unsqueeze(-1))'
  []
  [strains]
    type = Python
    expr = 'SR2(path.data.reshape(37, 1, 1) * torch.tensor([[0.012, -0.005, -0.004, 0.002, 0.0, 0.004], [0.012, -0.005, -0.004, 0.002, 0.0, 0.004], [0.012, -0.005, -0.004, 0.002, 0.0, 0.004], [0.012, -0.005, -0.004, 0.002, 0.0, 0.004]], dtype=torch.float64))'
  []
[]

[Drivers]
  [driver]
    type                     = TransientDriver
    model                    = model
    prescribed_time          = times
    prescribed_SR2_names     = E
    prescribed_SR2_values    = strains
    prescribed_Scalar_names  = T
    prescribed_Scalar_values = temperatures
    save_as                  = result.pt
  []
[]

[Models]
  [shear]
    type    = ScalarLinearCombination
    from    = T
    to      = mu
    weights = -20
    offset  = 8.4e4
  []
  [youngs]
    type    = ScalarLinearCombination
    from    = T
    to      = young
    weights = -52
    offset  = 2.2e5
  []
  [Erate]
    type     = SR2VariableRate
    variable = E
  []
  [effective_rate]
    type           = SR2Invariant
    invariant_type = 'EFFECTIVE_STRAIN'
    tensor         = 'E_rate'
    invariant      = 'effective_strain_rate'
  []
  [energy]
    type              = KocksMeckingActivationEnergy
    temperature       = T
    strain_rate       = 'effective_strain_rate'
    activation_energy = g
    eps0              = 1e13
    shear_modulus     = shear
    k                 = 1.38e-20
    b                 = 2.5e-7
  []
  [intercept]
    type      = KocksMeckingIntercept
    A         = -8.7
    B         = -3.2
    C         = -5.1
    intercept = 'critical_energy'
  []
  [sensitivity]
    type          = KocksMeckingRateSensitivity
    temperature   = T
    A             = -8.7
    shear_modulus = shear
    k             = 1.38e-20
    b             = 2.5e-7
  []
  [viscosity]
    type          = KocksMeckingFlowViscosity
    temperature   = T
    A             = -8.7
    B             = -3.2
    eps0          = 1e13
    shear_modulus = shear
    k             = 1.38e-20
    b             = 2.5e-7
  []
  [strength]
    type          = KocksMeckingYieldStress
    C             = -5.1
    shear_modulus = shear
  []
  [flow]
    type   = ComposedModel
    models = 'vonmises yield_surface'
  []
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
  [isoharden]
    type                = VoceIsotropicHardening
    saturated_hardening = 90
    saturation_rate     = 12
  []
  [yield_surface]
    type                = YieldFunction
    yield_stress        = strength
    isotropic_hardening = 'isotropic_hardening'
  []
  [viscous_surface]
    type                = YieldFunction
    yield_stress        = 0
    isotropic_hardening = 'isotropic_hardening'
    yield_function      = 'viscous_overstress'
  []
  [normality]
    type     = Normality
    model    = flow
    function = 'yield_function'
    from     = 'mandel_stress isotropic_hardening'
    to       = 'flow_direction isotropic_hardening_direction'
  []
  [dependent]
    type             = PerzynaPlasticFlowRate
    yield_function   = 'viscous_overstress'
    reference_stress = viscosity
    exponent         = sensitivity
    flow_rate        = 'dependent_rate'
  []
  [consistency]
    type         = FBComplementarity
    a            = 'yield_function'
    a_inequality = LE
    b            = 'independent_rate'
  []
  [switch]
    type                       = KocksMeckingFlowSwitch
    activation_energy          = g
    rate_independent_flow_rate = 'independent_rate'
    rate_dependent_flow_rate   = 'dependent_rate'
    g0                         = intercept
    sharpness                  = 100
  []
  [eprate]
    type = AssociativeIsotropicPlasticHardening
  []
  [Eprate]
    type = AssociativePlasticFlow
  []
  [Eerate]
    type    = SR2LinearCombination
    from    = 'E_rate plastic_strain_rate'
    to      = 'strain_rate'
    weights = '1 -1'
  []
  [elasticity]
    type              = LinearIsotropicElasticity
    coefficients      = 'youngs 0.3'
    coefficient_types = 'YOUNGS_MODULUS POISSONS_RATIO'
    rate_form         = true
  []
  [integrate_stress]
    type     = SR2BackwardEulerTimeIntegration
    variable = stress
  []
  [integrate_ep]
    type     = ScalarBackwardEulerTimeIntegration
    variable = 'equivalent_plastic_strain'
  []
  [rates]
    type   = ComposedModel
    models = 'Erate effective_rate energy mandel_stress vonmises isoharden yield_surface viscous_surface normality dependent consistency switch eprate Eprate Eerate elasticity integrate_stress integrate_ep'
  []
[]

[EquationSystems]
  [eq_sys]
    type      = NonlinearSystem
    model     = rates
    unknowns  = 'stress equivalent_plastic_strain independent_rate'
    residuals = 'stress_residual equivalent_plastic_strain_residual complementarity'
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
    unknowns_SR2    = stress
    unknowns_Scalar = 'equivalent_plastic_strain independent_rate'
  []
  [model]
    type            = ImplicitUpdate
    equation_system = 'eq_sys'
    solver          = newton
    predictor       = predictor
  []
[]
