# Linear isotropic elasticity.
[Models]
  [model]
    type              = LinearIsotropicElasticity
    coefficients      = '1000 0.3'
    coefficient_types = 'YOUNGS_MODULUS POISSONS_RATIO'
    strain            = E
  []
[]
