"""The binding in torch-fem itself, against neml2fe's own solver and against differences."""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("torchfem", reason="torch-fem is not installed: make bindings-test")

import torch
from neml2fe_torchfem import NemlMaterial, set_clock
from torchfem import Planar, Shell, Solid
from torchfem.mesh import cube_hexa, rect_quad
from torchfem.sparse import ConvergenceError as NoConvergence

from neml2fe import load_model
from neml2fe.errors import ModelError
from neml2fe.material import Material, PlaneStress, PointMaterial, finite_strain

HERE = Path(__file__).parent
SPEC = importlib.util.spec_from_file_location("torchfem_binding_example", HERE / "example.py")
example = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(example)

FORMULATIONS = pytest.mark.parametrize(
    "formulation", ["three_dimensional", "plane_strain", "plane_stress"]
)
KINEMATICS = pytest.mark.parametrize("kinematics", ["small", "finite"])
N = 4


@pytest.fixture(autouse=True)
def double() -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


def law(name: str = "steel", kinematics: str = "small", free: str = "") -> PointMaterial:
    """`free`: the last part of the name of the parameter that requires a gradient."""
    material = Material(load_model(HERE / "laws.i", name), backend="kernel")
    for parameter, value in material.parameters.items():
        value.requires_grad_(parameter.rsplit(".")[-1] == free)
    return finite_strain(material) if kinematics == "finite" else material


def sharp(formulation: str, kinematics: str) -> PointMaterial:
    material = law(kinematics=kinematics)
    if formulation == "plane_stress":
        return PlaneStress(material, rel_tol=1e-13, abs_tol=1e-15)
    return material


def alone(material: PointMaterial, formulation: str, **more: object) -> NemlMaterial:
    return NemlMaterial(material, formulation, rate_independent=True, **more).vectorize(N)


def at_rest(material: NemlMaterial) -> list[torch.Tensor]:
    """F, stress, state, external strain and length, as `step` takes them at the start."""
    d = material.dim
    zero = torch.zeros(N, d, d)
    state = torch.zeros(N, material.n_state)
    return [torch.eye(d).repeat(N, 1, 1), zero, state, zero, torch.ones(N, 1)]


def motion(d: int, size: float = 4e-3, seed: int = 0) -> torch.Tensor:
    return size * torch.randn(N, d, d, generator=torch.Generator().manual_seed(seed))


def beam(formulation: str) -> tuple[torch.Tensor, torch.Tensor, float]:
    """Nodes, cells and a force that bends the beam beyond its yield stress."""
    if formulation == "three_dimensional":
        return *cube_hexa(4, 3, 2, 30.0, 10.0, 5.0), 300.0
    return *rect_quad(4, 3, 30.0, 10.0), 75.0


@pytest.mark.parametrize(
    ("name", "formulation", "kinematics"),
    [
        ("steel", "three_dimensional", "small"),
        ("viscous_steel", "plane_strain", "finite"),
        ("viscous_steel", "plane_stress", "small"),
        pytest.param("steel", "three_dimensional", "finite", marks=pytest.mark.slow),
        pytest.param("steel", "plane_stress", "finite", marks=pytest.mark.slow),
    ],
)
def test_a_load_cycle_is_that_of_our_solver(name: str, formulation: str, kinematics: str) -> None:
    nodes, cells, force = beam(formulation)
    material = NemlMaterial(law(name, kinematics), formulation)
    found = example.with_torchfem(material, nodes, cells, force)
    expected = example.with_neml2fe(law(name), formulation, nodes, cells, force, kinematics)
    assert max(example.differences(found, expected)) < 1e-8
    elastic = example.LOADS[4] / example.LOADS[1] * found[0][0]
    assert abs(found[0][3] - elastic).max() > 0.02 * abs(elastic).max()  # it did yield


@FORMULATIONS
@KINEMATICS
def test_derivatives_of_a_step(formulation: str, kinematics: str) -> None:
    material = alone(sharp(formulation, kinematics), formulation)
    d, (f, stress, state, zero, length) = material.dim, at_rest(material)
    _, state, _ = material.step(motion(d), f, stress, state, zero, length, 0)
    f, h, rate = f + motion(d), motion(d, seed=1), motion(d, seed=2)
    state_rate, strain = 1e-2 * state, motion(d, 1e-3, seed=4) * (kinematics == "small")
    state_rate[:, 0] = 0.0  # the time is no input
    strain = strain + strain.mT

    def after(t: torch.Tensor, also: float = 0.0) -> tuple[torch.Tensor, ...]:
        """`also` varies the state and the external strain."""
        old, more = state + also * t * state_rate, (1.0 + also * t) * strain
        return material.step(h + t * rate, f + also * t * rate, stress, old, more, length, 0)

    def weighted(t: torch.Tensor) -> torch.Tensor:
        found, new, _ = after(t, 1.0)
        return (found * motion(d, 1.0, 5)).sum() + (new * new.new_ones(N, 1).cumsum(0)).sum()

    t, step = torch.zeros((), requires_grad=True), torch.tensor(1e-4)
    found = torch.einsum("nijkl,nkl->nij", after(0 * step)[2], rate)
    expected = (after(step)[0] - after(-step)[0]) / (2 * step)
    assert abs(found - expected).max() < 1e-6 * abs(expected).max()
    weighted(t).backward()
    expected = (weighted(step) - weighted(-step)) / (2 * step)
    assert float(t.grad) == pytest.approx(float(expected), rel=1e-6)


