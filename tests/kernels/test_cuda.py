"""The CUDA source of kernels: compiled where nvcc or NVRTC is, run where a GPU is, and its path
of one number a thread run on the CPU anywhere; each compared with the SIMD kernel."""

from __future__ import annotations

import functools
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

import neml2fe
from neml2fe.kernels import BuildError, Kernels, Request, cuda, generate, traced
from neml2fe.kernels.kernel import Kernel
from neml2fe.kernels.source import Source
from neml2fe.material import Material
from neml2fe.material.march import march, march_vjp
from neml2fe.models import ScalarLinearInterpolation
from neml2fe.types import Scalar

DECKS = Path(__file__).parent.parent / "decks"
NVCC = shutil.which("nvcc")
ARCH = "sm_80"
POINTS = 203  # no multiple of a block, nor of the lanes of a vector
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA device")


@dataclass(frozen=True)
class Case:
    """A deck's model `model` as a material, strained up to `strain`."""

    deck: str
    strain: float

    @functools.cached_property
    def material(self) -> Material:
        """A parameter that a deck gives by specimen becomes one by point."""
        model = neml2fe.load_model(DECKS / f"{self.deck}.i", "model")
        for parameter in model.parameters():
            if parameter.ndim:
                parameter.data = parameter.data[torch.arange(POINTS) % len(parameter)]
        return Material(model, backend="kernel")

    def strains(self, n: int = POINTS, dtype: torch.dtype = torch.float64) -> torch.Tensor:
        generator = torch.Generator().manual_seed(0)
        strain = torch.randn(n, 6, generator=generator, dtype=torch.float64)
        strain[:, :3] -= 0.9 * strain[:, :3].mean(-1, keepdim=True)
        size = self.strain * torch.linspace(0.0, 1.0, n, dtype=torch.float64).unsqueeze(-1)
        return (size * strain / strain.norm(dim=-1, keepdim=True)).to(dtype)

    def fields(self, device: torch.device | str) -> dict[str, torch.Tensor]:
        generator = torch.Generator().manual_seed(1)
        return {
            n: (300.0 + 400.0 * torch.rand(POINTS, generator=generator, dtype=torch.float64)).to(
                device
            )
            for n in self.material.field_spec
        }

    def kernels(self, dtype: torch.dtype = torch.float64) -> Kernels:
        state = self.material.initial_state(POINTS)
        inputs = self.material._inputs(self.strains(), state, 1.0, 1.0, self.fields("cpu"))
        made = self.material.compiled.kernels(inputs)
        return Kernels(made.label, made._trace, dtype)

    def source(self, kind: str, dtype: torch.dtype = torch.float64) -> Source:
        m, of = self.material, self.material.compiled.of
        program = self.kernels(dtype).program
        wrt = tuple(v.name for v in program.inputs if v.name not in m._times)
        requests = {
            "values": Request("update", of),
            "tangent": Request("update", of, (m.strain,), (m.stress,)),
            "vjp": Request("vjp", of, wrt),
            "jvp": Request("jvp", of, wrt),
        }
        return generate(program, requests[kind])


CASES = {
    "radial return": Case("plasticity_radial_return_linear", 0.03),
    "perzyna": Case("perzyna_voce", 0.02),
    "rate independent": Case("combined", 0.01),
    "chaboche": Case("chaboche", 0.01),
    "field": Case("temperature", 0.01),
    "explicit": Case("explicit", 0.002),
    "viscoelastic": Case("viscoelastic_maxwell", 0.02),
}
SOURCES = [
    *((name, "tangent") for name in CASES),
    *(("perzyna", kind) for kind in ("values", "vjp", "jvp")),
    ("chaboche", "vjp"),
]


