# A steam pipe in three cycles of start-up, 192 hours of service and shut-down (mm, N, MPa, hours, K;
# axisymmetric: x the radius, y the axis; half of the pipe). The inner pressure is 40 MPa; the pull
# of the closed end follows it. In service the wall is at 600 degrees Celsius inside and at 570
# outside, the logarithmic profile of steady heat flow. Steel creeps by Norton's law, faster where
# it is hotter (Arrhenius), until the stress of the service is stationary. Cold steel does not creep:
# what is left of stress after the shut-down waits for the next cycle.
#
#   neml2fe run examples/thick_cylinder/pipe.i
#   python examples/thick_cylinder/figure.py

[Meshes]
  [pipe]
    file = '../../meshes/thick_cylinder.msh'
  []
[]

[Models]
  # The stress at which the creep rate is 1 / h: 570 MPa at 873.15 K. Its exponent is the energy
  # 250 kJ / mol of creep over n = 5.
  [creep_strength]
    type = ArrheniusParameter
    reference_value = 0.58173
    activation_energy = -50e3
    ideal_gas_constant = 8.314462618
  []
  [creep]
    type = Creep
    elasticity = 'isotropic(E = 160e3, nu = 0.3)'
    flow = 'norton(eta = creep_strength, n = 5)'
    thermal_expansion = 1.2e-5
    reference_temperature = 293.15
  []
[]

[Materials]
  [steel]
    model = 'creep'
  []
[]

[Bodies]
  [wall]
    material = 'steel'
    field_names = 'temperature'
    field_values = 'temperature'
  []
[]

[Functions]
  [temperature]
    type = Expression
    expr = '293.15 + torch.clamp(torch.minimum(t % 200, 200 - t % 200) / 4, max=1) * (580 - 30 * torch.log(x / 50) / math.log(2))'
  []
  [pressure]
    type = PiecewiseLinear
    times = '0 4 196 200 204 396 400 404 596 600'
    values = '0 40 40 0 40 40 0 40 40 0'
  []
  # Over the ring's area: 40 MPa * 50^2 / (100^2 - 50^2).
  [cap]
    type = PiecewiseLinear
    times = '0 4 196 200 204 396 400 404 596 600'
    values = '0 13.3333333333 13.3333333333 0 13.3333333333 13.3333333333 0 13.3333333333 13.3333333333 0'
  []
[]

[BoundaryConditions]
  [middle]
    type = Dirichlet
    boundary = 'middle'
    component = 'y'
  []
  [bore]
    type = Pressure
    boundary = 'inner'
    value = 'pressure'
  []
  [cap]
    type = Traction
    boundary = 'end'
    value = '0 cap'
  []
[]

[Probes]
  [bore]
    variable = 'displacement_x'
    on = 'bore'
  []
  [hoop]
    variable = 'stress_zz'
    on = 'bore'
  []
[]

[Drivers]
  [pipe]
    type = FiniteElementDriver
    formulation = 'axisymmetric'
    end_time = 600
    dt = 0.5
    dt_max = 16
    error_tolerance = 1e-3
    output_times = '4 196 200 404 596 600'
    checkpoint_every = 0
    figure = 'stress_mises'
  []
[]
