"""What runs an update: the choice of a backend, falling back, and kernels that are up to date."""

from __future__ import annotations

import copy
import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from ladder import DECKS, close, f64

import neml2fe
from neml2fe.errors import ConvergenceError, InputError, ModelError
from neml2fe.implicit import ImplicitUpdate, Newton, NonlinearSystem
from neml2fe.kernels import (
    NoCompiler,
    Untraceable,
    backend,
    cache_dir,
    chosen_backend,
    recorded_kernels,
    repeated,
)
from neml2fe.material import Material
from neml2fe.models import Input, Model, Option, Output, Parameter
from neml2fe.types import SR2, Scalar

ENOUGH = 256


class Spring(Model, abstract=True):
    r"""$\sigma = k \varepsilon$; `k` is a constant, no parameter."""

    strain = Input(SR2)
    stress = Output(SR2)
    start = Option(float, "The constant")

    def setup(self) -> None:
        self.register_buffer("k", f64(self.start))

    def forward(self, strain: SR2) -> SR2:
        return Scalar(self.k) * strain


class Branching(Model, abstract=True):
    """Stiffer in tension of the whole batch: no law of a point."""

    strain = Input(SR2)
    stress = Output(SR2)
    k = Parameter(Scalar, "k")

    def forward(self, strain: SR2) -> SR2:
        if float(strain.data.sum()) > 0:
            return 2.0 * self.k * strain
        return self.k * strain


class Raising(Model, abstract=True):
    """Refuses what is no ordinary tensor of many points."""

    strain = Input(SR2)
    stress = Output(SR2)
    k = Parameter(Scalar, "k")

    def forward(self, strain: SR2) -> SR2:
        if strain.data.ndim < 2:
            raise TypeError("many points, please")
        return self.k * strain


class Root(Model, abstract=True):
    r"""$r = u^2 - a g$."""

    u = Input(Scalar)
    g = Input(Scalar)
    r = Output(Scalar, default="{u}_residual")
    start = Option(float, "The constant")

    def setup(self) -> None:
        self.register_buffer("a", f64(self.start))

    def forward(self, u: Scalar, g: Scalar) -> Scalar:
        return u * u - Scalar(self.a) * g


class One(Model, abstract=True):
    """A guess."""

    g = Input(Scalar)
    u = Output(Scalar)

    def forward(self, g: Scalar) -> Scalar:
        return 0.0 * g + 1.0


def root(**options: object) -> ImplicitUpdate:
    system = NonlinearSystem(Root(start=4.0, label="root"), ["u"])
    return ImplicitUpdate(equation_system=system, solver=Newton(), predictor=One(), **options)


def perzyna() -> Model:
    return neml2fe.load_model(DECKS / "perzyna_voce.i", "model")


def strains(n: int) -> torch.Tensor:
    way = f64([1.0, -0.4, -0.5, 0.3, 0.0, 0.2])
    return torch.linspace(1e-4, 8e-3, n).double()[:, None] * way


def stress(material: Material, n: int = 5) -> torch.Tensor:
    return material.update(strains(n), material.initial_state(n), 0.1, 0.1).stress


def used(run: Callable[..., object], *arguments: object) -> bool:
    """Whether a kernel has run."""
    with recorded_kernels() as kernels:
        run(*arguments)
    return bool(kernels)


@contextmanager
def one_warning(pattern: str) -> Iterator[None]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    ours = [str(w.message) for w in caught if "kernel" in str(w.message)]
    assert len(ours) == 1 and re.search(pattern, ours[0]), ours


@pytest.fixture(autouse=True)
def _no_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NEML2FE_BACKEND", raising=False)


# -- the choice -----------------------------------------------------------------------------


def test_auto_takes_a_kernel_where_it_pays() -> None:
    material = Material(perzyna())
    assert not used(stress, material, ENOUGH - 1) and used(stress, material, ENOUGH)
    with repeated(10):
        assert not used(stress, material, 25) and used(stress, material, 26)
    assert not used(stress, material, 26)
    with repeated(0):
        assert not used(stress, material, ENOUGH - 1) and used(stress, material, ENOUGH)
    assert used(stress, Material(perzyna(), backend="kernel"), 1)
    assert not used(stress, Material(perzyna(), backend="kernel"), 0)
    assert not used(stress, Material(perzyna(), backend="eager"), ENOUGH)


