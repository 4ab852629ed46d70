"""Traction-separation laws, in softening; their kinks at zero opening, onset and failure."""

from __future__ import annotations

from ladder import Raw, f64
from rung import ZERO, Kink, Rung, rung

import neml2fe.models as m
from neml2fe.models import ComposedModel, Model

JUMP = {
    "normal_separation": f64(0.011),
    "tangential_separation_1": f64(0.007),
    "tangential_separation_2": f64(-0.004),
}
CONTACT = {"normal_penetration": "pen"}
PEN = {"pen": f64(-0.002)}
OLD = {"damage~1": f64(0.1)}
LINEAR = {"normal_stiffness": 1.2e4, "tangential_stiffness": 7e3, "penalty_stiffness": 5e4}
BILINEAR = {"penalty_stiffness": 1e4, "critical_separation": 0.006, "full_separation": 0.03}
EXPONENTIAL = {
    "normal_characteristic_length": 0.008,
    "tangential_characteristic_length": 0.009,
    "normal_strength": 60.0,
    "shear_strength": 90.0,
    "penalty_stiffness": 5e4,
}
STRENGTHS = {"penalty_stiffness": 1e4, "normal_strength": 60.0, "shear_strength": 90.0}
TOUGHNESSES = {
    "penalty_stiffness": 1e4,
    "mode_I_fracture_toughness": 0.3,
    "mode_II_fracture_toughness": 0.9,
    "shear_strength": 90.0,
    "eta": 1.6,
}
# Mixity and onset as variables: by the opening itself the criteria do not vary.
MIXED: Raw = {"normal_separation": f64(0.011), "beta": f64(0.7)}


def full_separation(cls: type[Model]) -> Rung:
    fields = {**TOUGHNESSES, "mode_mixity": "beta", "critical_separation": "onset"}
    return rung(cls, fields, {**MIXED, "onset": f64(0.007)}, isotropic=False)


RUNGS: dict[str, Rung] = {
    "OrthotropicLinearTraction": rung(
        m.OrthotropicLinearTraction,
        {**LINEAR, **CONTACT},
        {**JUMP, **PEN},
        degree=2,
        input_degree=1,
        isotropic=False,
    ),
    "BilinearTraction": rung(
        m.BilinearTraction,
        {**BILINEAR, **CONTACT},
        {**JUMP, **PEN, **OLD, "effective_separation": f64(0.014)},
        isotropic=False,
    ),
    "SalehaniIraniTraction": rung(
        m.SalehaniIraniTraction,
        {**EXPONENTIAL, **CONTACT},
        {**JUMP, **PEN, **OLD},
        isotropic=False,
    ),
    "ModeMixity": rung(
        m.ModeMixity,
        {},
        {"normal_separation": f64(0.011), "tangential_separation": f64(0.008)},
        isotropic=False,
    ),
    "CamanhoDavilaCriticalSeparation": rung(
        m.CamanhoDavilaCriticalSeparation,
        {**STRENGTHS, "mode_mixity": "beta"},
        MIXED,
        isotropic=False,
    ),
    "BenzeggaghKenaneFullSeparation": full_separation(m.BenzeggaghKenaneFullSeparation),
    "PowerLawFullSeparation": full_separation(m.PowerLawFullSeparation),
}


def mixed_mode(full: type[Model]) -> Model:
    """Mixity, onset, failure and bilinear law wired as in a deck."""
    mixed = {"mode_mixity": "mode_mixity", "normal_separation": "normal_separation"}
    return ComposedModel(
        models=[
            m.ModeMixity(),
            m.CamanhoDavilaCriticalSeparation(**STRENGTHS, **mixed),
            full(**TOUGHNESSES, **mixed, critical_separation="critical_separation"),
            m.BilinearTraction(
                penalty_stiffness=1e4,
                critical_separation="critical_separation",
                full_separation="full_separation",
                normal_penetration="pen",
            ),
        ]
    )


def jump(n: float, s: float) -> Raw:
    """A jump with sliding in the first direction, open if `n` is positive."""
    return {
        "normal_separation": f64(max(n, 0.0)),
        "pen": f64(min(n, 0.0)),
        "tangential_separation_1": f64(s),
        "tangential_separation_2": ZERO,
        "damage~1": ZERO,
    }


def mixed_jump(n: float, s: float) -> Raw:
    effective = {"effective_separation": f64((max(n, 0.0) ** 2 + s**2) ** 0.5)}
    return {**jump(n, s), **effective, "tangential_separation": f64(abs(s))}


FULL = {"BK": m.BenzeggaghKenaneFullSeparation, "power law": m.PowerLawFullSeparation}
PLACES = {
    "no jump": (0.0, 0.0),
    "contact": (-0.001, 0.0),
    "contact and sliding": (-0.001, 0.004),
    "pure opening": (0.004, 0.0),
    "pure opening, softening": (0.008, 0.0),
    "pure sliding, softening": (0.0, 0.012),
    "failed": (0.1, 0.1),
    "hardly any opening": (1e-12, 0.004),
}

KINKS: dict[str, Kink] = {
    **{
        f"bilinear {name} at {place}": Kink(lambda full=full: mixed_mode(full), mixed_jump(*where))
        for name, full in FULL.items()
        for place, where in PLACES.items()
    },
    **{
        f"bilinear traction at effective separation {m_}, full separation {f}": Kink(
            lambda f=f: m.BilinearTraction(**{**BILINEAR, "full_separation": f}, **CONTACT),
            {**jump(m_, 0.0), "effective_separation": f64(m_)},
            {"damage": f64(d)},
        )
        for m_, f, d in (
            (0.0, 0.03, 0.0),
            (0.006, 0.03, 0.0),
            (0.03, 0.03, 1.0),
            (0.006, 0.006, 1.0),
            (0.005, 0.004, 0.0),
            (0.007, 0.004, 1.0),
        )
    },
    **{
        f"exponential traction at {place}": Kink(
            lambda: m.SalehaniIraniTraction(**EXPONENTIAL, **CONTACT), jump(*where)
        )
        for place, where in PLACES.items()
    },
    **{
        f"exponential traction of a raw jump of {n}": Kink(
            lambda: m.SalehaniIraniTraction(**EXPONENTIAL),
            {
                **{k: v for k, v in jump(0.0, 0.0).items() if k != "pen"},
                "normal_separation": f64(n),
            },
            {"damage": ZERO},
        )
        for n in (0.0, -0.001, -20.0)
    },
    **{
        f"mode mixity at opening {n}, sliding {s}": Kink(
            lambda: m.ModeMixity(),
            {"normal_separation": f64(n), "tangential_separation": f64(s)},
            {"mode_mixity": ZERO},
        )
        for n, s in ((0.0, 0.0), (0.0, 0.004), (-0.001, 0.004), (0.004, 0.0))
    },
    **{
        f"{name} of pure opening, exponent {eta}": Kink(
            lambda full=full, eta=eta: full(
                **{**TOUGHNESSES, "eta": eta}, mode_mixity="beta", critical_separation=0.006
            ),
            {"normal_separation": f64(0.01), "beta": ZERO},
            {"full_separation": f64(0.01)},
        )
        for name, full in FULL.items()
        for eta in (1.0, 1.6, 2.0, 3.0)
    },
}
