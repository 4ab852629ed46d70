"""What the UMAT answers to points that fail and to wrong input; several threads at once."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from umat_calls import Call
from umat_components import COMPONENTS, STRAIN_FACTOR, STRESS_FACTOR, close, from_mandel, to_mandel
from umat_driving import History, built, call, results
from umat_histories import KINDS, history
from umat_laws import FINITE, SMALL, n_state

from neml2fe import load_input
from neml2fe.errors import ModelError
from neml2fe.export import Exported, build_umat
from neml2fe.export.layout import Layout
from neml2fe.kernels import backend
from neml2fe.material import Material

HERE = Path(__file__).parent


def test_cutback(laws: dict[str, Material], layouts: dict[str, Layout], umat: Path) -> None:
    """PNEWDT asks for a smaller increment; what goes in stays, and the tangent can be used."""
    n = n_state(layouts["hasty"])
    start = Call.virgin("HASTY", 6, n).again(dstran=np.array([3e-4, 0, 0, 0, 0, 0]))(umat)
    assert start.pnewdt == 1.0 and start.stress.any()
    for pnewdt in (1.0, -1.0, 1e36):  # Abaqus gives a large number, CalculiX -1
        fine = start.next(pnewdt=pnewdt)(umat)
        assert fine.pnewdt == pnewdt
        call = start.next(dstran=np.array([0.5, 0, 0, 0.2, 0, 0]), pnewdt=pnewdt)
        before = call.stress.copy(), call.statev.copy()
        call(umat)
        assert call.pnewdt == 0.25
        assert (call.stress == before[0]).all() and (call.statev == before[1]).all()
        assert np.isfinite(call.ddsdde).all() and np.linalg.eigvalsh(call.ddsdde).min() > 1e4
    for bad in (np.nan, np.inf, 1e100):
        call = start.next(dstran=np.array([bad, 0, 0, 0, 0, 0]))(umat)
        assert call.pnewdt == 0.25 and np.isfinite(call.ddsdde).all()
        assert (call.stress == start.stress).all() and (call.statev == start.statev).all()


@pytest.mark.parametrize("ntens", [3, 1])
def test_cutback_of_plane_stress(ntens: int, layouts: dict[str, Layout], umat: Path) -> None:
    n = n_state(layouts["hasty"]) + {3: 3, 1: 5}[ntens]
    call = Call.virgin("HASTY", ntens, n).again(dstran=0.5 * np.eye(ntens)[0])(umat)
    assert call.pnewdt == 0.25 and np.isfinite(call.ddsdde).all() and call.ddsdde[0, 0] > 1e4
    assert not call.stress.any() and not call.statev.any()


@pytest.mark.parametrize("name", FINITE)
def test_cutback_at_finite_strain(name: str, layouts: dict[str, Layout], umat: Path) -> None:
    """Inverted, singular and infinite deformation gradients."""
    start = Call.virgin(name, 6, n_state(layouts[name])).again(gradient=np.eye(3) * 1.001)(umat)
    assert start.pnewdt == 1.0
    for F in (np.diag([-1.0, 1, 1]), np.zeros((3, 3)), np.full((3, 3), np.nan)):
        call = start.next(gradient=F)(umat)
        assert call.pnewdt == 0.25 and np.isfinite(call.ddsdde).all() and call.ddsdde[0, 0] > 0
        assert (call.stress == start.stress).all() and (call.statev == start.statev).all()


@pytest.mark.parametrize("ntens", COMPONENTS)
@pytest.mark.parametrize("name", SMALL)
def test_increments_without_time(
    name: str, ntens: int, layouts: dict[str, Layout], umat: Path
) -> None:
    """DTIME = 0, as where Abaqus asks for the first stiffness: the elastic one, nothing flows."""
    n = n_state(layouts[name]) + {3: 3, 1: 5}.get(ntens, 0)
    small = 1e-5 * np.eye(ntens)[0]
    virgin = Call.virgin(name, ntens, n, temperature=(400.0, 0.0), predefined=(100.0, 0.0))
    elastic = virgin.again(dstran=small)(umat)
    for dstran in (0 * small, small):
        call = virgin.again(dt=0.0, dstran=dstran)(umat)
        assert call.pnewdt == 1.0
        close(call.ddsdde, elastic.ddsdde, 1e-6)
        close(call.stress, elastic.ddsdde @ dstran, 1e-6)
    flown = virgin.again(dstran=600 * small)(umat)
    again = flown.next(dt=0.0, dstran=0 * small)(umat)
    assert again.pnewdt == 1.0
    close(again.stress, flown.stress, 1e-6)


def test_driver_cuts_increments(
    laws: dict[str, Material], layouts: dict[str, Layout], driver: Path, tmp_path: Path
) -> None:
    """A step that fails is taken in smaller ones; the answer is that of these."""
    n, law = n_state(layouts["hasty"]), laws["hasty"]
    peak = np.array([0.006, -0.002, -0.002, 0.004, 0, 0])
    steps = [[1.0, 293.0, *[0] * 6, *map(float, peak)]]
    (found,) = results(driver, tmp_path, [History("HASTY", 6, n, steps)])
    assert len(found.time) > 3 and found.time[-1] == pytest.approx(1.0)
    state, before = law.initial_state(1), 0.0
    for k, time in enumerate(found.time):
        strain = torch.tensor(to_mandel(time * peak, STRAIN_FACTOR))[None]
        with backend("eager"):
            done = law.update(strain, state, time, time - before)
        state, before = done.state, time
        assert not len(done.failed)
        close(found.stress[k], from_mandel(done.stress[0].numpy(), STRESS_FACTOR), 1e-8)


# --- errors -----------------------------------------------------------------------------------
WRONG = {
    "no material 'STELE'": History("STELE", 6, 13, [[0.1, 293.0, *[0] * 12]]),
    "no material 'ELASTIC BAND'": History("ELASTIC BAND", 6, 0, [[0.1, 293.0, *[0] * 12]]),
    "NPROPS = 3, but 'PERZYNA' takes its 10 parameters": History(
        "PERZYNA", 6, 13, [[0.1, 293.0, *[0] * 12]], props=[1.0, 2.0, 3.0]
    ),
    "NSTATV = 12, but 'PERZYNA' has 13 state variables": History(
        "PERZYNA", 6, 12, [[0.1, 293.0, *[0] * 12]]
    ),
    "NSTATV = 15, but 'PERZYNA' has 16 state variables with NTENS = 3": History(
        "PERZYNA", 3, 15, [[0.1, 293.0, *[0] * 6]]
    ),
    "for 3D, plane strain and axisymmetric elements": History(
        "RUBBER_PK1", 3, 0, [[0.1, 293.0, *[0] * 6]]
    ),
}


@pytest.mark.parametrize("message", WRONG)
def test_errors(message: str, driver: Path, tmp_path: Path) -> None:
    done = call(driver, tmp_path, [WRONG[message]])
    assert done.returncode == 2
    assert done.stderr.startswith("neml2fe UMAT: ") and message in done.stderr


@pytest.mark.parametrize(("ndi", "nshr"), [(3, 0), (0, 1), (4, 3), (3, 4), (3, -1)])
def test_components_that_are_not_supported(
    ndi: int, nshr: int, driver: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(COMPONENTS, 99, (ndi, nshr))
    zeros = [0] * (2 * (ndi + nshr))
    done = call(driver, tmp_path, [History("ELASTIC", 99, 0, [[0.1, 293.0, *zeros]])])
    assert done.returncode == 2
    assert f"NDI = {ndi} and NSHR = {nshr} is none of 3D (6)" in done.stderr


def test_deformation_gradients_are_not_for_calculix(umat: Path) -> None:
    """It gives PNEWDT = -1, and wants other stresses than Cauchy's."""
    text = (
        "from umat_calls import Call; from pathlib import Path\n"
        f"Call.virgin('RUBBER_PK1', 6, 0, pnewdt=-1.0)(Path({str(umat)!r}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", text], cwd=HERE, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 2 and "CalculiX wants another one" in done.stderr


