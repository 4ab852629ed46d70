# A Neo-Hookean solid that gives its energy besides its stress.
[Models]
  [energy]
    type          = NeoHookeanEnergy
    shear_modulus = 300
    bulk_modulus  = 500
  []
  [stress]
    type          = NeoHookean
    shear_modulus = 300
    bulk_modulus  = 500
  []
  [model]
    type   = ComposedModel
    models = 'energy stress'
  []
[]
