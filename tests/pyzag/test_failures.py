"""Specimens and chunks that do not converge: what is said, and that nothing else changes."""

from __future__ import annotations

import warnings

import pytest
import torch
from ladder import f64
from recursions import Cubic, N, loss, start, unrolled, worst

from neml2fe.errors import ConvergenceError
from neml2fe.pyzag import chunktime, nonlinear
from neml2fe.pyzag.nonlinear import NonlinearFunctionOperatorFactory, TrajectoryError
from neml2fe.pyzag.operators import DenseBlockJacobian

EXACT = 1e-12
BLOCKS = pytest.mark.parametrize("block", [1, 4, 5, 12])


class Recorded(torch.nn.Module, NonlinearFunctionOperatorFactory):
    """Base: records which specimens are evaluated, by the last column of the force."""

    def __init__(self) -> None:
        super().__init__()
        self.p = torch.nn.Parameter(f64(1.2))
        self.evaluated: list[list[int]] = []

    def evaluate_raw(self, x_full, forces):
        self.evaluated.append(forces[0][0, :, -1].int().tolist())
        residual, diag, sub = self.equation(x_full[:-1], x_full[1:], forces[0][1:, :, :1])
        return residual, DenseBlockJacobian(diag.unsqueeze(-1), sub.unsqueeze(-1))


class Root(Recorded):
    """x^2 = p x~1 + f, which has no solution where the right side is negative."""

    def equation(self, old, x, f):
        return x**2 - self.p * old - f, 2.0 * x, (-self.p).expand_as(x)


class NotANumber(Recorded):
    """x = 0.5 x~1 + sqrt(p - f), not a number where f is larger than p."""

    def equation(self, old, x, f):
        one = torch.ones_like(x)
        return x - 0.5 * old - (self.p - f).sqrt(), one, -0.5 * one


class Singular(Recorded):
    """(p - f) x = 0.5 x~1 + 1, without a solution for f = p."""

    def equation(self, old, x, f):
        return (self.p - f) * x - 0.5 * old - 1.0, self.p - f, -0.5 * torch.ones_like(x)


class Far(Recorded):
    """atan(x - p f) = 0.2 (x~1 - p f) : Newton's method diverges from beyond 1.39."""

    def equation(self, old, x, f):
        z = x - self.p * f
        return (
            z.atan() - 0.2 * (old - self.p * f).sin(),
            1.0 / (1.0 + z**2),
            (-0.2 * (old - self.p * f).cos()),
        )


class Slow(Recorded):
    """x + f x^3 = p x~1 + 1: linear where f is zero."""

    def equation(self, old, x, f):
        return x + f * x**3 - self.p * old - 1.0, 1.0 + 3.0 * f * x**2, (-self.p).expand_as(x)


BAD = {Root: -100.0, NotANumber: 5.0, Singular: 1.2}  # forces without a solution
GOOD = {Root: 0.3, NotANumber: 0.1, Singular: -1.0}
pytestmark = pytest.mark.filterwarnings("ignore:.*did not converge")
kinds = pytest.mark.parametrize("kind", BAD)
FAILED = {2: 6, 0: 9}  # specimen: step


def forces(kind: type, failed: dict[int, int], s: int = 4) -> torch.Tensor:
    """Of s specimens, with a bad step for some of them, and their numbers."""
    f = GOOD[kind] + 0.1 * torch.rand(N, s, 1, dtype=torch.float64)
    for specimen, step in failed.items():
        f[step, specimen] = BAD[kind]
    return torch.cat([f, torch.arange(s).expand(N, s).unsqueeze(-1)], -1)


def solver_of(
    recursion: torch.nn.Module, block: int = 5, throw: bool = False, **options: object
) -> nonlinear.RecursiveNonlinearEquationSolver:
    newton = chunktime.ChunkNewtonRaphson(throw_on_fail=throw)
    options = {"nonlinear_solver": newton, **options}
    return nonlinear.RecursiveNonlinearEquationSolver(
        recursion, nonlinear.StepGenerator(block), **options
    )


def quietly(run, *arguments, **options) -> torch.Tensor:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return run(*arguments, **options)


ONES = torch.ones(4, 1, dtype=torch.float64)


