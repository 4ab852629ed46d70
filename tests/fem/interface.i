# A bilinear interface: strength 60, opening at onset 0.006, at failure 0.03, so that the energy
# to part it is 0.9 per area in any mode.
[Models]
  [parts]
    type = VecComponents
    from = jump
    to   = 'normal tangential_separation_1 tangential_separation_2'
  []
  [contact]
    type        = MacaulaySplit
    from        = normal
    to_positive = normal_separation
    to_negative = normal_penetration
  []
  [effective]
    type     = ScalarPNorm
    from     = 'normal_separation tangential_separation_1 tangential_separation_2'
    to       = effective_separation
    exponent = 2
  []
  [law]
    type                = BilinearTraction
    normal_penetration  = normal_penetration
    penalty_stiffness   = 1e4
    critical_separation = 0.006
    full_separation     = 0.03
  []
  [model]
    type               = ComposedModel
    models             = 'parts contact effective law'
    additional_outputs = 'traction damage'
  []
[]
