"""Whole histories inside a compiled kernel, against chunks of steps and steps by themselves."""

from __future__ import annotations

import pytest
import torch
from ladder import f64, randn
from recursions import Cubic, DeckCase, cycled, deck_case, start, worst

from neml2fe.errors import ConvergenceError, InputError
from neml2fe.kernels import recorded_kernels
from neml2fe.pyzag import chunktime, nonlinear
from neml2fe.pyzag.nonlinear import TrajectoryError

N, S = 14, 5
SAME = 1e-9
PERZYNA = "perzyna_voce"
# Rate-dependent; rate-independent; with parameters that are models of the temperature.
DECKS = [PERZYNA, "combined", "temperature"]
BACKENDS = [(deck, *way) for deck in DECKS for way in (("march", 1), ("chunk", 4))]
BACKENDS += [(PERZYNA, "chunk", 13), (PERZYNA, "sequential", 1)]


def solver_of(
    case: DeckCase, backend: str, block: int = 4, **options: object
) -> nonlinear.RecursiveNonlinearEquationSolver:
    return nonlinear.RecursiveNonlinearEquationSolver(
        case.model, nonlinear.StepGenerator(block), backend=backend, **options
    )


@pytest.fixture(scope="module")
def cases() -> dict[str, DeckCase]:
    """Cycles into plasticity; all kernels of a model are made once."""
    torch.manual_seed(0)
    found = {deck: cycled(deck, N, S, "kernel") for deck in DECKS}
    # A reference stress of each of three specimens: another one for each here.
    model = found["temperature"].model
    model.flow_rate_eta = torch.nn.Parameter(torch.linspace(500.0, 700.0, S).double())
    found[PERZYNA].model.yield_surface_sy = torch.nn.Parameter(
        torch.linspace(120.0, 180.0, S).double()
    )
    return found


def gradients(case: DeckCase, backend: str, block: int, **options: object) -> list[torch.Tensor]:
    """Trajectory and gradients of a loss of it by y0, forces and parameters."""
    y0, f = case.y0.clone().requires_grad_(), case.forces.clone().requires_grad_()
    solver = solver_of(case, backend, block)
    y = nonlinear.solve_adjoint(solver, y0, N, f, **options)
    assert solver.outcome.backend == backend
    size = y.detach().abs().amax((0, 1)).clamp(min=1e-12)
    weights = torch.linspace(0.5, 1.5, y.numel(), dtype=y.dtype).reshape(y.shape)
    loss = (weights * y / size).sum() + ((y / size) ** 3).sum()
    z = [y0, f, *case.model.parameters()]
    found = torch.autograd.grad(loss, z, allow_unused=True, materialize_grads=True)
    return [y.detach(), *found]


def assert_same(found: list[torch.Tensor], expected: list[torch.Tensor]) -> None:
    for k, (a, b) in enumerate(zip(found, expected, strict=True)):
        columns = range(b.shape[-1]) if b.ndim > 1 else [...]  # differ in size by their meaning
        for i in columns:
            v, w = (t[..., i] for t in (a, b))
            error = worst([v], [w]) if w.any() else float(v.abs().max())
            assert error < SAME, f"tensor {k}, component {i}: {error:.1e}"


@pytest.fixture(scope="module")
def eager(cases: dict[str, DeckCase]) -> dict[str, list[torch.Tensor]]:
    """Without kernels, step by step."""
    found = {}
    for deck, case in cases.items():
        case.model.backend = "eager"
        found[deck] = gradients(case, "sequential", 1)
        case.model.backend = "kernel"
    return found


@pytest.mark.parametrize(("deck", "backend", "block"), BACKENDS)
def test_backends_give_the_same_values_and_gradients(
    cases: dict[str, DeckCase],
    eager: dict[str, list[torch.Tensor]],
    deck: str,
    backend: str,
    block: int,
) -> None:
    with recorded_kernels() as used:
        found = gradients(cases[deck], backend, block)
    assert used, "no kernel was used"
    assert_same(found, eager[deck])


