# Linear isotropic elasticity: the smallest complete material.
[Models]
  [model]
    type = LinearIsotropicElasticity
    coefficients = '70e3 0.3'
    coefficient_types = 'YOUNGS_MODULUS POISSONS_RATIO'
    strain = 'E'
  []
[]
