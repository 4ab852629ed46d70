# Laws of the tests (mm, N, s, MPa).
[Models]
  [plasticity]
    type = J2Plasticity
    elasticity = 'isotropic(E = 200e3, nu = 0.3)'
    yield_stress = 200
    isotropic_hardening = 'linear(K = 2e3)'
  []
  [heated]
    type = LinearElasticity
    elasticity = 'isotropic(E = 200e3, nu = 0.3)'
    thermal_expansion = 1e-5
    reference_temperature = 300
  []
[]