def test_errors_of_the_environment(driver: Path, other: Path, tmp_path: Path) -> None:
    unknown = [History("STELE", 6, 0, [[0.1, 293.0, *[0] * 12]])]

    def message(**environment: str) -> str:
        done = call(driver, tmp_path, unknown, **environment)
        assert done.returncode == 2
        return done.stderr

    assert "NEML2FE_LIBRARY: cannot load" in message(NEML2FE_LIBRARY=str(tmp_path / "none.so"))
    assert "no material 'STELE'" in message(NEML2FE_LIBRARY=str(other))
    assert "brass, _tin" in message(NEML2FE_LIBRARY=str(other))
    assert "'nothing' (NEML2FE_MATERIAL)" in message(NEML2FE_MATERIAL="nothing")


def test_xit(umat: Path, driver: Path, tmp_path: Path) -> None:
    """Where the host has Abaqus's subroutine that ends a job, it is called."""
    text = tmp_path / "xit.f90"
    text.write_text("subroutine xit\n  print '(a)', 'xit was called'\n  stop 7\nend subroutine\n")
    own = built(umat, tmp_path / "driver", HERE / "driver.f90", text)
    done = call(own, tmp_path, [next(iter(WRONG.values()))])
    assert done.returncode == 7 and "xit was called" in done.stdout
    assert "no material 'STELE'" in done.stderr