# --- specimens that fail --------------------------------------------------------------------------
@kinds
@BLOCKS
def test_a_failure_names_specimens_and_steps(kind: type, block: int) -> None:
    """And keeps what was found: other specimens to the end, these to the step before."""
    torch.manual_seed(1)
    f, recursion = forces(kind, FAILED), kind()
    with pytest.raises(TrajectoryError, match="2 of 4 specimens") as caught:
        quietly(nonlinear.solve, solver_of(recursion, block, throw=True), ONES, N, f)
    error = caught.value
    assert isinstance(error, ConvergenceError)
    assert error.failed == FAILED
    assert "2 at step 6" in str(error) and "0 at step 9" in str(error)
    good = f.clone()
    for specimen, step in FAILED.items():
        good[step, specimen, 0] = GOOD[kind]
    expected = nonlinear.solve(solver_of(recursion), ONES, N, good)
    for specimen in range(4):
        step = FAILED.get(specimen, N)
        assert worst([error.states[:step, specimen]], [expected[:step, specimen]]) < EXACT
        assert error.states[step:, specimen].isnan().all()


@kinds
@BLOCKS
def test_failed_specimens_are_nan_from_there_on_and_others_right(kind: type, block: int) -> None:
    """With `throw_on_fail=False`: a warning, and gradients of the others as without the failed."""
    f, recursion = forces(kind, FAILED), kind()
    y0 = ONES.clone().requires_grad_()
    f.requires_grad_()
    solver = solver_of(recursion, block)
    with pytest.warns(UserWarning, match="2 of 4 specimens did not converge"):
        y = nonlinear.solve_adjoint(solver, y0, N, f)
    assert solver.outcome.failed == FAILED
    assert [int(y[:, s].isnan().sum()) for s in range(4)] == [N - 9, 0, N - 6, 0]
    others = [1, 3]
    found = torch.autograd.grad(loss(y[:, others]), [y0, f, recursion.p])
    y0_bar, f_bar = (torch.zeros_like(t) for t in (y0, f))
    z = [y0.detach()[others].requires_grad_(), f.detach()[:, others].requires_grad_()]
    reference = unrolled(recursion, *z)
    assert worst([y[:, others]], [reference]) < EXACT
    y0_bar[others], f_bar[:, others], p_bar = torch.autograd.grad(
        loss(reference), [*z, recursion.p]
    )
    assert worst(found, [y0_bar, f_bar, p_bar]) < EXACT


@kinds
@pytest.mark.parametrize("options", [{}, {"keep_every": 3}, {"keep_every": 5}])
def test_states_before_the_failure_count(kind: type, options: dict) -> None:
    """Their gradients are those of a trajectory that ends there."""
    f, recursion = forces(kind, FAILED), kind()
    y0 = ONES.clone().requires_grad_()
    y = quietly(nonlinear.solve_adjoint, solver_of(recursion), y0, N, f, **options)
    assert [int(y[:, s].isnan().sum()) for s in range(4)] == [N - 9, 0, N - 6, 0]
    found = torch.autograd.grad(loss(y[:6]) + loss(y[6:9, :2]), [y0, recursion.p])
    reference = unrolled(recursion, y0, f[:6])
    later = unrolled(recursion, y0[:2], f[:9, :2])
    expected = torch.autograd.grad(loss(reference) + loss(later[6:]), [y0, recursion.p])
    assert worst(found, expected) < EXACT


@kinds
@pytest.mark.parametrize("options", [{}, {"keep_every": 3}])
def test_the_gradient_of_a_failed_state_is_an_error(kind: type, options: dict) -> None:
    f = forces(kind, FAILED)
    y = quietly(nonlinear.solve_adjoint, solver_of(kind()), ONES, N, f, **options)
    with pytest.raises(ConvergenceError, match="which did not converge"):
        y[:, 1:].sum().backward()


@kinds
def test_hessian_vector_products_of_the_others(kind: type) -> None:
    f, recursion = forces(kind, FAILED), kind()
    y0 = ONES.clone().requires_grad_()
    y = quietly(nonlinear.solve_adjoint, solver_of(recursion), y0, N, f)
    products = []
    reference = unrolled(recursion, y0[[1, 3]], f[:, [1, 3]])
    for states in (y[:, [1, 3]], reference):
        (g,) = torch.autograd.grad(loss(states), recursion.p, create_graph=True)
        products.append(torch.autograd.grad(g, [recursion.p, y0]))
    assert worst(*products) < EXACT


