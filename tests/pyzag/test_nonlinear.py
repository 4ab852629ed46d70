"""How trajectories are cut into chunks, guessed, restarted, watched; and wrong input."""

from __future__ import annotations

import logging

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from ladder import f64, randn
from recursions import RECURSIONS, Cubic, Linear, N, S, loss, start, unrolled, worst

from neml2fe.errors import InputError
from neml2fe.pyzag import chunktime, nonlinear

EXACT = 1e-12


def solver_of(**options: object) -> nonlinear.RecursiveNonlinearEquationSolver:
    options = {"step_generator": nonlinear.StepGenerator(5), **options}
    return nonlinear.RecursiveNonlinearEquationSolver(Cubic(), **options)


# --- chunks of steps ------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("arguments", "n", "pairs"),
    [
        ((1,), 4, [(1, 2), (2, 3), (3, 4)]),
        ((5,), 13, [(1, 6), (6, 11), (11, 13)]),
        ((4,), 13, [(1, 5), (5, 9), (9, 13)]),
        ((12,), 13, [(1, 13)]),
        ((50,), 13, [(1, 13)]),
        ((5, 2), 13, [(1, 3), (3, 8), (8, 13)]),
        ((5, 1), 13, [(1, 2), (2, 7), (7, 12), (12, 13)]),
        ((5, 20), 13, [(1, 13)]),
        ((5,), 2, [(1, 2)]),
        ((5,), 1, []),
    ],
)
def test_steps_are_cut_into_chunks(
    arguments: tuple[int, ...], n: int, pairs: list[tuple[int, int]]
) -> None:
    assert list(nonlinear.StepGenerator(*arguments)(n)) == pairs


@pytest.mark.parametrize(
    ("initial", "n", "pairs"),
    [
        ([1, 3], 13, [(1, 2), (2, 4), (4, 9), (9, 13)]),
        ([2], 13, [(1, 3), (3, 8), (8, 13)]),
        ([2, 30], 13, [(1, 3), (3, 13)]),
        (None, 13, [(1, 6), (6, 11), (11, 13)]),
    ],
)
def test_first_chunks_can_be_given(
    initial: list[int] | None, n: int, pairs: list[tuple[int, int]]
) -> None:
    generator = nonlinear.InitialOffsetStepGenerator(5, initial_steps=initial)
    assert list(generator(n)) == pairs


@given(st.integers(1, 60), st.integers(1, 20), st.integers(0, 20))
def test_chunks_cover_every_step_once(n: int, block: int, first: int) -> None:
    steps = [k for a, b in nonlinear.StepGenerator(block, first)(n) for k in range(a, b)]
    assert steps == list(range(1, n))


def test_wrong_chunks_are_errors() -> None:
    for arguments in ((0,), (-1,), (3, -1)):
        with pytest.raises(InputError, match="at least"):
            nonlinear.StepGenerator(*arguments)
    for initial in ([0, 2], [3, 2], [2, 2]):
        with pytest.raises(InputError, match="initial_steps"):
            nonlinear.InitialOffsetStepGenerator(3, initial_steps=initial)


@pytest.mark.parametrize(
    "generator", [nonlinear.StepGenerator(5, 2), nonlinear.InitialOffsetStepGenerator(4, 0, [1, 2])]
)
def test_gradients_with_a_first_chunk_of_its_own(generator: nonlinear.StepGenerator) -> None:
    solver = solver_of(step_generator=generator)
    y0, f = start()
    z = [y0, f, *solver.func.parameters()]
    pair = [nonlinear.solve_adjoint(solver, y0, N, f), unrolled(solver.func, y0, f)]
    assert worst(*(torch.autograd.grad(loss(y), z) for y in pair)) < EXACT


# --- predictors -----------------------------------------------------------------------------------
KNOWN = torch.cat([f64([1.0, 2.0, 4.0, 7.0, 11.0, 16.0]), f64([torch.nan] * 6)]).reshape(-1, 1, 1)
PREDICTED = {  # for (k, kinc), of the states 1 2 4 7 11 16
    ("ZeroPredictor", 4, 2): [0, 0],
    ("ZeroPredictor", 1, 3): [0, 0, 0],
    ("LastStepPredictor", 4, 3): [7, 7, 7],
    ("LastStepPredictor", 1, 2): [1, 1],
    ("PreviousStepsPredictor", 4, 2): [4, 7],
    ("PreviousStepsPredictor", 4, 4): [1, 2, 4, 7],
    ("PreviousStepsPredictor", 2, 4): [1, 1, 1, 2],
    ("PreviousStepsPredictor", 1, 3): [1, 1, 1],
    ("StepExtrapolatingPredictor", 4, 2): [10, 10],
    ("StepExtrapolatingPredictor", 2, 2): [3, 3],
    ("StepExtrapolatingPredictor", 1, 2): [1, 1],
    ("ExtrapolatingPredictor", 6, 2): [18, 25],  # 11 16 and what they have grown by since 4 7
    ("ExtrapolatingPredictor", 6, 1): [21],
    ("ExtrapolatingPredictor", 5, 2): [12, 18],
    ("ExtrapolatingPredictor", 3, 2): [2, 4],
    ("ExtrapolatingPredictor", 1, 3): [1, 1, 1],
}


