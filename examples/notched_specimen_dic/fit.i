# Five parameters of the sheet of pull.i from one test: what a camera, a load cell and a clip gauge
# measured (data/, made by make_data.py on another mesh, with noise). The fit begins at the guess in
# pull.i and finds yield_stress 320, R 240, d 18, F 0.4, N 2 within its intervals.
#
#   neml2fe calibrate examples/notched_specimen_dic/fit.i
#   mpiexec -n 2 neml2fe calibrate examples/notched_specimen_dic/fit.i
!include pull.i

[Measurements]
  [load]
    type = Load
    file = 'data/load.csv'
    time_column = 'time'
    value_column = 'force'
    reaction = 'top'
    noise = 15                                # N
  []
  [clip]
    type = Gauge
    file = 'data/load.csv'
    time_column = 'time'
    value_column = 'elongation'
    points = '20 12.5; 20 37.5'
    noise = 0.001                             # mm
  []
  [camera]
    type = FullField
    file = 'data/image_*.csv'
    columns = 'x; y; u; v'
    times = '2 4 6 8 10 12 14 16 18 20'
    noise = 0.00045                           # 0.015 pixel of 0.03 mm
    without_rigid_motion = true               # the camera moved a little
  []
[]

[Tests]
  [notch]
    type = SimulationTest
    driver = 'pull'
  []
[]

[Parameters]
  [yield_stress]
    parameter = 'yield_surface.sy'
    lower = 100
    upper = 800
  []
  [saturation]
    parameter = 'isotropic_hardening.R'
    lower = 20
    upper = 1000
    scale = 'log'
  []
  [hardening_rate]
    parameter = 'isotropic_hardening.d'
    lower = 2
    upper = 100
    scale = 'log'
  []
  [hill_F]
    parameter = 'equivalent_stress.F'
    lower = 0.1
    upper = 1.5
  []
  [hill_N]
    parameter = 'equivalent_stress.N'
    lower = 0.3
    upper = 5
  []
[]

[Calibrations]
  [fit]
    type = SimulationCalibration
  []
[]
