"""Damage: energy of a crack whatever the element, irreversibility, hooks, closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from ladder import assert_v, close, f64, randn
from rungs_beyond import LEMAITRE, SOFTENING
from scipy.integrate import trapezoid

import neml2fe.models as m
from neml2fe.errors import ModelError
from neml2fe.material import Material
from neml2fe.models import ComposedModel, Model, value_and_jacobian
from neml2fe.types import SR2

E, NU, FT, GF = 3e4, 0.2, 3.0, 0.1
LAWS = ("ExponentialDamage", "LinearDamage")


def concrete(law: str = "ExponentialDamage", driving: str = "equivalent_strain") -> Model:
    """Elastic damage under the modified von Mises strain; the band's length is a field."""
    return ComposedModel(
        models=[
            m.LinearIsotropicElasticity(
                coefficients=[E, NU],
                coefficient_types=["YOUNGS_MODULUS", "POISSONS_RATIO"],
                stress="effective_stress",
            ),
            m.ModifiedVonMisesStrain(poissons_ratio=NU, strength_ratio=10.0),
            m.IrreversibleMaximum(equivalent_strain=driving),
            getattr(m, law)(**{**SOFTENING, "characteristic_length": "h"}),
            m.DamagedStress(),
        ],
        additional_outputs=["damage_strain", "damage", "equivalent_strain"],
    )


def uniaxial(axial: torch.Tensor) -> torch.Tensor:
    """Strains of uniaxial stress, which isotropic damage keeps uniaxial."""
    zero = torch.zeros_like(axial)
    return SR2.fill(axial, -NU * axial, -NU * axial, zero, zero, zero).data


def march(model: Model, strains: torch.Tensor, h: torch.Tensor) -> dict[str, np.ndarray]:
    """Histories `(steps, points)` from strains `(steps, points, 6)`."""
    old = torch.zeros(strains.shape[1], dtype=torch.float64)
    found: dict[str, list[np.ndarray]] = {}
    for strain in strains:
        out = model.evaluate({"strain": strain, "damage_strain~1": old, "h": h})
        old = out["damage_strain"].data.detach()
        for n, v in out.items():
            found.setdefault(n, []).append(v.data.detach().numpy())
    return {n: np.array(v) for n, v in found.items()}


@pytest.mark.parametrize("law", LAWS)
def test_a_crack_takes_the_same_energy_in_any_element(law: str) -> None:
    """The integral of stress over strain, times the width of the band, is G_f."""
    h = f64([1.0, 10.0, 50.0, 200.0])
    end = 40.0 * GF / (h * FT)
    path = torch.linspace(0.0, 1.0, 40001, dtype=torch.float64)[:, None] ** 2 * end
    model = concrete(law)
    inputs = {"strain": uniaxial(path), "damage_strain~1": torch.zeros(4).double(), "h": h}
    stress = model.evaluate(inputs)["stress"].data[..., 0].detach().numpy()
    assert stress.max() == pytest.approx(FT, rel=1e-2) and np.abs(stress[-1]).max() < 1e-4
    energy = trapezoid(stress, path.numpy(), axis=0) * h.numpy()
    assert energy == pytest.approx(np.full(4, GF), rel=2e-4)


@pytest.mark.parametrize("n", [1, 4, 16])
def test_a_bar_breaks_alike_for_any_number_of_elements(n: int) -> None:
    """One element cracks, the others unload: sigma = ft (1 - w ft / 2 Gf) with the opening w, which
    is the elongation that is not elastic."""
    length = 100.0
    h = f64([length / n])
    strain = torch.linspace(0.0, 1.0, 201, dtype=torch.float64)[:, None] * 2.0 * GF / (h * FT)
    found = march(concrete("LinearDamage"), uniaxial(strain), h)
    stress = found["stress"][:, 0, 0]
    elongation = float(h) * strain[:, 0].numpy() + (length - float(h)) * stress / E
    opening = elongation - length * stress / E
    cracked = found["damage"][:, 0] > 0.0
    assert cracked.sum() > 100
    assert stress[cracked] == pytest.approx(
        np.maximum(FT * (1.0 - opening[cracked] * FT / (2.0 * GF)), 0.0), abs=1e-11
    )


def test_unloading_is_secant_and_nothing_heals() -> None:
    path = torch.cat([torch.linspace(a, b, 11) for a, b in ((0, 3e-4), (3e-4, -2e-4), (0, 6e-4))])
    found = march(concrete(), uniaxial(path.double())[:, None], f64([25.0]))
    damage, stress = found["damage"][:, 0], found["stress"][:, 0, 0]
    assert (np.diff(damage) >= 0.0).all() and 0.5 < damage[10] == damage[21] < damage[-1] < 1.0
    assert stress[11:22] == pytest.approx((1.0 - damage[10]) * E * path.numpy()[11:22], rel=1e-12)
    w = GF / (25.0 * FT) - 0.5 * FT / E
    assert stress[10] == pytest.approx(FT * math.exp(-(3e-4 - FT / E) / w), rel=1e-6)
    assert np.abs(found["stress"][:, 0, 1:]).max() < 1e-12


