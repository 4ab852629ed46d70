"""Libraries built from a deck, called through ctypes and by the C example, against
`Material.update` of the same laws."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch

from neml2fe import load_input
from neml2fe.cli import main
from neml2fe.errors import InputError
from neml2fe.export import Exported, build_library
from neml2fe.kernels import backend
from neml2fe.kernels.build import NoCompiler, find_compiler
from neml2fe.material import Material

HERE = Path(__file__).parent
DECK = """
[Models]
  [elastic]
    type = LinearElasticity
    elasticity = 'isotropic(E = 2e5, nu = 0.3)'
  []
  [steel]
    type = J2Viscoplasticity
    elasticity = 'isotropic(E = 2e5, nu = 0.3)'
    thermal_expansion = 1.2e-5
    reference_temperature = 293
    yield_stress = 180
    isotropic_hardening = 'voce(R = 100, d = 12)'
    kinematic_hardening = 'armstrong_frederick(C = 42000, g = 520) +
                           armstrong_frederick(C = 9000, g = 55)'
    flow = 'perzyna(eta = 500, n = 4)'
    abs_tol = 1e-13
  []
  [energy]
    type = NeoHookeanEnergy
    shear_modulus = 300
    bulk_modulus = 500
  []
  [pk1]
    type = NeoHookean
    shear_modulus = 300
    bulk_modulus = 500
  []
  [energy_and_stress]
    type = ComposedModel
    models = 'energy pk1'
  []
  [cauchy]
    type = NeoHookean
    shear_modulus = 300
    bulk_modulus = 500
    measure = CAUCHY
  []
  [one_iteration]
    type = J2Viscoplasticity
    elasticity = 'isotropic(E = 2e5, nu = 0.3)'
    yield_stress = 100
    flow = 'perzyna(eta = 500, n = 4)'
    max_its = 1
  []
[]
[Materials]
  [elastic]
    model = elastic
  []
  [steel]
    model = steel
  []
  [rubber]
    model = energy_and_stress
    energy = strain_energy
  []
  [soft]
    model = cauchy
  []
  [hasty]
    model = one_iteration
  []