@pytest.mark.parametrize(("name", "k", "kinc"), PREDICTED)
def test_predictors(name: str, k: int, kinc: int) -> None:
    """States that are not known yet, NaN here, are not used."""
    known = KNOWN.clone()
    known[k:] = torch.nan
    found = getattr(nonlinear, name)().predict(known, k, kinc)
    assert found.shape == (kinc, 1, 1)
    assert found.flatten().tolist() == PREDICTED[name, k, kinc]


def test_a_known_trajectory_predicts_itself() -> None:
    solver = solver_of()
    y0, f = start()
    y = nonlinear.solve(solver, y0, N, f)
    before = solver.outcome.iterations
    again = solver_of(predictor=nonlinear.FullTrajectoryPredictor(y))
    assert worst([nonlinear.solve(again, y0, N, f)], [y]) < EXACT
    assert again.outcome.iterations == 0 < before


@pytest.mark.parametrize(
    "predictor",
    [
        nonlinear.ZeroPredictor,
        nonlinear.LastStepPredictor,
        nonlinear.PreviousStepsPredictor,
        nonlinear.StepExtrapolatingPredictor,
        nonlinear.ExtrapolatingPredictor,
    ],
)
@pytest.mark.parametrize("block", [1, 3, 5])
def test_results_do_not_depend_on_the_predictor(predictor: type, block: int) -> None:
    solver = solver_of(predictor=predictor(), step_generator=nonlinear.StepGenerator(block))
    y0, f = start()
    assert worst([nonlinear.solve(solver, y0, N, f)], [unrolled(solver.func, y0, f)]) < EXACT


def test_a_known_trajectory_of_another_shape_is_an_error() -> None:
    y0, f = start()
    for history in (randn(N, S + 1, 2), randn(5, S, 2)):
        solver = solver_of(predictor=nonlinear.FullTrajectoryPredictor(history))
        with pytest.raises(InputError, match="predict"):
            nonlinear.solve(solver, y0, N, f)


# --- a restart ------------------------------------------------------------------------------------
@pytest.mark.parametrize("k", [1, 2, 6, N - 1, N])
def test_a_restart_continues_a_trajectory(k: int) -> None:
    solver = solver_of()
    y0, f = start()
    whole = nonlinear.solve(solver, y0, N, f)
    found = nonlinear.solve(solver, y0, N, f, restart=whole[:k])
    assert worst([found], [whole]) < EXACT
    assert torch.equal(found[:k], whole[:k])


def test_gradients_of_a_restart_reach_its_last_state() -> None:
    solver = solver_of()
    y0, f = start()
    known = nonlinear.solve(solver, y0, N, f)[:4].requires_grad_()
    z = [known, f, *solver.func.parameters()]
    found = loss(nonlinear.solve_adjoint(solver, y0, N, f, restart=known))
    rest = unrolled(solver.func, known[3], f[3:])
    expected = loss(torch.cat([known[:3], rest]))
    assert worst(*(torch.autograd.grad(v, z) for v in (found, expected))) < EXACT


def test_a_restart_of_another_shape_is_an_error() -> None:
    y0, f = start()
    for known in (randn(0, S, 2), randn(N + 1, S, 2), randn(3, S + 1, 2), randn(3, S, 3)):
        with pytest.raises(InputError, match="restart"):
            nonlinear.solve(solver_of(), y0, N, f, restart=known)


def test_components_of_a_restart() -> None:
    y0, f = start()
    y = nonlinear.solve(solver_of(), y0, N, f)
    some = nonlinear.solve_adjoint(solver_of(), y0, N, f, restart=y[:4], components=[1])
    torch.testing.assert_close(some, y[..., 1:], rtol=1e-12, atol=1e-12)


