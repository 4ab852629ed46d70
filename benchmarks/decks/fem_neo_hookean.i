# Neo-Hookean solid of `own_fem_job.py`, E = 1000 and nu = 0.3: Lame's constants.
[Models]
  [model]
    type          = LogarithmicNeoHookean
    shear_modulus = 384.61538461538464
    lame_constant = 576.9230769230769
  []
[]