[]
"""
STRAIN, STRESS, STATE, FIELDS, PARAMETERS = range(5)
CONVERGED, ITERATION_LIMIT, NOT_FINITE = range(3)
TEMPERATURE = {"steel": "temperature"}


@pytest.fixture(scope="module", autouse=True)
def compiler() -> None:
    try:
        find_compiler()
    except NoCompiler as error:
        pytest.skip(str(error))


class Variable(ctypes.Structure):
    _fields_ = [
        ("name", ctypes.c_char_p),
        ("kind", ctypes.c_char_p),
        ("size", ctypes.c_int),
        ("offset", ctypes.c_int),
    ]


class Update(NamedTuple):
    failed: int
    stress: np.ndarray
    state: np.ndarray
    tangent: np.ndarray
    energy: np.ndarray
    status: np.ndarray


class Library:
    """The functions of `neml2fe.h` in a loaded library."""

    def __init__(self, path: Path, mode: int = ctypes.DEFAULT_MODE) -> None:
        self.path, self.c = path, ctypes.CDLL(str(path), mode)
        text, row, whole = ctypes.c_char_p, ctypes.c_void_p, ctypes.c_int
        for name, result, arguments in (
            ("load", row, [text, text]),
            ("last_error", text, []),
            ("material_name", text, [text, whole]),
            ("size", whole, [row, whole]),
            ("variable_at", ctypes.POINTER(Variable), [row, whole, whole]),
            ("measure", text, [row]),
            ("initial_state", None, [row, ctypes.c_long, row]),
            ("default_parameters", None, [row, row]),
            ("set_threads", None, [whole]),
            ("update", ctypes.c_long, [row, ctypes.c_long, *[ctypes.c_double] * 2, *[row] * 9]),
        ):
            function = getattr(self.c, f"neml2fe_{name}")
            function.restype, function.argtypes = result, arguments
            setattr(self, name, function)

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(name)

    def material(self, name: str, path: Path | None = None) -> Law:
        handle = self.load(None if path is None else str(path).encode(), name.encode())
        assert handle, self.last_error()
        return Law(self, handle)

    def names(self, path: Path | None = None) -> list[str]:
        given, found = None if path is None else str(path).encode(), []
        while (name := self.material_name(given, len(found))) is not None:
            found.append(name.decode())
        return found


@dataclass
class Law:
    """A material of a library, with rows of numpy."""

    library: Library
    handle: int

    def size(self, role: int) -> int:
        return int(self.library.size(self.handle, role))

    def variables(self, role: int) -> dict[str, tuple[str, slice]]:
        found: dict[str, tuple[str, slice]] = {}
        while v := self.library.variable_at(self.handle, role, len(found)):
            v = v.contents
            found[v.name.decode()] = v.kind.decode(), slice(v.offset, v.offset + v.size)
        return found

    def initial_state(self, n: int) -> np.ndarray:
        state = np.full((n, self.size(STATE)), np.nan)
        self.library.initial_state(self.handle, n, state.ctypes.data)
        return state

    def parameters(self) -> np.ndarray:
        values = np.full(self.size(PARAMETERS), np.nan)
        self.library.default_parameters(self.handle, values.ctypes.data)
        return values

    def update(
        self,
        strain: np.ndarray,
        state: np.ndarray,
        time: float,
        dt: float,
        fields: np.ndarray | None = None,
        parameters: np.ndarray | None = None,
        tangent: bool = True,
    ) -> Update:
        n, width = len(strain), self.size(STRESS)
        stress, new = np.full((n, width), np.nan), np.full(state.shape, np.nan)
        slope = np.full((n, width, self.size(STRAIN)), np.nan)
        energy, status = np.full(n, np.nan), np.full(n, -1, np.intc)
        rows = [strain, fields, parameters, state, stress, new, slope if tangent else None, energy]
        assert all(r is None or (r.dtype == np.float64 and r.flags.c_contiguous) for r in rows)
        places = [None if r is None else r.ctypes.data for r in rows]
        failed = self.library.update(self.handle, n, time, dt, *places, status.ctypes.data)
        return Update(int(failed), stress, new, slope, energy, status)


class Reference:
    """The same law in Python; its state and fields in rows like those of a library."""

    def __init__(self, deck: Path, name: str) -> None:
        self.material: Material = load_input(deck).get("Materials", name)

    def state(self, law: Law, row: np.ndarray) -> dict[str, torch.Tensor]:
        kinds = self.material.state_spec
        return {
            name: torch.tensor(row[:, place]).reshape(len(row), *kinds[name].BASE_SHAPE)
            for name, (_, place) in law.variables(STATE).items()
        }

    def update(
        self,
        law: Law,
        strain: np.ndarray,
        state: np.ndarray,
        time: float,
        dt: float,
        fields: np.ndarray | None = None,
    ) -> Update:
        given = torch.tensor(strain).reshape(-1, *self.material.strain_kind.BASE_SHAPE)
        named = {} if fields is None else {"temperature": torch.tensor(fields[:, 0])}
        with backend("eager"):
            found = self.material.update(given, self.state(law, state), time, dt, named)
        new = np.concatenate(
            [found.state[n].reshape(len(strain), -1) for n in self.material.state_spec]
            or [np.zeros((len(strain), 0))],
            axis=1,
        )
        assert found.tangent is not None
        energy = np.full(len(strain), np.nan) if found.energy is None else found.energy.numpy()
        return Update(
            len(found.failed),
            found.stress.flatten(1).numpy(),
            new,
            found.tangent.reshape(len(strain), law.size(STRESS), -1).numpy(),
            energy,
            found.status.numpy(),
        )


@pytest.fixture(scope="module")
def deck(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("deck") / "laws.i"
    path.write_text(DECK)
    return path


@pytest.fixture(scope="module")
def library(deck: Path) -> Library:
    path = deck.with_name("laws.so")
    assert main(["compile", str(deck), "--library", str(path)]) == 0
    return Library(path)


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A second library, of one material, by a name that the first one has too."""
    folder = tmp_path_factory.mktemp("other")
    deck = folder / "other.i"
    deck.write_text(
        "[Models]\n  [elastic]\n    type = LinearElasticity\n"
        "    elasticity = 'isotropic(E = 7e4, nu = 0.33)'\n  []\n[]\n"
    )
    law = Material(load_input(deck).get_model("elastic"))
    build_library([Exported("elastic", law)], folder / "other.so")
    return folder / "other.so"