@pytest.mark.parametrize("backend", ["march", "chunk"])
@pytest.mark.parametrize("options", [{"keep_every": 5}, {"components": [6, 0], "keep_every": 13}])
def test_kept_states(cases: dict[str, DeckCase], backend: str, options: dict[str, object]) -> None:
    case = cases[PERZYNA]
    parts = options.get("components", range(7))
    y0, f = case.y0.clone().requires_grad_(), case.forces.clone().requires_grad_()
    z = [y0, f, *case.model.parameters()]
    solver = solver_of(case, backend)
    y = nonlinear.solve_adjoint(solver, y0, N, f)[..., parts]
    bar = randn(*y.shape)
    expected = [y, *torch.autograd.grad(y, z, bar)]
    y = nonlinear.solve_adjoint(solver, y0, N, f, **options)
    assert_same([y, *torch.autograd.grad(y, z, bar)], expected)


@pytest.mark.parametrize("deck", [PERZYNA, "temperature"])
def test_sensitivities(cases: dict[str, DeckCase], deck: str) -> None:
    """The same by each way, and the transpose of gradients; per specimen and for all at once."""
    case = cases[deck]
    names = ["flow_rate_eta", "yield_surface_sy"] if deck == PERZYNA else ["flow_rate_eta"]
    own = dict(case.model.named_parameters())
    parameters = [own[n] for n in [*names, "flow_rate_n"]]
    rates = [[p.detach() * randn(*p.shape) for p in parameters] for _ in range(3)]
    found = []
    for backend in ("march", "chunk", "sequential"):
        solver = solver_of(case, backend)
        y = nonlinear.solve(solver, case.y0, N, case.forces)
        found.append(
            nonlinear.sensitivities(solver, y, case.forces, parameters=parameters, rates=rates)
        )
    assert found[0].shape == (N, S, 7, 3)
    assert worst(found[:1], found[2:]) < SAME and worst(found[1:2], found[2:]) < SAME
    y = nonlinear.solve_adjoint(solver_of(case, "march"), case.y0, N, case.forces)
    bar = randn(*y.shape)
    gradient = torch.autograd.grad(y, parameters, bar)
    expected = [sum((g * r).sum() for g, r in zip(gradient, rate, strict=True)) for rate in rates]
    pulled = (bar.unsqueeze(-1) * found[0]).sum((0, 1, 2))
    assert worst([pulled], [torch.stack(expected)]) < SAME


def test_second_derivatives_of_a_march(cases: dict[str, DeckCase]) -> None:
    """By way of chunks."""
    case = cases[PERZYNA]
    p, products = case.model.flow_rate_n, []
    for backend in ("march", "sequential"):
        y = nonlinear.solve_adjoint(solver_of(case, backend), case.y0, N, case.forces)
        (g,) = torch.autograd.grad((y[..., 6] ** 2).sum(), p, create_graph=True)
        products.append(torch.autograd.grad(g, [p, case.model.yield_surface_sy]))
    assert worst(*products) < SAME


def test_steps_are_those_of_the_driver() -> None:
    case = deck_case(PERZYNA, 16, "kernel")
    y = nonlinear.solve(solver_of(case, "march"), case.y0, 16, case.forces)
    found = case.model.split_state(y[1:])
    assert all(worst([found[n]], [case.known[n]]) < 1e-10 for n in case.known)


def test_two_marches_before_one_backward(cases: dict[str, DeckCase]) -> None:
    case = cases[PERZYNA]
    p = [case.model.yield_surface_sy, case.model.flow_rate_n]
    solver = solver_of(case, "march")
    first = nonlinear.solve_adjoint(solver, case.y0, N, case.forces)
    second = nonlinear.solve_adjoint(solver, case.y0 + 1e-3, 9, case.forces[:9])
    together = torch.autograd.grad((first**2).sum() + (second**2).sum(), p, retain_graph=True)
    apart = [torch.autograd.grad((y**2).sum(), p) for y in (first, second)]
    assert worst(together, [a + b for a, b in zip(*apart, strict=True)]) < 1e-14


