# Laws of the tests: small strain and large, with a temperature, with an energy, and one that fails.
[Models]
  [elastic]
    type = LinearElasticity
    elasticity = 'isotropic(E = 2e5, nu = 0.3)'
  []
  [steel]
    type = J2Viscoplasticity
    elasticity = 'isotropic(E = 2e5, nu = 0.3)'
    thermal_expansion = 1.2e-5
    reference_temperature = 293
    yield_stress = 180
    isotropic_hardening = 'voce(R = 100, d = 12)'
    kinematic_hardening = 'armstrong_frederick(C = 42000, g = 520)'
    flow = 'perzyna(eta = 500, n = 4)'
    abs_tol = 1e-13
  []
  [energy]
    type = NeoHookeanEnergy
    shear_modulus = 300
    bulk_modulus = 500
  []
  [pk1]
    type = NeoHookean
    shear_modulus = 300
    bulk_modulus = 500
  []
  [energy_and_stress]
    type = ComposedModel
    models = 'energy pk1'
  []
  [cauchy]
    type = NeoHookean
    shear_modulus = 300
    bulk_modulus = 500
    measure = CAUCHY
  []
  [one_iteration]
    type = J2Viscoplasticity
    elasticity = 'isotropic(E = 2e5, nu = 0.3)'
    yield_stress = 100
    flow = 'perzyna(eta = 500, n = 4)'
    max_its = 2
  []
[]
[Materials]
  [elastic]
    model = elastic
  []
  [steel]
    model = steel
  []
  [rubber]
    model = energy_and_stress
    energy = strain_energy
  []
  [soft]
    model = cauchy
  []
  [hasty]
    model = one_iteration
  []
[]