def strains(law: Law, n: int, k: int) -> np.ndarray:
    """Of n points in step k, other ones for other points, well in the plastic range."""
    draw = np.random.default_rng(k).standard_normal((n, law.size(STRAIN)))
    if law.size(STRAIN) == 9:
        return np.eye(3).reshape(1, 9) + 0.1 * draw
    return 3e-3 * (k + 1) * draw


def temperatures(law: Law, n: int) -> np.ndarray | None:
    fields = 300.0 + np.arange(float(n)).reshape(n, 1) % 50
    return fields if law.size(FIELDS) else None


def close(found: np.ndarray, expected: np.ndarray, tolerance: float = 1e-12) -> None:
    assert found.shape == expected.shape
    if expected.size:
        assert abs(found - expected).max() <= tolerance * abs(expected).max()


# --- what a library holds ---------------------------------------------------------------------
def test_names_and_sizes(library: Library, deck: Path) -> None:
    names = ["elastic", "steel", "rubber", "soft", "hasty"]
    assert library.names() == names and library.names(library.path) == names
    steel = library.material("steel")
    assert [steel.size(role) for role in range(5)] == [6, 6, 25, 1, len(steel.parameters())]
    assert list(steel.variables(FIELDS)) == ["temperature"]
    state = steel.variables(STATE)
    assert state["equivalent_plastic_strain"][0] == "Scalar"
    assert [*state] == [*Reference(deck, "steel").material.state_spec]
    assert not steel.initial_state(3).any()
    text = deck.with_name("laws.txt").read_text()
    for name, (_, place) in state.items():
        assert (
            f"{place.start + 1} to {place.stop}  {name}" in text or f"{place.stop}  {name}" in text
        )
    measures = {n: library.measure(library.material(n).handle).decode() for n in names}
    assert measures == {
        "elastic": "small strain",
        "steel": "small strain",
        "hasty": "small strain",
        "rubber": "PK1",
        "soft": "CAUCHY",
    }


def test_parameters_are_those_of_the_deck(library: Library, deck: Path) -> None:
    law, reference = library.material("steel"), Reference(deck, "steel").material
    expected = {n: p.reshape(-1).tolist() for n, p in reference.parameters.items()}
    values = law.parameters()
    assert {n: values[p].tolist() for n, (_, p) in law.variables(PARAMETERS).items()} == expected


# --- updates ----------------------------------------------------------------------------------
@pytest.mark.parametrize("n", [1, 2, 3, 17, 1000])
@pytest.mark.parametrize("name", ["elastic", "steel", "rubber", "soft"])
def test_update(library: Library, deck: Path, name: str, n: int) -> None:
    law, reference = library.material(name), Reference(deck, name)
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


def test_parameters_at_run_time(library: Library, deck: Path) -> None:
    law, reference = library.material("steel"), Reference(deck, "steel")
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


# --- threads ----------------------------------------------------------------------------------
def test_several_threads(library: Library) -> None:
    """ctypes gives Python's lock back during a call."""
    law = library.material("steel")

    def work(seed: int) -> Update:
        n = 50 + seed
        state, fields = law.initial_state(n), temperatures(law, n)
        for k in range(5):
            found = law.update(strains(law, n, seed + k), state, 0.1 * (k + 1), 0.1, fields)
            state = found.state
            wrong = library.update(None, seed, 0.0, 0.0, *[None] * 9)
            assert wrong == -1 and b"no material" in library.last_error()
        return found

    alone = [work(seed) for seed in range(8)]
    with ThreadPoolExecutor(4) as threads:
        together = list(threads.map(work, range(8)))
    for one, another in zip(alone, together, strict=True):
        assert one.failed == another.failed == 0
        assert (one.stress == another.stress).all() and (one.tangent == another.tangent).all()


