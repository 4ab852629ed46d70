# Cook's membrane (mm, N, MPa; plane strain, forces per mm of thickness): a tapered panel, clamped
# on the left and sheared on the right by 1.8 N, far into the plastic range. Plastic flow keeps the
# volume, which locks ordinary quadrilaterals; B-bar elements bend. Steel law and load are those of
# Simo and Rifai (Int. J. Numer. Meth. Eng. 29, 1595, 1990).
#
#   neml2fe run examples/cooks_membrane/cook.i
#   neml2fe run examples/cooks_membrane/cook.i --set Bodies/panel/volumetric_locking_correction=false
#   python examples/cooks_membrane/figure.py     # all meshes with both elements, and the figure

[Meshes]
  [membrane]
    file = '../../meshes/cooks_membrane_quad_16.msh'
  []
[]

[Models]
  [plasticity]
    type = J2Plasticity
    elasticity = 'isotropic(E = 70, nu = 0.333333333333)'
    yield_stress = 0.243
    isotropic_hardening = 'linear(K = 0.135)'
    kinematic_hardening = 'linear(H = 0.01)'    # two thirds of a slope of 0.015
  []
[]

[Materials]
  [metal]
    model = 'plasticity'
  []
[]

[Bodies]
  [panel]
    material = 'metal'
    volumetric_locking_correction = true
  []
[]

[Functions]
  [shear]
    type = Expression
    expr = '1.8 / 16 * t'
  []
[]

[BoundaryConditions]
  [clamp_x]
    type = Dirichlet
    boundary = 'left'
    component = 'x'
  []
  [clamp_y]
    type = Dirichlet
    boundary = 'left'
    component = 'y'
  []
  [shear]
    type = Traction
    boundary = 'right'
    value = '0 shear'
  []
[]

[Probes]
  [corner]
    variable = 'displacement_y'
    on = 'corner'
  []
[]

[Drivers]
  [cook]
    type = FiniteElementDriver
    formulation = 'plane_strain'
    end_time = 1
    dt = 0.1
    output_every = 10
    checkpoint_every = 0
  []
[]
