"""Linear solvers against elimination, alone and within Newton's method."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache

import pytest
import torch
from ladder import DECKS, close, f64
from scipy.optimize import brentq

from neml2fe.drivers import History
from neml2fe.errors import Error, InputError, ModelError
from neml2fe.implicit import (
    GMRES,
    BiCGStab,
    BlockJacobiPreconditioner,
    DenseLU,
    FullPreconditioner,
    ImplicitUpdate,
    JacobiPreconditioner,
    LinearSolver,
    Newton,
    NewtonResult,
    NewtonWithLineSearch,
    NoPreconditioner,
    SchurComplement,
    Status,
)
from neml2fe.implicit.line_search import LineSearch
from neml2fe.implicit.linear_solvers import transposed
from neml2fe.implicit.preconditioners import State
from neml2fe.implicit.system import Layout
from neml2fe.input import Input
from neml2fe.input.reader import parse_deck
from neml2fe.models import value_and_jacobian

# Ten unknowns: a tensor and a number, then a vector; residuals in another order.
LAYOUT = Layout(
    {"stress": (6,), "ep": (), "jump": (3,)},
    {"jump_r": (3,), "stress_r": (6,), "ep_r": ()},
    (7, 3),
    (3, 7),
)
PRECONDITIONERS = [
    NoPreconditioner,
    JacobiPreconditioner,
    BlockJacobiPreconditioner,
    FullPreconditioner,
]
# As exact as can be: without a tolerance round-off decides.
EXACT: dict[str, LinearSolver] = {
    "schur": SchurComplement(residual_primary_group=1),
    "schur_second": SchurComplement(residual_primary_group=0, unknown_primary_group=1),
    "schur_krylov": SchurComplement(
        1, 0, GMRES(rel_tol=0.0), BiCGStab(rel_tol=0.0, preconditioner=FullPreconditioner())
    ),
    **{f"gmres_{p.__name__}": GMRES(rel_tol=0.0, preconditioner=p()) for p in PRECONDITIONERS},
    "bicgstab_full": BiCGStab(rel_tol=0.0, preconditioner=FullPreconditioner()),
}
MODEST = EXACT | {
    "gmres_restarted": GMRES(rel_tol=0.0, restart=6),
    **{
        f"bicgstab_{p.__name__}": BiCGStab(rel_tol=0.0, preconditioner=p()) for p in PRECONDITIONERS
    },
}


def matrices(number: int, condition: float, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    """Random ones with this condition number, which turn vectors by less than a right angle if it
    is modest."""
    u, v = (torch.linalg.qr(torch.randn(number, 10, 10, dtype=dtype))[0] for _ in range(2))
    if condition < 10.0:
        v = u.mT @ torch.linalg.matrix_exp(0.1 * (v - v.mT))
    return u @ torch.diag(condition ** torch.linspace(0.0, -1.0, 10, dtype=dtype)) @ v


def system(
    name: str, number: int, condition: float, dtype: torch.dtype = torch.float64
) -> tuple[torch.Tensor, torch.Tensor]:
    """Matrices and right-hand sides for a solver of `EXACT` or `MODEST`. Those for the Schur
    complement have a definite primary block, in the place where `LAYOUT` puts it."""
    matrix, b = matrices(number, condition, dtype), torch.randn(number, 10, dtype=dtype)
    if name.startswith("schur"):
        if condition > 10.0:
            values, vectors = torch.linalg.eigh(matrix @ matrix.mT)
            matrix = vectors @ torch.diag_embed(values.clamp_min(0.0).sqrt()) @ vectors.mT
        matrix = matrix.roll(3, -2)
    return matrix, b


def assert_solution(matrix: torch.Tensor, x: torch.Tensor, b: torch.Tensor) -> None:
    """Backward stable, the most that any solver can promise."""
    assert bool(torch.isfinite(x).all())
    residual = b - (matrix @ x.unsqueeze(-1)).squeeze(-1)
    scale = torch.linalg.matrix_norm(matrix) * x.norm(dim=-1) + b.norm(dim=-1)
    assert bool((residual.norm(dim=-1) <= 1e3 * torch.finfo(x.dtype).eps * scale).all())


# -- solves ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(MODEST))
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
def test_well_conditioned(name: str, dtype: torch.dtype) -> None:
    for number in (0, 1, 40):
        matrix, b = system(name, number, 5.0, dtype)
        x = MODEST[name].solve(matrix, b, LAYOUT)
        assert x.shape == b.shape and x.dtype == dtype
        assert_solution(matrix, x, b)
        error = (x - DenseLU().solve(matrix, b)).norm(dim=-1)
        assert bool((error <= 1e3 * torch.finfo(dtype).eps * x.norm(dim=-1)).all())


@pytest.mark.parametrize("name", sorted(EXACT))
def test_ill_conditioned(name: str) -> None:
    matrix, b = system(name, 40, 1e9)
    assert_solution(matrix, EXACT[name].solve(matrix, b, LAYOUT), b)


@pytest.mark.parametrize("name", sorted(MODEST))
def test_many_right_hand_sides_and_the_transposed(name: str) -> None:
    matrix, b = system(name, 7, 5.0)[0], torch.randn(7, 10, 4).double()
    for a, layout in ((matrix, LAYOUT), (matrix.mT, transposed(LAYOUT))):
        solver = MODEST[name]
        if isinstance(solver, SchurComplement) and layout is not LAYOUT:
            r, u = solver.residual_primary_group, solver.unknown_primary_group
            solver = SchurComplement(u, r, solver.primary_solver, solver.schur_solver)
        assert close(solver.solve(a, b, layout), DenseLU().solve(a, b), 1e-11)


@pytest.mark.parametrize("name", sorted(EXACT))
def test_derivatives_and_vmap_of_a_solve(name: str) -> None:
    def solve(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return EXACT[name].solve(a, b, LAYOUT)

    def same(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return DenseLU().solve(a, b)

    a, b = system(name, 2, 5.0)
    way = (torch.randn_like(a), torch.randn_like(b))
    for found, expected in zip(
        torch.func.jvp(solve, (a, b), way), torch.func.jvp(same, (a, b), way), strict=True
    ):
        assert close(found, expected, 1e-11)

    def slope(f: Callable[..., torch.Tensor]) -> tuple[torch.Tensor, ...]:
        def first(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
            return torch.func.grad(lambda *ab: (f(*ab) ** 3).sum(), argnums=(0, 1))(a, b)[0].sum()

        found: tuple[torch.Tensor, ...] = torch.func.grad(first, argnums=(0, 1))(a, b)
        return found

    for found, expected in zip(slope(solve), slope(same), strict=True):
        assert close(found, expected, 1e-10)
    more_a, more_b = a + 0.1 * torch.randn(3, 2, 10, 10), b + 0.1 * torch.randn(3, 2, 10)
    for dims in ((None, 0), (0, None), (0, 0)):
        arguments = [
            m if d == 0 else o for d, m, o in zip(dims, (more_a, more_b), (a, b), strict=True)
        ]
        found = torch.func.vmap(solve, in_dims=dims)(*arguments)
        assert close(found, torch.func.vmap(same, in_dims=dims)(*arguments), 1e-11)


def test_points_stop_by_themselves() -> None:
    """Each is solved as if it were alone, in its own number of iterations."""
    matrix, b = matrices(5, 5.0), torch.randn(5, 10).double()
    matrix[1], b[2] = 3.0 * torch.eye(10), 0.0
    for solver in (GMRES(rel_tol=1e-6), BiCGStab(rel_tol=1e-6)):
        found = solver.iterate(matrix, b.unsqueeze(-2), ())
        assert bool(found.converged.all())
        assert found.iterations[1] == 1 and found.iterations[2] == 0
        assert int(found.iterations[[0, 3, 4]].min()) > 3
        for k in range(5):
            alone = solver.iterate(matrix[k : k + 1], b[k : k + 1].unsqueeze(-2), ())
            assert close(found.x[k], alone.x[0], 1e-12)
            assert found.iterations[k] == alone.iterations[0]
        residual = b - (matrix @ found.x.mT).squeeze(-1)
        assert bool((residual.norm(dim=-1) <= 1e-6 * b.norm(dim=-1)).all())


@pytest.mark.parametrize("name", ["lu", *sorted(MODEST)])
def test_singular_points_only_are_not_finite(name: str) -> None:
    """r = A u - b, with two singular points and one that is no number."""
    solver = MODEST.get(name, DenseLU())
    matrix, b = system(name, 8, 5.0)
    good = [0, 2, 4, 6, 7]
    matrix[1, 4], matrix[3], b[5, 0] = 0.0, 0.0, torch.nan
    x = solver.solve(matrix, b, LAYOUT)
    assert torch.isfinite(x).all(-1).nonzero().squeeze(-1).tolist() == good
    assert_solution(matrix[good], x[good], b[good])

    def residual(u: torch.Tensor, k: torch.Tensor) -> torch.Tensor:
        return (matrix[k] @ u.unsqueeze(-1)).squeeze(-1) - b[k]

    found = Newton(linear_solver=solver).solve(
        lambda u, k: (residual(u, k), matrix[k]), residual, torch.zeros_like(b), layout=LAYOUT
    )
    assert (found.status == Status.CONVERGED).nonzero().squeeze(-1).tolist() == good
    if isinstance(solver, DenseLU | SchurComplement) and name != "schur_krylov":
        # (Krylov methods may also make some way for ever at a singular point.)
        assert found.status[[1, 3, 5]].tolist() == [Status.NOT_FINITE] * 3
    assert_solution(matrix[good], found.u[good], b[good])


def test_a_preconditioner_survives_a_singular_diagonal() -> None:
    """Regular matrices with zeros, and a zero block, on their diagonals."""
    matrix, b = matrices(3, 5.0), torch.randn(3, 10).double()
    matrix[:, 6, 6] = 0.0
    matrix[1, :6, :6] = 0.0
    matrix[1, :6, 6:] = torch.eye(6, 4).double()
    matrix[1, :3, 3:6] = torch.eye(3).double()
    matrix[1, 4:6, :2] = torch.eye(2).double()
    matrix[1, :6, :6] -= torch.diag(torch.diagonal(matrix[1, :6, :6]))
    reference = DenseLU().solve(matrix, b)
    for kind in (JacobiPreconditioner, BlockJacobiPreconditioner):
        found = GMRES(rel_tol=0.0, preconditioner=kind()).solve(matrix, b, LAYOUT)
        assert close(found, reference, 1e-9)


# -- inexact steps --------------------------------------------------------------------------


def curved(points: int) -> tuple[torch.Tensor, Callable[..., NewtonResult]]:
    """A u + u^3 = b for `points` points, and its solution by a Newton solver."""
    matrix, b = matrices(points, 5.0), 3.0 * torch.randn(points, 10).double()

    def residual(u: torch.Tensor, k: torch.Tensor) -> torch.Tensor:
        return (matrix[k] @ u.unsqueeze(-1)).squeeze(-1) + u**3 - b[k]

    def linearised(u: torch.Tensor, k: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return residual(u, k), matrix[k] + torch.diag_embed(3.0 * u**2)

    return b, lambda newton: newton.solve(linearised, residual, torch.zeros_like(b), layout=LAYOUT)


def test_too_few_iterations_are_not_a_solution_but_may_be_a_step() -> None:
    b, run = curved(6)
    matrix = matrices(6, 5.0)
    for solver in (GMRES(max_its=2, rel_tol=1e-8), BiCGStab(max_its=2, rel_tol=1e-8)):
        assert bool(torch.isnan(solver.solve(matrix, b)).all())
        step = solver.steps()(matrix, b, torch.arange(6))
        left = b - (matrix @ step.unsqueeze(-1)).squeeze(-1)
        assert bool((left.norm(dim=-1) < b.norm(dim=-1)).all())
        # Newton goes on with such steps; what it calls converged satisfies its tolerance.
        reference = run(Newton(max_its=60))
        inexact = run(Newton(linear_solver=solver, max_its=60))
        assert inexact.status.tolist() == [Status.CONVERGED] * 6
        assert bool((inexact.iterations > reference.iterations).all())
        assert bool((inexact.residual_norm <= 1e-8 * b.norm(dim=-1)).all())
        assert close(inexact.u, reference.u, 1e-7)


class Recording(FullPreconditioner):
    """Counts the matrices it is set up for."""

    def __init__(self) -> None:
        self.matrices: list[int] = []

    def setup(self, matrix: torch.Tensor, layout: Layout | None) -> State:
        self.matrices.append(len(matrix))
        return super().setup(matrix, layout)


def test_cache_strategies() -> None:
    """chord: once a point; none: at every iteration; max_its: as the bar asks."""
    _, run = curved(5)
    reference = run(Newton())
    counts = {}
    for strategy, bar in (
        ("chord", 0),
        ("none", 0),
        ("max_its", 0),
        ("max_its", 3),
        ("max_its", 99),
    ):
        kept = Recording()
        solver = GMRES(
            rel_tol=1e-6, preconditioner=kept, cache_strategy=strategy, cache_max_its=bar
        )
        found = run(Newton(linear_solver=solver))
        assert close(found.u, reference.u, 1e-9)
        counts[strategy, bar] = sum(kept.matrices)
        if (strategy, bar) in (("none", 0), ("max_its", 0)):  # one more Jacobian at the solution
            assert counts[strategy, bar] == int(found.iterations.sum()) + 5
    assert counts["chord", 0] == counts["max_its", 99] == 5
    assert 5 < counts["max_its", 3] < counts["max_its", 0]


def test_a_preconditioner_that_does_not_serve_is_renewed() -> None:
    """Though chord keeps it: the first matrix of one point is singular, the second is not."""
    kept = Recording()
    steps = GMRES(preconditioner=kept, cache_strategy="chord").steps()
    matrix, b, everyone = matrices(3, 5.0), torch.randn(3, 10).double(), torch.arange(3)
    first = matrix.clone()
    first[1] = 0.0
    assert torch.isfinite(steps(first, b, everyone)).all(-1).tolist() == [True, False, True]
    again = steps(matrix[1:], b[1:], everyone[1:])
    assert kept.matrices == [3, 1]
    left = b[1:] - (matrix[1:] @ again.unsqueeze(-1)).squeeze(-1)
    assert bool((left.norm(dim=-1) <= 1e-4 * b[1:].norm(dim=-1)).all())


# -- Newton ---------------------------------------------------------------------------------


def test_a_point_must_be_at_rest() -> None:
    """u^3 = 0 from afar: a hundredth of the first residual is no solution."""

    def run(newton: Newton) -> tuple[int, float]:
        found = newton.solve(
            lambda u, k: (u**3, 3.0 * u.unsqueeze(-1) ** 2), lambda u, k: u**3, f64([[100.0]])
        )
        return int(found.status[0]), float(found.u[0, 0])

    status, u = run(Newton(rel_tol=1e-2, substep_del_tol=1e9))
    assert status == Status.CONVERGED and u > 10.0
    assert run(Newton(rel_tol=1e-2, max_its=12))[0] == Status.ITERATION_LIMIT
    status, u = run(Newton(rel_tol=1e-2, max_its=60))  # abs_tol is enough by itself
    assert status == Status.CONVERGED and u < 1e-3


@pytest.mark.parametrize("n", [4, 12, 20])
def test_power_laws_are_solved_to_the_end_from_an_elastic_guess(n: int) -> None:
    """p = dt (E (e - p) / eta)^n: the first residual is up to 1e40, and 1e-8 of it is not small."""

    def residual(p: torch.Tensor, _k: torch.Tensor) -> torch.Tensor:
        return p - (2e5 * (0.01 - p) / 20.0) ** n

    def linearised(p: torch.Tensor, k: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        slope = 1.0 + n * 2e5 / 20.0 * (2e5 * (0.01 - p) / 20.0) ** (n - 1)
        return residual(p, k), slope.unsqueeze(-1)

    found = Newton(max_its=300).solve(linearised, residual, f64([[0.0]]))
    exact = brentq(lambda p: p - (2e5 * (0.01 - p) / 20.0) ** n, 0.0, 0.01, xtol=1e-18)
    assert found.status.tolist() == [Status.CONVERGED]
    assert abs(float(found.u[0, 0]) - exact) < 1e-12


def search(kind: str, check: bool = False, decrease: float = 1e-3) -> LineSearch:
    return LineSearch(kind, 20, 2.0, decrease, check)


def wavy(u: torch.Tensor, _points: torch.Tensor) -> torch.Tensor:
    """Falls from 1 at u = 0 with slope -1, is flat on the way, and steep again at u = 1."""
    return 1.0 - (u - 3.05 * u**2 + 2.1 * u**3)


def test_strong_wolfe_goes_where_backtracking_stops_early() -> None:
    def linearised(u: torch.Tensor, k: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return wavy(u, k), -(1.0 - 6.1 * u + 6.3 * u**2).unsqueeze(-1)

    def length(kind: str) -> float:
        one, zero = f64([[1.0]]), f64([[0.0]])
        arguments = (linearised, wavy, zero, torch.arange(1), one, f64([1.0]))
        return float(search(kind).lengths(*arguments)[0])

    assert length("BACKTRACKING") == 1.0
    a = length("STRONG_WOLFE")
    r, slope = linearised(f64([[a]]), torch.arange(1))
    assert a > 1.0 and float(r**2) <= 1.0 - 2e-3 * a
    assert abs(2.0 * float(r * slope)) <= 0.9 * 2.0
    r, slope = linearised(f64([[1.0]]), torch.arange(1))  # where backtracking stops
    assert abs(2.0 * float(r * slope)) > 0.9 * 2.0


@pytest.mark.parametrize("kind", ["BACKTRACKING", "STRONG_WOLFE"])
def test_line_searches_converge_where_full_steps_do_not(kind: str) -> None:
    goal = f64([[0.5], [30.0], [-30.0]])

    def linearised(u: torch.Tensor, k: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return torch.atan(u - goal[k]), (1.0 / (1.0 + (u - goal[k]) ** 2)).unsqueeze(-1)

    found = NewtonWithLineSearch(linesearch_type=kind).solve(
        linearised, lambda u, k: torch.atan(u - goal[k]), torch.zeros(3, 1).double()
    )
    assert found.status.tolist() == [Status.CONVERGED] * 3 and close(found.u, goal, 1e-12)


def test_a_negative_criterion_is_reported_on_request() -> None:
    arguments = (wavy, wavy, f64([[0.0]]), torch.arange(1), f64([[0.1]]), f64([1.0]))
    with pytest.warns(UserWarning, match="linesearch_stopping_criteria below 0.5"):
        search("BACKTRACKING", True, 0.7).lengths(*arguments)  # type: ignore[arg-type]
    search("BACKTRACKING", False, 0.7).lengths(*arguments)  # type: ignore[arg-type]
    search("BACKTRACKING", True, 0.4).lengths(*arguments)  # type: ignore[arg-type]


# -- whole decks ----------------------------------------------------------------------------

BLOCKS = """
[Solvers]
  [tested]
    type = {type}
    {fields}
  []
  [by_none]
    type = NoPreconditioner
  []
  [by_diagonal]
    type = JacobiPreconditioner
  []
  [by_blocks]
    type = BlockJacobiPreconditioner
  []
  [by_factors]
    type = FullPreconditioner
  []
  [elimination]
    type = DenseLU
  []
  [inner]
    type = BiCGStab
  []