def table() -> Source:
    """A table of interpolation and its transposed derivative."""
    model = ScalarLinearInterpolation(
        argument="x", output="y", abscissa=[0.0, 1.0, 3.0], ordinate=[2.0, 5.0, 4.0]
    )

    def point(symbols: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        return {"y": model.evaluate({"x": Scalar(symbols["x"])})["y"].data}

    return generate(traced("table", point, {"x": ()}), Request("vjp", ("y",), ("x",)))


def text(name: str, kind: str) -> str:
    if name == "table":
        return table().cuda(torch.float64)
    dtype = torch.float32 if kind == "single" else torch.float64
    return CASES[name].source("tangent" if kind == "single" else kind, dtype).cuda(dtype)


ALL = [*SOURCES, ("perzyna", "single"), ("table", "vjp")]


@pytest.mark.skipif(NVCC is None, reason="nvcc is not on the PATH")
@pytest.mark.parametrize(("name", "kind"), ALL)
def test_nvcc_takes_it_without_a_warning(name: str, kind: str, tmp_path: Path) -> None:
    source = tmp_path / "kernel.cu"
    source.write_text(text(name, kind))
    command = [NVCC or "", "-std=c++17", f"-arch={ARCH}", "-cubin", "-Werror", "all-warnings"]
    done = subprocess.run(
        [*command, "-o", str(tmp_path / "kernel.cubin"), str(source)],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[:3000]
    assert "warning" not in done.stderr
    assert (tmp_path / "kernel.cubin").stat().st_size > 0


def needs_nvrtc() -> None:
    try:
        cuda.version()
    except BuildError as error:
        pytest.skip(str(error))


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NEML2FE_CACHE", str(tmp_path))
    return tmp_path / "kernels"


@pytest.mark.parametrize(("name", "kind"), ALL)
def test_nvrtc_takes_it(name: str, kind: str, cache: Path) -> None:
    needs_nvrtc()
    code = cuda.compiled(text(name, kind), ARCH)
    assert code.path.read_bytes().startswith(b"\x7fELF") and not code.cached


def test_machine_code_is_kept_and_checked(cache: Path) -> None:
    needs_nvrtc()
    source = 'extern "C" __global__ void neml2fe_run(int* x) { *x = 1; }'
    first = cuda.compiled(source, ARCH)
    content = first.path.read_bytes()
    again = cuda.compiled(source, ARCH)
    assert again.cached and again.path == first.path and again.path.parent == cache
    assert not cuda.compiled(source, "sm_90").cached
    first.path.write_bytes(content[:-1])
    mended = cuda.compiled(source, ARCH)
    assert not mended.cached and mended.path.read_bytes() == content


def test_what_nvrtc_refuses_is_a_build_error(cache: Path) -> None:
    needs_nvrtc()
    with pytest.raises(BuildError, match=r"kernel law for sm_80(.|\n)*nowhere"):
        cuda.compiled("__global__ void f() { nowhere(); }", ARCH, "law")


def test_without_nvrtc_there_is_a_build_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(name: str) -> None:
        raise OSError(name)

    monkeypatch.setattr(cuda.ctypes, "CDLL", nothing)
    with pytest.raises(BuildError, match="no CUDA compiler: libnvrtc"):
        cuda.library.__wrapped__()


def test_a_torch_that_cannot_load_is_a_build_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delattr(torch.cuda._utils, "_cuda_load_module", raising=False)
    code = cuda.Built(tmp_path / "kernel.cubin", 0.0, 0, cached=True)
    with pytest.raises(BuildError, match=r"torch .* cannot load a CUDA kernel.*newer"):
        cuda.load(code, torch.device("cuda", 0))


# --- the same numbers ------------------------------------------------------------------------
Numbers = dict[str, torch.Tensor]


def two_steps(case: Case, device: str = "cpu") -> Numbers:
    """Values, tangent, status and transposed derivatives of a second step of loading."""
    m, fields, strain = case.material, case.fields(device), case.strains().to(device)
    first = m.update(strain, m.initial_state(POINTS, device=device), 1.0, 1.0, fields)
    second = m.update(1.5 * strain, first.state, 2.0, 1.0, fields)
    assert second.tangent is not None and not len(second.failed)
    along = second.stress / second.stress.abs().max()  # so that sums over points do not cancel
    bars = m.vjp(1.5 * strain, first.state, 2.0, 1.0, along, {}, fields, second.solution)
    return {
        "stress": second.stress,
        "tangent": second.tangent,
        "status": second.status,
        "iterations": second.iterations,
        "strain bar": bars.strain,
        **{f"state {n}": v for n, v in second.state.items()},
        **{f"state bar {n}": v for n, v in bars.state.items()},
        **{f"field bar {n}": v for n, v in bars.fields.items()},
        **{f"parameter bar {n}": v for n, v in bars.parameters.items()},
    }


def histories(case: Case, device: str = "cpu") -> Numbers:
    """A march over five steps and its reverse sweep."""
    m, strain = case.material, case.strains().to(device)
    path = strain * torch.tensor([0.5, 1.0, 0.2, -0.5, 0.1], device=device).reshape(5, 1, 1)
    times = torch.arange(6, dtype=torch.float64, device=device)
    found = march(m, path, times)
    back = march_vjp(m, path, times, found, found.stress)
    return {
        "stress": found.stress,
        "status": found.status,
        **{f"state {n}": v for n, v in found.state.items()},
        "strain bar": back.strain,
        **{f"parameter bar {n}": v for n, v in back.parameters.items()},
    }


def assert_same(found: Numbers, expected: Numbers) -> None:
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        if value.dtype == torch.int64:
            assert torch.equal(found[name].cpu(), value), name
            continue
        scale, worst = value.abs().max(), (found[name].cpu() - value).abs().max()
        assert float(worst) <= 1e-12 * float(scale), f"{name}: {float(worst / scale):.1e}"


@pytest.fixture
def scalar(monkeypatch: pytest.MonkeyPatch) -> Callable[[Case], Case]:
    """A copy of a case, whose kernels go one number at a time, as a thread of a GPU does."""

    def one_at_a_time(case: Case) -> Case:
        monkeypatch.setenv("NEML2FE_CXXFLAGS", "-DNEML2FE_SCALAR")
        return Case(case.deck, case.strain)

    return one_at_a_time


@pytest.mark.parametrize("name", CASES)
def test_one_number_a_thread_gives_what_vectors_give(
    name: str, scalar: Callable[[Case], Case]
) -> None:
    expected = two_steps(CASES[name])
    assert_same(two_steps(scalar(CASES[name])), expected)


def test_a_march_of_one_number_a_thread(scalar: Callable[[Case], Case]) -> None:
    expected = histories(CASES["perzyna"])
    assert_same(histories(scalar(CASES["perzyna"])), expected)


# --- on a GPU --------------------------------------------------------------------------------
def on_gpu(case: Case) -> Case:
    copy = Case(case.deck, case.strain)
    copy.material.model.to("cuda")
    return copy


@needs_gpu
@pytest.mark.parametrize("name", CASES)
def test_a_gpu_gives_what_the_cpu_gives(name: str) -> None:
    found = two_steps(on_gpu(CASES[name]), "cuda")
    assert all(v.device.type == "cuda" for v in found.values())
    assert_same(found, two_steps(CASES[name]))


@needs_gpu
def test_a_march_on_a_gpu() -> None:
    found = histories(on_gpu(CASES["perzyna"]), "cuda")
    assert all(v.device.type == "cuda" for v in found.values())
    assert_same(found, histories(CASES["perzyna"]))


@needs_gpu
def test_it_runs_on_the_current_stream() -> None:
    """Behind work of the same stream, whose result it must see; and nothing else is waited for."""
    case = on_gpu(CASES["perzyna"])
    expected = two_steps(CASES["perzyna"])["stress"]
    two_steps(case, "cuda")  # compiled and loaded
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        torch.cuda._sleep(200_000_000)
        found = two_steps(case, "cuda")["stress"]
    stream.synchronize()
    assert_same({"stress": found}, {"stress": expected})


@needs_gpu
def test_a_launch_waits_for_nothing() -> None:
    case = on_gpu(CASES["perzyna"])
    source = case.source("values")
    kernel = Kernel("perzyna", source, torch.float64)
    m, strain = case.material, case.strains().to("cuda")
    inputs = m._inputs(strain, m.initial_state(POINTS, device="cuda"), 1.0, 1.0, {})
    arguments = m.compiled.arguments(inputs)
    settings = [stage.settings() for stage in case.kernels().program.stages]
    kernel(POINTS, arguments, settings, like=strain)
    torch.cuda.synchronize()
    torch.cuda._sleep(1_000_000_000)
    kernel(POINTS, arguments, settings, like=strain)
    assert not torch.cuda.current_stream().query()


@needs_gpu
def test_no_points_on_a_gpu() -> None:
    m = on_gpu(CASES["perzyna"]).material
    nothing = torch.zeros(0, 6, dtype=torch.float64, device="cuda")
    found = m.update(nothing, m.initial_state(0, device="cuda"), 1.0, 1.0)
    assert found.stress.shape == (0, 6) and found.stress.is_cuda
