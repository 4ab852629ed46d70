"""Viscoelastic elements, linear in strains and stresses: they have no kinks.

The functions give elements with the internal strains v1, v2, ... and what else is needed
between strain, internal strains, stress and rates; `test_viscoelasticity` runs them in time.
"""

from __future__ import annotations

from collections.abc import Callable

from rung import STRAIN, STRESS, Rung, rung

import neml2fe.models as m
from neml2fe.models import Model

EINF, E1, ETA1, E2, ETA2 = 300.0, 900.0, 450.0, 500.0, 2000.0


def spring(modulus: float) -> Model:
    return m.SR2LinearCombination(
        from_=["strain", "v1"], to="stress", weights=[modulus, -modulus], label="spring"
    )


def maxwell() -> list[Model]:
    return [spring(E1), m.LinearDashpot(viscosity=ETA1, viscous_strain_rate="v1_rate")]


def kelvin_voigt() -> list[Model]:
    return [
        m.SR2VariableRate(variable="strain"),
        m.KelvinVoigtElement(modulus=E1, viscosity=ETA1),
    ]


def zener() -> list[Model]:
    moduli = {"equilibrium_modulus": EINF, "maxwell_modulus": E1, "maxwell_viscosity": ETA1}
    return [m.ZenerElement(viscous_strain="v1", **moduli)]


def wiechert() -> list[Model]:
    return [
        m.WiechertElement(
            viscous_strain_1="v1",
            viscous_strain_2="v2",
            equilibrium_modulus=EINF,
            modulus_1=E1,
            viscosity_1=ETA1,
            modulus_2=E2,
            viscosity_2=ETA2,
        )
    ]


def burgers() -> list[Model]:
    return [
        m.BurgersElement(
            maxwell_viscous_strain="v1",
            kelvin_voigt_strain="v2",
            maxwell_modulus=E1,
            maxwell_viscosity=ETA1,
            kelvin_modulus=E2,
            kelvin_viscosity=ETA2,
        )
    ]


BRANCHES = [(900.0, 90.0), (500.0, 500.0), (250.0, 2500.0), (80.0, 8000.0)]  # modulus, viscosity


def chain(cls: type[Model], units: list[tuple[float, float]], **fields: float) -> list[Model]:
    moduli, viscosities = zip(*units, strict=True)
    internal = [f"v{i}" for i in range(1, len(units) + 1)]
    return [cls(internal_strains=internal, moduli=moduli, viscosities=viscosities, **fields)]


def prony() -> list[Model]:
    return chain(m.GeneralizedMaxwellElement, BRANCHES, equilibrium_modulus=EINF)


def fluid() -> list[Model]:
    return chain(m.GeneralizedMaxwellElement, BRANCHES[:2])


def kelvin_chain() -> list[Model]:
    """Three units and a dashpot."""
    units = [*BRANCHES[:3], (0.0, 3000.0)]
    return chain(m.GeneralizedKelvinVoigtElement, units, instantaneous_modulus=E1)


STRAINS = {
    "strain": STRAIN,
    "v1": 0.4 * STRAIN.flip(0),
    "v2": 0.2 * STRAIN.roll(2),
    "v3": -0.3 * STRAIN.roll(3),
    "v4": 0.1 * STRAIN.roll(4),
}


def element(make: Callable[[], list[Model]]) -> Rung:
    inputs = {n: STRAINS[n] for n in make()[-1].input_spec}
    return Rung(lambda: make()[-1], lambda: inputs, input_degree=1)


RUNGS: dict[str, Rung] = {
    "LinearDashpot": rung(
        m.LinearDashpot, {"viscosity": 700.0}, {"stress": STRESS}, input_degree=1
    ),
    "KelvinVoigtElement": rung(
        m.KelvinVoigtElement,
        {"modulus": 800.0, "viscosity": 300.0},
        {"strain": STRAIN, "strain_rate": 3.0 * STRAIN.flip(0)},
        degree=2,
        input_degree=1,
    ),
    "ZenerElement": element(zener),
    "WiechertElement": element(wiechert),
    "BurgersElement": element(burgers),
    "GeneralizedMaxwellElement": element(prony),
    "GeneralizedKelvinVoigtElement": element(kelvin_chain),
}
