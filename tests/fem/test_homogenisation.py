"""Periodic cells: homogenised stress and tangent against closed forms and Hill-Mandel."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from constraints_on_ranks import material, neo_hookean, two_phases

from neml2fe.errors import InputError
from neml2fe.fem.body import Body
from neml2fe.fem.conditions.conditions import PeriodicCell
from neml2fe.fem.homogenisation import (
    homogenised_strain,
    homogenised_stress,
    homogenised_tangent,
)
from neml2fe.fem.mesh.generate import box, rectangle
from neml2fe.fem.mesh.mesh import Mesh
from neml2fe.fem.problem import Problem

SHEARED = {"xx": lambda t: 0.01 * t, "yy": lambda t: -0.002 * t, "xy": lambda t: 0.003 * t}
REST = {"zz": 0.001, "yz": lambda t: 0.002 * t, "xz": 0.0}


def advanced(problem: Problem, *times: float) -> Problem:
    for time in times or (0.5, 1.0):
        result = problem.advance(time)
        assert result.converged, result.reason
    return problem


@pytest.mark.parametrize("backend", ["scipy", "petsc"])
@pytest.mark.parametrize("dim", [2, 3])
def test_a_homogeneous_cell_has_the_stress_and_tangent_of_its_material(
    dim: int, backend: str
) -> None:
    if backend == "petsc":
        pytest.importorskip("petsc4py", reason="petsc4py is not installed")
    law = material("j2")
    mesh = rectangle(3, 3, "quad", distortion=0.3)
    if dim == 3:
        mesh = box(2, 2, 2, "hexahedron", (1.0, 2.0, 1.5), distortion=0.3)
    cell = PeriodicCell(SHEARED if dim == 2 else SHEARED | REST)
    problem = advanced(Problem(mesh, law, [cell], backend=backend))
    components = [0, 1, 5] if dim == 2 else list(range(6))

    strain = np.zeros(6)
    strain[components] = homogenised_strain(problem)
    state, stress = law.initial_state(1), None
    for time, factor in ((0.5, 0.5), (1.0, 1.0)):
        now = factor * strain
        now[2] = strain[2]  # zz does not grow
        at = torch.as_tensor(now)[None]
        point = law.update(at, state, time, 0.5)
        state, stress = point.state, point.stress
    assert stress is not None and point.tangent is not None
    assert state["equivalent_plastic_strain"].item() > 1e-3
    expected = stress[0].numpy()[components]
    size = np.abs(expected).max()
    assert np.abs(homogenised_stress(problem) - expected).max() <= 1e-10 * size
    tangent = point.tangent[0].numpy()[np.ix_(components, components)]
    found = homogenised_tangent(problem)
    assert np.abs(found - tangent).max() <= 1e-10 * np.abs(tangent).max()
    row = problem.load_row()
    assert row["cell_strain_xy"] == 0.003
    assert row["cell_stress_xx"] == pytest.approx(expected[0], rel=1e-10)
    problem.close()


def laminate(n: int = 4) -> Mesh:
    """Layers across x, half and half."""
    mesh = box(n, 2, 2, "hexahedron")
    left = mesh.points[mesh.cells[0].connectivity].mean(axis=1)[:, 0] < 0.5
    regions = {"soft": (np.flatnonzero(left),), "hard": (np.flatnonzero(~left),)}
    return Mesh(mesh.points, mesh.cells, mesh.boundaries, regions=regions)


def test_a_laminate_has_its_closed_form_stiffness() -> None:
    """Layers across x of isotropic phases: C11 = 1 / <1 / (lambda + 2 mu)>,
    C12 = C11 <lambda / (lambda + 2 mu)>, G12 = 1 / <1 / mu> (G. W. Milton, The Theory of
    Composites, chapter 9)."""
    import neml2fe.models as m
    from neml2fe.material import Material

    moduli = {"soft": (50e3, 0.2), "hard": (200e3, 0.35)}
    bodies = [
        Body(
            Material(
                m.LinearIsotropicElasticity(
                    coefficients=(e, nu),
                    coefficient_types=("YOUNGS_MODULUS", "POISSONS_RATIO"),
                    strain="E",
                )
            ),
            [name],
        )
        for name, (e, nu) in moduli.items()
    ]
    cell = PeriodicCell({"xx": 1e-3})
    problem = advanced(Problem(laminate(), bodies, [cell], backend="scipy"), 1.0)
    c = homogenised_tangent(problem)
    e, nu = np.array(list(moduli.values())).T
    lam, mu = e * nu / ((1 + nu) * (1 - 2 * nu)), e / (2 * (1 + nu))
    p = lam + 2 * mu
    c11 = 1.0 / np.mean(1.0 / p)
    c12 = c11 * np.mean(lam / p)
    c22 = np.mean(p - lam**2 / p) + c11 * np.mean(lam / p) ** 2
    c23 = np.mean(lam - lam**2 / p) + c11 * np.mean(lam / p) ** 2
    expected = np.zeros((6, 6))
    expected[:3, :3] = [[c11, c12, c12], [c12, c22, c23], [c12, c23, c22]]
    harmonic = 1.0 / np.mean(1.0 / mu)
    expected[[3, 4, 5], [3, 4, 5]] = 2.0 * np.array([mu.mean(), harmonic, harmonic])
    assert np.abs(c - expected).max() <= 1e-10 * expected.max()


def test_mean_stress_is_what_was_asked_for_and_free_elsewhere() -> None:
    mesh = two_phases(box(3, 3, 3, "hexahedron"))
    bodies = [Body(material("j2"), ["matrix"]), Body(material("elastic"), ["inclusion"])]
    cell = PeriodicCell({"xx": lambda t: 0.01 * t}, {"xy": lambda t: 40.0 * t}, label="rve")
    problem = advanced(Problem(mesh, bodies, [cell], backend="scipy"))
    stress = homogenised_stress(problem)
    assert stress[5] == pytest.approx(40.0 * np.sqrt(2.0), rel=1e-9)
    assert np.abs(stress[[1, 2, 3, 4]]).max() <= 1e-9 * stress[0]
    assert problem.load_row()["rve_strain_xx"] == 0.01


@pytest.mark.parametrize("finite", [False, True])
def test_hill_mandel(finite: bool) -> None:
    """The mean stress is the average of the stress, and the average of stress times increment of
    strain is mean stress times increment of mean strain."""
    mesh = two_phases(rectangle(6, 6, "quad", (2.0, 1.0)))
    if finite:
        bodies = [Body(neo_hookean(), ["matrix"]), Body(neo_hookean(5.0), ["inclusion"])]
    else:
        bodies = [Body(material("j2"), ["matrix"]), Body(material("elastic"), ["inclusion"])]
    scale = 20.0 if finite else 1.0
    strain = {"xx": lambda t: 0.01 * scale * t, "xy": lambda t: 0.004 * scale * t}
    problem = advanced(Problem(mesh, bodies, [PeriodicCell(strain)], backend="scipy"), 0.5)
    u, mean = torch.as_tensor(problem.u), homogenised_strain(problem)
    advanced(problem, 1.0)
    du, d_mean = torch.as_tensor(problem.u) - u, homogenised_strain(problem) - mean

    average, power, volume = 0.0, 0.0, 0.0
    for solid in problem.solids:
        block = solid.block
        v = block.volumes().reshape(-1)
        d_strain = block.strain(u + du) - block.strain(u)
        stress = solid.stress
        power += (v * (stress * d_strain).flatten(1).sum(1)).sum().item()
        average = average + torch.einsum("n,n...->...", v, stress).numpy()
        volume += v.sum().item()
    assert volume == pytest.approx(2.0, rel=1e-12)
    stress = homogenised_stress(problem)
    local = average / volume
    local = local[:2, :2] if finite else local[[0, 1, 5]]
    assert np.abs(stress - local).max() <= 1e-9 * np.abs(local).max()
    assert (stress * d_mean).sum() == pytest.approx(power / volume, rel=1e-9)


def test_finite_tangent_is_the_derivative_of_the_stress() -> None:
    mesh = two_phases(rectangle(4, 4, "quad"))
    bodies = [Body(neo_hookean(), ["matrix"]), Body(neo_hookean(5.0), ["inclusion"])]
    base = {"xx": 0.2, "xy": 0.1, "yx": -0.05, "yy": 0.1}

    def at(changed: str = "", by: float = 0.0) -> Problem:
        given = {n: v + (by if n == changed else 0.0) for n, v in base.items()}
        cell = PeriodicCell({n: (lambda t, v=v: v * t) for n, v in given.items()})
        return advanced(Problem(mesh, bodies, [cell], backend="scipy"))

    tangent, h = homogenised_tangent(at()), 1e-5
    for name, (k, l) in {"xx": (0, 0), "xy": (0, 1), "yx": (1, 0)}.items():
        difference = (homogenised_stress(at(name, h)) - homogenised_stress(at(name, -h))) / (2 * h)
        assert np.abs(tangent[:, :, k, l] - difference).max() <= 1e-7 * np.abs(tangent).max()


def test_named_pairs_do_what_the_faces_of_the_box_do() -> None:
    mesh = two_phases(rectangle(4, 4, "quad9"))
    bodies = [Body(material("j2"), ["matrix"]), Body(material("elastic"), ["inclusion"])]
    found = []
    for pairs in ("auto", [("left", "right"), ("bottom", "top")]):
        cell = PeriodicCell({"xx": 0.005}, pairs=pairs)
        found.append(homogenised_stress(advanced(Problem(mesh, bodies, [cell], backend="scipy"))))
    assert np.abs(found[0] - found[1]).max() <= 1e-9 * np.abs(found[0]).max()


REFUSED = {
    "component": (PeriodicCell({"yx": 1.0}), "no strain component 'yx'"),
    "both": (PeriodicCell({"xx": 1.0}, {"xx": 1.0}), "cannot both be given"),
    "pairs": (PeriodicCell(pairs=[("left", "right")]), "2 pairs of boundaries are needed"),
    "word": (PeriodicCell(pairs="atuo"), "not 'atuo'"),
    "mesh": (PeriodicCell(pairs=[("left", "top"), ("bottom", "right")]), "not periodic"),
}


@pytest.mark.parametrize("case", list(REFUSED))
def test_wrong_cells_are_refused(case: str) -> None:
    cell, message = REFUSED[case]
    with pytest.raises(InputError, match=message):
        Problem(rectangle(2, 3, "quad"), material("elastic"), [cell], backend="scipy")


def test_the_tangent_of_a_refused_step_is_not_that_of_the_last_one() -> None:
    cell = PeriodicCell({"xx": lambda t: 0.002 * t})
    problem = Problem(rectangle(2, 2, "quad"), material("j2"), [cell], backend="scipy")
    assert problem.advance(1.0).converged
    homogenised_tangent(problem)
    assert not problem.advance(2.0, refuses=lambda time, x: "too long").converged
    with pytest.raises(InputError, match="another one was tried since"):
        homogenised_tangent(problem)


def test_homogenisation_needs_a_cell_and_a_step() -> None:
    problem = Problem(rectangle(2, 2, "quad"), material("elastic"), [PeriodicCell()])
    with pytest.raises(InputError, match="there was none"):
        homogenised_tangent(problem)
    with pytest.raises(InputError, match="no periodic cell 'rve'"):
        homogenised_stress(problem, "rve")
    with pytest.raises(InputError, match="PeriodicCell"):
        homogenised_stress(Problem(rectangle(2, 2, "quad"), material("elastic"), []))
    problem.close()
