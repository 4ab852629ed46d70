"""Finite strain: hyperelasticity, multiplicative plasticity, logarithmic strain."""

from __future__ import annotations

from ladder import f64
from rung import DIRECTION, ELASTIC, MATRIX, NONE, STRAIN, STRESS, TIMES, Kink, Rung, rung

import neml2fe.models as m
from neml2fe.models import Model

F = {"F": MATRIX}
ONE = f64([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
BE = f64([1.2, 0.9, 1.0, 0.1, -0.2, 0.15])
BE_TRIAL = f64([1.25, 0.95, 0.9, 0.2, -0.1, 0.1])
RATE = {"plastic_strain_rate": 0.1 * DIRECTION, **TIMES}
NEO_HOOKE = {"bulk_modulus": 500.0, "shear_modulus": 80.0}
MOONEY = {"bulk_modulus": 500.0, "C10": 30.0, "C01": 10.0}
OGDEN = {"bulk_modulus": 500.0, "coefficients": [60.0, -4.0], "exponents": [1.8, -2.5]}


def hyperelastic() -> Model:
    return m.HyperelasticStress(model=m.MooneyRivlinEnergy(**MOONEY), measure="PK2")


def wrapped(**more: str) -> Model:
    return m.LogarithmicStrainWrapper(model=m.LinearIsotropicElasticity(**ELASTIC), **more)


RUNGS: dict[str, Rung] = {
    "NeoHookeanEnergy": rung(m.NeoHookeanEnergy, NEO_HOOKE, F),
    "MooneyRivlinEnergy": rung(m.MooneyRivlinEnergy, MOONEY, F),
    "OgdenEnergy": rung(m.OgdenEnergy, OGDEN, F),
    "NeoHookean": rung(m.NeoHookean, NEO_HOOKE, F),
    "MooneyRivlin": rung(m.MooneyRivlin, {**MOONEY, "measure": "KIRCHHOFF"}, F),
    "Ogden": rung(m.Ogden, {**OGDEN, "measure": "CAUCHY"}, F),
    "HyperelasticStress": Rung(hyperelastic, lambda: F),
    "KirchhoffStressMeasure": rung(m.KirchhoffStressMeasure, {}, {**F, "kirchhoff_stress": STRESS}),
    "IsochoricElasticTrial": rung(
        m.IsochoricElasticTrial, {}, {**F, "be_bar~1": BE, "F~1": MATRIX.T}
    ),
    "LogarithmicElasticStrain": rung(m.LogarithmicElasticStrain, {}, {"be_bar": BE, **F}),
    "IsochoricElasticDeformation": rung(
        m.IsochoricElasticDeformation, {}, {"elastic_strain": 20.0 * STRAIN}
    ),
    "ExponentialMapPlasticCorrector": rung(
        m.ExponentialMapPlasticCorrector,
        {},
        {"elastic_strain": STRAIN, "elastic_strain_trial": 2.0 * STRAIN, **RATE},
        degree=2,
    ),
    "IsochoricPlasticCorrector": rung(
        m.IsochoricPlasticCorrector, {}, {"be_bar": BE, "be_bar_trial": BE_TRIAL, **RATE}, degree=3
    ),
    "IsochoricNeoHookeanStress": rung(m.IsochoricNeoHookeanStress, NEO_HOOKE, {"be_bar": BE, **F}),
    "LogarithmicStrain": rung(m.LogarithmicStrain, {}, F),
    "LogarithmicStressMeasure": rung(
        m.LogarithmicStressMeasure, {}, {**F, "logarithmic_stress": STRESS}
    ),
    "LogarithmicStrainWrapper": Rung(wrapped, lambda: F),
}

UNDEFORMED = {
    "NeoHookean": m.NeoHookean(**NEO_HOOKE, measure="CAUCHY"),
    "MooneyRivlin": m.MooneyRivlin(**MOONEY, measure="CAUCHY"),
    "Ogden": m.Ogden(**OGDEN, measure="CAUCHY"),
    "LogarithmicStrainWrapper": wrapped(measure="CAUCHY"),
}
KINKS: dict[str, Kink] = {
    **{
        f"{name} where all stretches are {stretch}": Kink(
            lambda model=model: model, {"F": stretch * ONE}, {"cauchy_stress": NONE} if rest else {}
        )
        for name, model in UNDEFORMED.items()
        for stretch, rest in ((1.0, name != "Ogden"), (1.3, False))
    },
    "logarithm of two equal stretches": Kink(
        m.LogarithmicStrain, {"F": f64([[1.2, 0.0, 0.0], [0.0, 0.9, 0.0], [0.0, 0.0, 0.9]])}
    ),
    "virgin elastic deformation": Kink(
        m.IsochoricElasticTrial,
        {"F": ONE, "be_bar~1": NONE, "F~1": ONE},
        {"be_bar_trial": f64([1.0, 1.0, 1.0, 0.0, 0.0, 0.0])},
    ),
}