[]
"""
DECK_SOLVERS = {
    "gmres": ("GMRES", "preconditioner = by_none"),
    "gmres_restarted": ("GMRES", "restart = 5\n preconditioner = by_diagonal"),
    "gmres_blocks": ("GMRES", "preconditioner = by_blocks\n cache_strategy = max_its"),
    "bicgstab": ("BiCGStab", "rel_tol = 1e-6"),
    "bicgstab_chord": ("BiCGStab", "preconditioner = by_factors\n cache_strategy = chord"),
    "schur": ("SchurComplement", "primary_solver = elimination\n schur_solver = elimination"),
    "schur_inner": ("SchurComplement", "primary_solver = inner\n schur_solver = elimination"),
}
# Rate-independent with 14 unknowns, and viscoplastic in two groups of unknowns.
GROUPED = {"solvers_gmres": False, "solvers_schur": True}


@cache
def variant(deck: str, solver: str) -> Input:
    kind, fields = DECK_SOLVERS.get(solver, ("DenseLU", ""))
    text = (DECKS / f"{deck}.i").read_text()
    text = re.sub(r"linear_solver +=.*", "linear_solver = tested", text)
    text = re.sub(r"'(\w+); stress_residual'", r"'stress_residual; \1'", text)
    return Input(parse_deck(text + BLOCKS.format(type=kind, fields=fields), deck))


@cache
def history(deck: str, solver: str) -> History:
    found: History = variant(deck, solver).get_driver("driver").driver.run()
    return found


@pytest.mark.parametrize(
    ("deck", "solver"),
    [(d, s) for d, groups in GROUPED.items() for s in DECK_SOLVERS if groups or "schur" not in s],
)
def test_histories_are_those_of_elimination(deck: str, solver: str) -> None:
    """To Newton's tolerance, 1e-10."""
    found, expected = history(deck, solver), history(deck, "lu")
    for name in expected.outputs[-1]:
        assert close(found.series(name), expected.series(name), 1e-8), name
    assert float(expected.series("equivalent_plastic_strain")[-1].min()) > 1e-3


