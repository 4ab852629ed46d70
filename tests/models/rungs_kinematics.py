"""Eigenstrains, finite kinematics and annealing."""

from __future__ import annotations

from ladder import f64
from rung import MATRIX, STRESS, Rung, rung

import neml2fe.models as m

EXPANSION = {"reference_temperature": 300.0, "CTE": 1.2e-5}
RECOVERY = {"T1": 300.0, "T2": 400.0, "tau": 25.0}

RUNGS: dict[str, Rung] = {
    "ThermalEigenstrain": rung(
        m.ThermalEigenstrain, EXPANSION, {"temperature": f64(700.0)}, degree=2, input_degree=1
    ),
    "PhaseTransformationEigenstrain": rung(
        m.PhaseTransformationEigenstrain,
        {},
        {"phase_fraction": f64(0.4), "volume_fraction_change": f64(0.03)},
        degree=2,
    ),
    "VolumeChangeEigenstrain": rung(
        m.VolumeChangeEigenstrain, {"reference_volume": 2.0}, {"volume": f64(2.3)}
    ),
    "GreenLagrangeStrain": rung(
        m.GreenLagrangeStrain, {}, {"deformation_gradient": MATRIX}, degree=2
    ),
    "ThermalDeformationJacobian": rung(
        m.ThermalDeformationJacobian,
        EXPANSION,
        {"temperature": f64(700.0)},
        degree=2,
        input_degree=1,
    ),
    "SwellingAndPhaseChangeDeformationJacobian": rung(
        m.SwellingAndPhaseChangeDeformationJacobian,
        {"phase_fraction": "c", "swelling_coefficient": 0.02, "reference_volume_difference": 0.09},
        {"fluid_fraction": f64(0.3), "c": f64(0.4)},
        degree=3,
        input_degree=2,
    ),
    "VolumeAdjustDeformationGradient": rung(
        m.VolumeAdjustDeformationGradient, {}, {"input": MATRIX, "jacobian": f64(1.1)}
    ),
    # Above both temperatures; the other stages are linear, see test_plasticity_laws.
    "ScalarTwoStageThermalAnnealing": rung(
        m.ScalarTwoStageThermalAnnealing,
        RECOVERY,
        {"base_rate": f64(3.0), "base": f64(40.0), "temperature": f64(1000.0)},
        input_degree=1,
    ),
    "SR2TwoStageThermalAnnealing": rung(
        m.SR2TwoStageThermalAnnealing,
        RECOVERY,
        {"base_rate": STRESS.flip(0), "base": STRESS, "temperature": f64(1000.0)},
        input_degree=1,
    ),
}
