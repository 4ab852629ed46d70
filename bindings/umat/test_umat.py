"""The UMAT of libraries built from decks at small strain, called by the Fortran driver and through
ctypes, against our own drivers and `Material.update`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from umat_calls import Call
from umat_components import (
    ABAQUS,
    COMPONENTS,
    PLACES,
    STRAIN_FACTOR,
    STRESS_FACTOR,
    close,
    from_mandel,
    to_mandel,
)
from umat_driving import History, results
from umat_histories import DT, KINDS, N_STEPS, PATH, expected, history, state_is
from umat_laws import ROOT, SMALL, n_state

from neml2fe import load_input
from neml2fe.export.layout import Layout
from neml2fe.kernels import backend
from neml2fe.material import Material
from neml2fe.material.plane_stress import OUT_OF_PLANE_STRAIN, PlaneStress

# Our own drivers, run without kernels, take some seconds for these.
LAWS = [pytest.param(n, marks=pytest.mark.slow if n in ("j2", "chaboche") else ()) for n in SMALL]


@pytest.mark.parametrize("name", LAWS)
def test_3d(
    name: str, laws: dict[str, Material], layouts: dict[str, Layout], driver: Path, tmp_path: Path
) -> None:
    material, n = laws[name], n_state(layouts[name])
    histories = [history(material, name, 6, n + 2, *kind) for kind in KINDS.values()]
    found = results(driver, tmp_path, histories)
    strain, stress, state = expected(material, *zip(*KINDS.values(), strict=True))
    for k, result in enumerate(found):
        assert result.time == pytest.approx(DT * np.arange(1, N_STEPS + 1))
        close(result.strain, strain[:, k], 1e-10)
        close(result.stress, stress[:, k], 1e-10)
        state_is(layouts[name], result.statev, state[:, k], 1e-10)
        assert not result.statev[:, n:].any()  # more than there is stays as it is
    if name == "perzyna":
        assert abs(stress).max() > 200.0 and state[-1, 0, 6] > 0.01


REDUCED = {
    4: (([0, 1, 0, 0, 0, 0], [0.01, 20, 0, 0.004, 0, 0]), [0] * 6),
    3: (([0, 1, 1, 0, 1, 1], [0.01, 20, 0, 0.008, 0, 0]), [0, 0, 1, 0, 1, 1]),
    1: (([0, 1, 1, 1, 1, 1], [0.01, 0, 0, 0, 0, 0]), [0, 1, 1, 1, 1, 1]),
}


@pytest.mark.parametrize("ntens", REDUCED)
@pytest.mark.parametrize(
    "name", [*LAWS[:2], *(pytest.param(n, marks=pytest.mark.slow) for n in SMALL[2:])]
)
def test_fewer_components(
    name: str,
    ntens: int,
    laws: dict[str, Material],
    layouts: dict[str, Layout],
    driver: Path,
    tmp_path: Path,
) -> None:
    """Plane strain, plane stress, uniaxial stress."""
    material, n, (kind, _) = laws[name], n_state(layouts[name]), REDUCED[ntens]
    places = list(PLACES[ntens])
    free = {3: 3, 1: 5}.get(ntens, 0)
    (found,) = results(driver, tmp_path, [history(material, name, ntens, n + free, *kind)])
    strain, stress, state = (x[:, 0] for x in expected(material, [kind[0]], [kind[1]]))
    close(found.strain, strain[:, places], 1e-10)
    close(found.stress, stress[:, places], 1e-10)
    state_is(layouts[name], found.statev, state, 1e-10)
    if free:
        full = to_mandel(strain, STRAIN_FACTOR)
        others = sorted(set(range(6)) - {ABAQUS[p] for p in places})
        close(found.statev[:, n:], full[:, others], 1e-10)


@pytest.mark.parametrize("name", ["perzyna", "j2"])
def test_plane_stress(
    name: str, laws: dict[str, Material], layouts: dict[str, Layout], driver: Path, tmp_path: Path
) -> None:
    """Strains alone, against `PlaneStress`."""
    n = n_state(layouts[name])
    plane, peak = PlaneStress(laws[name], rel_tol=1e-13), [0.01, -0.002, 0, 0.008, 0, 0]
    given = history(laws[name], name, 3, n + 3, [0] * 6, peak)
    (found,) = results(driver, tmp_path, [given])
    state = plane.initial_state(1)
    with backend("eager"):
        for k in range(N_STEPS):
            strain = torch.tensor(to_mandel(PATH[k + 1] * np.array(peak), STRAIN_FACTOR))[None]
            done = plane.update(strain, state, (k + 1) * DT, DT)
            assert not len(done.failed)
            state = done.state
            stress = from_mandel(done.stress[0].numpy(), STRESS_FACTOR)
            close(found.stress[k], stress[[0, 1, 3]], 1e-10)
            close(found.statev[k, n:], state[OUT_OF_PLANE_STRAIN][0].numpy(), 1e-10)


@pytest.mark.parametrize("ntens", COMPONENTS)
@pytest.mark.parametrize("name", SMALL)
def test_tangent(name: str, ntens: int, layouts: dict[str, Layout], umat: Path) -> None:
    """DDSDDE against central differences of STRESS, after an increment into the plastic range."""
    n = n_state(layouts[name]) + {3: 3, 1: 5}.get(ntens, 0)
    step = np.array([0.006, -0.002, -0.001, 0.004, 0.003, -0.002])[list(PLACES[ntens])]
    fields = {"temperature": (400.0, 20.0), "predefined": (100.0, 10.0)}
    first = Call(name, ntens, np.zeros(n), np.zeros(ntens), np.zeros(ntens), step, **fields)
    second = first(umat).next(dstran=0.7 * step)
    found, h = second.again()(umat), 1e-7
    assert found.pnewdt == 1.0
    for c in range(ntens):
        move = h * np.eye(ntens)[c]
        ahead, behind = (
            second.again(dstran=second.dstran + s * move)(umat).stress for s in (1, -1)
        )
        close((ahead - behind) / (2 * h), found.ddsdde[:, c], 2e-6)


# --- parameters, names, libraries -------------------------------------------------------------
def test_properties(laws: dict[str, Material], layouts: dict[str, Layout], umat: Path) -> None:
    layout, step = layouts["perzyna"], np.array([0.006, -0.002, -0.001, 0.004, 0.003, -0.002])
    values = list(layout.values)

    def stress(props: Sequence[float]) -> np.ndarray:
        call = Call.virgin("PERZYNA", 6, n_state(layout), props=props)
        return call.again(dstran=step)(umat).stress

    deck = stress([])
    assert (stress([0.0]) == deck).all() and (stress(values) == deck).all()
    place = [v.name for v in layout.parameters].index("rates_and_residuals.flow_rate.eta")
    values[place] *= 1.2
    law = load_input(
        ROOT / "tests/decks/perzyna_voce.i",
        [f"Models/flow_rate/reference_stress={values[place]!r}"],
    )
    strain = torch.tensor(to_mandel(step, STRAIN_FACTOR))[None]
    changed = Material(law.get_model("model"))
    with backend("eager"):
        found = changed.update(strain, changed.initial_state(1), 0.1, 0.1)
    close(stress(values), from_mandel(found.stress[0].numpy(), STRESS_FACTOR), 1e-10)
    assert abs(stress(values) - deck).max() > 1.0


@pytest.mark.parametrize("name", ["ELASTIC", "elastic", "Elastic", "_ELASTIC"])
def test_names(name: str, umat: Path) -> None:
    """Abaqus writes them in capitals; CalculiX leaves an underscore before them,
    or takes one away with its own."""
    expected = Call.virgin("elastic", 6, 0)(umat).ddsdde
    assert (Call.virgin(name, 6, 0)(umat).ddsdde == expected).all()


def modulus(driver: Path, folder: Path, name: str, **environment: str) -> float:
    steps = [[0.1, 293.0, 0, 1, 1, 1, 1, 1, 1e-3, 0, 0, 0, 0, 0]]
    (found,) = results(driver, folder, [History(name, 6, 0, steps)], **environment)
    return float(found.stress[0, 0] / found.strain[0, 0])


def test_variables_of_the_environment(driver: Path, other: Path, tmp_path: Path) -> None:
    library = {"NEML2FE_LIBRARY": str(other)}
    assert modulus(driver, tmp_path, "BRASS", **library) == pytest.approx(1e5)
    assert modulus(driver, tmp_path, "TIN", **library) == pytest.approx(5e4)
    own = modulus(driver, tmp_path, "ELASTIC")
    assert modulus(driver, tmp_path, "ELASTIC", **library) == own  # its own come first
    assert modulus(driver, tmp_path, "_TIN", **library) == pytest.approx(5e4)
    named = {**library, "NEML2FE_MATERIAL": "tin"}
    assert modulus(driver, tmp_path, "WHATEVER", **named) == pytest.approx(5e4)
    assert modulus(driver, tmp_path, "BRASS", **named) == pytest.approx(1e5)
    assert modulus(driver, tmp_path, "WHATEVER", NEML2FE_MATERIAL="elastic") == own