def test_a_step_may_be_repeated_and_reads_changes_made_in_place() -> None:
    material = NemlMaterial(law("viscous_steel")).vectorize(N)
    f, stress, state, clock, length = at_rest(material)
    clock[:, 0, 1], clock[:, 1, 0] = 0.5, -0.5
    given = motion(3), f, stress, state, clock, length
    before = [x.clone() for x in given]
    first, again = material.step(*given, 0), material.step(*given, 1)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert all(torch.equal(a, b) for a, b in zip(given, before, strict=True))
    clock *= 100.0
    slow, state, _ = material.step(*given, 0)
    assert torch.equal(state[:, 0], torch.full((N,), 50.0))
    assert (first[0][:, 0, 1] / slow[:, 0, 1]).min() > 1.1


@pytest.mark.parametrize(
    ("formulation", "kinematics"), [("plane_strain", "finite"), ("plane_stress", "small")]
)
def test_gradients_through_a_history(formulation: str, kinematics: str) -> None:
    nodes, cells, force = beam(formulation)

    def run(change: float, gradient: bool) -> tuple[torch.Tensor, torch.Tensor]:
        inner = law("viscous_steel", kinematics, free="sy")
        (yield_stress,) = (p for p in inner.parameters.values() if p.requires_grad)
        yield_stress.data += change
        model = example.model_of(NemlMaterial(inner, formulation), nodes, cells, force)
        u, _, stress, _, state = model.solve(
            torch.tensor([0.0, 0.6, 1.0, 0.9]),
            differentiable_parameters=yield_stress if gradient else None,
            **example.TOLERANCES,
        )
        strained = model.material.named_state(state)["equivalent_plastic_strain"]
        return u.square().sum() + 1e-4 * stress.square().mean() + strained.sum(), yield_stress

    loss, yield_stress = run(0.0, True)
    loss.backward()
    expected = (run(1e-2, False)[0] - run(-1e-2, False)[0]) / 2e-2
    assert float(yield_stress.grad) == pytest.approx(float(expected), rel=1e-5)


def test_gradients_by_a_field_of_the_elements() -> None:
    temperature = torch.full((6,), 350.0, requires_grad=True)
    nodes, cells = rect_quad(4, 3, 30.0, 10.0)

    def tip(values: torch.Tensor) -> torch.Tensor:
        fields = {"temperature": values}
        material = NemlMaterial(law("heated"), "plane_stress", fields=fields, rate_independent=True)
        model = Planar(nodes, cells, material)
        model.constraints[nodes[:, 0] == 0.0] = True
        return model.solve(differentiable_parameters=values, **example.TOLERANCES)[0][-1, 0]

    tip(temperature).backward()
    one = torch.zeros(6)
    one[2] = 1.0
    expected = tip(temperature.detach() + one) - tip(temperature.detach())  # it is linear
    assert float(temperature.grad[2]) == pytest.approx(float(expected), rel=1e-6)


def test_fields_that_change_and_external_strain_are_the_same() -> None:
    nodes, cells = rect_quad(4, 3, 30.0, 10.0)

    def stresses(temperature: object, strain: float) -> torch.Tensor:
        material = NemlMaterial(law("heated"), "plane_strain", fields={"temperature": temperature})
        model = Planar(nodes, cells, material)
        model.constraints[:] = True
        model.ext_strain = strain * torch.eye(2).repeat(6, 1, 1)
        return set_clock(model, 10.0).solve(torch.tensor([0.0, 0.5, 1.0]))[2]

    heated = stresses(lambda time: 300.0 + 10.0 * time, 0.0)  # by 100 K
    expected = -2e5 / 0.4 * 1e-3
    assert torch.allclose(heated, expected * torch.eye(2))
    strained = stresses(300.0, 1e-3)  # in the plane only
    assert torch.allclose(strained, expected / 1.3 * torch.eye(2))


def test_the_clock_runs_through_steps_that_are_cut_back() -> None:
    nodes, cells = cube_hexa(2, 2, 2)
    model = Solid(nodes, cells, NemlMaterial(law("viscous_steel"), "three_dimensional"))
    model.constraints[:] = True
    model.displacements[:, 0] = 2e-3 * nodes[:, 0]
    state = set_clock(model, 8.0).solve(torch.tensor([0.0, 1.0, 0.25]))[-1]
    assert torch.allclose(state[:, 0], torch.tensor(8.0 * 1.75))  # its first entry


