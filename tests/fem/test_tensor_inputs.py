"""Tensors as values of fields, functions, loads and constraints: values, gradients, mistakes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from tensors_on_ranks import Gradients, parameter, wave
from test_conditions import elastic, neo_hookean
from test_fields import HELD, mesh, thermal
from test_mesh_mixed import beside

from neml2fe.errors import InputError
from neml2fe.fem.body import Body
from neml2fe.fem.conditions.conditions import (
    BodyForce,
    Centrifugal,
    Condition,
    ControlDisplacement,
    ControlForce,
    Dirichlet,
    Gravity,
    NodalForce,
    PeriodicCell,
    Pressure,
    RigidBody,
    Traction,
    functions_of,
)
from neml2fe.fem.conditions.field_place import BoundField
from neml2fe.fem.conditions.fields import ElementField, FieldTable, NodalField, PointField, bound
from neml2fe.fem.conditions.functions import (
    Function,
    PiecewiseLinear,
    SpaceFunction,
    tensor_at,
    tensors_at,
    value_at,
    values_at,
)
from neml2fe.fem.conditions.tensors import condition_tensors, named_tensors, tensors_of
from neml2fe.fem.mesh.generate import box, rectangle
from neml2fe.fem.problem import Problem

DOUBLE = torch.float64


class Saturating(torch.nn.Module):
    """p (1 - exp(-t / tau)), for double-precision times."""

    def __init__(self) -> None:
        super().__init__()
        self.level = torch.nn.Parameter(torch.tensor(2.0, dtype=DOUBLE))
        self.tau = torch.nn.Parameter(torch.tensor(0.4, dtype=DOUBLE))

    def forward(self, t: torch.Tensor) -> torch.Tensor:
        return self.level * (1.0 - torch.exp(-t / self.tau))


class Wave(torch.nn.Module):
    """Of time and place."""

    def __init__(self) -> None:
        super().__init__()
        self.wave = torch.nn.Parameter(torch.tensor([1.5, 0.7], dtype=DOUBLE))

    def forward(self, t: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        return t * torch.sin(x[:, :2] @ self.wave)


def sine(*values: float) -> SpaceFunction:
    p = parameter(*values)
    return SpaceFunction(lambda t, x: p[0] * torch.sin(p[1] * t * x[:, 0] + x[:, 1]), tensors=[p])


def differences(
    value: Callable[[], NDArray], tensor: torch.Tensor, bar: NDArray, step: float = 1e-6
) -> NDArray:
    """Central differences of bar . value() by each entry of a tensor."""
    found, data = np.zeros(tensor.numel()), tensor.detach().view(-1)
    for k in range(tensor.numel()):
        middle = data[k].item()
        ends = []
        for sign in (1.0, -1.0):
            data[k] = middle + sign * step
            ends.append(float(bar @ value()))
        data[k] = middle
        found[k] = (ends[0] - ends[1]) / (2.0 * step)
    return found.reshape(tuple(tensor.shape))


def assert_gradients(
    named: dict[str, torch.Tensor],
    value: Callable[[], NDArray],
    pull: Callable[[Gradients], None],
    bar: NDArray,
) -> None:
    """What `pull` hands over is the derivative of bar . value(), which every tensor moves."""
    assert named
    to = Gradients(named)
    pull(to)
    for name, tensor in named.items():
        expected = differences(value, tensor, bar)
        size = np.abs(expected).max()
        assert size > 1e-8, name
        assert np.abs(to.values[name].numpy() - expected).max() <= 1e-7 * max(size, 1.0), name


# --- functions ---------------------------------------------------------------------------
FUNCTIONS: dict[str, Callable[[], Function]] = {
    "number": lambda: parameter(3.0),
    "line": lambda: PiecewiseLinear([0.0, 1.0, 2.0], parameter(0.0, 2.0, -1.0)),
    "mixed line": lambda: PiecewiseLinear([0.0, 1.0], [parameter(0.3), 2.0]),
    "module": Saturating,
    "place": lambda: sine(2.0, 3.0),
    "module of place": lambda: SpaceFunction(Wave()),
}


@pytest.mark.parametrize("case", list(FUNCTIONS))
@settings(max_examples=10, deadline=None)
@given(time=st.floats(0.05, 0.95))
def test_functions_of_tensors_have_their_derivatives(case: str, time: float) -> None:
    function, x, bar = FUNCTIONS[case](), np.random.default_rng(0).random((5, 2)), np.arange(1, 6.0)
    values = tensors_at(function, time, x, "it")
    with torch.no_grad():
        assert not tensors_at(function, time, x, "it").requires_grad
    plain = values_at(function, time, x, "it")
    assert np.array_equal(plain, values.detach().numpy()) and plain.flags.writeable
    if not isinstance(function, SpaceFunction):
        assert value_at(function, time, "it") == tensor_at(function, time, "it").item()
    for tensor, found in zip(
        tensors_of(function),
        torch.autograd.grad(values, tensors_of(function), torch.as_tensor(bar)),
        strict=True,
    ):
        expected = differences(lambda: values_at(function, time, x, "it"), tensor, bar)
        assert np.abs(found.numpy() - expected).max() <= 1e-7 * max(1.0, np.abs(expected).max())


def test_tables_of_tensors_are_those_of_numbers() -> None:
    times, numbers = [0.0, 1.0, 3.0], [1.0, -2.0, 5.0]
    table = PiecewiseLinear(times, torch.tensor(numbers, dtype=torch.float32).requires_grad_())
    for time in (-1.0, 0.0, 0.3, 1.0, 2.2, 3.0, 7.0):
        expected = PiecewiseLinear(times, numbers)(time)
        assert value_at(table, time, "it") == pytest.approx(expected, abs=1e-15)
        assert tensor_at(table, time, "it").dtype == DOUBLE
    assert table.breakpoints == times


def test_changes_in_place_are_seen() -> None:
    p, x = parameter(1.0, 2.0), np.ones((2, 2))
    table = PiecewiseLinear([0.0, 1.0], p)
    function = SpaceFunction(lambda t, x: p[0] * x[:, 0], tensors=[p])
    with torch.no_grad():
        p += 1.0
    assert value_at(table, 1.0, "it") == 3.0
    assert np.array_equal(values_at(function, 1.0, x, "it"), [2.0, 2.0])
    values_at(SpaceFunction(lambda t, x: p, tensors=[p]), 1.0, x, "it")[:] = 7.0
    assert p.tolist() == [2.0, 3.0]  # values are the caller's own


def test_functions_that_are_wrong_are_refused() -> None:
    p, x = parameter(1.0, 2.0), np.ones((3, 2))
    for message, refused in {
        "tensor of shape (2,), not a number": lambda: value_at(p, 0.0, "it"),
        "reads a tensor that requires a gradient": lambda: value_at(lambda t: t * p[0], 0.0, "it"),
        "must be a finite number": lambda: value_at(torch.tensor(torch.nan), 0.0, "it"),
        "one value for each of 3": lambda: values_at(
            SpaceFunction(lambda t, x: p, tensors=[p]), 0.0, x, "it"
        ),
        "cannot be evaluated at time 0: ": lambda: values_at(
            SpaceFunction(lambda t, x: x @ torch.ones(5, dtype=DOUBLE) * p[0], tensors=[p]),
            0.0, x, "it",
        ),
        "as many times as values": lambda: PiecewiseLinear([0.0], p),
        "must be finite": lambda: PiecewiseLinear([0.0], [torch.tensor(torch.inf)]),
        "value [1] of a piecewise linear function is a tensor of shape (2,)": lambda: (
            PiecewiseLinear([0.0, 1.0], [1.0, p])
        ),
    }.items():  # fmt: skip
        with pytest.raises(InputError) as error:
            refused()
        assert message in str(error.value)
    with torch.no_grad(), pytest.raises(InputError, match="reads a tensor that requires"):
        values_at(SpaceFunction(lambda t, x: p[0] * torch.as_tensor(x[:, 0])), 0.0, x, "it")
    # What needs no gradient needs no name.
    assert value_at(lambda t: t * p[1].detach(), 2.0, "it") == 4.0


# --- names -------------------------------------------------------------------------------
def test_conditions_name_their_tensors() -> None:
    a, b, module = parameter(1.0), parameter(2.0), Saturating()
    place = SpaceFunction(lambda t, x: a * b, tensors={"a": a, "b": b})
    for condition, expected in [
        (Dirichlet("top", "y", a), {"value": a}),
        (Dirichlet("top", "y", lambda t: 0.0), {}),
        (Traction("top", [a, PiecewiseLinear([0], [b])]), {"value[0]": a, "value[1][0]": b}),
        (Pressure("top", module), {"value.level": module.level, "value.tau": module.tau}),
        (BodyForce([0.0, place]), {"value[1][a]": a, "value[1][b]": b}),
        (PeriodicCell({"xx": a}, {"yy": b}), {"strain[xx]": a, "stress[yy]": b}),
    ]:  # fmt: skip
        found = condition_tensors(condition)
        assert list(found) == list(expected)
        assert all(found[name] is tensor for name, tensor in expected.items())
    assert functions_of(Traction("top", [a, 1.0])) == [a]
    assert functions_of(Pressure("top", a)) == [a]
    field = FieldTable([0.0, 1.0], [NodalField(a), ElementField({"left": b, "right": 1.0})])
    assert named_tensors(field) == {"[0]": a, "[1][left]": b}
    assert tensors_of([a, a, module]) == [a, module.level, module.tau]
    assert tensors_of(NodalField("T")) == tensors_of(3.0) == tensors_of(np.ones(3)) == []


# --- fields ------------------------------------------------------------------------------
PROBLEM = Problem(mesh(), thermal(), HELD, fields={"temperature": 20.0}, backend="scipy")
BLOCK = PROBLEM.solids[0].block
ALL = slice(0, BLOCK.n_elements)


def at_block(field: Any, base: tuple[int, ...] = ()) -> BoundField:
    return bound(field, "T", base, PROBLEM.local, BLOCK, 0, torch.arange(BLOCK.n_elements))


def random(*shape: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.rand(shape, generator=generator, dtype=DOUBLE).requires_grad_()


FIELDS: dict[str, tuple[Callable[[], Any], tuple[int, ...]]] = {
    "nodes": (lambda: NodalField(random(20)), ()),
    "nodes of vectors": (lambda: NodalField(random(20, 3)), (3,)),
    "elements": (lambda: ElementField(random(12)), ()),
    "grains": (lambda: ElementField(random(12, 2, 3)), (3,)),
    "regions": (lambda: ElementField({"left": parameter(2.0), "right": parameter(1.0)}), ()),
    "regions of vectors": (lambda: ElementField({"left": random(3), "right": 1.0}), (3,)),
    "table": (lambda: FieldTable([0, 1], [NodalField(random(20)), ElementField(random(12))]), ()),
    "points": (lambda: PointField(sine(1.0, 2.0)), ()),
    "uniform": (lambda: parameter(3.0), ()),
    "uniform of vectors": (lambda: random(3), (3,)),
    "module": (Saturating, ()),
}  # fmt: skip


@pytest.mark.parametrize("case", list(FIELDS))
def test_gradients_flow_through_fields(case: str) -> None:
    make, base = FIELDS[case]
    field = make()
    values = at_block(field, base)
    part = slice(2, 9)
    with torch.no_grad():
        plain = values(0.3, part)
        assert not plain.requires_grad and plain.is_contiguous() and plain.dtype == DOUBLE
    assert torch.equal(plain, values(0.3, part))
    bar = torch.cos(torch.arange(plain.numel(), dtype=DOUBLE))

    def pull(to: Gradients) -> None:
        to.through(values(0.3, part).flatten(), bar)

    def value() -> NDArray:
        with torch.no_grad():
            return values(0.3, part).flatten().numpy()

    to = Gradients(named_tensors(field))
    pull(to)
    for name, tensor in to.tensors.items():
        expected = differences(value, tensor, bar.numpy())
        assert np.abs(expected).max() > 1e-3
        assert np.abs(to.values[name].numpy() - expected).max() <= 1e-8, name


@pytest.mark.parametrize(
    ("tensor", "array"),
    [(NodalField, 20), (ElementField, 12), (lambda v: ElementField({"left": v, "right": v}), 3)],
)
def test_fields_of_tensors_are_those_of_arrays(tensor: Any, array: int) -> None:
    numbers = np.random.default_rng(1).random((array, 3) if array != 3 else 3)
    expected = at_block(tensor(numbers), (3,))(0.0, ALL)
    assert torch.equal(at_block(tensor(torch.as_tensor(numbers)), (3,))(0.0, ALL), expected)
    single = at_block(tensor(torch.as_tensor(numbers).float()), (3,))(0.0, ALL)
    assert single.dtype == DOUBLE and torch.allclose(single, expected, atol=1e-6)


def test_elements_of_later_blocks_and_of_bodies_find_their_own_values() -> None:
    """The elements of one body only, in both blocks of a mixed mesh."""
    whole = beside("quad", "triangle")
    sizes = [len(b.connectivity) for b in whole.cells]
    numbers = torch.arange(float(sum(sizes)), dtype=DOUBLE).requires_grad_()
    with torch.no_grad():
        problem = Problem(
            whole, thermal(), [], fields={"temperature": ElementField(numbers)}, backend="scipy"
        )
        for solid in problem.solids:
            found = solid.fields(0.0, slice(0, solid.block.n_elements))["temperature"]
            start = sum(sizes[: solid.cells])
            own = numbers[start : start + sizes[solid.cells]]
            assert torch.equal(found, own.repeat_interleave(solid.block.n_quadrature))


def test_an_optimiser_changes_fields_in_place() -> None:
    for field in (NodalField(random(20)), ElementField(random(12)), parameter(0.5)):
        values = at_block(field)
        before = values(0.0, ALL).detach().clone()
        optimiser = torch.optim.SGD(tensors_of(field), lr=0.5)
        values(0.0, ALL).sum().backward()
        optimiser.step()
        after = values(0.0, ALL).detach()
        assert (after < before - 0.1).all()
        after[:] = -9.0  # states start from fields and are written into
        assert not any((t == -9.0).any() for t in tensors_of(field))


WRONG: dict[str, tuple[Any, tuple[int, ...], str]] = {
    "nodes": (NodalField(random(19)), (), "19 values for 20 nodes"),
    "elements": (ElementField(random(13)), (), "13 values for 12 elements"),
    "base": (NodalField(random(20, 2)), (3,), r"shape \(20, 2\) do not fit"),
    "nan": (NodalField(torch.full((20,), torch.nan)), (), "20 of 20 nodes have no finite value"),
    "uniform": (random(2), (3,), r"a tensor of shape \(2,\) is no value for the whole body"),
    "uniform nan": (torch.full((3,), torch.nan), (3,), "no finite value"),
    "region": (ElementField({"lfet": parameter(1.0)}), (), "did you mean 'left'"),
    "region base": (ElementField({"left": random(2)}), (3,), r"has shape \(2,\); expected \(3,\)"),
    "region nan": (ElementField({"left": torch.tensor(torch.nan)}), (), "is not a finite number"),
    "gap": (ElementField({"left": parameter(1.0)}), (), "6 elements are in none of the regions"),
    "hidden": (NodalField(lambda x: torch.as_tensor(x[:, 0]) * parameter(1.0)), (),
               "the gradient would not reach the tensor"),
    "list": (ElementField([random(12)]), (), "the gradient would not reach the tensor"),
}  # fmt: skip


@pytest.mark.parametrize("case", list(WRONG))
def test_tensors_that_do_not_fit_are_refused(case: str) -> None:
    field, base, message = WRONG[case]
    with pytest.raises(InputError, match=message):
        at_block(field, base)


# --- loads -------------------------------------------------------------------------------
def on_a_plane(conditions: list[Condition], **options: Any) -> Problem:
    plane = rectangle(3, 2, "quad9", (2.0, 1.0), distortion=0.2)
    return Problem(plane, Body(elastic(), density=3.0), conditions, backend="scipy", **options)


LOADS: dict[str, Callable[[], Condition]] = {
    "traction": lambda: Traction("top", [parameter(2.0), sine(1.0, 2.0)]),
    "pressure": lambda: Pressure("right", sine(-2.0, 1.0)),
    "line": lambda: Pressure("right", PiecewiseLinear([0.0, 1.0], parameter(1.0, 3.0))),
    "module": lambda: Pressure("right", Saturating()),
    "body": lambda: BodyForce([sine(1.0, 3.0), parameter(0.3)]),
    "gravity": lambda: Gravity([0.0, parameter(-9.81)]),
    "centrifugal": lambda: Centrifugal(parameter(4.0), point=() ),
    "turning up": lambda: Centrifugal(Saturating()),
    "nodes": lambda: NodalForce("top", [SpaceFunction(Wave()), parameter(1.0)]),
}  # fmt: skip


@pytest.mark.parametrize("formulation", ["plane_strain", "axisymmetric"])
@pytest.mark.parametrize("case", list(LOADS))
def test_loads_hand_cotangents_to_their_tensors(case: str, formulation: str) -> None:
    condition = LOADS[case]()
    problem = on_a_plane([condition], formulation=formulation)
    bar = wave(problem.local.nodes, 2)
    assert_gradients(
        condition_tensors(condition),
        lambda: problem.loads.forces(0.7),
        lambda to: problem.loads.pull(bar, 0.7, to.through),
        bar,
    )


def test_loads_without_gradients_hand_over_nothing() -> None:
    p = torch.tensor(2.0)
    given = SpaceFunction(lambda t, x: p * x[:, 0], tensors=[p])
    problem = on_a_plane([Pressure("right", given), Traction("top", [p, 1.0])])
    problem.loads.pull(wave(problem.local.nodes, 2), 1.0, lambda output, bar: pytest.fail("called"))


def test_forces_follow_their_tensors() -> None:
    """Also at a time that was asked for before."""
    p = parameter(2.0)
    given = [p, SpaceFunction(lambda t, x: p * x[:, 0], tensors=[p])]
    problem = on_a_plane([Traction("top", given)])
    before = problem.loads.forces(1.0).copy()
    with torch.no_grad():
        p *= 3.0
    assert np.abs(problem.loads.forces(1.0) - 3.0 * before).max() <= 1e-12


# --- constraints -------------------------------------------------------------------------
def assert_constraints(problem: Problem, conditions: list[Condition], bar: NDArray) -> None:
    """Of prescribed unknowns and forces on control nodes at once."""
    named = {
        f"{c.name} {n}": tensor for c in conditions for n, tensor in condition_tensors(c).items()
    }
    constraints, zero = problem.constraints, np.zeros(len(bar))

    def pull(to: Gradients) -> None:
        constraints.pull(bar, 0.5, to.through)
        constraints.pull_control(2.0 * bar, 0.5, to.through)

    assert_gradients(
        named,
        lambda: constraints.apply(zero, 0.5) + 2.0 * constraints.control_forces(0.5),
        pull,
        bar,
    )


def test_prescribed_displacements_hand_cotangents_to_their_tensors() -> None:
    """Two sides share a corner, and both have the same tensor in it."""
    shared = sine(0.3, 2.0)
    given: list[Condition] = [
        Dirichlet("left", "x", shared),
        Dirichlet("top", "x", shared),
        Dirichlet("top", "y", parameter(0.1)),
        Dirichlet("bottom", "y", PiecewiseLinear([0.0, 1.0], parameter(0.0, 0.2))),
    ]
    problem = on_a_plane(given)
    assert_constraints(problem, given, wave(problem.local.nodes, 2))


def test_displacements_along_turned_axes_do_too() -> None:
    """On the left the outward normal is against the axis that another condition has set."""
    p, axes = parameter(0.1), ((1.0, 0.0), (0.0, 1.0))
    against = SpaceFunction(lambda t, x: -p, tensors=[p])
    for pair in (
        [Dirichlet("top", "x", parameter(0.3), frame=((0.6, 0.8), (-0.8, 0.6)))],
        [Dirichlet("left", "x", against, frame=axes), Dirichlet("left", "normal", p)],
    ):
        problem = Problem(rectangle(3, 2, "quad", (2.0, 1.0)), elastic(), pair, backend="scipy")
        assert_constraints(problem, list(pair), wave(problem.local.nodes, 2))
    assert (problem.constraints.prescribed[1].signs == -1.0).all()


@pytest.mark.parametrize("finite", [False, True])
def test_control_nodes_hand_cotangents_to_their_tensors(finite: bool) -> None:
    material = neo_hookean() if finite else elastic()
    body: list[Condition] = [
        *[Dirichlet("back", c) for c in "xyz"],
        RigidBody("front", (0.5, 0.5, 1.0), label="head"),
        ControlDisplacement("head", "rz", parameter(0.1)),
        ControlForce("head", "x", PiecewiseLinear([0.0, 1.0], parameter(1.0, 5.0))),
        ControlForce("head", "ry", Saturating()),
    ]
    cell: list[Condition] = [
        PeriodicCell({"xx": parameter(0.1), "xy": Saturating()}, {"yz": parameter(3.0)})
    ]
    for conditions in (body, cell):
        problem = Problem(box(2, 2, 2, "hexahedron"), material, conditions, backend="scipy")
        n = problem.unknowns.layout.n_owned_dofs
        assert_constraints(problem, conditions, np.sin(1.0 + np.arange(float(n))))


def test_a_shared_unknown_belongs_to_the_last_condition() -> None:
    first, last = parameter(0.5), parameter(0.5)
    problem = on_a_plane([Dirichlet("left", "x", first), Dirichlet("top", "x", last)])
    to = Gradients({"first": first, "last": last})
    problem.constraints.pull(np.ones(2 * problem.local.n_owned), 0.0, to.through)
    nodes = [len(problem.local.node_sets[side]) for side in ("left", "top")]
    assert to.values["last"].item() == nodes[1] and to.values["first"].item() == nodes[0] - 1


def test_a_solve_takes_tensors_as_numbers() -> None:
    """The elastic answers are those of the same numbers, bit by bit."""
    answers = []
    for number in (float, lambda v: parameter(v)):
        given = [
            *[Dirichlet("left", c) for c in "xy"],
            Dirichlet("right", "x", PiecewiseLinear([0.0, 1.0], [0.0, number(0.01)])),
            Traction("top", [0.0, number(3.0)]),
        ]
        problem = on_a_plane(given)
        assert problem.advance(1.0).converged
        answers.append((problem.u, problem.load_row()))
    assert np.array_equal(answers[0][0], answers[1][0])
    assert answers[0][1] == answers[1][1]
