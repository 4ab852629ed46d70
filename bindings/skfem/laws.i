# A strain-hardening steel with a back stress, the same with effects of rates, and a bar that a
# temperature stretches (mm, N, s, MPa).
[Models]
  [steel]
    type = J2Plasticity
    elasticity = 'isotropic(E = 200e3, nu = 0.3)'
    yield_stress = 200
    isotropic_hardening = 'voce(R = 100, d = 20)'
    kinematic_hardening = 'armstrong_frederick(C = 20e3, g = 100)'
  []
  [viscous_steel]
    type = J2Viscoplasticity
    elasticity = 'isotropic(E = 200e3, nu = 0.3)'
    yield_stress = 150
    isotropic_hardening = 'linear(K = 2e3)'
    flow = 'perzyna(eta = 100, n = 4)'
  []
  [heated]
    type = LinearElasticity
    elasticity = 'isotropic(E = 200e3, nu = 0.3)'
    thermal_expansion = 1e-5
    reference_temperature = 300
  []
  [rubber]
    type = NeoHookean
    bulk_modulus = 50
    shear_modulus = 1
  []
[]