def test_threads_of_one_update(library: Library) -> None:
    law = library.material("steel")
    strain, state, fields = strains(law, 999, 1), law.initial_state(999), temperatures(law, 999)
    one = law.update(strain, state, 0.1, 0.1, fields)
    library.set_threads(4)
    try:
        four = law.update(strain, state, 0.1, 0.1, fields)
    finally:
        library.set_threads(0)  # one
    assert (one.stress == four.stress).all() and (one.tangent == four.tangent).all()


# --- errors -----------------------------------------------------------------------------------
def test_errors_of_loading(library: Library, tmp_path: Path) -> None:
    def message(path: Path | None, name: str | None) -> str:
        given = [None if x is None else str(x).encode() for x in (path, name)]
        assert library.load(*given) is None
        return library.last_error().decode()

    assert "cannot load" in message(tmp_path / "none.so", "steel")
    assert "none.so" in message(tmp_path / "none.so", None)
    unlike = tmp_path / "text.so"
    unlike.write_text("no library")
    assert "cannot load" in message(unlike, "steel")
    assert "neml2fe compile --library" in message(Path("libm.so.6"), "steel")
    text = message(None, "stele")
    assert "no material 'stele'" in text and "elastic, steel, rubber, soft, hasty" in text
    assert "name one: elastic, steel" in message(library.path, None)
    assert library.material_name(str(unlike).encode(), 0) is None
    assert library.material_name(None, -1) is None


def test_errors_of_calls(library: Library) -> None:
    law = library.material("steel")
    rows = [np.zeros(64) for _ in range(9)]
    good = [r.ctypes.data for r in rows]

    def message(handle: int | None, n: int, missing: int | None = None) -> str:
        given = [None if k == missing else p for k, p in enumerate(good)]
        assert library.update(handle, n, 1.0, 1.0, *given) == -1
        return library.last_error().decode()

    assert "no material" in message(None, 1)
    assert "negative" in message(law.handle, -1)
    assert "'temperature'" in message(law.handle, 1, missing=1)
    for place in (0, 3, 4, 5):
        assert "must not be NULL" in message(law.handle, 1, missing=place)
    assert (
        library.update(
            law.handle, 1, 1.0, 1.0, *[good[k] if k in (0, 1, 3, 4, 5) else None for k in range(9)]
        )
        == 0
    )


def test_no_material_is_no_crash(library: Library) -> None:
    law = library.material("steel")
    assert library.size(None, STATE) == 0
    assert library.size(law.handle, 5) == library.size(law.handle, -1) == 0
    assert not library.variable_at(None, STATE, 0)
    assert not library.variable_at(law.handle, 5, 0)
    assert not library.variable_at(law.handle, STATE, -1)
    assert library.measure(None) is None
    library.initial_state(None, 1, None)
    library.default_parameters(None, None)


def test_refused_when_built(deck: Path, tmp_path: Path) -> None:
    law = Exported("a", Material(load_input(deck).get_model("elastic")))
    with pytest.raises(InputError, match="different names"):
        build_library([law, Exported("A", law.material)], tmp_path / "a.so")
    with pytest.raises(InputError, match="different names"):
        build_library([], tmp_path / "a.so")
    with pytest.raises(InputError, match="folder that is there"):
        build_library([law], tmp_path / "none" / "a.so")