def test_frozen_parameters_and_forces(
    cases: dict[str, DeckCase], eager: dict[str, list[torch.Tensor]]
) -> None:
    """Gradients of one parameter alone are the same, and the others get none."""
    case = cases[PERZYNA]
    own = dict(case.model.named_parameters())
    for p in own.values():
        p.requires_grad_(p is case.model.yield_surface_sy)
    try:
        found = []
        for backend in ("march", "sequential"):
            y = nonlinear.solve_adjoint(solver_of(case, backend), case.y0, N, case.forces)
            case.model.zero_grad()
            (y**2).sum().backward()
            found.append([case.model.yield_surface_sy.grad.clone()])
            assert all(p.grad is None for p in own.values() if not p.requires_grad)
        assert worst(*found) < SAME
    finally:
        for p in own.values():
            p.requires_grad_()


# --- failures -------------------------------------------------------------------------------------
@pytest.fixture
def broken(cases: dict[str, DeckCase]) -> DeckCase:
    """The first strain of specimen 3 jumps beyond any solution at step 8."""
    case = cases[PERZYNA]
    forces = case.forces.clone()
    forces[8:, 3, 0] = 1e80
    return DeckCase(case.model, case.y0, forces, {})


def test_a_failure_names_specimen_and_step(broken: DeckCase, cases: dict[str, DeckCase]) -> None:
    with pytest.raises(TrajectoryError, match="specimen 3 at step 8") as caught:
        nonlinear.solve(solver_of(broken, "march"), broken.y0, N, broken.forces)
    assert caught.value.failed == {3: 8}
    states = caught.value.states
    assert bool(states[8:, 3].isnan().all())
    expected = nonlinear.solve(solver_of(broken, "march"), broken.y0, N, cases[PERZYNA].forces)
    others = [0, 1, 2, 4]
    assert torch.equal(states[:, others], expected[:, others])
    assert worst([states[:8, 3]], [expected[:8, 3]]) < 1e-13


@pytest.mark.parametrize("options", [{}, {"keep_every": 5}])
def test_gradients_of_others_are_right(
    broken: DeckCase, cases: dict[str, DeckCase], options: dict[str, object]
) -> None:
    newton = chunktime.ChunkNewtonRaphson(throw_on_fail=False)
    solver = solver_of(broken, "march", nonlinear_solver=newton)
    with pytest.warns(UserWarning, match="specimen 3 at step 8"):
        y = nonlinear.solve_adjoint(solver, broken.y0, N, broken.forces, **options)
    parameters = [broken.model.yield_surface_sy, broken.model.flow_rate_n]
    good = nonlinear.solve_adjoint(solver, broken.y0, N, cases[PERZYNA].forces)
    use = torch.ones(N, S, dtype=torch.bool)
    use[8:, 3] = False
    pair = [
        torch.autograd.grad((v[use] ** 2).sum(), parameters, retain_graph=True) for v in (y, good)
    ]
    assert worst(*pair) < 1e-12
    with pytest.raises(ConvergenceError, match="specimen 3 at step"):
        torch.autograd.grad(y.sum(), parameters)


# --- the choice -----------------------------------------------------------------------------------
def test_a_recursion_of_a_user_cannot_march() -> None:
    y0, f = start()
    solver = nonlinear.RecursiveNonlinearEquationSolver(Cubic(), backend="march")
    with pytest.raises(InputError, match="march: Cubic is no model of a deck"):
        nonlinear.solve(solver, y0, len(f), f)


def test_a_model_that_cannot_be_compiled_says_why() -> None:
    case = deck_case("crystal_taylor_block", 3, "auto")
    solver = nonlinear.RecursiveNonlinearEquationSolver(case.model, backend="march")
    with pytest.raises(InputError, match="block structure"):
        nonlinear.solve(solver, case.y0, 3, case.forces)
    chosen = nonlinear.RecursiveNonlinearEquationSolver(case.model)
    nonlinear.solve(chosen, case.y0, 3, case.forces)
    assert chosen.outcome.backend == "chunk"


