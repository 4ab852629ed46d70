# Five parameters of a viscoplastic steel (MPa, s) from four tests that take a few seconds to fit:
# tension at three rates, and creep.
#
#   neml2fe calibrate examples/calibration_quick/fit.i
#
# The data are synthetic (synthetic.py), so that the truth is known: yield_stress 180, R 110, d 40,
# eta 250, n 4, with white noise of 2 MPa on stresses and of 2e-5 on strains.

[Models]
  [steel]
    type = J2Viscoplasticity
    elasticity = 'isotropic(E = 200e3, nu = 0.3)'
    yield_stress = 180
    isotropic_hardening = 'voce(R = 110, d = 40)'
    flow = 'perzyna(eta = 250, n = 4)'
  []
[]

[Specimens]
  [tension]
    type = CSVSpecimenList
    index = 'data/tension.csv'
    variables = 'time strain_11 stress_11'
    columns = 'Time; Strain; Stress'
    units = 's % MPa'
  []
  [creep]
    type = CSVSpecimen
    file = 'data/creep.csv'
    variables = 'time stress_11 strain_11'
    columns = 'Time [h]; Stress [MPa]; Strain [%]'
    units = 'h MPa %'
    control = 'stress_11'
  []
[]

[Parameters]
  [yield_stress]
    parameter = 'yield_surface.sy'
    lower = 50
    upper = 400
    initial = 120
  []
  [saturation]
    parameter = 'isotropic_hardening.R'
    lower = 20
    upper = 500
    scale = 'log'
    initial = 200
  []
  [hardening_rate]
    parameter = 'isotropic_hardening.d'
    lower = 5
    upper = 200
    scale = 'log'
    initial = 20
  []
  [viscosity]
    parameter = 'flow_rate.eta'
    lower = 20
    upper = 2000
    scale = 'log'
    initial = 400
  []
  [exponent]
    parameter = 'flow_rate.n'
    lower = 1
    upper = 10
    initial = 3
  []
[]

[Calibrations]
  [fit]
    model = 'steel'
    noise = 'gaussian'
    noise_variables = 'stress strain'
    sigma = '2 2e-5'
    optimiser = 'least_squares'
    max_iterations = 50
  []
[]
