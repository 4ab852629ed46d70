"""Implicit updates: exact derivatives in every mode, and points that do not know each other."""

from __future__ import annotations

import copy
from functools import cache
from typing import Any

import pytest
import torch
from ladder import (
    Pure,
    Raw,
    along,
    assert_v,
    close,
    difference_errors,
    direction,
    dot,
    f64,
    plastic_point,
)

import neml2fe.models as m
from neml2fe.errors import ConvergenceError, ModelError
from neml2fe.implicit import (
    ImplicitUpdate,
    Newton,
    NewtonWithLineSearch,
    NonlinearSystem,
    Status,
    recorded_solves,
)
from neml2fe.models import Input, Model, Output, Parameter, value_and_jacobian
from neml2fe.types import Scalar

# deck: a step at which every specimen flows, and the number of unknowns
MATERIALS = {
    "perzyna_voce": (8, 7),
    "combined": (9, 14),
    "chaboche": (8, 19),
    "kinematic": (9, 12),
    "frederick_armstrong": (9, 14),
    "uniaxial_perzyna": (8, 13),
    "temperature": (8, 7),
}
each = pytest.mark.parametrize("deck", sorted(MATERIALS))
# Components that choose instead of measure; differences across the choice mean nothing.
SWITCHES = {"control"}
# Stiff systems want small steps; every other decade will do.
STEPS = [1e-1, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8, 1e-11]
CORE = ["perzyna_voce", "combined", "chaboche", "kinematic"]
core = pytest.mark.parametrize("deck", CORE)


@cache
def stored(deck: str) -> tuple[Model, Raw]:
    return plastic_point(deck, MATERIALS[deck][0])


def material(deck: str) -> tuple[Model, Raw]:
    model, inputs = stored(deck)
    return copy.deepcopy(model), dict(inputs)


def update_of(model: Model) -> ImplicitUpdate:
    (found,) = [x for x in model.modules() if isinstance(x, ImplicitUpdate)]
    return found


def way_of(values: Raw, scale: float = 0.02) -> Raw:
    """A direction small enough for every point to keep flowing and Newton to converge."""
    way = {n: scale * d for n, d in direction(values).items()}
    return {n: torch.zeros_like(d) if n in SWITCHES else d for n, d in way.items()}


@each
def test_number_of_unknowns(deck: str) -> None:
    model, _ = material(deck)
    unknowns = update_of(model).equation_system.unknowns
    assert sum(kind.base_size() for kind in unknowns.values()) == MATERIALS[deck][1]


# -- derivatives ----------------------------------------------------------------------------


@each
def test_consistent_tangent(deck: str) -> None:
    """Every output by every input, against differences of converged solutions."""
    model, inputs = material(deck)
    _, jacobian = value_and_jacobian(model, inputs)
    way = way_of(inputs)
    n = max(v.shape[0] for v in inputs.values() if v.ndim)
    slopes: Raw = {}
    for output, blocks in jacobian.items():
        kind = model.output_spec[output]
        slope = torch.zeros(n, kind.base_size(), dtype=torch.float64)
        for name, block in blocks.items():
            size = model.input_spec[name].base_size()
            step = way[name].expand((n, *model.input_spec[name].BASE_SHAPE)).reshape(n, size)
            slope += torch.einsum("pij,pj->pi", block.reshape(n, kind.base_size(), size), step)
        slopes[output] = slope

    def packed(outputs: Raw) -> torch.Tensor:
        """Each output in units of its own derivative."""
        return torch.cat([outputs[o].reshape(n, -1) / s.norm() for o, s in slopes.items()], 1)

    def f(h: float) -> torch.Tensor:
        found = model.evaluate(along(inputs, way, h))
        return packed({o: v.data.detach() for o, v in found.items()})

    assert_v(f, packed(slopes), steps=STEPS)


@core
def test_reverse_mode_by_each_input_and_parameter(deck: str) -> None:
    model, inputs = material(deck)
    pure = Pure(model, inputs)
    gradient = pure.gradient(pure.values)
    assert all(bool(torch.isfinite(g).all()) for g in gradient.values())
    whole = way_of(pure.values, 0.2)
    for name in pure.values:
        if name in SWITCHES:
            continue
        way = {n: d if n == name else torch.zeros_like(d) for n, d in whole.items()}
        slope = dot(gradient, way)
        if not bool(slope):  # E~1 where elasticity is in total form, x~1 of a predictor alone
            moved = pure.total(along(pure.values, way, 0.1))
            assert close(moved, pure.total(pure.values), 1e-12), name
            continue
        # Each has its own best step; the V of all together is seen below.
        size = (gradient[name] * way[name]).abs().sum()

        def error(h: float, way: Raw = way, slope: Any = slope, size: Any = size) -> float:
            (found,) = difference_errors(
                lambda h: pure.total(along(pure.values, way, h)), slope, [h], size
            )
            return found

        assert any(error(h) < 1e-8 for h in (1e-4, 1e-5, 1e-3, 1e-6, 1e-1, 1e-7)), name