def test_auto_of_an_implicit_update() -> None:
    update = root()
    g = Scalar(torch.linspace(1.0, 2.0, ENOUGH).double())
    assert used(update, g) and not used(update, Scalar(g.data[1:]))
    with repeated(2):
        assert used(update, Scalar(g.data[1:]))


def test_who_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    """The context over the variable over the material's own."""
    assert [chosen_backend(own) for own in ("auto", "kernel", "eager")] == [
        "auto",
        "kernel",
        "eager",
    ]
    monkeypatch.setenv("NEML2FE_BACKEND", "eager")
    assert chosen_backend("kernel") == "eager"
    kernel, eager = (Material(perzyna(), backend=b) for b in ("kernel", "eager"))
    assert not used(stress, kernel)
    with backend("kernel"):
        assert chosen_backend("eager") == "kernel" and used(stress, eager)
        with backend("eager"):
            assert not used(stress, kernel)
        assert used(stress, eager)
    assert not used(stress, kernel)
    monkeypatch.setenv("NEML2FE_BACKEND", "kernel")
    assert used(stress, eager)
    monkeypatch.setenv("NEML2FE_BACKEND", "")
    assert chosen_backend("auto") == "auto"


def test_a_context_ends_with_an_error() -> None:
    with pytest.raises(ZeroDivisionError), backend("kernel"):
        _ = 1 / 0
    assert chosen_backend("auto") == "auto"


def test_unknown_words(monkeypatch: pytest.MonkeyPatch) -> None:
    words = r"auto, kernel, eager, not 'kernal'"
    with pytest.raises(InputError, match=f"backend is {words}.*kernel"), backend("kernal"):
        pass
    with pytest.raises(ModelError, match=f"backend is {words}"):
        Material(perzyna(), backend="kernal")
    monkeypatch.setenv("NEML2FE_BACKEND", "kernal")
    with pytest.raises(InputError, match=f"NEML2FE_BACKEND is {words}.*kernel"):
        stress(Material(perzyna()))


def deck_with(tmp_path: Path, line: str) -> Path:
    """perzyna_voce, with one more line in its ImplicitUpdate."""
    text = (DECKS / "perzyna_voce.i").read_text()
    path = tmp_path / "deck.i"
    path.write_text(re.sub(r"(type\s*=\s*ImplicitUpdate)", rf"\1\n    {line}", text, count=1))
    return path


def test_a_deck_may_choose(tmp_path: Path) -> None:
    inputs = {"E": strains(ENOUGH), "t": f64(0.1)}
    deck = deck_with(tmp_path, "backend = eager")
    model = neml2fe.load_model(deck, "model")
    (update,) = [x for x in model.modules() if isinstance(x, ImplicitUpdate)]
    zeros = {
        n: torch.zeros(ENOUGH, *kind.BASE_SHAPE).double() for n, kind in model.input_spec.items()
    }

    def run(model: Model) -> None:
        model.evaluate(zeros | inputs)

    assert update.backend == "eager" and not used(run, model)
    assert used(run, perzyna())
    with backend("kernel"):
        assert used(run, model)
    with pytest.raises(Exception, match="kernal"):
        neml2fe.load_model(deck_with(tmp_path, "backend = kernal"), "model")


# -- falling back ---------------------------------------------------------------------------


def test_a_law_that_branches_on_numbers_falls_back() -> None:
    material = Material(Branching(k=3.0))
    where = r"test_choice\.py:\d+ \(if float\(strain\.data\.sum\(\)\) > 0:\)"
    with one_warning(rf"'Branching' runs without a compiled kernel.*{where}"):
        found = [stress(material, ENOUGH) for _ in range(3)]
        result = material.update(-strains(ENOUGH), {}, 0.1, 0.1)
    assert all(close(v, 6.0 * strains(ENOUGH), 1e-15) for v in found)
    assert close(result.stress, -3.0 * strains(ENOUGH), 1e-15) and result.tangent is not None
    with pytest.raises(Untraceable, match=where):
        stress(Material(Branching(k=3.0), backend="kernel"))
    with backend("kernel"), pytest.raises(Untraceable, match=where):
        stress(material)