@kinds
def test_sensitivities_of_the_others(kind: type) -> None:
    """And NaN, not zero, where there is no state."""
    f, recursion = forces(kind, FAILED), kind()
    solver = solver_of(recursion)
    y = quietly(nonlinear.solve, solver, ONES, N, f)
    rates = [[f64(1.0)]]
    found = nonlinear.sensitivities(solver, y, f, parameters=[recursion.p], rates=rates)
    good = y[:, [1, 3]]
    expected = nonlinear.sensitivities(
        solver, good, f[:, [1, 3]], parameters=[recursion.p], rates=rates
    )
    assert worst([found[:, [1, 3]]], [expected]) < EXACT
    assert bool(found[6:, 2].isnan().all()) and bool(found[9:, 0].isnan().all())


def test_every_specimen_fails() -> None:
    f = forces(Root, dict.fromkeys(range(4), 3))
    y = quietly(nonlinear.solve, solver_of(Root()), ONES, N, f)
    assert bool(y[3:].isnan().all()) and bool(y[:3].isfinite().all())


def test_a_failure_after_a_restart_has_its_own_step_and_all_states() -> None:
    f = forces(Root, {2: 6})
    known = nonlinear.solve(solver_of(Root()), ONES, 5, f[:5])
    with pytest.raises(TrajectoryError) as caught:
        quietly(nonlinear.solve, solver_of(Root(), throw=True), ONES, N, f, restart=known)
    assert caught.value.failed == {2: 6}
    assert caught.value.states.shape == (N, 4, 1)
    assert torch.equal(caught.value.states[:5], known)


def test_a_failure_with_kept_states_has_its_own_step() -> None:
    f = forces(Root, FAILED)
    with pytest.raises(TrajectoryError) as caught:
        quietly(nonlinear.solve_adjoint, solver_of(Root(), throw=True), ONES, N, f, keep_every=4)
    assert caught.value.failed == FAILED


def test_a_failed_specimen_is_not_tried_again() -> None:
    """Neither in later chunks nor in later stretches between kept states."""
    f, divided = forces(Root, {2: 2}), []
    for options in ({}, {"keep_every": 4}):
        recursion = Root()
        solver = solver_of(recursion, 4)
        quietly(nonlinear.solve_adjoint, solver, ONES, N, f, **options)
        divided.append(solver.outcome.divided)
        assert 2 not in recursion.evaluated[-1]
    assert divided[0] == divided[1]


def test_warnings_point_at_the_line_of_the_user() -> None:
    f = forces(Root, {2: 2})
    for run in (nonlinear.solve, nonlinear.solve_adjoint):
        with pytest.warns(UserWarning, match="did not converge") as caught:
            run(solver_of(Root(), 4), ONES, N, f)
        assert {warning.filename for warning in caught} == {__file__}


def test_the_iterations_allowed_are_a_limit() -> None:
    newton = chunktime.ChunkNewtonRaphson(miter=2)
    recursion = Slow()
    f = torch.cat([torch.ones(N, 4, 1), torch.arange(4).expand(N, 4).unsqueeze(-1)], -1).double()
    with pytest.raises(TrajectoryError, match="specimen 0 at step 1"):
        quietly(nonlinear.solve, solver_of(recursion, nonlinear_solver=newton), ONES, N, f)


def test_nan_is_not_converged() -> None:
    """Neither as a residual nor as a correction, from the first step on."""
    for kind in (NotANumber, Singular):
        f = forces(kind, {3: 1})
        with pytest.raises(TrajectoryError, match="specimen 3 at step 1"):
            quietly(nonlinear.solve, solver_of(kind(), throw=True), ONES, N, f)


@kinds
@BLOCKS
def test_a_failure_leaves_the_others_as_they_were_to_the_bit(kind: type, block: int) -> None:
    f = forces(kind, {2: 6})
    good = f.clone()
    good[6, 2, 0] = GOOD[kind]
    solver = solver_of(kind(), block)
    y, expected = (quietly(nonlinear.solve, solver, ONES, N, v) for v in (f, good))
    others = [0, 1, 3]
    assert torch.equal(y[:, others], expected[:, others])


# --- specimens by themselves ----------------------------------------------------------------------
@BLOCKS
def test_a_specimen_that_has_converged_is_evaluated_no_more(block: int) -> None:
    """A linear one twice a chunk: its first correction is exact, and seen to be so."""
    recursion, s = Slow(), 5
    recursion.p.data.fill_(0.5)
    coefficients = f64([2.0, 0.0, 0.5, 0.0, 8.0]).expand(N, s).unsqueeze(-1)
    f = torch.cat([coefficients, torch.arange(s).expand(N, s).unsqueeze(-1)], -1)
    y0 = 0.3 * ONES[:1].expand(s, 1)
    y = nonlinear.solve(solver_of(recursion, block), y0, N, f)
    counts = [sum(found.count(k) for found in recursion.evaluated) for k in range(s)]
    chunks = len(nonlinear.StepGenerator(block)(N))
    assert counts[1] == counts[3] == 2 * chunks
    assert all(counts[k] > counts[1] for k in (0, 2, 4))
    assert worst([y], [unrolled(recursion, y0, f)]) < EXACT