# --- callbacks and the outcome --------------------------------------------------------------------
def test_callbacks_see_each_chunk() -> None:
    seen: list[torch.Tensor] = []
    solver = solver_of(callbacks=[lambda y: seen.append(y)])
    y0, f = start()
    y = nonlinear.solve(solver, y0, N, f)
    assert [len(part) for part in seen] == [5, 5, 2]
    assert torch.equal(torch.cat(seen), y[1:])


def test_callbacks_may_not_change_states() -> None:
    y0, f = start()
    with pytest.raises(InputError, match="changed"):
        nonlinear.solve(solver_of(callbacks=[lambda y: y.clamp(max=0.1)]), y0, N, f)
    solver = solver_of(callbacks=[lambda y: y.zero_()])  # in place, of a copy
    with pytest.raises(InputError, match="changed"):
        nonlinear.solve(solver, y0, N, f)


def test_the_outcome_says_which_backend_and_why(caplog: pytest.LogCaptureFixture) -> None:
    y0, f = start()
    solver = solver_of()
    with caplog.at_level(logging.INFO, "neml2fe.pyzag"):
        nonlinear.solve(solver, y0, N, f)
    assert solver.outcome.backend == "chunk"
    assert "chunks of 5 steps" in solver.outcome.reason and "Cubic" in solver.outcome.reason
    assert solver.outcome.reason in caplog.text
    assert solver.outcome.iterations > 0 and solver.outcome.failed == {}
    for options in ({"backend": "sequential"}, {"step_generator": nonlinear.StepGenerator(1)}):
        solver = solver_of(**options)
        nonlinear.solve(solver, y0, N, f)
        assert solver.outcome.backend == "sequential"


def test_chunks_are_chosen_by_the_number_of_specimens() -> None:
    """Long ones for few specimens, none for many."""
    solver = nonlinear.RecursiveNonlinearEquationSolver(Linear())
    longest = {}
    for s in (1, 200, 5000):
        y0, f = start(80, s)
        nonlinear.solve(solver, y0, 80, f)
        longest[s] = solver.outcome.reason
    assert longest[1] != longest[200] and "step by step" in longest[5000]


def test_march_needs_a_model_of_a_deck() -> None:
    y0, f = start()
    with pytest.raises(InputError, match="march: Cubic"):
        nonlinear.solve(solver_of(backend="march"), y0, N, f)


# --- few steps, few specimens ---------------------------------------------------------------------
@pytest.mark.parametrize("name", RECURSIONS)
@pytest.mark.parametrize("n", [1, 2, 3])
@pytest.mark.parametrize("options", [{}, {"components": [1, 0]}, {"keep_every": 2}])
def test_few_steps(name: str, n: int, options: dict) -> None:
    recursion = RECURSIONS[name]()
    solver = nonlinear.RecursiveNonlinearEquationSolver(recursion)
    y0, f = start(n)
    y = nonlinear.solve_adjoint(solver, y0, n, f, **options)
    expected = unrolled(recursion, y0, f)
    expected = expected.flip(-1) if "components" in options else expected
    assert y.shape == (n, S, 2)
    z = [y0, f, *recursion.parameters()]
    gradients = [
        torch.autograd.grad(loss(v), z, allow_unused=True, materialize_grads=True)
        for v in (y, expected)
    ]
    for a, b in zip([y, *gradients[0]], [expected, *gradients[1]], strict=True):
        torch.testing.assert_close(a, b, rtol=EXACT, atol=EXACT)


def test_batches_of_more_dimensions() -> None:
    solver = solver_of()
    y0, f = start()
    z = [y0, f, *solver.func.parameters()]
    flat = nonlinear.solve_adjoint(solver, y0, N, f)
    y = nonlinear.solve_adjoint(solver, y0.reshape(2, 2, 2), N, f.reshape(N, 2, 2, 1))
    assert y.shape == (N, 2, 2, 2)
    pair = [torch.autograd.grad(loss(v.reshape(N, S, 2)), z) for v in (y, flat)]
    assert worst([y.reshape(N, S, 2), *pair[0]], [flat, *pair[1]]) < EXACT


def test_no_specimens_give_no_states() -> None:
    solver = solver_of()
    y0, f = start(N, 0)
    y = nonlinear.solve_adjoint(solver, y0, N, f)
    assert y.shape == (N, 0, 2)
    loss(y).backward()
    assert not solver.func.b.grad.any()