@core
def test_forward_mode_equals_reverse_mode(deck: str) -> None:
    model, inputs = material(deck)
    pure = Pure(model, inputs)
    way = way_of(pure.values)
    slope = dot(pure.gradient(pure.values), way)
    _, forward = torch.func.jvp(pure.total, (pure.values,), (way,))
    assert close(forward, slope, 1e-10)
    assert_v(lambda h: pure.total(along(pure.values, way, h)), slope, steps=STEPS)


@core
def test_hessian_vector_products(deck: str) -> None:
    """Reverse over reverse and forward over reverse against differences of gradients."""
    model, inputs = material(deck)
    pure = Pure(model, inputs)
    way = way_of(pure.values)
    scales = {n: v.abs().max() for n, v in pure.values.items() if n not in SWITCHES}

    def packed(values: Raw) -> torch.Tensor:
        return torch.cat([scales[n] * values[n].reshape(-1) for n in scales])

    leaves = {n: v.clone().requires_grad_() for n, v in pure.values.items()}
    first = torch.autograd.grad(
        pure.total(leaves), list(leaves.values()), create_graph=True, materialize_grads=True
    )
    slope = dot(dict(zip(leaves, first, strict=True)), way)
    second = torch.autograd.grad(slope, list(leaves.values()), materialize_grads=True)
    product = packed(dict(zip(leaves, second, strict=True)))
    assert_v(lambda h: packed(pure.gradient(along(pure.values, way, h))), product, steps=STEPS)
    _, forward = torch.func.jvp(torch.func.grad(pure.total), (pure.values,), (way,))
    assert close(packed(forward), product, 1e-9)


def test_hessian_of_a_closed_form() -> None:
    """u^3 = p g: all second derivatives of u = (p g)^(1/3)."""
    pure = Pure(cubic(), {"g": f64([2.0, 5.0])})
    p, g = pure.values["p:cube.p"], pure.values["g"]

    def u(p: torch.Tensor, g: torch.Tensor) -> torch.Tensor:
        return pure.outputs({"g": g, "p:cube.p": p})["u"].sum()

    def exact(p: torch.Tensor, g: torch.Tensor) -> torch.Tensor:
        return ((p * g) ** (1.0 / 3.0)).sum()

    for found, expected in zip(
        torch.func.hessian(u, argnums=(0, 1))(p, g),
        torch.func.hessian(exact, argnums=(0, 1))(p, g),
        strict=True,
    ):
        assert all(close(a, b, 1e-13) for a, b in zip(found, expected, strict=True))


def test_jacrev_and_jacfwd_agree() -> None:
    model, inputs = material("perzyna_voce")
    pure = Pure(model, inputs)

    def stress(e: torch.Tensor, sy: torch.Tensor) -> torch.Tensor:
        name = "p:rates_and_residuals.normality.flow.yield_surface.sy"
        return pure.outputs({**pure.values, "E": e, name: sy})["stress"]

    at = (inputs["E"], f64(150.0))
    reverse = torch.func.jacrev(stress, argnums=(0, 1))(*at)
    forward = torch.func.jacfwd(stress, argnums=(0, 1))(*at)
    assert reverse[0].shape == (3, 6, 3, 6) and reverse[1].shape == (3, 6)
    for a, b in zip(reverse, forward, strict=True):
        assert close(a, b, 1e-10)
    _, jacobian = value_and_jacobian(model, inputs)
    for k in range(3):
        assert close(reverse[0][k, :, k], jacobian["stress"]["E"][k], 1e-12)
        assert not reverse[0][k, :, (k + 1) % 3].any()