def test_an_update_of_a_law_that_branches_falls_back() -> None:
    class Sided(Root, abstract=True):
        def forward(self, u: Scalar, g: Scalar) -> Scalar:
            if bool((g.data > 0).all()):
                return u * u - Scalar(self.a) * g
            return u * u + Scalar(self.a) * g

    system = NonlinearSystem(Sided(start=4.0, label="sided"), ["u"])
    update = ImplicitUpdate(equation_system=system, solver=Newton(), predictor=One())
    g = torch.linspace(1.0, 2.0, ENOUGH).double()
    with one_warning(r"runs without.*test_choice\.py:\d+ \(if bool"):
        u = [update(Scalar(g)).data.detach() for _ in range(2)]
    assert all(close(v, 2.0 * g.sqrt(), 1e-13) for v in u)


def test_a_law_that_raises_an_error_of_its_own_falls_back() -> None:
    material = Material(Raising(k=3.0))
    with one_warning(r"runs without.*TypeError"):
        found = [stress(material, ENOUGH) for _ in range(2)]
    assert all(close(v, 3.0 * strains(ENOUGH), 1e-15) for v in found)
    with pytest.raises(Untraceable, match="TypeError"):
        stress(Material(Raising(k=3.0), backend="kernel"))


def test_no_compiler(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    model = perzyna()
    expected = stress(Material(model, backend="eager"), ENOUGH)
    monkeypatch.setenv("CXX", "/nonexistent")
    monkeypatch.setenv("NEML2FE_CACHE", str(tmp_path / "fresh"))
    material = Material(model)
    with one_warning("runs without a compiled kernel.*no C.. compiler.*/nonexistent"):
        found = [stress(material, ENOUGH) for _ in range(2)]
        state = material.initial_state(ENOUGH)
        bars = material.vjp(strains(ENOUGH), state, 0.1, 0.1, torch.ones(ENOUGH, 6).double())
    assert all(torch.equal(v, expected) for v in found) and bool(bars.strain.isfinite().all())
    with pytest.raises(NoCompiler, match="/nonexistent"):
        stress(Material(model, backend="kernel"))


# -- up to date -----------------------------------------------------------------------------


def entries() -> int:
    return len(list(cache_dir().glob("*.so")))


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("NEML2FE_CACHE", str(tmp_path / "cache"))


@pytest.mark.usefixtures("fresh")
def test_solver_options_are_no_part_of_a_kernel() -> None:
    model = perzyna()
    kernel, eager = (Material(model, backend=b) for b in ("kernel", "eager"))
    (update,) = [x for x in model.modules() if isinstance(x, ImplicitUpdate)]
    state = kernel.initial_state(5)

    def both() -> tuple[torch.Tensor, torch.Tensor]:
        a, b = (x.update(strains(5), state, 0.1, 0.1) for x in (kernel, eager))
        good = a.status == 0
        assert torch.equal(a.status, b.status)
        assert torch.equal(a.iterations[good], b.iterations[good])
        assert close(a.stress[good], b.stress[good], 1e-12)
        return a.status, a.iterations

    status, full = both()
    number = entries()
    assert not status.any() and int(full.max()) > 3 and number >= 1
    update.solver.abs_tol, update.solver.rel_tol = 0.3, 0.1
    update.solver.substep_del_tol = 1.0
    status, loose = both()
    assert not status.any() and int(loose.sum()) < int(full.sum())
    update.solver = Newton(abs_tol=1e-12)
    assert not both()[0].any()
    assert entries() == number
    update.solver.max_its = 1
    assert both()[0].any()
    update.solver = Newton()
    both()


@pytest.mark.usefixtures("fresh")
def test_parameters_are_read_at_every_call() -> None:
    model = perzyna()
    kernel, eager = (Material(model, backend=b) for b in ("kernel", "eager"))
    first, number = stress(kernel), entries()
    start = copy.deepcopy(model.state_dict())
    name = "rates_and_residuals.isoharden.R"
    with torch.no_grad():
        model.get_parameter(name).mul_(3.0)
    second = stress(kernel)
    assert close(second, stress(eager), 1e-12) and not close(second, first, 1e-6)
    model.load_state_dict(start)
    assert torch.equal(stress(kernel), first)
    path, _, symbol = name.rpartition(".")
    setattr(model.get_submodule(path), symbol, torch.nn.Parameter(f64(500.0)))
    third = stress(kernel)
    assert close(third, stress(eager), 1e-12) and not close(third, first, 1e-6)
    assert entries() == number


def test_parameters_of_an_update_are_read_at_every_call() -> None:
    system = NonlinearSystem(Offset(p=1.0, label="offset"), ["u"])
    update = ImplicitUpdate(equation_system=system, solver=Newton())
    (p,) = update.parameters()
    g = Scalar(f64([1.0, 2.0]))
    with backend("kernel"):
        for value in (1.0, 5.0, -2.0):
            with torch.no_grad():
                p.fill_(value)
            assert close(update(g).data.detach(), value + g.data, 1e-14)


class Offset(Model, abstract=True):
    r"""$r = u - g - p$."""

    u = Input(Scalar)
    g = Input(Scalar)
    r = Output(Scalar, default="{u}_residual")
    p = Parameter(Scalar, "p")

    def forward(self, u: Scalar, g: Scalar) -> Scalar:
        return u - g - self.p


def test_a_replaced_buffer_runs_no_old_kernel() -> None:
    """Numbers of objects are used again, and a new tensor starts with the same version."""
    model = Spring(start=2.0)
    material = Material(model, backend="kernel")
    assert close(stress(material), 2.0 * strains(5), 1e-15)
    (name,) = dict(model.named_buffers())
    for k in (3.0, 4.0, 2.0, 3.0, 7.0):
        setattr(model, name, f64(k))
        assert close(stress(material), k * strains(5), 1e-15)
    model.get_buffer(name).fill_(11.0)
    assert close(stress(material), 11.0 * strains(5), 1e-15)
    model.get_buffer(name).data = f64(13.0)  # which changes no version
    assert close(stress(material), 13.0 * strains(5), 1e-15)
    model.load_state_dict({name: f64(5.0)})
    assert close(stress(material), 5.0 * strains(5), 1e-15)


def test_a_replaced_buffer_of_an_update() -> None:
    update, g = root(), Scalar(f64([1.0, 2.25]))
    (place,) = [x for x in update.modules() if isinstance(x, Root)]
    (name,) = dict(place.named_buffers())
    with backend("kernel"):
        for a in (4.0, 9.0, 16.0, 4.0, 25.0):
            setattr(place, name, f64(a))
            assert close(update(g).data.detach(), f64([a**0.5, 1.5 * a**0.5]), 1e-14)


@pytest.mark.parametrize("k", [float("nan"), float("inf"), -float("inf")])
def test_a_buffer_that_is_no_number(k: float) -> None:
    """It has a spelling in C++; and as NaN equals nothing, it must not cost a kernel a call."""
    material = Material(Spring(start=k), backend="kernel")
    with recorded_kernels() as kernels:
        for _ in range(3):
            found = stress(material)
    expected = k * strains(5)
    assert torch.equal(found.isnan(), expected.isnan()) and len(kernels) == 1
    assert torch.equal(found.nan_to_num(), expected.nan_to_num())


def test_a_copied_material_has_kernels_of_its_own() -> None:
    model = perzyna()
    first = stress(Material(model, backend="kernel"))
    other = copy.deepcopy(model)
    with torch.no_grad():
        other.get_parameter("rates_and_residuals.isoharden.R").mul_(3.0)
    copied = Material(other, backend="kernel")
    assert close(stress(copied), stress(Material(other, backend="eager")), 1e-12)
    assert torch.equal(stress(Material(model, backend="kernel")), first)


def test_a_point_that_fails_raises_alike() -> None:
    update = root()
    g = Scalar(f64([1.0, -1.0]))
    messages = []
    for name in ("kernel", "eager"):
        with backend(name), pytest.raises(ConvergenceError) as caught:
            update(g)
        messages.append(str(caught.value))
    assert messages[0] == messages[1]
