"""What the finite-element code asks of any material: interfaces, energies, fed parameters."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from differences import Case, assert_rates_and_cotangents
from differences import assert_tangent as assert_slope
from ladder import DECKS, close, f64, randn

import neml2fe
import neml2fe.models as m
from neml2fe.errors import ModelError
from neml2fe.kernels import recorded_kernels
from neml2fe.material import Material, PlaneStress, PointMaterial, finite_strain
from neml2fe.models import ComposedModel, Model
from neml2fe.types import R2, SR2, Vec

STRAIN = f64([0.004, -0.0015, -0.001, 0.001, 0.0, 0.002])


def small(deck: str) -> Model:
    return neml2fe.load_model(DECKS / f"{deck}.i", "model")


def test_what_drives_a_material_is_found() -> None:
    hyperelastic = m.NeoHookean(bulk_modulus=500.0, shear_modulus=80.0)
    found: dict[str, PointMaterial] = {
        "small": Material(small("perzyna_voce")),
        "finite": Material(hyperelastic),
        "lifted": finite_strain(Material(small("perzyna_voce"))),
        "sheet": PlaneStress(Material(hyperelastic)),
        "interface": Material(small("traction_jump")),
    }
    names = {k: (x.strain, x.stress, x.strain_kind, x.stress_kind) for k, x in found.items()}
    assert names == {
        "small": ("E", "stress", SR2, SR2),
        "finite": ("F", "pk1_stress", R2, R2),
        "lifted": ("F", "pk1_stress", R2, R2),
        "sheet": ("F", "pk1_stress", R2, R2),
        "interface": ("jump", "traction", Vec, Vec),
    }


# -- interfaces -----------------------------------------------------------------------------

SEPARATIONS = f64(
    [[0.002, 0.001, 0.0], [0.009, -0.004, 0.003], [-0.001, 0.008, 0.002], [0.0004, 0.0, 0.0]]
)


def test_a_cohesive_law_is_driven_by_the_jump() -> None:
    """Stiff before the onset of damage, softening after it, contact when closed."""
    material = Material(small("traction_jump"))
    result = material.update(SEPARATIONS, material.initial_state(4), 1.0, 1.0)
    assert not result.status.any() and result.stress.shape == (4, 3)
    assert result.tangent is not None and result.tangent.shape == (4, 3, 3)
    stiffness = 1e4
    assert close(result.stress[[0, 3]], stiffness * SEPARATIONS[[0, 3]], 1e-12)
    assert close(result.tangent[3], stiffness * torch.eye(3).double(), 1e-12)
    assert 0.0 < float(result.stress[1, 0]) < stiffness * float(SEPARATIONS[1, 0])
    assert close(result.stress[2, :1], stiffness * SEPARATIONS[2, :1], 1e-12)
    nothing = material.update(torch.zeros(1, 3).double(), material.initial_state(1), 1.0, 1.0)
    assert nothing.tangent is not None and bool(torch.isfinite(nothing.tangent).all())
    assert not nothing.status.any() and not nothing.stress.any()


def test_derivatives_of_a_cohesive_law() -> None:
    material = Material(small("traction_jump"))
    jump = SEPARATIONS[:3] * f64([[0.5], [1.0], [1.0]])
    state = {**material.initial_state(3), "damage": f64([0.3, 0.1, 0.2])}  # off the kink at zero
    case: Case = (jump, state, {})
    assert_slope(material, case, 1e-3 * randn(3, 3))
    assert_rates_and_cotangents(material, case, 1e-4 * randn(3, 3))


def test_a_jump_and_a_stress_do_not_go_together() -> None:
    with pytest.raises(ModelError, match="a displacement jump goes with a traction, both Vec"):
        Material(
            ComposedModel(
                models=[
                    small("traction_jump"),
                    m.LinearIsotropicElasticity(
                        coefficients=[2e5, 0.3],
                        coefficient_types=["YOUNGS_MODULUS", "POISSONS_RATIO"],
                    ),
                ]
            ),
            strain="jump",
            stress="stress",
        )


# -- energies -------------------------------------------------------------------------------


def hyperelastic() -> Model:
    energy = m.NeoHookeanEnergy(bulk_modulus=500.0, shear_modulus=80.0)
    stress = m.HyperelasticStress(model=energy)
    return ComposedModel(models=[energy, stress], additional_outputs=["strain_energy"])


@pytest.mark.parametrize("backend", ["eager", "kernel"])
def test_the_energy_is_the_work_of_the_stress(backend: str) -> None:
    material = Material(hyperelastic(), energy="strain_energy", backend=backend)
    one = torch.eye(3, dtype=torch.float64)
    end = one + 0.2 * randn(4, 3, 3)
    nodes = f64([-((0.6) ** 0.5), 0.0, 0.6**0.5]) * 0.5 + 0.5
    weights, parts = f64([5.0, 8.0, 5.0]) / 18.0, 16
    work = torch.zeros(4, dtype=torch.float64)
    for k in range(parts):
        for x, w in zip(nodes, weights, strict=True):
            f = one + (k + x) / parts * (end - one)
            stress = material.update(f, {}, 1.0, 1.0, tangent=False).stress
            work += w / parts * (stress * (end - one)).sum((1, 2))
    result = material.update(end, {}, 1.0, 1.0)
    assert result.energy is not None and result.energy.shape == (4,)
    assert close(result.energy, work, 1e-9)
    bar = material.vjp(end, {}, 1.0, 1.0, torch.zeros_like(end), {"strain_energy": torch.ones(4)})
    assert close(bar.strain, result.stress, 1e-12)
    sheet = PlaneStress(material).update(end, PlaneStress(material).initial_state(4), 1.0, 1.0)
    assert sheet.energy is not None and bool((sheet.energy < result.energy).any())


def test_no_energy_unless_asked_for() -> None:
    result = Material(hyperelastic()).update(torch.eye(3).double()[None], {}, 1.0, 1.0)
    assert result.energy is None
    with pytest.raises(ModelError, match=re.escape("no Scalar output 'strain_enrgy'")):
        Material(hyperelastic(), energy="strain_enrgy")


# -- parameters that differ from point to point ---------------------------------------------


def test_a_parameter_fed_at_run_time_differs_from_point_to_point(tmp_path: Path) -> None:
    """A deck names a variable instead of a number, and says elsewhere that it is given; it
    becomes a field."""
    n, text = 300, (DECKS / "perzyna_voce.i").read_text()
    given = "prescribed_Scalar_names = strength\nprescribed_Scalar_values = times\n"
    fed = text.replace("yield_stress        = 150", "yield_stress = 'strength'")
    fed = fed.replace("    save_as", given + "    save_as")
    (tmp_path / "fed.i").write_text(fed)
    material = Material(neml2fe.load_model(tmp_path / "fed.i", "model"), backend="kernel")
    assert list(material.field_spec) == ["strength"]
    strength = torch.linspace(50.0, 250.0, n, dtype=torch.float64)
    strain, state = STRAIN.repeat(n, 1), material.initial_state(n)
    with recorded_kernels() as kernels:
        result = material.update(strain, state, 0.1, 0.1, {"strength": strength})
    assert kernels and not result.status.any()
    for k in (0, 137, n - 1):
        number = text.replace("yield_stress        = 150", f"yield_stress = {strength[k]:.17g}")
        (tmp_path / "number.i").write_text(number)
        one = Material(neml2fe.load_model(tmp_path / "number.i", "model"))
        expected = one.update(strain[:1], one.initial_state(1), 0.1, 0.1)
        assert close(result.stress[k], expected.stress[0], 1e-9)
    assert len({round(float(s), 6) for s in result.stress[:, 0]}) > 250
    bar = material.vjp(
        strain, state, 0.1, 0.1, torch.ones_like(strain), None, {"strength": strength}
    )
    step = 1e-4

    def total(h: float) -> torch.Tensor:
        fields = {"strength": strength + h}
        return material.update(strain, state, 0.1, 0.1, fields, tangent=False).stress.sum(-1)

    difference = (total(step) - total(-step)) / (2.0 * step)
    assert close(bar.fields["strength"], difference, 1e-5)