def test_gradients_of_gradients_pass_through_a_time_loop() -> None:
    """A Hessian-vector product of three chained implicit steps."""
    model, inputs = material("perzyna_voce")
    pure = Pure(model, inputs)

    def loop(values: Raw) -> torch.Tensor:
        state, total = dict(values), f64(0.0)
        for k in range(3):
            found = pure.outputs(state)
            total = total + dot({"stress": found["stress"]}, {"stress": pure.weights["stress"]})
            step = values["E"] - values["E~1"]
            state |= {f"{n}~1": v for n, v in found.items()}
            state |= {"E~1": state["E"], "E": state["E"] + step * (1.0 + 0.1 * k)}
            state |= {"t~1": state["t"], "t": state["t"] + values["t"] - values["t~1"]}
        return total

    way = way_of(pure.values)
    gradient = torch.func.grad(loop)
    slope = dot(gradient(pure.values), way)
    assert_v(lambda h: loop(along(pure.values, way, h)), slope, steps=STEPS)
    _, product = torch.func.jvp(gradient, (pure.values,), (way,))
    name = "p:rates_and_residuals.flow_rate.n"
    assert_v(lambda h: gradient(along(pure.values, way, h))[name], product[name], steps=STEPS)


# -- vmap and batches -----------------------------------------------------------------------


def test_vmap_over_parameters_equals_a_loop() -> None:
    model, inputs = material("perzyna_voce")
    pure = Pure(model, inputs)
    name = "p:rates_and_residuals.isoharden.R"
    many = f64([60.0, 90.0, 120.0, 150.0])

    def stress(r: torch.Tensor) -> torch.Tensor:
        return pure.outputs({**pure.values, name: r})["stress"]

    mapped = torch.func.vmap(stress)(many)
    assert mapped.shape == (4, 3, 6)
    for k in range(4):
        assert close(mapped[k], stress(many[k]), 1e-14)
    slopes = torch.func.vmap(torch.func.grad(lambda r: stress(r).sum()))(many)
    for k in range(4):
        assert close(slopes[k], torch.func.grad(lambda r: stress(r).sum())(many[k]), 1e-12)


def test_vmap_over_inputs_and_over_both() -> None:
    model, inputs = material("perzyna_voce")
    pure = Pure(model, inputs)
    strains = torch.stack([inputs["E"], 1.1 * inputs["E"]], dim=1)  # mapped along dim 1
    yields = f64([150.0, 140.0])
    name = "p:rates_and_residuals.normality.flow.yield_surface.sy"

    def stress(e: torch.Tensor, sy: torch.Tensor) -> torch.Tensor:
        return pure.outputs({**pure.values, "E": e, name: sy})["stress"]

    by_input = torch.func.vmap(stress, in_dims=(1, None))(strains, yields[0])
    by_both = torch.func.vmap(stress, in_dims=(1, 0))(strains, yields)
    for k in range(2):
        assert close(by_input[k], stress(strains[:, k], yields[0]), 1e-14)
        assert close(by_both[k], stress(strains[:, k], yields[k]), 1e-14)
    nested = torch.func.vmap(
        lambda e: torch.func.vmap(lambda sy: stress(e, sy))(yields), in_dims=1
    )(strains)
    assert nested.shape == (2, 2, 3, 6)
    assert close(nested[1, 0], stress(strains[:, 1], yields[0]), 1e-14)


def test_several_batch_dimensions() -> None:
    model, inputs = material("perzyna_voce")
    factors = f64([1.0, 1.1])
    wide = {n: v if n[0] == "t" else torch.stack([v, v]) for n, v in inputs.items()}
    wide["E"] = factors.reshape(2, 1, 1) * inputs["E"]  # times stay (3,): they broadcast
    values, jacobian = value_and_jacobian(model, wide)
    assert values["stress"].shape == (2, 3, 6)
    assert jacobian["stress"]["E"].shape == (2, 3, 6, 6)
    for k in range(2):
        alone, slope = value_and_jacobian(model, {**inputs, "E": factors[k] * inputs["E"]})
        assert close(values["stress"][k], alone["stress"], 1e-14)
        assert close(jacobian["stress"]["E"][k], slope["stress"]["E"], 1e-13)


def test_batched_parameters_and_their_gradients() -> None:
    model, inputs = material("perzyna_voce")
    name = "rates_and_residuals.isoharden.R"
    batch = f64([80.0, 90.0, 100.0]).requires_grad_()
    others = {n: p.detach() for n, p in model.named_parameters()}

    def stress(r: torch.Tensor, points: slice) -> torch.Tensor:
        some = {n: v[points] for n, v in inputs.items()}
        return torch.func.functional_call(model, {**others, name: r}, (), some)[0].data

    found = stress(batch, slice(None))
    (gradient,) = torch.autograd.grad(found.sum(), [batch])
    assert gradient.shape == (3,)
    for k in range(3):
        one = batch.detach()[k].clone().requires_grad_()
        alone = stress(one, slice(k, k + 1))
        assert close(found[k], alone[0], 1e-13)
        assert close(gradient[k], torch.autograd.grad(alone.sum(), [one])[0], 1e-11)


