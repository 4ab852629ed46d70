"""One problem on one rank: Newton's convergence, loads and reactions, failures and refusals."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

import neml2fe
import neml2fe.models
from neml2fe.errors import InputError, MeshError, ModelError
from neml2fe.fem.conditions.conditions import BodyForce, Condition, Dirichlet, Pressure, Traction
from neml2fe.fem.conditions.functions import PiecewiseLinear, value_at
from neml2fe.fem.mesh.generate import box, rectangle
from neml2fe.fem.mesh.mesh import Mesh
from neml2fe.fem.problem import Problem
from neml2fe.fem.simulation import simulate
from neml2fe.fem.stepping import TimeStepping
from neml2fe.material import Material
from neml2fe.types import SR2, Scalar

HERE = Path(__file__).parent
CLAMPED = [Dirichlet("left", "x"), Dirichlet("left", "y")]


def material(deck: str, name: str = "model") -> Material:
    return Material(neml2fe.load_model(HERE / f"{deck}.i", name))


def plate() -> Mesh:
    return rectangle(4, 4, "quad9", distortion=0.3)


def pulled(deck: str, name: str = "model", rate: float = 0.01, **options: object) -> Problem:
    conditions = [*CLAMPED, Dirichlet("right", "x", lambda t: rate * t)]
    return Problem(plate(), material(deck, name), conditions, **{"backend": "scipy", **options})


@pytest.mark.parametrize("backend", ["scipy", "petsc"])
@pytest.mark.parametrize("deck", ["j2", "perzyna"])
def test_newton_converges_quadratically(deck: str, backend: str) -> None:
    """Orders log(r3/r2) / log(r2/r1) of successive residual norms, those above round-off."""
    if backend == "petsc":
        pytest.importorskip("petsc4py", reason="petsc4py is not installed")
    problem = pulled(deck, backend=backend)
    orders = []
    for time in (0.5, 1.0, 1.5):
        result = problem.advance(time)
        assert result.converged and 3 <= result.iterations <= 8
        norms = np.array([r for r in result.residual_norms if r > 1e-10])
        orders.append(np.log(norms[-1] / norms[-2]) / np.log(norms[-2] / norms[-3]))
    assert min(orders) > 1.8, orders
    problem.close()


def test_one_iteration_is_enough_for_elasticity() -> None:
    problem = pulled("elastic")
    result = problem.advance(1.0)
    assert result.converged and result.iterations == 0  # the first estimate is the answer
    assert result.residual_norms[0] <= 1e-11 * abs(problem.load_row()["right_x_reaction"])


def test_reactions_balance_loads_in_a_plastic_body() -> None:
    conditions = [
        *CLAMPED,
        Dirichlet("right", "x", lambda t: 0.01 * t, label="grip"),
        Traction("top", [0.0, lambda t: 20.0 * t]),
        Pressure("bottom", 8.0),
        BodyForce([3.0, -2.0]),
    ]
    problem = Problem(plate(), material("j2"), conditions, backend="scipy")
    assert problem.advance(1.0).converged
    row = problem.load_row()
    assert row["grip_displacement"] == 0.01
    x = row["left_x_reaction"] + row["grip_reaction"] + row["body_force_x_force"]
    y = row["left_y_reaction"] + sum(v for k, v in row.items() if k.endswith("_y_force"))
    assert row["bottom_pressure_y_force"] == pytest.approx(8.0, rel=1e-13)
    assert row["top_traction_y_force"] == pytest.approx(20.0, rel=1e-13)
    assert abs(x) <= 1e-9 * row["grip_reaction"]
    assert abs(y) <= 1e-9 * row["grip_reaction"]
    assert problem.solids[0].state["equivalent_plastic_strain"].max() > 1e-3


@pytest.mark.parametrize("deck", ["elastic", "j2", "perzyna"])
def test_unloaded_body_can_be_held(deck: str) -> None:
    """No force is left to measure a residual by: what remains is round-off of strains that
    cancel, and a step that changes nothing must end at once."""
    peak = 480.0 if deck == "perzyna" else 295.0
    pull = PiecewiseLinear([0.0, 1.0, 2.0], [0.0, peak, 0.0])
    conditions = [Dirichlet("left", "x"), Dirichlet("bottom", "y"), Traction("right", [pull, 0.0])]
    problem = Problem(plate(), material(deck), conditions, backend="scipy")
    for time in (0.5, 0.8, 1.0, 1.5, 2.0, 3.0, 4.0):
        result = problem.advance(time)
        assert result.converged, result.reason
    assert result.iterations == 0
    in_plane = problem.point_fields()[0]["stress"][:, [0, 1, 5]]
    assert in_plane.abs().max() <= 1e-10 * peak
    assert (np.abs(problem.u).max() > 1e-4) == (deck != "elastic")


def snapshot(problem: Problem) -> tuple[object, ...]:
    fields = [{n: v.clone() for n, v in part.items()} for part in problem.point_fields()]
    states = [{n: v.clone() for n, v in solid.state.items()} for solid in problem.solids]
    return problem.time, problem.u.copy(), problem.load_row(), states, fields


def assert_same(now: tuple[object, ...], before: tuple[object, ...]) -> None:
    """Equal bit by bit."""
    assert now[0] == before[0] and now[2] == before[2]
    assert np.array_equal(now[1], before[1])
    for part in (3, 4):
        for a, b in zip(now[part], before[part], strict=True):
            assert a.keys() == b.keys()
            assert all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("backend", ["scipy", "petsc"])
def test_failing_points_leave_the_problem_as_it_was(backend: str) -> None:
    """A material whose local Newton may take 3 iterations only fails in long steps."""
    if backend == "petsc":
        pytest.importorskip("petsc4py", reason="petsc4py is not installed")
    problem = pulled("perzyna", "eager", rate=1.0, backend=backend)
    assert problem.advance(0.001).converged
    assert problem.advance(0.0015).converged
    before = snapshot(problem)
    result = problem.advance(0.3)
    assert not result.converged
    assert 0 < result.failed_points <= problem.n_points
    assert result.reason == f"{result.failed_points} of 144 points did not converge"
    assert_same(snapshot(problem), before)
    assert problem.advance(0.0016).converged
    assert problem.time == 0.0016
    problem.close()


def test_failure_of_newton_leaves_the_problem_as_it_was() -> None:
    """Perfect plasticity has no equilibrium beyond the limit load."""
    perfect = material("j2")
    dict(perfect.model.named_parameters())["return_map.surface.isoharden.K"].data.fill_(0.0)
    limit = 2.0 / np.sqrt(3.0) * 250.0
    conditions = [*CLAMPED, Traction("right", [lambda t: t * limit, 0.0])]
    problem = Problem(rectangle(2, 2, "quad9"), perfect, conditions, backend="scipy")
    assert problem.advance(0.5).converged
    before = snapshot(problem)
    result = problem.advance(1.5)
    assert not result.converged and result.reason
    assert_same(snapshot(problem), before)
    assert problem.advance(0.6).converged


def refuse(
    error: type[Exception], match: str, extra: list[Condition], advance: bool = False
) -> None:
    with pytest.raises(error, match=match):
        problem = Problem(plate(), material("elastic"), [*CLAMPED, *extra], backend="scipy")
        if advance:
            problem.advance(1.0)


@pytest.mark.parametrize(
    "condition",
    [
        Dirichlet("rigth", "x", 1.0),
        Traction("rigth", [1.0, 0.0]),
        Pressure("rigth", 1.0),
    ],
)
def test_unknown_boundary_is_named_with_a_suggestion(condition: Condition) -> None:
    refuse(MeshError, r"'rigth'; did you mean 'right'\?", [condition])


def test_components_must_fit_the_mesh() -> None:
    refuse(InputError, "no component 'z'", [Dirichlet("right", "z")])
    refuse(InputError, "2 components are needed, got 3", [Traction("right", [1.0, 0.0, 0.0])])
    refuse(InputError, "2 components are needed, got 1", [BodyForce([1.0])])


@pytest.mark.parametrize(
    ("function", "match"),
    [
        (lambda t: float("nan"), "right_traction.* is nan at time 1"),
        (lambda t: float("inf"), "right_traction.* is inf at time 1"),
        (lambda t: 1.0 / 0.0, "right_traction.* cannot be evaluated at time 1"),
        (lambda t: None, "right_traction.* cannot be evaluated at time 1"),
    ],
)
def test_loads_must_be_finite_numbers(function: Callable[[float], float], match: str) -> None:
    refuse(InputError, match, [Traction("right", [function, 0.0])], advance=True)


def test_a_refused_load_changes_nothing() -> None:
    load = PiecewiseLinear([0.0, 1.0], [0.0, 50.0])
    ending = Traction("right", [lambda t: load(t) if t < 0.9 else float("nan"), 0.0])
    problem = Problem(plate(), material("j2"), [*CLAMPED, ending], backend="scipy")
    assert problem.advance(0.5).converged
    before = snapshot(problem)
    with pytest.raises(InputError, match=r"is nan at time 0\.95"):
        problem.advance(0.95)
    assert_same(snapshot(problem), before)
    assert problem.advance(0.8).converged


def test_conditions_must_agree_on_common_nodes() -> None:
    """`left` and `top` share a corner: equal values are fine, different ones are not."""
    refuse(
        InputError, "'left_x' and 'top_x' prescribe 0 and 0.2", [Dirichlet("top", "x", 0.2)], True
    )
    problem = Problem(
        plate(), material("elastic"), [*CLAMPED, Dirichlet("top", "x", 0.0)], backend="scipy"
    )
    assert problem.advance(1.0).converged


@pytest.mark.parametrize("backend", ["scipy", "petsc"])
@pytest.mark.parametrize(
    "held", [[], [Dirichlet("left", "x")], [Dirichlet("bottom", "y"), Dirichlet("top", "y")]]
)
def test_missing_constraints_are_explained(held: list[Condition], backend: str) -> None:
    if backend == "petsc":
        pytest.importorskip("petsc4py", reason="petsc4py is not installed")
    conditions = [*held, Traction("right", [1.0, 1.0])]
    problem = Problem(plate(), material("elastic"), conditions, backend=backend)
    result = problem.advance(1.0)
    assert not result.converged
    assert "rigid-body motion" in result.reason
    assert problem.time == 0.0 and not problem.u.any()
    problem.close()


@pytest.mark.parametrize("time", [0.5, 0.4, float("nan"), float("inf")])
def test_time_must_increase(time: float) -> None:
    problem = pulled("elastic")
    problem.advance(0.5)
    with pytest.raises(InputError, match="must go forward"):
        problem.advance(time)


def test_formulation_must_exist_and_fit_the_mesh() -> None:
    with pytest.raises(InputError, match="did you mean 'plane_strain'"):
        pulled("elastic", formulation="plain_strain")
    with pytest.raises(InputError, match="'three_dimensional' needs a 3-D mesh, got 2-D"):
        pulled("elastic", formulation="three_dimensional")
    solid = box(1, 1, 1, "hexahedron")
    with pytest.raises(InputError, match="'plane_strain' needs a 2-D mesh, got 3-D"):
        Problem(solid, material("elastic"), CLAMPED, formulation="plane_strain", backend="scipy")


def test_fields_must_be_those_of_the_material() -> None:
    with pytest.raises(ModelError, match="takes no field 'temperature'"):
        pulled("elastic", fields={"temperature": 300.0})


def test_missing_mesh_file() -> None:
    with pytest.raises(MeshError, match=r"nowhere\.msh"):
        Problem("nowhere.msh", material("elastic"), CLAMPED, backend="scipy")


def test_piecewise_linear_functions() -> None:
    ramp = PiecewiseLinear([1.0, 2.0, 4.0], [0.0, 1.0, -1.0])
    assert [ramp(t) for t in (0.0, 1.0, 1.5, 2.0, 3.0, 9.0)] == [0.0, 0.0, 0.5, 1.0, 0.0, -1.0]
    assert ramp.breakpoints == [1.0, 2.0, 4.0]
    with pytest.raises(InputError, match="must increase"):
        PiecewiseLinear([0.0, 0.0], [1.0, 2.0])
    with pytest.raises(InputError, match="as many times as values"):
        PiecewiseLinear([0.0, 1.0], [1.0])
    with pytest.raises(InputError, match="must be finite"):
        PiecewiseLinear([0.0, 1.0], [0.0, float("nan")])
    with pytest.raises(InputError, match="gap is nan"):
        value_at(lambda t: float("nan"), 0.5, "gap")


@pytest.mark.parametrize("deck", ["elastic", "j2", "perzyna"])
def test_everything_is_double_precision(deck: str) -> None:
    """Under torch's default of single precision."""
    assert torch.get_default_dtype() == torch.float32
    problem = pulled(deck)
    assert problem.advance(1.0).converged
    tensors = [v for fields in problem.point_fields() for v in fields.values()]
    for solid in problem.solids:
        tensors += [solid.block.shapes, solid.block.volumes(), *solid.state.values()]
    tensors.append(problem.equations.matrix.values)
    assert {v.dtype for v in tensors} == {torch.float64}
    assert problem.u.dtype == problem.unbalanced.dtype == np.float64
    moduli = [p for _, p in problem.bodies[0].material.model.named_parameters()]
    assert {p.dtype for p in moduli} == {torch.float64}