class Holding(Cubic):
    """Holds a coefficient per specimen outside of its parameters."""

    def __init__(self, how: str) -> None:
        super().__init__()
        offset = torch.linspace(0.1, 0.9, 8, dtype=torch.float64).reshape(4, 2)
        self.how = how
        if how == "buffer":
            self.register_buffer("offset", offset)
        self.kept = {"attribute": offset, "batch first": offset.unsqueeze(0), "list": [offset]}.get(
            how
        )

    def residual(self, x_full, forces):
        offset = self.offset if self.how == "buffer" else self.kept
        offset = offset[0] if self.how == "list" else offset
        return super().residual(x_full, forces) - offset


@pytest.mark.parametrize("how", ["buffer", "attribute", "batch first", "list"])
@pytest.mark.parametrize("block", [1, 5])
def test_a_recursion_may_hold_a_tensor_per_specimen(how: str, block: int) -> None:
    """Specimens that take different numbers of iterations."""
    recursion = Holding(how)
    y0, f = start()
    y0 = (y0 * f64([0.0, 0.1, 3.0, 9.0]).unsqueeze(-1)).detach().requires_grad_()
    y = nonlinear.solve_adjoint(solver_of(recursion, block), y0, N, f)
    pair = [y, unrolled(recursion, y0, f)]
    z = [y0, f, *recursion.parameters()]
    assert worst(*([v, *torch.autograd.grad(loss(v), z)] for v in pair)) < EXACT


# --- chunks that fail -----------------------------------------------------------------------------
def far(last: float = 6.0) -> tuple[torch.Tensor, torch.Tensor]:
    """Solutions of which the last ones are out of reach from the start; those of specimen 1 are
    near."""
    way = torch.linspace(0.0, last, N, dtype=torch.float64)[:, None] * f64([1.0, 0.01, 0.8, -0.9])
    numbers = torch.arange(4).expand(N, 4)
    return 0.1 * ONES, torch.stack([way, numbers], -1)


@pytest.mark.parametrize("block", [6, 12])
def test_chunks_that_fail_are_divided_and_said_to_be(block: int) -> None:
    y0, f = far()
    y0.requires_grad_(), f.requires_grad_()
    recursion = Far()
    solver = solver_of(recursion, block, throw=True)
    with pytest.warns(UserWarning, match="solved in shorter ones"):
        y = nonlinear.solve_adjoint(solver, y0, N, f)
    first, last, number = solver.outcome.divided[0]
    assert (first, last, number) == (1, block, 3)
    assert solver.outcome.failed == {}
    z = [y0, f, recursion.p]
    pair = [y, unrolled(recursion, y0, f)]
    assert worst(*([v, *torch.autograd.grad(loss(v), z)] for v in pair)) < EXACT


def test_a_divided_chunk_does_not_touch_specimens_that_converged() -> None:
    y0, f = far()
    recursion = Far()
    quietly(nonlinear.solve, solver_of(recursion, 12), y0, N, f)
    with_others = [k for k, found in enumerate(recursion.evaluated) if 1 in found]
    alone = [found for found in recursion.evaluated[with_others[-1] + 1 :]]
    assert alone and all(set(found) <= {0, 2, 3} for found in alone)


def test_steps_by_themselves_are_not_divided() -> None:
    y0, f = far()
    solver = solver_of(Far(), 1, throw=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        nonlinear.solve(solver, y0, N, f)
    assert solver.outcome.divided == []


def test_the_line_search_converges_where_newton_does_not() -> None:
    y0, f = far(3.0)
    plain = solver_of(Far(), 12)
    quietly(nonlinear.solve, plain, y0, N, f)
    assert plain.outcome.divided
    search = chunktime.ChunkNewtonRaphsonLineSearch()
    solver = solver_of(Far(), 12, nonlinear_solver=search)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        y = nonlinear.solve(solver, y0, N, f)
    assert worst([y], [unrolled(Far(), y0, f)]) < EXACT