EIGENSTRAIN = """
[Models]
  [elastic_strain]
    type = SR2LinearCombination
    from = 'strain eigenstrain'
    to = elastic_strain
    weights = '1 -1'
  []
  [elasticity]
    type = LinearIsotropicElasticity
    coefficients = '2e5 0.3'
    coefficient_types = 'YOUNGS_MODULUS POISSONS_RATIO'
    strain = elastic_strain
  []
  [law]
    type = ComposedModel
    models = 'elastic_strain elasticity'
  []
[]
"""


def test_fields_that_are_no_scalars(tmp_path: Path) -> None:
    """Abaqus does not have these: refused when the library is built."""
    (tmp_path / "law.i").write_text(EIGENSTRAIN)
    material = Material(load_input(tmp_path / "law.i").get_model("law"), strain="strain")
    with pytest.raises(ModelError, match="scalars"):
        build_umat([Exported("a", material)], Path("a.so"))


def test_names_that_are_too_long(laws: dict[str, Material], tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="at most 80 characters, this has 81"):
        build_umat([Exported("a" * 81, laws["elastic"])], tmp_path / "a.so")


# --- threads ----------------------------------------------------------------------------------
def test_threads_of_the_driver(
    laws: dict[str, Material], layouts: dict[str, Layout], driver: Path, tmp_path: Path
) -> None:
    given = [
        history(laws[name], name, 6, n_state(layouts[name]), *kind)
        for name in SMALL
        for kind in KINDS.values()
    ]
    (tmp_path / "one").mkdir(), (tmp_path / "four").mkdir()
    one = results(driver, tmp_path / "one", given)
    four = results(driver, tmp_path / "four", given, threads=4)
    for a, b in zip(one, four, strict=True):
        assert (a.stress == b.stress).all() and (a.statev == b.statev).all()


def test_many_threads_at_one_material(layouts: dict[str, Layout], umat: Path) -> None:
    n = n_state(layouts["chaboche"])

    def work(seed: int) -> np.ndarray:
        call = Call.virgin("CHABOCHE", 6, n)
        draw = np.random.default_rng(seed)
        for _ in range(20):
            call = call.next(dstran=1e-3 * draw.standard_normal(6))(umat)
        return np.concatenate([call.stress, call.statev, call.ddsdde.reshape(-1)])

    alone = [work(seed) for seed in range(12)]
    with ThreadPoolExecutor(4) as threads:
        together = list(threads.map(work, range(12)))
    assert all((a == b).all() for a, b in zip(alone, together, strict=True))
