"""Implicit updates whose solve runs in a kernel against the same by torch."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import pytest
import torch
from ladder import Pure, Raw, along, assert_v, close, direction, dot, f64, plastic_point, typed

from neml2fe.errors import ConvergenceError
from neml2fe.implicit import ImplicitUpdate, Newton, NonlinearSystem, Status, recorded_solves
from neml2fe.kernels import backend
from neml2fe.kernels.kernel import recorded_kernels
from neml2fe.models import Input, Model, Output, Parameter
from neml2fe.types import Scalar

STEPS = {"perzyna_voce": 8, "combined": 9, "chaboche": 8, "temperature": 8}
SLOPES = [1e-1, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8, 1e-11]
decks = pytest.mark.parametrize("deck", sorted(STEPS))


@cache
def stored(deck: str, step: int) -> tuple[Model, Raw]:
    return plastic_point(deck, step)


def material(deck: str) -> tuple[Model, Raw]:
    model, inputs = stored(deck, STEPS[deck])
    return copy.deepcopy(model), dict(inputs)


def with_both(f: Callable[[], Any]) -> tuple[Any, Any]:
    """`f` in a kernel, which it really used, and by torch."""
    with backend("kernel"), recorded_kernels() as kernels:
        mine = f()
    assert kernels
    with backend("eager"), recorded_kernels() as none:
        other = f()
    assert not none
    return mine, other


def same(mine: Raw, other: Raw, tolerance: float = 1e-11) -> None:
    assert mine.keys() == other.keys()
    for name, value in mine.items():
        assert close(value, other[name], tolerance), name


def near(mine: Raw, other: Raw, values: Raw) -> None:
    """Derivatives times the sizes of what they are by, to the largest of these products: around
    a derivative of zero a relative error means nothing."""
    assert mine.keys() == other.keys()
    sizes = {n: float(values[n].detach().abs().max()) or 1.0 for n in other}
    top = max(sizes[n] * float(v.abs().max()) for n, v in other.items())
    for name, value in other.items():
        assert float((mine[name] - value).abs().max()) * sizes[name] <= 1e-11 * top, name


class Cube(Model, abstract=True):
    r"""$r = u^3 + q u - p g$."""

    u = Input(Scalar)
    g = Input(Scalar)
    r = Output(Scalar, default="{u}_residual")
    p = Parameter(Scalar, "p")
    q = Parameter(Scalar, "q")

    def forward(self, u: Scalar, g: Scalar) -> Scalar:
        return u * u * u + self.q * u - self.p * g


class Offset(Model, abstract=True):
    """A guess: g + 1."""

    g = Input(Scalar)
    u = Output(Scalar)

    def forward(self, g: Scalar) -> Scalar:
        return g + 1.0


class Absent(Model, abstract=True):
    r"""$r = u^2 + p (g + 1)$, zero nowhere for $g > -1$."""

    u = Input(Scalar)
    g = Input(Scalar)
    r = Output(Scalar, default="{u}_residual")
    p = Parameter(Scalar, "p")

    def forward(self, u: Scalar, g: Scalar) -> Scalar:
        return u * u + self.p * (g + 1.0) + 0.1 * u


def cubic(p: object = 2.0, q: object = 0.5) -> ImplicitUpdate:
    system = NonlinearSystem(Cube(p=p, q=q, label="cube"), ["u"])
    return ImplicitUpdate(equation_system=system, solver=Newton(), predictor=Offset())


@decks
def test_values_and_gradients(deck: str) -> None:
    """By all inputs and all parameters, some of which vary by point."""
    model, inputs = material(deck)
    pure = Pure(model, inputs)
    same(*with_both(lambda: pure.outputs(pure.values)), tolerance=1e-12)
    near(*with_both(lambda: pure.gradient(pure.values)), pure.values)


@decks
def test_second_derivatives(deck: str) -> None:
    """Reverse over reverse and forward over reverse."""
    model, inputs = material(deck)
    pure = Pure(model, inputs)
    way = {n: 0.02 * d for n, d in direction(pure.values).items()}

    def product() -> torch.Tensor:
        leaves = {n: v.clone().requires_grad_() for n, v in pure.values.items()}
        first = torch.autograd.grad(
            pure.total(leaves), list(leaves.values()), create_graph=True, materialize_grads=True
        )
        slope = dot(dict(zip(leaves, first, strict=True)), way)
        second = torch.autograd.grad(slope, list(leaves.values()), materialize_grads=True)
        return scaled(dict(zip(leaves, second, strict=True)))

    def forward() -> torch.Tensor:
        _, found = torch.func.jvp(torch.func.grad(pure.total), (pure.values,), (way,))
        return scaled(found)

    def scaled(found: Raw) -> torch.Tensor:
        return torch.cat([(pure.values[n].abs().max() * v).reshape(-1) for n, v in found.items()])

    mine, other = with_both(product)
    assert close(mine, other, 1e-11)
    assert close(*with_both(forward), 1e-11) and close(mine, with_both(forward)[0], 1e-10)


def test_the_gradient_of_a_kernel_against_differences() -> None:
    model, inputs = material("chaboche")
    pure = Pure(model, inputs)
    way = {n: 0.02 * d for n, d in direction(pure.values).items()}
    with backend("kernel"):
        slope = dot(pure.gradient(pure.values), way)
        assert_v(lambda h: pure.total(along(pure.values, way, h)), slope, steps=SLOPES)


def test_transforms() -> None:
    """jacrev, jacfwd, jvp and vmap by an input and by a parameter."""
    model, inputs = material("perzyna_voce")
    pure = Pure(model, inputs)
    name = "p:rates_and_residuals.normality.flow.yield_surface.sy"
    at = (inputs["E"], f64(150.0))
    ways = (0.01 * inputs["E"], f64(3.0))
    yields = f64([150.0, 140.0, 130.0])
    strains = torch.stack([inputs["E"], 1.1 * inputs["E"], 1.2 * inputs["E"]])

    def stress(e: torch.Tensor, sy: torch.Tensor) -> torch.Tensor:
        return pure.outputs({**pure.values, "E": e, name: sy})["stress"]

    def total(e: torch.Tensor, sy: torch.Tensor) -> torch.Tensor:
        return stress(e, sy).square().sum()

    for f, tolerance in (
        (lambda: torch.func.jacrev(stress, argnums=(0, 1))(*at), 1e-11),
        (lambda: torch.func.jacfwd(stress, argnums=(0, 1))(*at), 1e-11),
        (lambda: torch.func.jvp(stress, at, ways), 1e-11),
        (lambda: (torch.func.vmap(stress, in_dims=(None, 0))(at[0], yields),), 1e-12),
        (lambda: (torch.func.vmap(stress)(strains, yields),), 1e-12),
        (lambda: torch.func.vmap(torch.func.grad(total, (0, 1)))(strains, yields), 1e-11),
        (lambda: torch.func.vmap(torch.func.grad(total, (0, 1)), (None, 0))(at[0], yields), 1e-11),
        (lambda: torch.func.hessian(total, argnums=(0, 1))(*at)[1], 1e-11),
    ):
        mine, other = with_both(f)
        for a, b in zip(mine, other, strict=True):
            assert a.shape == b.shape and close(a, b, tolerance)


@pytest.mark.parametrize("n", [0, 1, 9])
def test_any_number_of_points(n: int) -> None:
    """Shared and per-point parameters, a predictor, and the closed form of the gradient."""
    g = torch.linspace(0.5, 7.0, n).double().requires_grad_()
    update = cubic(p=Scalar(torch.linspace(1.0, 2.0, n).double()), q=0.5)
    p, q = (dict(update.named_parameters())[f"cube.{s}"] for s in "pq")

    def run() -> tuple[torch.Tensor, ...]:
        u = update(Scalar(g)).data
        return u, *torch.autograd.grad(u.sum(), (g, p, q))

    if n:
        mine, other = with_both(run)
    else:
        with backend("kernel"):
            mine = other = run()
    for a, b in zip(mine, other, strict=True):
        assert a.shape == b.shape and (not n or close(a, b, 1e-13))
    u = mine[0].detach()
    slope = 1.0 / (3.0 * u**2 + q.detach())
    if n:
        assert close(u**3 + 0.5 * u, (p * g).detach(), 1e-13)
        assert close(mine[1], p.detach() * slope, 1e-13)
        assert close(mine[2], g.detach() * slope, 1e-13)
        assert close(mine[3], -(u * slope).sum(), 1e-13)
    else:
        assert u.shape == (0,) and not mine[3]


def test_points_that_fail_are_named_alike() -> None:
    system = NonlinearSystem(Absent(p=1.0), ["u"])
    update = ImplicitUpdate(equation_system=system, solver=Newton())
    g = Scalar(f64([-3.0, -2.0, 4.0, torch.nan, -5.0]))

    def message() -> str:
        with pytest.raises(ConvergenceError) as caught:
            update(g)
        return str(caught.value)

    def log() -> tuple[torch.Tensor, torch.Tensor]:
        with recorded_solves() as log:
            u = update(g).data
        assert log.status is not None
        return log.status, u

    mine, other = with_both(message)
    assert mine == other and "at 2 of 5 points (first: point 2, iteration limit)" in mine
    (status, u), (expected, v) = with_both(log)
    limit, nan = Status.ITERATION_LIMIT, Status.NOT_FINITE
    assert status.tolist() == expected.tolist() == [0, 0, limit, nan, 0]
    assert bool(u[2:4].isnan().all()) and close(u[[0, 1, 4]], v[[0, 1, 4]], 1e-13)


def test_a_block_structure_of_crystals() -> None:
    """Each grain of each point is a point of the kernel."""
    model, inputs = stored("crystal_taylor_block", 8)
    parts = {"orientation~1", "elastic_strain~1", "slip_hardening~1"}
    sub_batch = {n: int(n in parts) for n in inputs}
    names = dict(model.named_parameters())

    def run() -> tuple[Raw, Raw]:
        leaves = {n: v.clone().requires_grad_() for n, v in inputs.items()} | names
        with recorded_solves() as log:
            found = model.evaluate(typed(model, {n: leaves[n] for n in inputs}, sub_batch))
        assert log.status is not None and not log.status.any() and log.status.shape == (2,)
        outputs = {n: v.data for n, v in found.items()}
        total = dot(outputs, {n: v.detach().cos() for n, v in outputs.items()})
        bars = torch.autograd.grad(total, list(leaves.values()), materialize_grads=True)
        return {n: v.detach() for n, v in outputs.items()}, dict(zip(leaves, bars, strict=True))

    (mine, bars), (other, expected) = with_both(run)
    same(mine, other)
    near(bars, expected, {**inputs, **names})


def test_a_chain_of_steps() -> None:
    """A gradient through three implicit steps."""
    model, inputs = material("combined")
    pure = Pure(model, inputs)

    def gradient() -> Raw:
        leaves = {n: v.clone().requires_grad_() for n, v in pure.values.items()}
        total, state = f64(0.0), dict(leaves)
        for k in range(3):
            found = pure.outputs(state)
            total = total + (found["stress"] * pure.weights["stress"]).sum()
            state |= {f"{n}~1": v for n, v in found.items() if f"{n}~1" in state}
            state["E"] = state["E"] * (1.05 + 0.1 * k)
        total.backward()
        return {n: v.grad for n, v in leaves.items() if v.grad is not None}

    near(*with_both(gradient), pure.values)


@pytest.fixture(autouse=True)
def _no_choice(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("NEML2FE_BACKEND", raising=False)
    yield