def test_modified_von_mises_strain_of_uniaxial_stress() -> None:
    model = m.ModifiedVonMisesStrain(poissons_ratio=NU, strength_ratio=10.0)
    for axial, expected in ((2e-4, 2e-4), (-2e-4, 2e-5)):
        got = model.evaluate({"strain": uniaxial(f64(axial))})["equivalent_strain"].data
        assert float(got.detach()) == pytest.approx(expected, rel=1e-12)


def test_energy_strain_of_uniaxial_stress() -> None:
    strain = uniaxial(f64(-2e-4))
    stress = f64([-2e-4 * E, 0.0, 0.0, 0.0, 0.0, 0.0])
    model = m.EnergyEquivalentStrain(youngs_modulus=E)
    got = model.evaluate({"strain": strain, "effective_stress": stress})["equivalent_strain"].data
    assert float(got.detach()) == pytest.approx(2e-4, rel=1e-12)


def test_a_nonlocal_strain_may_drive_the_damage() -> None:
    """The local strain comes out; the averaged one, from outside, is what damages."""
    model = concrete(driving="nonlocal_strain")
    assert "nonlocal_strain" in model.input_spec
    strain = uniaxial(f64([5e-4, 0.0]))
    inputs = {"strain": strain, "damage_strain~1": f64([0.0, 0.0]), "h": f64(25.0)}
    outputs, slope = value_and_jacobian(model, {**inputs, "nonlocal_strain": f64([0.0, 4e-4])})
    assert outputs["equivalent_strain"].detach().numpy() == pytest.approx([5e-4, 0.0], abs=1e-18)
    assert float(outputs["damage"][0]) == 0.0 and float(outputs["damage"][1]) > 0.5
    blocks = slope["stress"]
    assert close(
        blocks["strain"][0, 0], f64([1.0 - NU, NU, NU, 0, 0, 0]) * E / (1 + NU) / (1 - 2 * NU)
    )
    assert not blocks["nonlocal_strain"][0].any()


def test_as_a_material_with_a_tangent() -> None:
    """Consistent tangent while damage grows, in a general state, against differences."""
    material = Material(concrete())
    strain = 2e-4 * randn(5, 6)
    state = material.initial_state(5)
    fields = {"h": torch.full((5,), 25.0, dtype=torch.float64)}
    result = material.update(strain, state, 1.0, 1.0, fields)
    assert result.tangent is not None and bool((result.state["damage_strain"] > FT / E).any())
    way = 1e-5 * randn(5, 6)

    def stress(h: float) -> torch.Tensor:
        return material.update(strain + h * way, state, 1.0, 1.0, fields, tangent=False).stress

    assert_v(stress, torch.einsum("nij,nj->ni", result.tangent, way))


@pytest.mark.parametrize("law", LAWS)
def test_a_band_must_not_store_more_than_the_crack_takes(law: str) -> None:
    limit = 2.0 * E * GF / FT**2 * 1.01
    with pytest.raises(ModelError, match=r"below .* = 666\.667"):
        getattr(m, law)(**{**SOFTENING, "characteristic_length": limit})
    model = getattr(m, law)(**{**SOFTENING, "characteristic_length": "h"})
    damage = model.evaluate({"damage_strain": f64([7e-4, 7e-4]), "h": f64([25.0, limit])})["damage"]
    assert damage.data.isnan().tolist() == [False, True]


def test_lemaitre_rate() -> None:
    """Uniaxial stress: Y = sigma^2 / 2E; hydrostatic stress: 3 (1 - 2 nu) p^2 / 2E."""
    model = m.LemaitreDamageRate(**LEMAITRE)
    E, nu = LEMAITRE["youngs_modulus"], LEMAITRE["poissons_ratio"]
    states = torch.stack([f64([800.0, 0, 0, 0, 0, 0]), f64([300.0, 300.0, 300.0, 0, 0, 0])])
    y = np.array([800.0**2 / (2 * E), 3.0 * (1 - 2 * nu) * 300.0**2 / (2 * E)])
    for ep, active in ((0.02, 1.0), (0.005, 0.0)):
        rate = model.evaluate(
            {
                "effective_stress": states,
                "equivalent_plastic_strain": f64(ep),
                "equivalent_plastic_strain_rate": f64(0.3),
            }
        )["damage_rate"].data
        expected = active * 0.3 * (y / LEMAITRE["resistance"]) ** LEMAITRE["exponent"]
        assert rate.detach().numpy() == pytest.approx(expected, rel=1e-12)
