# Multiplicative J2 plasticity (MPa) in simple shear to gamma = 1 and back. The trial state comes
# from the relative deformation gradient, the flow is integrated by the exponential map in the
# logarithmic elastic strain, and the state is be_bar, of determinant one. The pieces in between
# are those of small strain; the stress in them is Kirchhoff's.
#
#   neml2fe run examples/material_point/finite_strain_plasticity.i

[Models]
  [trial]
    type = IsochoricElasticTrial
  []
  [trial_strain]
    type = LogarithmicElasticStrain
    be_bar = 'be_bar_trial'
    elastic_strain = 'elastic_strain_trial'
  []
  [elasticity]
    type = LinearIsotropicElasticity
    coefficients = '2.0e5 0.3'
    coefficient_types = 'YOUNGS_MODULUS POISSONS_RATIO'
    strain = 'elastic_strain'
    stress = 'kirchhoff_stress'
  []
  [vonmises]
    type = SR2Invariant
    invariant_type = 'VONMISES'
    tensor = 'kirchhoff_stress'
    invariant = 'effective_stress'
  []
  [isotropic_hardening]
    type = VoceIsotropicHardening
    saturated_hardening = 150
    saturation_rate = 8
  []
  [yield]
    type = YieldFunction
    yield_stress = 250
    isotropic_hardening = 'isotropic_hardening'
  []
  [flow]
    type = ComposedModel
    models = 'vonmises yield'
  []
  [normality]
    type = Normality
    model = 'flow'
    function = 'yield_function'
    from = 'kirchhoff_stress isotropic_hardening'
    to = 'flow_direction isotropic_hardening_direction'
  []
  [consistency]
    type = FBComplementarity
    a = 'yield_function'
    b = 'flow_rate'
  []
  [plastic_strain_rate]
    type = AssociativePlasticFlow
  []
  [equivalent_plastic_strain_rate]
    type = AssociativeIsotropicPlasticHardening
  []
  [corrector]
    type = ExponentialMapPlasticCorrector
  []
  [integrate_equivalent_plastic_strain]
    type = ScalarBackwardEulerTimeIntegration
    variable = 'equivalent_plastic_strain'
  []
  [rates]
    type = ComposedModel
    models = 'elasticity vonmises isotropic_hardening yield normality consistency
              plastic_strain_rate equivalent_plastic_strain_rate corrector
              integrate_equivalent_plastic_strain'
  []
  [guess]
    type = SR2LinearCombination
    from = 'elastic_strain_trial'
    to = 'elastic_strain'
  []
  [return_map]
    type = ImplicitUpdate
    equation_system = 'system'
    solver = 'newton'
    predictor = 'guess'
  []
  [be_bar]
    type = IsochoricElasticDeformation
  []
  [stress]
    type = KirchhoffStressMeasure
    measure = 'CAUCHY'
  []
  [plasticity]
    type = ComposedModel
    models = 'trial trial_strain return_map be_bar elasticity stress'
  []
[]

[EquationSystems]
  [system]
    type = NonlinearSystem
    model = 'rates'
    unknowns = 'elastic_strain equivalent_plastic_strain flow_rate'
    residuals = 'elastic_strain_residual equivalent_plastic_strain_residual complementarity'
  []
[]

[Solvers]
  [newton]
    type = Newton
    linear_solver = 'lu'
  []
  [lu]
    type = DenseLU
  []
[]

[Tensors]
  [times]
    type = Python
    expr = 'Scalar(torch.linspace(0.0, 2.0, 41))'
  []
  [path]
    type = Python
    expr = 'torch.cat([torch.linspace(0.0, 1.0, 21), torch.linspace(1.0, 0.0, 21)[1:]])'
  []
  [shear]
    type = Python
    expr = 'R2(torch.eye(3) + path[:, None, None] * torch.tensor([[0.0, 1.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]]))'
  []
[]

[Drivers]
  [plasticity]
    type = TransientDriver
    model = 'plasticity'
    prescribed_time = 'times'
    prescribed_R2_names = 'F'
    prescribed_R2_values = 'shear'
    save_as = 'finite_strain_plasticity.pt'
  []
[]