def test_points_that_fail_make_torch_fem_cut_its_step() -> None:
    material = alone(law("rubber"), "three_dimensional")
    f, stress, state, zero, length = at_rest(material)
    torn = motion(3)
    torn[2, 0, 0] = torch.nan
    with pytest.warns(UserWarning, match=r"1 of 4 elements \(first: element 2\)"):
        found, *_ = material.step(torn, f, stress, state, zero, length, 0)
    assert found[2].isnan().any() and found[[0, 1, 3]].isfinite().all()
    nodes, cells = cube_hexa(3, 2, 2)
    model = Solid(nodes, cells, NemlMaterial(law("rubber"), rate_independent=True))
    model.constraints[nodes[:, 0] == 0.0] = True
    model.forces[nodes[:, 0] == 1.0, 0] = torch.nan
    with warnings.catch_warnings(), pytest.raises(NoConvergence, match="cutbacks"):
        warnings.simplefilter("ignore")
        model.solve(max_cutbacks=2)


def test_states_that_do_not_start_from_zero() -> None:
    material = alone(law(kinematics="finite"), "plane_stress")
    f, stress, state, zero, length = at_rest(material)
    normal = material.named_state(state)["out_of_plane_strain"]
    assert torch.equal(normal, torch.tensor([[0.0, 0.0, 1.0]]).expand(N, 3))
    found, state, _ = material.step(torch.zeros(N, 2, 2), f, stress, state, zero, length, 0)
    assert not found.any() and not state[:, 1:].any()


def test_what_cannot_be_differentiated_is_refused() -> None:
    nodes, cells = cube_hexa(2, 2, 2)
    model = Solid(nodes, cells, NemlMaterial(law(free="E"), rate_independent=True))
    with pytest.raises(ModelError, match="no derivative of its tangent"):
        model.k0().sum().backward()
    model.constraints[nodes[:, 0] == 0.0] = True
    model.forces[nodes[:, 0] == 1.0, 0] = 1.0
    with pytest.raises(ValueError, match="not in"):  # torch-fem's own word on a missing parameter
        model.solve(differentiable_parameters=torch.ones(1, requires_grad=True))


def step_of(shape: tuple[int, ...], formulation: str, rate_independent: bool = True) -> None:
    material = NemlMaterial(law(), formulation, rate_independent=rate_independent).vectorize(N)
    material.step(torch.full(shape, 1e-3), *at_rest(material), 0)


def in_single_precision() -> None:
    torch.set_default_dtype(torch.float32)
    NemlMaterial(law()).vectorize(N)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: NemlMaterial(law(), "plane"), "no formulation 'plane'"),
        (lambda: NemlMaterial(PlaneStress(law())), "is no three_dimensional one"),
        (lambda: NemlMaterial(law("heated")), "a field that is not given, 'temperature'"),
        (lambda: NemlMaterial(law("heated"), fields={"temperature": 1, "heat": 1}),
         "no field 'heat'"),
        (lambda: NemlMaterial(law("heated"), fields={"temperature": torch.ones(3)}).vectorize(N),
         r"field 'temperature' must have shape \(\) or \(4,\), got \(3,\)"),
        (lambda: NemlMaterial(law()).rotate(torch.eye(3)), "name an orientation"),
        (lambda: step_of((N, 2, 2), "three_dimensional"), r"4 elements\) .* \(4, 3, 3\), got"),
        (lambda: step_of((N, 3, 3), "plane_strain"), r"\(4, 2, 2\)"),
        (lambda: step_of((N, 3, 3), "three_dimensional", False), "needs the time, of which"),
        (lambda: NemlMaterial(law()).step(*7 * [torch.ones(1)]), "vectorize"),
        (lambda: set_clock(None, 0.0), "the duration must be positive"),
        (in_single_precision, "double precision"),
    ],
)  # fmt: skip
def test_bad_input(call: object, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        call()


def test_models_that_the_law_is_not_for() -> None:
    with pytest.raises(ValueError, match="Solid needs a 3D"):
        Solid(*cube_hexa(2, 2, 2), NemlMaterial(law(), "plane_strain"))
    nodes, cells = rect_quad(2, 2)
    nodes = torch.cat([nodes, torch.zeros(len(nodes), 1)], -1)
    with pytest.raises(ValueError, match="shear moduli"):
        Shell(nodes, cells, NemlMaterial(law(), "plane_stress"))


def test_the_example_prints_a_small_difference(capsys: pytest.CaptureFixture[str]) -> None:
    example.main()
    assert "d deflection / d sy = -" in capsys.readouterr().out
