# A round bar in tension (mm, N, MPa; axisymmetric: x the radius, y the axis; the upper half of
# the bar). Once the load has its maximum, flow gathers in the middle, where the bar is 1.8 %
# thinner, and a neck forms. Finite strain: the small-strain J2 law gets the logarithmic strain;
# F-bar elements follow the isochoric flow. Steel and bar are those of Simo (Comput. Meth. Appl.
# Mech. Eng. 68, 1, 1988), after the tests of Norris and others (J. Mech. Phys. Solids 26, 1, 1978).
#
#   neml2fe run examples/necking_bar/bar.i
#   python examples/necking_bar/figure.py        # three meshes, and the figure

[Meshes]
  [bar]
    file = '../../meshes/necking_bar_8.msh'
  []
[]

[Models]
  [plasticity]
    type = J2RadialReturn
    elasticity = 'isotropic(E = 206.9e3, nu = 0.29)'
    yield_stress = 450
    isotropic_hardening = 'voce(R = 265, d = 16.93) + linear(K = 129.24)'
  []
[]

[Materials]
  [steel]
    model = 'plasticity'
  []
[]

[Bodies]
  [bar]
    material = 'steel'
    volumetric_locking_correction = true
  []
[]

[Functions]
  [pull]
    type = Expression
    expr = '6.0 * t'
  []
[]

[BoundaryConditions]
  [axis]
    type = Dirichlet
    boundary = 'axis'
    component = 'x'
  []
  [middle]
    type = Dirichlet
    boundary = 'middle'
    component = 'y'
  []
  [grip]
    type = Dirichlet
    boundary = 'end'
    component = 'x'
  []
  [pull]
    type = Dirichlet
    boundary = 'end'
    component = 'y'
    value = 'pull'
  []
[]

[Probes]
  [neck]
    variable = 'displacement_x'
    on = 'neck'
  []
[]

[Drivers]
  [bar]
    type = FiniteElementDriver
    formulation = 'axisymmetric'
    kinematics = 'finite'
    end_time = 1
    dt = 0.005
    dt_max = 0.02
    output_times = '0.5 0.75 1'
    checkpoint_every = 0
    figure = 'equivalent_plastic_strain'
  []
[]
