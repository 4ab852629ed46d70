# Histories of all kinds from columns of a CSV file.
[Tensors]
  [times]
    type = CSVScalar
    csv_file = 'data/history.csv'
    column_names = 'time'
  []
  [temperatures]
    type = CSVScalar
    csv_file = 'data/history.csv'
    column_names = 'temperature'
  []
  [strains]
    type = CSVSR2
    csv_file = 'data/history.csv'
    column_names = 'E_xx E_yy E_zz E_yz E_xz E_xy'
  []
  [spins]
    type = CSVWR2
    csv_file = 'data/history.csv'
    column_names = 'w_zy w_xz w_yx'
  []
  [vectors]
    type = CSVVec
    csv_file = 'data/history.csv'
    column_names = 'v_x v_y v_z'
  []
[]

[Drivers]
  [driver]
    type = TransientDriver
    model = 'model'
    prescribed_time = 'times'
    prescribed_Scalar_names = 'T'
    prescribed_Scalar_values = 'temperatures'
    prescribed_SR2_names = 'E'
    prescribed_SR2_values = 'strains'
    prescribed_WR2_names = 'w'
    prescribed_WR2_values = 'spins'
    prescribed_Vec_names = 'v'
    prescribed_Vec_values = 'vectors'
    save_as = 'result.pt'
  []
[]

[Models]
  [thermal]
    type = ThermalEigenstrain
    reference_temperature = 300
    CTE = 1.2e-5
    temperature = 'T'
    eigenstrain = 'Eth'
  []
  [mechanical]
    type = SR2LinearCombination
    from = 'E Eth'
    to = 'Ee'
    weights = '1 -1'
  []
  [elasticity]
    type = LinearIsotropicElasticity
    coefficients = '2e5 0.3'
    coefficient_types = 'YOUNGS_MODULUS POISSONS_RATIO'
    strain = 'Ee'
  []
  [spin]
    type = CopyWR2
    from = 'w'
    to = 'spin'
  []
  [rate]
    type = VecVariableRate
    variable = 'v'
  []
  [model]
    type = ComposedModel
    models = 'thermal mechanical elasticity spin rate'
  []
[]
