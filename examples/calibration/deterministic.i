# Fit of the steel in `model.i` to 25 tension tests, from a start 20 % off.
#
#   neml2fe calibrate examples/calibration/deterministic.i
#   python examples/calibration/deterministic.py FOLDER      # the same, beside the true values
#
# The truth is known: the values in model.i. Signs of the 20 % alternate (A, B, C and every table).
# Poisson's ratio is fitted too, to see the warning: axial curves cannot tell it.

!include model.i

[Specimens]
  [tension]
    type = CSVSpecimenList
    index = 'data/index.csv'
    variables = 'time strain_11 stress_11'
    columns = 'time (s); strain (%); stress (MPa)'
    units = 's % MPa'
    field_names = 'temperature rate'
    field_values = 'temperature (K); rate (1/s)'
    field_units = 'K -'
  []
[]

[Parameters]
  [A]
    parameter = 'A.value'
    initial = -7.8
    lower = -10
    upper = -4
    scatter = estimate
  []
  [B]
    parameter = 'B.value'
    initial = -2.4
    lower = -5
    upper = -1.5
    scatter = estimate
  []
  [C]
    parameter = 'C.value'
    initial = -6.84
    lower = -7
    upper = -4.5
    scatter = estimate
  []
  [saturation]
    parameter = 'saturation.ordinate'
    initial = '504 296 396 192 108'
    lower = 40
    upper = 800
    scale = log
    scatter = estimate
  []
  [hardening_rate]
    parameter = 'hardening_rate.ordinate'
    initial = '5.6 9.6 7.2 14.4 14.4'
    lower = 3
    upper = 40
    scale = log
    scatter = estimate
  []
  [poisson]
    parameter = 'elasticity.nu.value'
    initial = 0.36
    lower = 0.1
    upper = 0.45
  []
[]

[Calibrations]
  [deterministic]
    equation_system = system
    strain = E
    prescribed = conditions
    noise = gaussian
    sigma = 2
  []
[]
