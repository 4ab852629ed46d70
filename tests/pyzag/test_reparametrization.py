"""Scales are exact inverse pairs, and modules go on as before under them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import neml2fe
from neml2fe.errors import InputError, ModelError
from neml2fe.models import VoceIsotropicHardening
from neml2fe.pyzag.model import NEML2PyzagModel
from neml2fe.pyzag.nonlinear import RecursiveNonlinearEquationSolver, solve_adjoint
from neml2fe.pyzag.reparametrization import (
    LogRescale,
    Positive,
    RangeRescale,
    Reparameterizer,
    Scale,
    SoftplusRescale,
)

F64 = torch.float64
SCALES: dict[str, Callable[[], Scale]] = {
    "range": lambda: RangeRescale(-3.0, 250.0),
    "log": lambda: LogRescale(1e-6, 1e3),
    "softplus": lambda: SoftplusRescale(20.0, -5.0),
    "positive": lambda: Positive(),
}
each_scale = pytest.mark.parametrize("make", SCALES.values(), ids=SCALES)


def number(value: float | list[float]) -> torch.Tensor:
    return torch.tensor(value, dtype=F64)


class Line(torch.nn.Module):
    def __init__(self, a: float = 2.0, b: float = 5.0) -> None:
        super().__init__()
        self.a = torch.nn.Parameter(number(a))
        self.b = torch.nn.Parameter(number(b))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.a * x + self.b


# --- scales ---------------------------------------------------------------------------
@each_scale
@settings(deadline=None, max_examples=60)
@given(x=st.floats(0.0, 1.0))
def test_reverse_undoes_forward(make: Callable[[], Scale], x: float) -> None:
    scale = make()
    torch.testing.assert_close(scale.reverse(scale(number(x))), number(x), rtol=1e-12, atol=1e-13)


@settings(deadline=None, max_examples=60)
@given(x=st.floats(-30.0, 200.0))
def test_unbounded_scales_are_exact_far_away(x: float) -> None:
    for scale in (Positive(), SoftplusRescale(3.0)):
        torch.testing.assert_close(
            scale.reverse(scale(number(x))), number(x), rtol=1e-12, atol=1e-12
        )


@settings(deadline=None, max_examples=60)
@given(value=st.floats(1e-4, 900.0))
def test_forward_undoes_reverse(value: float) -> None:
    natural = number(value)
    for scale in (RangeRescale(0, 1e3), LogRescale(1e-5, 1e3), SoftplusRescale(), Positive()):
        torch.testing.assert_close(scale(scale.reverse(natural)), natural, rtol=1e-12, atol=1e-12)


@each_scale
def test_slope_is_the_derivative(make: Callable[[], Scale]) -> None:
    scale, x = make(), number([0.1, 0.5, 0.9]).requires_grad_()
    (slope,) = torch.autograd.grad(scale(x).sum(), x)
    torch.testing.assert_close(scale.slope(x.detach()), slope, rtol=1e-12, atol=0)
    assert torch.autograd.gradgradcheck(scale, x)


@each_scale
def test_deviations_follow_the_slope_both_ways(make: Callable[[], Scale]) -> None:
    scale, x, deviation = make(), number(0.4), number(0.01)
    natural = scale.forward_std_dev(deviation, at=x)
    torch.testing.assert_close(natural, scale.slope(x) * deviation)
    torch.testing.assert_close(scale.reverse_std_dev(natural, at=scale(x)), deviation)


def test_deviations_of_a_range_need_no_point_and_those_of_a_curve_do() -> None:
    assert RangeRescale(-1.0, 3.0).forward_std_dev(number(0.5)) == 2.0
    assert RangeRescale(-1.0, 3.0).reverse_std_dev(number(2.0)) == 0.5
    for scale in (LogRescale(1.0, 2.0), SoftplusRescale(), Positive()):
        with pytest.raises(InputError, match="give it as 'at'"):
            scale.forward_std_dev(number(0.5))


def test_values_of_known_scales() -> None:
    assert RangeRescale(10.0, 30.0)(number(0.25)) == 15.0
    torch.testing.assert_close(
        LogRescale(1e-4, 1e4)(number([0.0, 0.5, 1.0])), number([1e-4, 1, 1e4])
    )
    assert SoftplusRescale(2.0, 7.0)(number(0.0)) == 7.0 + 2.0 * torch.log(number(2.0))
    assert Positive().reverse(number(1.0)) == 0.0


def test_clamp_stops_values_and_gradients_beyond_the_bounds() -> None:
    for scale in (RangeRescale(1.0, 2.0), LogRescale(1.0, 2.0)):
        x = number([-0.5, 0.5, 1.5]).requires_grad_()
        values = scale(x)
        (slope,) = torch.autograd.grad(values.sum(), x)
        assert values[[0, 2]].tolist() == [1.0, 2.0]
        assert slope[0] == slope[2] == 0.0 and slope[1] > 0.5
        assert scale.reverse(number([0.5, 3.0])).tolist() == [0.0, 1.0]
    assert RangeRescale(1.0, 2.0, clamp=False)(number(1.5)) == 2.5


def test_bounds_may_be_tensors_and_follow_dtype() -> None:
    scale = RangeRescale(number([0.0, 10.0]), number([1.0, 30.0]))
    assert scale(number([0.5, 0.5])).tolist() == [0.5, 20.0]
    for other in (scale, LogRescale(1.0, 2.0), SoftplusRescale(), Positive()):
        x = torch.tensor([0.5, 0.5])
        assert other(x).dtype == other.reverse(other(x)).dtype == torch.float32
    assert scale(torch.full((4, 2), 0.5, dtype=F64)).shape == (4, 2)  # one row per specimen


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: RangeRescale(2.0, 2.0), "lower bound must be below"),
        (lambda: RangeRescale(number([0.0, 3.0]), 2.0), "lower bound must be below"),
        (lambda: RangeRescale(0.0, float("nan")), "ub must be finite, got nan"),
        (lambda: RangeRescale(float("-inf"), 1.0), "lb must be finite"),
        (lambda: LogRescale(0.0, 1.0), "must be positive"),
        (lambda: SoftplusRescale(0.0), "must be positive"),
    ],
)
def test_impossible_scales(make: Callable[[], Scale], says: str) -> None:
    with pytest.raises(InputError, match=says):
        make()


# --- modules --------------------------------------------------------------------------
@each_scale
def test_a_module_keeps_its_values_and_trains_the_scaled_ones(make: Callable[[], Scale]) -> None:
    line, scale, x = Line(), make(), number([0.0, 1.0, 2.0])
    before = line(x).detach()
    Reparameterizer({"a": scale})(line)
    torch.testing.assert_close(line(x), before, rtol=1e-13, atol=1e-13)
    trained = dict(line.named_parameters())
    assert set(trained) == {"b", "parametrizations.a.original"}
    scaled = trained["parametrizations.a.original"]
    torch.testing.assert_close(scaled.detach(), scale.reverse(number(2.0)))
    line(x).sum().backward()
    assert scaled.grad is not None
    torch.testing.assert_close(scaled.grad, 3.0 * scale.slope(scaled.detach()))


def test_names_reach_into_submodules_and_pyzags_name_of_the_root_works() -> None:
    tree = torch.nn.ModuleDict({"inner": Line()})
    Reparameterizer({"inner.a": RangeRescale(0.0, 4.0)})(tree)
    assert tree.get_parameter("inner.parametrizations.a.original") == 0.5
    line = Line()
    Reparameterizer({".a": RangeRescale(0.0, 4.0)})(line)
    assert line.get_parameter("parametrizations.a.original") == 0.5


def test_a_natural_value_can_be_assigned_within_the_bounds() -> None:
    line = Line()
    Reparameterizer({"a": RangeRescale(0.0, 4.0)})(line)
    line.a = number(3.0)
    assert line.get_parameter("parametrizations.a.original") == 0.75
    with pytest.raises(InputError, match=r"= 9 is outside of RangeRescale\(0, 4\)"):
        line.a = number(9.0)


def test_a_shared_parameter_stays_shared() -> None:
    first, second = Line(), Line()
    second.a = first.a
    both = torch.nn.ModuleList([first, second])
    Reparameterizer({"1.a": RangeRescale(0.0, 4.0)})(both)
    assert first.a == second.a == 2.0
    assert sum(name.endswith("a.original") for name, _ in both.named_parameters()) == 1
    (first.a + 2.0 * second.a).backward()
    assert both.get_parameter("0.parametrizations.a.original").grad == 3.0 * 4.0
    other = torch.nn.ModuleList([Line(), Line()])
    other[1].a = other[0].a
    with pytest.raises(InputError, match="one parameter but have two scales"):
        Reparameterizer({"0.a": Positive(), "1.a": RangeRescale(0.0, 4.0)})(other)


def test_who_else_has_the_parameter_keeps_its_natural_value() -> None:
    line, other = Line(), Line()
    other.a = line.a
    line.a.grad = number(7.0)
    Reparameterizer({"a": RangeRescale(0.0, 4.0)})(line)
    assert line.a == other.a == 2.0
    assert line.get_parameter("parametrizations.a.original").grad is None  # 7 was of natural units


def test_a_frozen_parameter_stays_frozen() -> None:
    line = Line()
    line.a.requires_grad_(False)
    Reparameterizer({"a": Positive()})(line)
    assert not line.get_parameter("parametrizations.a.original").requires_grad


@pytest.mark.parametrize(
    ("scales", "says"),
    [
        ({"aa": Positive()}, "there is no parameter 'aa'; did you mean 'a'?"),
        ({"b": RangeRescale(0.0, 4.0)}, r"b = 5 is outside of RangeRescale\(0, 4\)"),
        ({"b": LogRescale(10.0, 20.0)}, r"b = 5 is outside of LogRescale\(10, 20\)"),
        ({"b": SoftplusRescale(1.0, 5.0)}, r"outside of SoftplusRescale\(scale=1, lower=5\)"),
        ({"b": RangeRescale(number([0.0, 0.0]), 9.0)}, r"b has the shape \(\), which"),
        ({"a": 3.0}, "'a' needs a scale such as RangeRescale, got 3.0"),
    ],
)
def test_what_does_not_fit_is_an_error_and_changes_nothing(
    scales: dict[str, Scale], says: str
) -> None:
    line = Line()
    with pytest.raises(InputError, match=says):
        Reparameterizer({"a": Positive(), **scales})(line)
    assert {n: p.item() for n, p in line.named_parameters()} == {"a": 2.0, "b": 5.0}


def test_more_errors() -> None:
    with pytest.raises(InputError, match="'b' has no scale"):
        Reparameterizer({"a": Positive()}, error_not_provided=True)(Line())
    for clamp in (True, False):
        with pytest.raises(InputError, match="a = nan is outside"):
            Reparameterizer({"a": RangeRescale(0.0, 1.0, clamp)})(Line(float("nan")))
    line = Line()
    Reparameterizer({"a": Positive()})(line)
    with pytest.raises(InputError, match="'a' has a scale already"):
        Reparameterizer({"a": Positive()})(line)


def test_without_clamp_values_may_lie_beyond_the_bounds() -> None:
    line = Line()
    Reparameterizer({"b": RangeRescale(0.0, 4.0, clamp=False)})(line)
    assert line.get_parameter("parametrizations.b.original") == 1.25 and line.b == 5.0


def test_a_typed_model_is_refused_with_the_way_to_go() -> None:
    model = VoceIsotropicHardening(saturated_hardening=110.0, saturation_rate=18.0)
    with pytest.raises(ModelError, match=r"'R' out as a Scalar.*NEML2PyzagModel"):
        Reparameterizer({"R": RangeRescale(0.0, 200.0)})(model)
    assert model.R.data == 110.0


@pytest.mark.parametrize("backend", ["chunk", "march"])
def test_a_recursion_of_a_deck_is_trained_in_scaled_values(backend: str) -> None:
    """Same trajectory, and the gradients by the chain rule."""
    deck = Path(__file__).parents[2] / "examples" / "steel.i"
    model = NEML2PyzagModel(
        neml2fe.load_nonlinear_system(deck, "system"),
        include_parameters=["yield_sy", "isotropic_hardening_R"],
    )
    solver = RecursiveNonlinearEquationSolver(model, backend=backend)
    t = torch.linspace(0, 10, 6, dtype=F64)[:, None].expand(6, 2)
    strain = 1e-3 * t[..., None] * number([2.0, -0.7, -0.7, 0, 0, 0])
    forces = model.assemble_forces({"strain": strain, "t": t})

    def stress() -> torch.Tensor:
        return solve_adjoint(solver, forces.new_zeros(2, model.nstate), 6, forces)[..., 0]

    before = stress()
    natural = torch.autograd.grad(before.sum(), [model.yield_sy, model.isotropic_hardening_R])
    scales = {
        "yield_sy": RangeRescale(100.0, 400.0),
        "isotropic_hardening_R": LogRescale(10.0, 1e3),
    }
    Reparameterizer(scales)(model)
    after = stress()
    torch.testing.assert_close(after, before, rtol=1e-12, atol=1e-10)
    after.sum().backward()
    for (name, scale), gradient in zip(scales.items(), natural, strict=True):
        scaled = model.get_parameter(f"parametrizations.{name}.original")
        assert scaled.grad is not None
        torch.testing.assert_close(
            scaled.grad, gradient * scale.slope(scaled.detach()), rtol=1e-9, atol=0
        )