def test_no_points_at_all() -> None:
    for deck in ("perzyna_voce", "combined"):
        model, inputs = material(deck)
        values, jacobian = value_and_jacobian(model, {n: v[:0] for n, v in inputs.items()})
        assert values["stress"].shape == (0, 6)
        assert jacobian["stress"]["E"].shape == (0, 6, 6)


# -- cost -----------------------------------------------------------------------------------


def test_backward_costs_the_same_after_any_number_of_iterations() -> None:
    """Two evaluations of the residual, one for the Jacobian and one for the pull-back."""
    model, inputs = material("perzyna_voce")
    count = counted(update_of(model).equation_system)
    iterations = set()
    for step in (1e-6, 0.3, 1.0, 3.0):
        strain = inputs["E~1"] + step * (inputs["E"] - inputs["E~1"])
        before = count["residual"]
        with recorded_solves() as log:
            found = model.evaluate({**inputs, "E": strain.requires_grad_()})
        assert log.iterations is not None
        iterations.add(int(log.iterations.max()))
        assert count["residual"] - before == int(log.iterations.max()) + 1
        before = count["residual"]
        found["stress"].data.sum().backward()
        assert count["residual"] - before == 2
    assert max(iterations) - min(iterations) >= 2


def counted(system: NonlinearSystem) -> dict[str, int]:
    count = {"residual": 0}
    plain = system.residual

    def residual(*args: object) -> torch.Tensor:
        count["residual"] += 1
        return plain(*args)  # type: ignore[arg-type]

    system.residual = residual  # type: ignore[assignment,method-assign]
    return count


# -- points do not know each other ----------------------------------------------------------


@pytest.mark.parametrize("deck", sorted(set(MATERIALS) - {"temperature"}))
def test_a_point_does_not_depend_on_its_batch_mates(deck: str) -> None:
    """Elastic and plastic points, in any company and order, give the same digits."""
    model, inputs = material(deck)
    n = next(v.shape[0] for v in inputs.values() if v.ndim)
    scale = {"E", "E~1", "conditions"}
    factors = f64([1.0] * n + [0.9] * n + [1.02] * n)
    many = {k: torch.cat([v, v, v]) for k, v in inputs.items()}
    for k in scale & set(many):
        many[k] = factors[:, None] * many[k]
    together = {k: v.data.detach() for k, v in model.evaluate(many).items()}
    order = torch.randperm(3 * n)
    shuffled = model.evaluate({k: v[order] for k, v in many.items()})
    for k in range(3 * n):
        alone = model.evaluate({name: v[k : k + 1] for name, v in many.items()})
        for name, v in together.items():
            assert close(alone[name].data.detach()[0], v[k], 1e-14)
            assert close(shuffled[name].data.detach()[(order == k).nonzero()[0, 0]], v[k], 1e-14)


def test_iterations_are_counted_per_point_and_converged_points_are_left_alone() -> None:
    model, inputs = material("perzyna_voce")
    elastic = {k: torch.cat([v, v[:1]]) for k, v in inputs.items()}
    elastic["E"][3] = 0.0
    elastic["E~1"][3] = 0.0
    elastic["stress~1"][3] = 0.0
    system = update_of(model).equation_system
    sizes: list[int] = []
    plain = system.linearise

    def linearise(u: torch.Tensor, *rest: object) -> tuple[torch.Tensor, torch.Tensor]:
        sizes.append(len(u))
        return plain(u, *rest)  # type: ignore[arg-type]

    system.linearise = linearise  # type: ignore[method-assign,assignment]
    with recorded_solves() as log:
        model.evaluate(elastic)
    assert log.iterations is not None and log.status is not None
    assert not log.status.any()
    assert int(log.iterations[3]) == 0 and int(log.iterations[:3].min()) > 1
    # Each linearisation is for the points that still iterate, and for no other.
    assert sizes == [int((log.iterations >= k).sum()) for k in range(len(sizes))]


ABSURD = {"huge": 1e6, "not a number": float("nan"), "infinite": float("inf")}


