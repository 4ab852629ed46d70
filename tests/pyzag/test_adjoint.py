"""Gradients of trajectories by the adjoint recursion, against autograd through the loop."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from ladder import assert_v, f64, randn
from recursions import (
    RECURSIONS,
    Cubic,
    Linear,
    N,
    S,
    VanDerPol,
    loss,
    start,
    unrolled,
    worst,
)

from neml2fe.errors import InputError
from neml2fe.pyzag import chunktime, nonlinear, ode
from neml2fe.pyzag.reparametrization import RangeRescale, Reparameterizer

EXACT = 1e-12
FACTORISATIONS = {
    "Thomas": chunktime.BidiagonalThomasFactorization,
    "PCR": chunktime.BidiagonalPCRFactorization,
    "hybrid": chunktime.BidiagonalHybridFactorization(min_size=3),
}
each = pytest.mark.parametrize("name", RECURSIONS)


def solver_of(
    recursion: torch.nn.Module, block: int = 5, **options: object
) -> nonlinear.RecursiveNonlinearEquationSolver:
    # Recursions that grow need many iterations at once: chunks are divided before they fail.
    return nonlinear.RecursiveNonlinearEquationSolver(
        recursion, nonlinear.StepGenerator(block), **options
    )


def leaves(recursion: torch.nn.Module, *others: torch.Tensor) -> list[torch.Tensor]:
    return [*others, *(p for p in recursion.parameters() if p.requires_grad)]


# --- first derivatives ----------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("name", "factorisation"),
    [*((n, "Thomas") for n in RECURSIONS), ("cubic", "PCR"), ("cubic", "hybrid")],
)
def test_gradients_are_those_of_the_loop_for_every_chunk_size(
    name: str, factorisation: str
) -> None:
    recursion = RECURSIONS[name]()
    y0, f = start()
    z = leaves(recursion, y0, f)
    y = unrolled(recursion, y0, f)
    expected = [y, *torch.autograd.grad(loss(y), z)]
    for block in range(1, N + 1):
        solver = solver_of(recursion, block, direct_solve_operator=FACTORISATIONS[factorisation])
        found = nonlinear.solve_adjoint(solver, y0, N, f)
        error = worst([found, *torch.autograd.grad(loss(found), z)], expected)
        assert error < EXACT, f"chunks of {block}: {error:.1e}"
        assert solver.outcome.backend == ("chunk" if block > 1 else "sequential")


@each
def test_sequential_and_default_chunks_agree_with_the_loop(name: str) -> None:
    recursion = RECURSIONS[name]()
    y0, f = start()
    z = leaves(recursion, y0, f)
    expected = torch.autograd.grad(loss(unrolled(recursion, y0, f)), z)
    for backend in ("sequential", "chunk", "auto"):
        solver = nonlinear.RecursiveNonlinearEquationSolver(recursion, backend=backend)
        found = torch.autograd.grad(loss(nonlinear.solve_adjoint(solver, y0, N, f)), z)
        assert worst(found, expected) < EXACT


@each
def test_gradients_agree_with_differences_in_a_v(name: str) -> None:
    recursion = RECURSIONS[name]()
    y0, f = start()
    z = leaves(recursion, y0, f)
    solver = solver_of(recursion)
    gradient = torch.autograd.grad(loss(nonlinear.solve_adjoint(solver, y0, N, f)), z)
    way = [randn(*t.shape) for t in z]
    at = [t.detach().clone() for t in z]

    def along(h: float) -> torch.Tensor:
        with torch.no_grad():
            for t, base, w in zip(z, at, way, strict=True):
                t.copy_(base + h * w)
            return loss(nonlinear.solve(solver, y0, N, f))

    slope = sum((g * w).sum() for g, w in zip(gradient, way, strict=True))
    assert_v(along, slope, steps=[10.0**-k for k in range(2, 10)])


def test_initial_state_where_the_first_residual_is_not_minus_one_times_it() -> None:
    """The initial state acts through -K / M: one step of a recursion is enough to see it."""
    recursion = Linear()
    y0, f = start(2)
    y = nonlinear.solve_adjoint(solver_of(recursion), y0, 2, f)
    (found,) = torch.autograd.grad(y[1].sum(), y0)
    expected = torch.linalg.solve(recursion.M, recursion.K).sum(0).expand(S, 2)
    assert worst([found], [expected]) < EXACT


class Spiral(torch.nn.Module):
    """x' = a x + y, y' = -x + b y^2."""

    def __init__(self) -> None:
        super().__init__()
        self.a = torch.nn.Parameter(f64(-0.4))
        self.b = torch.nn.Parameter(f64(0.25))

    def forward(self, t: torch.Tensor, state: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        x, y = state.unbind(-1)
        one = torch.ones_like(x)
        slopes = torch.stack([self.a * one, one, -one, 2.0 * self.b * y], -1)
        return torch.stack([self.a * x + y, self.b * y**2 - x], -1), slopes.unflatten(-1, (2, 2))


@pytest.mark.parametrize("block", [1, 2, 3, 5])
def test_initial_state_of_forward_euler_is_exact(block: int) -> None:
    """Where a solver takes the derivative of the first residual by the initial state for -1, this
    gradient is off by a third."""
    y0, dt = f64([[0.6, -0.3]]).requires_grad_(), 0.5
    t = (dt * torch.arange(6, dtype=torch.float64)).reshape(6, 1, 1)
    module = Spiral()
    solver = solver_of(ode.ForwardEulerODE(module), block)
    (found,) = torch.autograd.grad(nonlinear.solve_adjoint(solver, y0, 6, t)[-1].sum(), y0)
    y = y0
    for k in range(5):
        y = y + dt * module(t[k], y)[0]
    (expected,) = torch.autograd.grad(y.sum(), y0)
    assert worst([found], [expected]) < EXACT


@pytest.mark.parametrize("keep_every", [None, 1, 5, 12, 40])
@pytest.mark.parametrize("components", [None, [1], [1, 0]])
def test_components_and_kept_states(components: list[int] | None, keep_every: int | None) -> None:
    recursion = Cubic()
    y0, f = start()
    z = leaves(recursion, y0, f)
    solver = solver_of(recursion, 4)
    found = nonlinear.solve_adjoint(solver, y0, N, f, components=components, keep_every=keep_every)
    y = unrolled(recursion, y0, f)[..., components or [0, 1]]
    gradients = [torch.autograd.grad(loss(v), z) for v in (found, y)]
    assert worst([found, *gradients[0]], [y, *gradients[1]]) < EXACT


def test_forces_given_apart_have_gradients_of_their_own() -> None:
    """Time and a second force, of which one alone requires a gradient."""

    class Driven(VanDerPol):
        def forward(self, t: torch.Tensor, state: torch.Tensor, p: torch.Tensor) -> tuple:
            rates, slopes = super().forward(t, state)
            return rates + p, slopes

    recursion = ode.BackwardEulerODE(Driven())
    y0, t = start()
    p = randn(N, S, 2)
    for wanted in ([t], [p], [t, p]):
        for force in (t, p):
            force.requires_grad_(any(force is w for w in wanted))
        found = nonlinear.solve_adjoint(solver_of(recursion), y0, N, t, p)
        a, b = (
            torch.autograd.grad(loss(y), wanted) for y in (found, unrolled(recursion, y0, t, p))
        )
        assert worst(a, b) < EXACT


def test_a_state_without_batch() -> None:
    recursion = Cubic()
    y0, f = start(N, 1)
    z = leaves(recursion, y0, f)
    expected = torch.autograd.grad(loss(unrolled(recursion, y0, f)[:, 0]), z)
    single, force = y0.detach()[0].requires_grad_(), f.detach()[:, 0].requires_grad_()
    y = nonlinear.solve_adjoint(solver_of(recursion), single, N, force)
    assert y.shape == (N, 2)
    found = torch.autograd.grad(loss(y), leaves(recursion, single, force))
    found = [found[0].unsqueeze(0), found[1].unsqueeze(1), *found[2:]]
    assert worst(found, expected) < EXACT


# --- parameters -----------------------------------------------------------------------------------
def test_frozen_and_unused_parameters() -> None:
    recursion = Cubic()
    recursion.b.requires_grad_(False)
    recursion.unused = torch.nn.Parameter(f64(3.0))
    y0, f = start()
    loss(nonlinear.solve_adjoint(solver_of(recursion), y0, N, f)).backward()
    found = [y0.grad, f.grad, recursion.a.grad, recursion.c.grad]
    y = unrolled(recursion, y0, f)
    expected = torch.autograd.grad(loss(y), [y0, f, recursion.a, recursion.c])
    assert worst(found, expected) < EXACT
    assert recursion.b.grad is None
    assert recursion.unused.grad is None or not recursion.unused.grad.any()


def test_only_the_initial_state_requires_a_gradient() -> None:
    recursion = Cubic().requires_grad_(False)
    y0, f = start()
    f.requires_grad_(False)
    found = torch.autograd.grad(loss(nonlinear.solve_adjoint(solver_of(recursion), y0, N, f)), y0)
    assert worst(found, torch.autograd.grad(loss(unrolled(recursion, y0, f)), y0)) < EXACT


def test_nothing_requires_a_gradient() -> None:
    recursion = Cubic().requires_grad_(False)
    y0, f = (t.detach() for t in start())
    y = nonlinear.solve_adjoint(solver_of(recursion), y0, N, f)
    assert not y.requires_grad
    assert worst([y], [unrolled(recursion, y0, f)]) < EXACT
    assert not nonlinear.solve(solver_of(Cubic()), y0, N, f).requires_grad


@pytest.mark.parametrize("block", [1, 5, 12])
def test_parameters_per_specimen(block: int) -> None:
    recursion = Cubic(0.4 + torch.rand(S, 2, dtype=torch.float64))
    y0, f = start()
    z = leaves(recursion, y0, f)
    found = nonlinear.solve_adjoint(solver_of(recursion, block), y0, N, f)
    y = unrolled(recursion, y0, f)
    gradients = [torch.autograd.grad(loss(v), z) for v in (found, y)]
    assert worst([found, *gradients[0]], [y, *gradients[1]]) < EXACT


def test_rescaled_parameters() -> None:
    """By `Reparameterizer`: gradients by what an optimiser sees are natural ones by the chain."""
    recursion, plain = Cubic(), Cubic()
    y0, f = start()
    Reparameterizer({"c": RangeRescale(0.2, 2.2), "a": RangeRescale(f64(0.1), f64(1.1))})(recursion)
    loss(nonlinear.solve_adjoint(solver_of(recursion), y0, N, f)).backward()
    a, b, c = torch.autograd.grad(loss(unrolled(plain, y0, f)), [plain.a, plain.b, plain.c])
    found = dict(recursion.named_parameters())
    scaled = {n.split(".")[1]: p.grad for n, p in found.items() if n.endswith("original")}
    assert worst([scaled["a"], scaled["c"], recursion.b.grad], [1.0 * a, 2.0 * c, b]) < EXACT


def test_parametrised_by_torch() -> None:
    class Square(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x**2

    recursion = Cubic()
    torch.nn.utils.parametrize.register_parametrization(recursion, "b", Square(), unsafe=True)
    y0, f = start()
    z = leaves(recursion, y0, f)
    assert len(z) == 5
    pairs = [nonlinear.solve_adjoint(solver_of(recursion), y0, N, f), unrolled(recursion, y0, f)]
    assert worst(*(torch.autograd.grad(loss(y), z) for y in pairs)) < EXACT


def test_one_parameter_under_two_names() -> None:
    recursion = Linear()
    recursion.K = recursion.M
    y0, f = start()
    z = leaves(recursion, y0, f)
    pairs = [nonlinear.solve_adjoint(solver_of(recursion), y0, N, f), unrolled(recursion, y0, f)]
    assert worst(*(torch.autograd.grad(loss(y), z) for y in pairs)) < EXACT


# --- several trajectories of one solver -----------------------------------------------------------
def test_two_trajectories_before_one_backward() -> None:
    recursion = Cubic()
    solver = solver_of(recursion)
    first, second = start(), start(9, 2)
    z = leaves(recursion, *first, *second)

    def total(run: Callable[..., torch.Tensor]) -> torch.Tensor:
        return loss(run(*first)) * loss(run(*second))

    found = total(lambda y0, f: nonlinear.solve_adjoint(solver, y0, len(f), f))
    expected = total(lambda y0, f: unrolled(recursion, y0, f))
    assert worst(*(torch.autograd.grad(t, z) for t in (found, expected))) < EXACT


@pytest.mark.parametrize("options", [{}, {"keep_every": 4}])
@pytest.mark.parametrize("frozen", [False, True])
def test_parameters_changed_before_backward_are_noticed(frozen: bool, options: dict) -> None:
    """As by autograd: an error, or the gradient of what was computed, but no mixture."""
    recursion = Cubic()
    recursion.c.requires_grad_(not frozen)
    y0, f = start()
    z = [y0, recursion.a, recursion.b]
    expected = torch.autograd.grad(loss(unrolled(recursion, y0, f)), z)
    y = nonlinear.solve_adjoint(solver_of(recursion), y0, N, f, **options)
    with torch.no_grad():
        recursion.c.add_(0.5)
    try:
        found = torch.autograd.grad(loss(y), z)
    except RuntimeError as error:
        assert "modified by an inplace operation" in str(error)
    else:
        assert worst(found, expected) < EXACT


def test_a_parameter_replaced_before_backward_keeps_its_own_gradient() -> None:
    recursion = Cubic()
    y0, f = start()
    old = recursion.c
    expected = torch.autograd.grad(loss(unrolled(recursion, y0, f)), [y0, old])
    y = nonlinear.solve_adjoint(solver_of(recursion), y0, N, f)
    recursion.c = torch.nn.Parameter(f64(9.0))
    assert worst(torch.autograd.grad(loss(y), [y0, old]), expected) < EXACT
    assert float(recursion.c.detach()) == 9.0


def test_one_trajectory_differentiated_twice_in_sequence() -> None:
    recursion = Cubic()
    y0, f = start()
    z = leaves(recursion, y0, f)
    y = nonlinear.solve_adjoint(solver_of(recursion), y0, N, f)
    once = torch.autograd.grad(loss(y), z, retain_graph=True)
    again = torch.autograd.grad(loss(y), z)
    assert worst(once, again) == 0.0


# --- second derivatives ---------------------------------------------------------------------------
@each
@pytest.mark.parametrize("block", [1, 5, 12])
def test_hessian_vector_products_are_those_of_the_loop(name: str, block: int) -> None:
    recursion = RECURSIONS[name]()
    y0, f = start()
    z = leaves(recursion, y0, f)
    v = [randn(*t.shape) for t in z]
    products = []
    for y in (
        nonlinear.solve_adjoint(solver_of(recursion, block), y0, N, f),
        unrolled(recursion, y0, f),
    ):
        gradient = torch.autograd.grad(loss(y), z, create_graph=True)
        along = sum((g * w).sum() for g, w in zip(gradient, v, strict=True))
        products.append(torch.autograd.grad(along, z))
    assert worst(*products) < EXACT


def test_the_hessian_is_symmetric() -> None:
    recursion = Cubic()
    y0, f = start()
    z = leaves(recursion, y0, f)
    y = nonlinear.solve_adjoint(solver_of(recursion), y0, N, f)
    gradient = torch.autograd.grad(loss(y), z, create_graph=True)
    v, w = ([randn(*t.shape) for t in z] for _ in range(2))

    def product(way: list[torch.Tensor]) -> tuple[torch.Tensor, ...]:
        along = sum((g * d).sum() for g, d in zip(gradient, way, strict=True))
        return torch.autograd.grad(along, z, retain_graph=True)

    left = sum((a * b).sum() for a, b in zip(product(v), w, strict=True))
    right = sum((a * b).sum() for a, b in zip(product(w), v, strict=True))
    assert float((left - right).abs() / left.abs()) < EXACT


def test_hessian_vector_products_of_parameters_per_specimen() -> None:
    recursion = Cubic(0.4 + torch.rand(S, 2, dtype=torch.float64))
    y0, f = start()
    f.requires_grad_(False)
    v, products = randn(S, 2), []
    for y in (nonlinear.solve_adjoint(solver_of(recursion), y0, N, f), unrolled(recursion, y0, f)):
        (g,) = torch.autograd.grad(loss(y), recursion.a, create_graph=True)
        products.append(torch.autograd.grad((g * v).sum(), [recursion.a, y0]))
    assert worst(*products) < EXACT


@pytest.mark.parametrize(("order", "options"), [(2, {"keep_every": 3}), (3, {})])
def test_derivatives_of_too_high_an_order_are_refused(order: int, options: dict) -> None:
    """Also beside another term, to whose derivatives they would be zeros."""
    recursion = Cubic()
    y0, f = start()
    y = nonlinear.solve_adjoint(solver_of(recursion), y0, N, f, **options)
    found = loss(y) + (recursion.a**4).sum()
    with pytest.raises((RuntimeError, InputError), match=r"differentiable|derivative"):
        for _ in range(order):
            (g,) = torch.autograd.grad(found, recursion.a, create_graph=True)
            found = g.sum()


# --- sensitivities --------------------------------------------------------------------------------
@each
@pytest.mark.parametrize("block", [1, 5, 12])
def test_sensitivities_are_the_transpose_of_gradients(name: str, block: int) -> None:
    recursion = RECURSIONS[name]()
    y0, f = start()
    parameters = list(recursion.parameters())
    solver = solver_of(recursion, block)
    y = nonlinear.solve_adjoint(solver, y0, N, f)
    rates = [[randn(*p.shape) for p in parameters] for _ in range(3)]
    found = nonlinear.sensitivities(solver, y.detach(), f, parameters=parameters, rates=rates)
    assert found.shape == (N, S, 2, 3)
    bar = randn(*y.shape)
    gradient = torch.autograd.grad(y, parameters, bar)
    expected = torch.stack(
        [sum((g * r).sum() for g, r in zip(gradient, rate, strict=True)) for rate in rates]
    )
    assert worst([(bar.unsqueeze(-1) * found).sum((0, 1, 2))], [expected]) < EXACT


def test_sensitivities_agree_with_differences_in_a_v() -> None:
    recursion = Cubic(0.4 + torch.rand(S, 2, dtype=torch.float64))
    y0, f = (t.detach() for t in start())
    solver = solver_of(recursion)
    y = nonlinear.solve(solver, y0, N, f)
    at, way = recursion.a.detach().clone(), randn(S, 2)
    found = nonlinear.sensitivities(solver, y, f, parameters=[recursion.a], rates=[[way]])

    def along(h: float) -> torch.Tensor:
        with torch.no_grad():
            recursion.a.copy_(at + h * way)
        return nonlinear.solve(solver, y0, N, f)

    assert_v(along, found[..., 0], steps=[10.0**-k for k in range(1, 10)])


def test_sensitivities_without_batch() -> None:
    recursion = Cubic()
    y0, f = (t.detach() for t in start(N, 1))
    solver = solver_of(recursion)
    y, rates = nonlinear.solve(solver, y0, N, f), [[f64(1.0)]]
    expected = nonlinear.sensitivities(solver, y, f, parameters=[recursion.c], rates=rates)
    found = nonlinear.sensitivities(solver, y[:, 0], f[:, 0], parameters=[recursion.c], rates=rates)
    assert worst([found], [expected[:, 0]]) < EXACT


def test_sensitivities_of_a_frozen_parameter_are_a_clear_error() -> None:
    recursion = Cubic()
    recursion.c.requires_grad_(False)
    y0, f = (t.detach() for t in start())
    solver = solver_of(recursion)
    y = nonlinear.solve(solver, y0, N, f)
    with pytest.raises(InputError, match="gradient"):
        nonlinear.sensitivities(solver, y, f, parameters=[recursion.c], rates=[[f64(1.0)]])