class HeatingStress(neml2fe.models.Model):
    """A stress that follows the rate of a temperature: for the old value of a field."""

    strain = neml2fe.models.Input(SR2)
    rate = neml2fe.models.Input(Scalar, default="T_rate")
    stress = neml2fe.models.Output(SR2)

    def forward(self, strain: SR2, rate: Scalar) -> SR2:
        return 1e3 * strain + rate * SR2.identity(dtype=strain.dtype)


def test_a_field_has_its_start_value_before_the_first_step() -> None:
    model = neml2fe.models.ComposedModel(
        models=[neml2fe.models.ScalarVariableRate(variable="T"), HeatingStress()]
    )
    fields = {"T": lambda t: 300.0 + 2.0 * t}
    problem = Problem(plate(), Material(model), CLAMPED, backend="scipy", fields=fields)
    for time in (1.0, 3.0):
        assert problem.advance(time).converged
        # Free to expand on the right: strains of -T_rate / 1e3 in the plane's free direction.
        stress = problem.point_fields()[0]["stress"]
        assert torch.allclose(stress[:, 2], stress.new_tensor(2.0), atol=1e-9)


def test_a_second_simulation_goes_on_from_the_first() -> None:
    whole, parts = pulled("perzyna"), pulled("perzyna")
    simulate(whole, TimeStepping(end=2.0, dt=0.5), quiet=True)
    simulate(parts, TimeStepping(end=1.0, dt=0.5), quiet=True)
    simulate(parts, TimeStepping(end=2.0, dt=0.5), quiet=True)
    assert parts.time == whole.time == 2.0
    assert np.array_equal(parts.u, whole.u)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"quadrature_degree": -1}, "quadrature degree -1"),
        ({"tolerance": -1.0}, "tolerance must be between 0 and 1"),
        ({"tolerance": 10.0}, "tolerance must be between 0 and 1"),
    ],
)
def test_numbers_that_make_no_sense(options: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        pulled("elastic", **options)


def test_conditions_need_names_of_their_own() -> None:
    twice = [*CLAMPED, Traction("top", [0.0, 1.0]), Traction("top", [1.0, 0.0])]
    with pytest.raises(InputError, match="'top_traction'; give each a label"):
        Problem(plate(), material("elastic"), twice, backend="scipy")
    with pytest.raises(InputError, match="must list 2 components"):
        Problem(plate(), material("elastic"), [Traction("top", 3.0)], backend="scipy")  # type: ignore[arg-type]


def test_nothing_acts_before_the_first_step() -> None:
    conditions = [*CLAMPED, Dirichlet("right", "x", 0.01), Traction("top", [5.0, 0.0])]
    problem = Problem(plate(), material("elastic"), conditions, backend="scipy")
    assert set(problem.load_row().values()) == {0.0}