# --- several libraries ------------------------------------------------------------------------
@pytest.mark.parametrize("mode", [ctypes.RTLD_LOCAL, ctypes.RTLD_GLOBAL])
def test_two_libraries(library: Library, other: Path, mode: int) -> None:
    """Each has its own tables and errors; each may load the other's materials."""
    second = Library(other, mode)
    stress = {}
    for loader in (library, second):
        for path in (library.path, other):
            law = loader.material("elastic", path)
            stress[loader.path, path] = law.update(np.eye(6), np.zeros((6, 0)), 1.0, 1.0).stress
    for E, nu, path in ((2e5, 0.3, library.path), (7e4, 0.33, other)):
        lame = E * nu / (1 + nu) / (1 - 2 * nu)
        expected = E / (1 + nu) * np.eye(6)
        expected[:3, :3] += lame
        for loader in (library, second):
            close(stress[loader.path, path], expected)
    assert second.names() == ["elastic"] and len(library.names()) == 5
    assert second.load(None, None) == second.material("elastic").handle  # the only one
    assert library.load(None, b"nothing") is None
    assert b"nothing" not in second.last_error()


# --- the example ------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def c_compiler() -> str:
    found = shutil.which("cc") or shutil.which("gcc")
    if found is None:
        pytest.skip("no C compiler (cc, gcc)")
    return found


@pytest.fixture(scope="module")
def example(library: Library, c_compiler: str) -> Iterator[Path]:
    program = library.path.with_name("example")
    options = ["-std=c99", "-pedantic", "-Wall", "-Wextra", "-Werror", f"-I{library.path.parent}"]
    given = [str(HERE / "example.c"), "-o", str(program), str(library.path), "-lm"]
    subprocess.run([c_compiler, *options, *given], check=True)
    yield program


def run(example: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([example, *arguments], capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("loaded", [False, True])
def test_example(library: Library, deck: Path, example: Path, loaded: bool) -> None:
    done = run(example, str(library.path) if loaded else "", "steel", "4", "350")
    assert done.returncode == 0, done.stderr
    assert (
        "state: 25 numbers" in done.stdout and "18 to 18: equivalent_plastic_strain" in done.stdout
    )
    law, reference = library.material("steel"), Reference(deck, "steel")
    rows = [line.split() for line in done.stdout.splitlines() if line.startswith("step")]
    assert len(rows) == 40
    state, fields = law.initial_state(4), np.full((4, 1), 350.0)
    for k, row in enumerate(rows):
        time = 0.05 * (k + 1)
        e = 0.01 * np.arange(1, 5) / 4 * np.sin(2 * np.pi * time)
        strain = e[:, None] * np.array([1, -0.5, -0.5, 0, 0, 0])
        found = reference.update(law, strain, state, time, 0.05, fields)
        state = found.state
        assert float(row[3]) == pytest.approx(strain[-1, 0], abs=1e-16)
        assert float(row[5]) == pytest.approx(found.stress[-1, 0], rel=1e-9)
        assert float(row[7]) == pytest.approx(found.tangent[-1, 0, 0], rel=1e-9)


def test_example_with_wrong_arguments(library: Library, other: Path, example: Path) -> None:
    wrong = run(example, "", "stele", "4")
    assert wrong.returncode == 2 and "there is: elastic, steel" in wrong.stderr
    assert run(example, "/none.so", "steel", "4").returncode == 2
    assert "small strain" in run(example, "", "rubber", "1").stderr
    assert run(example, str(other), "elastic", "1").returncode == 0
    failed = run(example, "", "hasty", "1")
    assert failed.returncode == 1 and "1 of 1 points failed in step" in failed.stderr


def test_header_in_c89_and_cpp(library: Library, c_compiler: str, tmp_path: Path) -> None:
    for suffix, language in (("c", "-std=c89"), ("cpp", "-std=c++98")):
        text = tmp_path / f"uses.{suffix}"
        text.write_text(
            '#include "neml2fe.h"\nint f(void) { return neml2fe_size(0, NEML2FE_STATE); }\n'
        )
        options = [language, "-pedantic", "-Wall", "-Werror", f"-I{library.path.parent}", "-c"]
        subprocess.run(
            [c_compiler, *options, str(text), "-o", str(tmp_path / "uses.o")], check=True
        )
