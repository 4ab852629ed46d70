# A flat specimen of sheet steel with two notches at different heights is pulled by 0.6 mm in 20 s
# (mm, N, s, MPa; plane stress, 1 mm thick). Plastic flow in tension, in shear between the notches
# and in bending beside them shows more of the law at once than any uniaxial test: J2 plasticity
# with Voce hardening and Hill's yield surface, the rolling direction being x.
#
# The five parameters to be found, here as one may guess them (an isotropic sheet): yield_stress,
# R, d, F, N. Those that the data in `data` come from are in make_data.py.
#
#   neml2fe run examples/notched_specimen_dic/pull.i

[Meshes]
  [specimen]
    file = '../../meshes/double_notch.msh'
  []
[]

[Models]
  [plasticity]
    type = J2Plasticity
    elasticity = 'isotropic(E = 210e3, nu = 0.3)'
    yield_stress = 400
    [isotropic_hardening]
      type = VoceIsotropicHardening
      saturated_hardening = 180
      saturation_rate = 22.5
    []
    [equivalent_stress]
      type = Hill48Stress
      F = 0.5
      G = 0.5
      H = 0.5
      N = 1.5
    []
  []
[]

[Materials]
  [sheet]
    model = 'plasticity'
  []
[]

[Functions]
  [pull]
    type = PiecewiseLinear
    times = '0 20'
    values = '0 0.6'
  []
[]

[BoundaryConditions]
  [bottom_x]
    type = Dirichlet
    boundary = 'bottom'
    component = 'x'
  []
  [bottom]
    type = Dirichlet
    boundary = 'bottom'
    component = 'y'
  []
  [top_x]
    type = Dirichlet
    boundary = 'top'
    component = 'x'
  []
  [top]
    type = Dirichlet
    boundary = 'top'
    component = 'y'
    value = 'pull'
  []
[]

[Probes]
  [peak_strain]
    variable = 'equivalent_plastic_strain'
    statistic = 'max'
  []
[]

[Drivers]
  [pull]
    type = FiniteElementDriver
    formulation = 'plane_stress'
    end_time = 20
    dt = 1
    output_times = '5 10 15 20'
    checkpoint_every = 0
    figure = 'equivalent_plastic_strain'
  []
[]