@pytest.mark.parametrize("deck", ["perzyna_voce", "combined", "chaboche"])
@pytest.mark.parametrize("kind", sorted(ABSURD))
def test_a_failing_point_is_reported_and_disturbs_no_other(deck: str, kind: str) -> None:
    model, inputs = material(deck)
    good = {k: v.data.detach() for k, v in model.evaluate(inputs).items()}
    bad = {k: torch.cat([v, v[:1]]) for k, v in inputs.items()}
    last = len(bad["E"]) - 1
    bad["E"][last] = ABSURD[kind]
    solver = update_of(model).solver
    solver.max_its = 8  # for speed
    with recorded_solves() as log:
        found = model.evaluate(bad)
    assert log.status is not None and log.iterations is not None
    assert log.status[:last].tolist() == [Status.CONVERGED] * last
    if kind != "huge":
        assert int(log.status[last]) == Status.NOT_FINITE
    failed = int(log.status[last]) != Status.CONVERGED
    for k, v in good.items():
        assert close(found[k].data.detach()[:last], v, 1e-14)
        row = found[k].data[last]
        assert bool(torch.isnan(row).all()) if failed else bool(torch.isfinite(row).all())
    if failed:
        with pytest.raises(ConvergenceError, match=f"at 1 of {last + 1} points.*point {last}"):
            model.evaluate(bad)


def test_gradients_of_good_points_survive_a_failed_one() -> None:
    model, inputs = material("perzyna_voce")
    _, expected = value_and_jacobian(model, inputs, ["stress"], ["E"])
    bad = {k: torch.cat([v, v[:1]]) for k, v in inputs.items()}
    bad["E"][3] = float("nan")
    with recorded_solves():
        _, found = value_and_jacobian(model, bad, ["stress"], ["E"])
    assert close(found["stress"]["E"][:3], expected["stress"]["E"], 1e-14)


# -- solvers --------------------------------------------------------------------------------


class Cube(Model, abstract=True):
    """u^3 = p g."""

    u = Input(Scalar, "Unknown")
    g = Input(Scalar, "Given")
    u_residual = Output(Scalar, "Residual")
    p = Parameter(Scalar, "p", "Factor")

    def forward(self, u: Scalar, g: Scalar) -> Scalar:
        return u**3 - self.p * g


class Arctangent(Model, abstract=True):
    """atan(u - g): plain Newton diverges from |u - g| > 1.39."""

    u = Input(Scalar, "Unknown")
    g = Input(Scalar, "Given")
    u_residual = Output(Scalar, "Residual")

    def forward(self, u: Scalar, g: Scalar) -> Scalar:
        return Scalar(torch.atan((u - g).data))


class Offset(Model, abstract=True):
    """The initial guess u = 1."""

    g = Input(Scalar, "Given")
    u = Output(Scalar, "Guess")

    def forward(self, g: Scalar) -> Scalar:
        return 0.0 * g + 1.0


def cubic() -> ImplicitUpdate:
    system = NonlinearSystem(Cube(p=3.0, label="cube"), ["u"])
    return ImplicitUpdate(equation_system=system, solver=Newton(rel_tol=1e-14), predictor=Offset())


def test_a_system_of_one_unknown_with_a_predictor() -> None:
    model = cubic()
    assert list(model.input_spec) == ["g"] and list(model.output_spec) == ["u"]
    g = f64([1.0, 9.0, 72.0])
    assert close(model(g).data.detach(), (3.0 * g) ** (1.0 / 3.0), 1e-15)


def test_line_search_rescues_points_on_which_newton_diverges() -> None:
    system = NonlinearSystem(Arctangent(), ["u"])
    g = f64([0.5, 30.0, -30.0])
    u0, given = torch.zeros(3, 1).double(), {"g": g}

    def run(solver: Newton) -> tuple[torch.Tensor, list[int]]:
        found = solver._attempt(
            lambda u, k: system.linearise(u, {"g": given["g"][k]}, {}),
            lambda u, k: system.residual(u, {"g": given["g"][k]}, {}),
            u0,
            solver.line_search,
        )
        return found.u[:, 0], found.status.tolist()

    plain, status = run(Newton())
    assert status[0] == Status.CONVERGED and Status.CONVERGED not in status[1:]
    assert bool(torch.isnan(plain[1:]).all())
    searched, status = run(NewtonWithLineSearch())
    assert status == [Status.CONVERGED] * 3
    assert close(searched, g, 1e-12)
    # Newton falls back on the line search for the failed points by itself.
    for solver in (Newton(), NewtonWithLineSearch()):
        model = ImplicitUpdate(equation_system=system, solver=solver)
        assert close(model(g).data, g, 1e-12)


