# Laws of the finite-strain problems: J2 plasticity with linear hardening, neo-Hookean rubber.
[Models]
  [j2]
    type = J2Plasticity
    elasticity = 'isotropic(E = 1000, nu = 0.25)'
    yield_stress = 10
    isotropic_hardening = 'linear(K = 100)'
  []
  [rubber]
    type = NeoHookean
    bulk_modulus = 50
    shear_modulus = 2
  []
[]