def test_few_points_are_not_compiled() -> None:
    case = cycled(PERZYNA, 4, 2, "auto")
    solver = nonlinear.RecursiveNonlinearEquationSolver(case.model)
    with recorded_kernels() as used:
        nonlinear.solve(solver, case.y0, 4, case.forces)
    assert not used
    assert solver.outcome.backend == "chunk" and "few" in solver.outcome.reason


def test_many_points_are_marched(cases: dict[str, DeckCase]) -> None:
    """With what is compiled already; and the outcome says so."""
    case = cases[PERZYNA]
    solver = nonlinear.RecursiveNonlinearEquationSolver(case.model)
    nonlinear.solve(solver, case.y0, N, case.forces)
    assert solver.outcome.backend == "march"
    assert f"{S} specimens, {N - 1} steps" in solver.outcome.reason


def test_callbacks_are_not_marched(cases: dict[str, DeckCase]) -> None:
    case, seen = cases[PERZYNA], []
    solver = nonlinear.RecursiveNonlinearEquationSolver(
        case.model, nonlinear.StepGenerator(4), callbacks=[lambda y: seen.append(len(y))]
    )
    nonlinear.solve(solver, case.y0, N, case.forces)
    assert seen == [4, 4, 4, 1]
    assert "callbacks" in solver.outcome.reason


@pytest.mark.parametrize("n", [1, 2])
def test_few_steps(cases: dict[str, DeckCase], n: int) -> None:
    case = cases[PERZYNA]
    solver = nonlinear.RecursiveNonlinearEquationSolver(case.model)
    y0 = (case.y0 + f64(1.0)).requires_grad_()
    y = nonlinear.solve_adjoint(solver, y0, n, case.forces[:n])
    assert y.shape == (n, S, 7)
    (found,) = torch.autograd.grad(y[0].sum(), y0)
    assert bool((found == 1.0).all())


def test_no_specimens(cases: dict[str, DeckCase]) -> None:
    case = cases[PERZYNA]
    case.model.yield_surface_sy, kept = torch.nn.Parameter(f64(150.0)), case.model.yield_surface_sy
    try:
        solver = nonlinear.RecursiveNonlinearEquationSolver(case.model)
        y = nonlinear.solve_adjoint(solver, case.y0[:0], N, case.forces[:, :0])
        assert y.shape == (N, 0, 7)
        y.sum().backward()
    finally:
        case.model.yield_surface_sy = kept


def test_one_specimen_without_batch(cases: dict[str, DeckCase]) -> None:
    case = cases["combined"]
    solver = solver_of(case, "march")
    y = nonlinear.solve(solver, case.y0, N, case.forces)
    alone = nonlinear.solve(solver, case.y0[2], N, case.forces[:, 2])
    assert worst([alone], [y[:, 2]]) < 1e-13


@pytest.mark.parametrize("size", [6, 8])
def test_rows_of_a_wrong_length_are_clear_errors(cases: dict[str, DeckCase], size: int) -> None:
    case = cases[PERZYNA]
    solver = solver_of(case, "march")
    with pytest.raises(InputError, match="7"):
        nonlinear.solve(solver, torch.zeros(S, size, dtype=torch.float64), N, case.forces)
    wrong = torch.zeros(N, S, size, dtype=torch.float64)
    with pytest.raises(InputError, match="7"):
        nonlinear.solve(solver, case.y0, N, wrong)


def test_mixed_number_types_are_a_clear_error(cases: dict[str, DeckCase]) -> None:
    case = cases[PERZYNA]
    for backend in ("march", "chunk"):
        solver = solver_of(case, backend)
        with pytest.raises(InputError, match="float32"):
            nonlinear.solve(solver, case.y0.float(), N, case.forces)