def test_convergence_error_outside_of_recorded_solves() -> None:
    class Nowhere(Cube, abstract=True):
        """u^2 = -p g has no solution for positive g."""

        def forward(self, u: Scalar, g: Scalar) -> Scalar:
            return u * u + self.p * g

    system = NonlinearSystem(Nowhere(p=1.0), ["u"])
    model = ImplicitUpdate(equation_system=system, solver=Newton(), label="search")
    g = f64([1.0, 2.0])
    with pytest.raises(ConvergenceError, match="'search' did not converge at 2 of 2 points"):
        model(g)
    with recorded_solves() as log:
        assert bool(torch.isnan(model(g).data).all())
    assert log.status is not None and Status.CONVERGED not in log.status.tolist()


def test_several_updates_combine_their_status() -> None:
    first = ImplicitUpdate(
        equation_system=NonlinearSystem(Cube(p=1.0), ["u"]),
        solver=Newton(),
        predictor=Offset(),
        label="first",
    )
    second = ImplicitUpdate(
        equation_system=NonlinearSystem(Arctangent(u="v", g="u"), ["v"], ["u_residual"]),
        solver=Newton(),
        label="second",
    )
    both = m.ComposedModel(models=[second, first], additional_outputs=["u"])
    with recorded_solves() as log:
        found = both.evaluate({"g": f64([8.0, float("nan")])})
    u, v = found["u"].data, found["v"].data
    assert log.labels == ["first", "second"] and log.status is not None
    assert log.status.tolist() == [Status.CONVERGED, Status.NOT_FINITE]
    assert close(u[0], f64(2.0), 1e-14) and close(v[0], f64(2.0), 1e-12)


def test_a_system_without_given_variables() -> None:
    """Its points are those of its parameters."""

    class Root(Model, abstract=True):
        u = Input(Scalar, "Unknown")
        u_residual = Output(Scalar, "Residual")
        p = Parameter(Scalar, "p", "Square")

        def forward(self, u: Scalar) -> Scalar:
            return u * u + u - self.p

    system = NonlinearSystem(Root(p=f64([2.0, 6.0])), ["u"])
    model = ImplicitUpdate(equation_system=system, solver=Newton())
    assert close(model().data.detach(), f64([1.0, 2.0]), 1e-14)


# -- refusals -------------------------------------------------------------------------------


def test_wrong_systems_end_with_one_clear_message() -> None:
    model = m.ComposedModel(
        models=[
            m.SR2BackwardEulerTimeIntegration(variable="s"),
            m.ScalarBackwardEulerTimeIntegration(variable="p"),
        ],
        label="both",
    )
    for unknowns, residuals, message in (
        (["q"], None, "unknown 'q' is no input of 'both'"),
        (["s"], ["s_residul"], "'s_residul' is no output of 'both'; did you mean 's_residual'"),
        (["s"], ["p_residual"], r"'both': 6 unknowns \(s\) but 1 residuals \(p_residual\)"),
        (["s", "p"], ["s_residual"], "7 unknowns"),
    ):
        with pytest.raises(ModelError, match=message):
            NonlinearSystem(model, unknowns, residuals)
    system = NonlinearSystem(model, ["s", "p"])
    for predictor in (
        m.ConstantExtrapolationPredictor(unknowns_SR2=["x"]),
        m.ConstantExtrapolationPredictor(unknowns_Scalar=["s"]),
    ):
        with pytest.raises(ModelError, match="the predictor computes"):
            ImplicitUpdate(equation_system=system, solver=Newton(), predictor=predictor)


def test_predictors_change_no_digit_of_the_result() -> None:
    model, inputs = material("perzyna_voce")
    expected = model.evaluate(inputs)["stress"].data.detach()
    update = update_of(model)
    for predictor in (
        None,
        m.LinearExtrapolationPredictor(
            unknowns_SR2=["stress"], unknowns_Scalar=["equivalent_plastic_strain"]
        ),
    ):
        other = ImplicitUpdate(
            equation_system=update.equation_system, solver=update.solver, predictor=predictor
        )
        more = {"stress~2": 0.9 * inputs["stress~1"], "t~2": 0.8 * inputs["t~1"]}
        more["equivalent_plastic_strain~2"] = 0.9 * inputs["equivalent_plastic_strain~1"]
        given = {n: {**inputs, **more}[n] for n in other.input_spec}
        assert close(other.evaluate(given)["stress"].data.detach(), expected, 1e-13)