def test_a_recursion_without_forces() -> None:
    class Free(Cubic):
        def evaluate_raw(self, x_full, forces):
            return super().evaluate_raw(x_full, [x_full.new_zeros(*x_full.shape[:-1], 1)])

    recursion = Free()
    y0, _ = start()
    solver = nonlinear.RecursiveNonlinearEquationSolver(recursion, nonlinear.StepGenerator(4))
    y = nonlinear.solve_adjoint(solver, y0, N)
    expected = unrolled(Cubic(), y0, torch.zeros(N, S, 1, dtype=torch.float64))
    assert worst([y], [expected]) < EXACT


# --- wrong input ----------------------------------------------------------------------------------
def spoilt(tensor: torch.Tensor, index: tuple[int, ...], value: float) -> torch.Tensor:
    tensor = tensor.detach().clone()
    tensor[index] = value
    return tensor


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda y0, f: (y0, 0, f), "n is 0"),
        (lambda y0, f: (y0, -3, f), "n is -3"),
        (lambda y0, f: (y0, N + 1, f), "driving force 0"),
        (lambda y0, f: (y0, N - 1, f), "driving force 0"),
        (lambda y0, f: (y0[:-1], N, f), "driving force 0"),
        (lambda y0, f: (y0, N, f[..., 0]), "driving force 0"),
        (lambda y0, f: (y0, N, f, f[:, :2]), "driving force 1"),
        (lambda y0, f: (y0[0, 0], N, f), "initial state"),
        (lambda y0, f: (spoilt(y0, (2, 1), torch.nan), N, f), r"initial state.*\(2, 1\)"),
        (lambda y0, f: (spoilt(y0, (0, 1), torch.inf), N, f), r"initial state.*\(0, 1\)"),
        (lambda y0, f: (y0, N, spoilt(f, (7, 3, 0), torch.nan)), r"force 0.*\(7, 3, 0\)"),
        (lambda y0, f: (y0.float(), N, f), "float32"),
        (lambda y0, f: (y0.long(), N, f), "int64"),
    ],
)
def test_wrong_shapes_and_numbers_are_one_clear_error(change, says: str) -> None:
    y0, f = start()
    arguments = change(y0.detach(), f.detach())
    for run in (nonlinear.solve, nonlinear.solve_adjoint):
        with pytest.raises(InputError, match=says):
            run(solver_of(), *arguments)


@pytest.mark.parametrize("options", [{"keep_every": 0}, {"components": [2]}, {"components": []}])
def test_wrong_options_are_one_clear_error(options: dict) -> None:
    y0, f = start()
    with pytest.raises(InputError, match=next(iter(options))):
        nonlinear.solve_adjoint(solver_of(), y0, N, f, **options)


def test_wrong_backends_and_lookbacks_are_clear_errors() -> None:
    with pytest.raises(InputError, match="did you mean 'march'"):
        solver_of(backend="marsh")
    recursion = Cubic()
    recursion.lookback = 2
    with pytest.raises(InputError, match="one step"):
        nonlinear.RecursiveNonlinearEquationSolver(recursion)


@pytest.mark.parametrize("wrong", ["residual", "diag", "sub"])
def test_a_recursion_that_returns_wrong_shapes_is_a_clear_error(wrong: str) -> None:
    class Wrong(Cubic):
        def evaluate_raw(self, x_full, forces):
            residual, jacobian = super().evaluate_raw(x_full, forces)
            if wrong == "residual":
                return residual[..., :1], jacobian
            blocks = {"diag": jacobian.diag, "sub": jacobian.sub}
            blocks[wrong] = blocks[wrong][:, :1]
            return residual, type(jacobian)(**blocks)

    y0, f = start()
    solver = nonlinear.RecursiveNonlinearEquationSolver(Wrong(), nonlinear.StepGenerator(4))
    with pytest.raises(InputError, match="Wrong"):
        nonlinear.solve(solver, y0, N, f)


@pytest.mark.parametrize(
    "options", [{"rtol": -1.0}, {"atol": torch.nan}, {"miter": 0}, {"patience": 0}]
)
def test_wrong_tolerances_are_clear_errors(options: dict) -> None:
    with pytest.raises(InputError, match=next(iter(options))):
        chunktime.ChunkNewtonRaphson(**options)


def test_loose_tolerances_are_not_taken_for_converged() -> None:
    """The same states by a loose relative tolerance: the correction must be small as well."""
    y0, f = start()
    expected = nonlinear.solve(solver_of(), y0, N, f)
    loose = chunktime.ChunkNewtonRaphson(rtol=0.5, atol=0.0)
    found = nonlinear.solve(solver_of(nonlinear_solver=loose), y0, N, f)
    assert worst([found], [expected]) < 1e-9
