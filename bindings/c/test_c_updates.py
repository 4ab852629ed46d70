"""Updates through ctypes against `Material.update` of the same laws."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from c_calls import (
    CONVERGED,
    FIELDS,
    ITERATION_LIMIT,
    NOT_FINITE,
    PARAMETERS,
    STATE,
    STRAIN,
    STRESS,
    Library,
)
from c_reference import Reference, close, strains, temperatures

from neml2fe import load_input
from neml2fe.material import LogarithmicStrain, Material

GRAINS = Path(__file__).with_name("grains.i")
TURN = np.array([[0.6, -0.8, 0.0], [0.8, 0.6, 0.0], [0.0, 0.0, 1.0]])


@pytest.mark.parametrize("n", [1, 2, 3, 17, 1000])
@pytest.mark.parametrize("name", ["elastic", "steel", "rubber", "soft"])
def test_update(library: Library, deck: Path, name: str, n: int) -> None:
    law, reference = library.material(name), Reference.of(deck, name)
    state, fields = law.initial_state(n), temperatures(law, n)
    for k in range(3):
        strain = strains(law, n, k)
        found = law.update(strain, state, 0.5 * (k + 1), 0.5, fields)
        expected = reference.update(law, strain, state, 0.5 * (k + 1), 0.5, fields)
        assert found.failed == expected.failed == 0 and not found.status.any()
        close(found.stress, expected.stress)
        close(found.state, expected.state)
        close(found.tangent, expected.tangent)
        if name == "rubber":
            close(found.energy, expected.energy)
        else:
            assert np.isnan(found.energy).all()  # not touched
        values = law.update(strain, state, 0.5 * (k + 1), 0.5, fields, tangent=False)
        close(values.stress, found.stress, 1e-13)
        close(values.state, found.state, 1e-13)
        state = found.state
    if name == "steel":
        assert state[:, law.variables(STATE)["equivalent_plastic_strain"][1]].min() > 1e-4


@pytest.mark.slow  # the law of a crystal takes ten seconds to trace and compile
def test_sub_batches_of_the_state(grains: Library) -> None:
    """Three grains share the strain of a point; their orientations are nine parameters."""
    law, reference = grains.material("aggregate"), Reference.of(GRAINS, "aggregate")
    assert [law.size(role) for role in (STATE, FIELDS)] == [6 + 3 + 18, 0]
    assert "3 times" in grains.path.with_suffix(".txt").read_text()
    for n in (1, 5):
        state = law.initial_state(n)
        for k in range(2):
            strain = 0.3 * strains(law, n, k)
            found = law.update(strain, state, 0.1 * (k + 1), 0.1)
            expected = reference.update(law, strain, state, 0.1 * (k + 1), 0.1)
            assert found.failed == expected.failed == 0
            close(found.stress, expected.stress)
            close(found.state, expected.state)
            close(found.tangent, expected.tangent, 1e-11)
            state = found.state


@pytest.mark.parametrize("n", [1, 9])
@pytest.mark.parametrize("name", ["one_iteration", "cauchy"])
def test_laws_of_the_logarithmic_strain(hencky: Library, deck: Path, name: str, n: int) -> None:
    """With --finite-strain; laws that have a deformation gradient already stay as they are."""
    law, own = hencky.material(name), Material(load_input(deck).get_model(name))
    small = name == "one_iteration"
    reference = Reference(LogarithmicStrain(own) if small else own)
    assert law.size(STRAIN) == 9 and law.size(STRESS) == (9 if small else 6)
    state = law.initial_state(n)
    for k in range(3):  # stretches of 30 % with equal ones among them, and turned
        F = strains(law, n, k)
        F[0] = np.diag([1.3 - 0.1 * k, 0.9, 0.9]).reshape(-1)
        if small:
            F = np.eye(3).reshape(-1) + 1e-3 * (F - np.eye(3).reshape(-1))
        F = (TURN @ F.reshape(n, 3, 3)).reshape(n, 9)
        found = law.update(F, state, 0.1 * (k + 1), 0.1)
        expected = reference.update(law, F, state, 0.1 * (k + 1), 0.1)
        assert found.failed == expected.failed == 0
        close(found.stress, expected.stress, 1e-11)
        close(found.state, expected.state, 1e-11)
        close(found.tangent, expected.tangent, 1e-11)
        state = found.state
    F[0] = np.diag([-1.0, 1.0, 1.0]).reshape(-1)
    turned = law.update(F, state, 0.4, 0.1)
    assert turned.failed == 1 and turned.status[0] == NOT_FINITE


def test_tangents_that_are_not_finite(hencky: Library) -> None:
    """A point whose tangent overflows has failed, although its stress is finite."""
    law = hencky.material("cauchy")
    F = np.tile(np.eye(3).reshape(-1), (3, 1))
    F[1] *= 1e-110
    for n in (3, 2):
        found = law.update(F[:n], law.initial_state(n), 0.1, 0.1)
        assert found.status.tolist()[:2] == [CONVERGED, NOT_FINITE] and found.failed == 1


def test_parameters_at_run_time(library: Library, deck: Path) -> None:
    law, reference = library.material("steel"), Reference.of(deck, "steel")
    values = law.parameters()
    for name, factor in (
        ("elasticity.E", 0.9),
        ("flow_rate.eta", 1.5),
        ("isotropic_hardening.R", 2),
    ):
        (full,) = (n for n in law.variables(PARAMETERS) if n.endswith(name))
        values[law.variables(PARAMETERS)[full][1]] *= factor
        reference.material.parameters[full].data.mul_(factor)
    strain, state, fields = strains(law, 3, 1), law.initial_state(3), temperatures(law, 3)
    found = law.update(strain, state, 0.1, 0.1, fields, values)
    expected = reference.update(law, strain, state, 0.1, 0.1, fields)
    close(found.stress, expected.stress)
    close(found.tangent, expected.tangent)
    unchanged = law.update(strain, state, 0.1, 0.1, fields).stress
    assert abs(found.stress - unchanged).max() > 0.01 * abs(unchanged).max()


@pytest.mark.parametrize("n", [1, 2, 9, 40])
def test_failed_points_leave_others_right(library: Library, n: int) -> None:
    law = library.material("hasty")
    strain = 1e-4 * strains(law, n, 0)  # elastic: one iteration is enough
    fine = law.update(strain, law.initial_state(n), 1.0, 1.0)
    assert fine.failed == 0
    bad = np.arange(n) % 3 == 0
    mixed = np.where(bad[:, None], strain * 1e5, strain)
    found = law.update(mixed, law.initial_state(n), 1.0, 1.0)
    assert found.failed == bad.sum()
    assert (found.status == np.where(bad, ITERATION_LIMIT, CONVERGED)).all()
    for one, all_fine in zip(found[1:4], fine[1:4], strict=True):
        assert (one[~bad] == all_fine[~bad]).all()


@pytest.mark.parametrize("n", [1, 9])
def test_not_finite(library: Library, n: int) -> None:
    for name in ("steel", "rubber", "elastic"):
        law = library.material(name)
        strain, state, fields = strains(law, n, 0), law.initial_state(n), temperatures(law, n)
        strain[0] = np.nan
        found = law.update(strain, state, 1.0, 1.0, fields)
        assert found.failed == 1 and found.status[0] == NOT_FINITE
        assert np.isfinite(found.stress[1:]).all() and not found.status[1:].any()


def test_no_points(library: Library) -> None:
    law = library.material("elastic")
    assert library.update(law.handle, 0, 1.0, 1.0, *[None] * 9) == 0