@pytest.mark.parametrize("solver", ["gmres_blocks", "bicgstab", "schur"])
def test_gradients_do_not_depend_on_the_solver(solver: str) -> None:
    """Sensitivities are eliminated, whatever the steps; a solver named for them is used."""
    found = {}
    inputs = history("solvers_schur", "lu").inputs[6]
    for name in ("lu", solver):
        model = variant("solvers_schur", name).get_model("model")
        point = {n: inputs[n].detach().clone() for n in model.input_spec}
        found[name] = value_and_jacobian(model, point)[1]["stress"]["E"]
    assert close(found[solver], found["lu"], 1e-7)
    (update,) = [m for m in model.modules() if isinstance(m, ImplicitUpdate)]
    assert update.input_sensitivity_solver is None
    inner = GMRES(rel_tol=1e-13, preconditioner=BlockJacobiPreconditioner())
    update.input_sensitivity_solver = SchurComplement(0, 0, inner, DenseLU())
    assert close(value_and_jacobian(model, point)[1]["stress"]["E"], found[solver], 1e-10)
    update.input_sensitivity_solver = GMRES(max_its=1, rel_tol=1e-13)
    assert bool(torch.isnan(value_and_jacobian(model, point)[1]["stress"]["E"]).any())


# -- errors ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: GMRES(restart=0), "GMRES: restart must be at least 1"),
        (lambda: GMRES(max_its=0), "GMRES: max_its must be at least 1"),
        (lambda: BiCGStab(rel_tol=-1.0), "BiCGStab: rel_tol must be"),
        (lambda: BiCGStab(abs_tol=float("nan")), "BiCGStab: abs_tol must be"),
        (lambda: GMRES(cache_max_its=-1), "cache_max_its must be"),
        (lambda: GMRES(cache_strategy="always"), "one of none, chord, max_its, not 'always'"),
        (lambda: SchurComplement(unknown_primary_group=2), "unknown_primary_group must be 0 or 1"),
        (lambda: Newton(substep_del_tol=0.0), "Newton: substep_del_tol must be"),
        (lambda: Newton(max_its=-1), "Newton: max_its must be"),
        (
            lambda: NewtonWithLineSearch(linesearch_type="GOLDEN"),
            "BACKTRACKING or STRONG_WOLFE, not 'GOLDEN'",
        ),
        (
            lambda: NewtonWithLineSearch(linesearch_stopping_criteria=-1.0),
            "NewtonWithLineSearch: linesearch_stopping_criteria",
        ),
        (lambda: NewtonWithLineSearch(linesearch_cutback=1.0), "linesearch_cutback must be"),
    ],
)
def test_bad_options(build: Callable[[], object], message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        build()


def test_schur_complement_needs_two_groups_and_a_square_primary_block() -> None:
    matrix, b = matrices(2, 5.0), torch.randn(2, 10).double()
    with pytest.raises(ModelError, match="groups of unknowns only"):
        SchurComplement().solve(matrix, b)
    with pytest.raises(ModelError, match="residual group 0 has 3 components and unknown group 0"):
        SchurComplement().solve(matrix, b, LAYOUT)
    whole = Layout(LAYOUT.shapes, LAYOUT.residuals, (10,), (10,))
    with pytest.raises(ModelError, match="2 groups of unknowns and of residuals, not 1 and 1"):
        SchurComplement().steps(whole)
    with pytest.raises(ModelError, match="BlockJacobiPreconditioner"):
        GMRES(preconditioner=BlockJacobiPreconditioner()).solve(matrix, b)


@pytest.mark.parametrize(
    ("kind", "fields", "message"),
    [
        ("GMRES", "restart = 0", "deck:.*Solvers/tested.*restart must be at least 1"),
        ("GMRES", "preconditioner = ilu", "no block .Solvers/ilu."),
        ("GMRES", "preconditioner = elimination", "'elimination' is a DenseLU, not a Precond"),
        ("BiCGStab", "restart = 3", "restart"),
        (
            "SchurComplement",
            "primary_solver = by_diagonal",
            "is a JacobiPreconditioner, not a Linear",
        ),
        ("SchurComplement", "primary_solver = tested", "circle"),
    ],
)
def test_mistakes_in_decks(kind: str, fields: str, message: str) -> None:
    text = (DECKS / "solvers_schur.i").read_text() + BLOCKS.format(type=kind, fields=fields)
    with pytest.raises(Error, match=message):
        Input(parse_deck(text, "deck")).get("Solvers", "tested")
