"""The common building blocks against closed forms."""

from __future__ import annotations

import math
from itertools import product

import mpmath  # comes with torch
import numpy as np
import pytest
import torch
from ladder import close, f64, randn, rotation

import neml2fe.models as m
from neml2fe.errors import ModelError
from neml2fe.models import value_and_jacobian
from neml2fe.models.functional import batch_shape
from neml2fe.types import MRP, R2, SR2, WR2, Scalar

KNOTS = f64([300.0, 500.0, 700.0, 1000.0])
VALUES = f64([200.0, 190.0, 165.0, 120.0])


def table(**fields: object) -> m.Model:
    given = {"argument": "T", "output": "E", "abscissa": KNOTS, "ordinate": VALUES, **fields}
    return m.ScalarLinearInterpolation(**given)


# -- tables ---------------------------------------------------------------------------------


def test_a_table_interpolates_between_its_knots() -> None:
    x = torch.linspace(300.0, 1000.0, 141, dtype=torch.float64)
    expected = np.interp(x.numpy(), KNOTS.numpy(), VALUES.numpy())
    assert close(table()(x).data, torch.from_numpy(expected), 1e-14)


def test_a_table_goes_on_with_its_last_slopes() -> None:
    found = table()(f64([100.0, 1400.0])).data
    assert close(found, f64([200.0 + 200.0 * 0.05, 120.0 - 400.0 * 0.15]), 1e-14)


@pytest.mark.parametrize(
    ("x", "slope"),
    [(300.0, -0.05), (499.0, -0.05), (500.0, -0.125), (700.0, -0.15), (1000.0, -0.15)],
)
def test_the_slope_at_a_knot_is_that_to_the_right(x: float, slope: float) -> None:
    _, jacobian = value_and_jacobian(table(), {"T": Scalar(f64(x))})
    assert close(jacobian["E"]["T"], f64(slope))


def test_gradients_by_the_values_and_knots_of_a_table() -> None:
    """At T between knots i and i+1, xi of the way: dy/dy_i = 1 - xi and dy/dx_i by hand."""
    model = table()
    xi, slope = 0.25, -45.0 / 300.0
    model(f64(775.0)).data.backward()
    assert close(model.ordinate.data.grad, f64([0.0, 0.0, 1.0 - xi, xi]))
    assert close(model.abscissa.data.grad, f64([0.0, 0.0, -(1.0 - xi) * slope, -xi * slope]))


def test_tables_may_vary_by_point_in_values_and_knots() -> None:
    factors = f64([1.0, 0.5, 2.0])[:, None]
    model = table(abscissa=KNOTS + 100.0 * (factors - 1.0), ordinate=factors * VALUES)
    x = f64([450.0, 980.0, 20.0])
    together = model(x).data
    for k in range(3):
        one = table(abscissa=model.abscissa.data[k].detach(), ordinate=factors[k] * VALUES)
        assert close(together[k], one(x[k]).data)
    assert model(f64(450.0)).data.shape == (3,)
    assert model(x[:, None]).data.shape == (3, 3)


def test_the_axis_of_a_table_is_no_axis_of_points() -> None:
    model = table()
    assert batch_shape(model, [Scalar(f64(1.0))]) == ()
    assert model(f64(450.0)).batch_shape == ()
    assert batch_shape(table(ordinate=VALUES.expand(5, 4)), [Scalar(f64(1.0))]) == (5,)


def test_arguments_with_a_sub_batch_keep_it() -> None:
    x = Scalar(f64([[450.0, 980.0, 20.0], [310.0, 700.0, 500.0]]), 1)
    found = table()(x)
    assert found.sub_batch_shape == (3,) and found.batch_shape == (2,)
    assert close(found.data, table()(x.data).data)
    by_point = table(ordinate=torch.stack([VALUES, 2.0 * VALUES]))(x)
    assert by_point.sub_batch_shape == (3,)
    assert close(by_point.data, found.data * f64([[1.0], [2.0]]))


@pytest.mark.parametrize("kind", ["Scalar", "Vec", "SR2"])
def test_a_bilinear_table_reproduces_bilinear_functions(kind: str) -> None:
    """Everywhere, also beyond its ends; with values and slopes."""
    size = {"Scalar": (), "Vec": (3,), "SR2": (6,)}[kind]
    a, b, c, d = (randn(*size) for _ in range(4))

    def exact(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        x, y = (v.reshape(v.shape + (1,) * len(size)) for v in (x, y))
        return a + b * x + c * y + d * x * y

    rows, columns = f64([-1.0, 0.5, 2.0]), f64([0.0, 1.0, 1.5, 4.0])
    model = getattr(m, f"{kind}BilinearInterpolation")(
        argument1="x",
        argument2="y",
        output="z",
        abscissa1=rows,
        abscissa2=columns,
        ordinate=exact(rows[:, None], columns[None, :]),
    )
    x, y = 3.0 * randn(20), 4.0 * randn(20)
    values, jacobian = value_and_jacobian(model, {"x": x, "y": y})
    assert close(values["z"], exact(x, y), 1e-13)
    assert close(jacobian["z"]["x"], exact(0 * x + 1, y) - exact(0 * x, y), 1e-12)
    assert close(jacobian["z"]["y"], exact(x, 0 * y + 1) - exact(x, 0 * y), 1e-12)
    grains = model(Scalar(x.reshape(4, 5), 1), Scalar(y.reshape(4, 5), 1))
    assert grains.sub_batch_shape == (5,)
    assert close(grains.data, values["z"].reshape(4, 5, *size))


def test_tables_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ModelError, match="increasing"):
        table(abscissa=KNOTS.flip(0))
    with pytest.raises(ModelError, match="two or more"):
        table(abscissa=f64([1.0]), ordinate=f64([1.0]))
    with pytest.raises(ModelError, match=r"\(3,\).*\(4,\)"):
        table(ordinate=VALUES[:3])
    with pytest.raises(ModelError, match=r"\(4, 2\).*\(2, 4\)"):
        m.ScalarBilinearInterpolation(
            argument1="x",
            argument2="y",
            abscissa1=KNOTS[:2],
            abscissa2=KNOTS,
            ordinate=randn(4, 2),
        )


# -- parameters and copies ------------------------------------------------------------------


def test_a_constant_is_shared_and_learns() -> None:
    limit = m.ScalarConstantParameter(value=50.0, label="limit")
    assert list(limit.output_spec) == ["limit"] and not limit.input_spec
    first, second = (m.YieldFunction(yield_stress=limit) for _ in range(2))
    (first(f64(80.0)).data + second(f64(10.0)).data).backward()
    assert close(limit.value.data.grad, f64(-2.0 * math.sqrt(2.0 / 3.0)))
    assert close(first(f64(80.0)).data, f64(30.0 * math.sqrt(2.0 / 3.0)))


def test_constants_of_every_type_give_their_value() -> None:
    turn = f64([0.1, 0.2, 0.3])
    for model in (
        m.MRPConstantParameter(value=turn, parameter="q"),
        m.MRPParameterToVariable(from_=turn, to="q"),
    ):
        found = model()
        assert type(found) is MRP and torch.equal(found.data, turn)
    assert m.SSR4ConstantParameter(value=randn(2, 6, 6))().batch_shape == (2,)


def test_arrhenius() -> None:
    model = m.ArrheniusParameter(
        reference_value=3.0, activation_energy=2e4, ideal_gas_constant=8.314
    )
    T = f64([300.0, 1200.0])
    assert close(model(T).data, 3.0 * torch.exp(-2e4 / (8.314 * T)), 1e-15)
    assert list(model.output_spec) == ["ArrheniusParameter"]


def test_forward_euler_from_another_variable() -> None:
    model = m.SR2ForwardEulerTimeIntegration(variable="trial", rate="D", old_variable="e~1")
    assert set(model.input_spec) == {"D", "e~1", "t", "t~1"}
    values = {"D": randn(6), "e~1": randn(6), "t": f64(3.0), "t~1": f64(1.0)}
    expected = values["e~1"] + 2.0 * values["D"]
    assert close(model.evaluate(values)["trial"].data, expected)


# -- scalar functions -----------------------------------------------------------------------


def test_products_and_quotients() -> None:
    a, b, c = randn(3, 4)
    names = {"from_": ["a", "b", "c"], "to": "y", "scaling": 1.5}
    mixed = m.ScalarMultiplication(**names, reciprocal=[True, False, True])
    assert close(mixed(a, b, c).data, 1.5 * b / (a * c))
    assert close(m.ScalarMultiplication(**names)(a, b, c).data, 1.5 * a * b * c)
    below = m.ScalarMultiplication(**names, reciprocal=[True])
    assert close(below(a, b, c).data, 1.5 / (a * b * c))
    with pytest.raises(ModelError, match="3 factors need 1 or 3"):
        m.ScalarMultiplication(**names, reciprocal=[True, False])


@pytest.mark.parametrize("p", [1.0, 1.5, 2.0, 7.0])
def test_weighted_p_norm_and_its_gradient(p: float) -> None:
    model = m.ScalarPNorm(from_=["a", "b"], to="y", exponent=p, weights=[0.5, 2.0])
    a, b = f64([3.0, -1.0]), f64([-4.0, 0.2])
    expected = (0.5 * a.abs() ** p + 2.0 * b.abs() ** p) ** (1.0 / p)
    values, jacobian = value_and_jacobian(model, {"a": a, "b": b})
    assert close(values["y"], expected, 1e-14)
    slope = 2.0 * b.sign() * b.abs() ** (p - 1.0) * expected ** (1.0 - p)
    assert close(jacobian["y"]["b"], slope, 1e-13)


def test_a_ratchet_over_a_history() -> None:
    model = m.IrreversibleScalar(from_="x", to="y")
    largest, found = f64(0.0), []
    for x in (0.2, 0.5, 0.1, -1.0, 0.5, 0.9, 0.0):
        largest = model.evaluate({"x": f64(x), "y~1": largest})["y"].data
        found.append(float(largest))
    assert found == [0.2, 0.5, 0.5, 0.5, 0.5, 0.9, 0.9]


def test_split_into_positive_and_negative_part() -> None:
    model = m.MacaulaySplit(from_="x", to_positive="p", to_negative="n")
    values, jacobian = value_and_jacobian(model, {"x": f64([-2.0, 3.0])})
    assert torch.equal(values["p"], f64([0.0, 3.0])) and torch.equal(values["n"], f64([-2.0, 0.0]))
    assert torch.equal(jacobian["p"]["x"], f64([0.0, 1.0]))
    assert torch.equal(jacobian["n"]["x"], f64([1.0, 0.0]))


def test_smooth_step_and_bump() -> None:
    """The step has zero slope at and beyond its ends; the bump has unit area."""
    step = m.HermiteSmoothStep(lower_bound=1.0, upper_bound=3.0, value="y")
    x = f64([0.0, 1.0, 1.5, 2.0, 3.0, 5.0])
    values, jacobian = value_and_jacobian(step, {"argument": x})
    assert close(values["y"], f64([0.0, 0.0, 0.15625, 0.5, 1.0, 1.0]))
    assert close(jacobian["y"]["argument"], f64([0.0, 0.0, 0.5625, 0.75, 0.0, 0.0]))
    fall = m.HermiteSmoothStep(lower_bound=1.0, upper_bound=3.0, complement=True)
    assert close(fall(x).data, 1.0 - values["y"])
    bump = m.SymmetricHermiteInterpolation(lower_bound=1.0, upper_bound=3.0)
    x = torch.linspace(0.5, 3.5, 3001, dtype=torch.float64)
    y = bump(x).data.detach()
    assert close(torch.trapezoid(y, x), f64(1.0), 1e-6)
    assert close(y, y.flip(0), 1e-12) and float(y.max()) == 1.0
    assert not y[x <= 1.0].any() and not y[x >= 3.0].any()


@pytest.mark.parametrize("a", ["LE", "GE"])
@pytest.mark.parametrize("b", ["LE", "GE"])
def test_minimum_map_vanishes_exactly_on_the_solutions(a: str, b: str) -> None:
    model = m.MinMapComplementarity(a="f", a_inequality=a, b="g", b_inequality=b)
    f, g = (-1.0 if s == "LE" else 1.0 for s in (a, b))
    for x, y in ((0.0, 0.0), (2.0, 0.0), (0.0, 3.0)):
        assert float(model(f64(x * f), f64(y * g)).data) == 0.0
    for x, y in ((-2.0, 0.0), (0.0, -3.0), (1.0, 2.0), (-1.0, 2.0), (-1.0, -1.0)):
        assert float(model(f64(x * f), f64(y * g)).data) == min(x, y)


# -- conversions ----------------------------------------------------------------------------


@pytest.mark.parametrize("flags", list(product([False, True], repeat=4)))
def test_every_product_of_two_tensors(flags: tuple[bool, ...]) -> None:
    names = ("invert_A", "invert_B", "transpose_A", "transpose_B")
    model = m.R2Multiplication(A="A", B="B", to="C", **dict(zip(names, flags, strict=True)))
    a, b = (torch.eye(3).double() + 0.3 * randn(5, 3, 3) for _ in range(2))
    x, y = torch.linalg.inv(a) if flags[0] else a, torch.linalg.inv(b) if flags[1] else b
    x, y = x.mT if flags[2] else x, y.mT if flags[3] else y
    assert close(model(a, b).data, x @ y, 1e-13)


def test_parts_of_a_tensor_add_up() -> None:
    a = R2(randn(4, 3, 3))
    symmetric, skew = m.R2ToSR2(input="a", output="s")(a), m.R2ToWR2(input="a", output="w")(a)
    assert type(symmetric) is SR2 and type(skew) is WR2
    full = m.SR2ToR2(input="s", output="a")(symmetric)
    assert close((full + skew.to_r2()).data, a.data)
    spherical = m.ScalarToDiagonalSR2(input="p", output="s")(f64([2.0, -3.0]))
    assert close(spherical.to_r2().data, f64([2.0, -3.0])[:, None, None] * torch.eye(3).double())
    volume = m.R2Determinant(input="a", determinant="J")(a)
    assert close(volume.data, torch.linalg.det(a.data))
    part = m.SR2Determinant(input="s", determinant="J")(symmetric)
    assert close(part.data, torch.linalg.det(full.data), 1e-12)


def test_components_of_a_vector() -> None:
    v = randn(4, 3)
    model = m.VecComponents(from_="v", to=["a", "b", "c"])
    assert torch.equal(torch.stack([c.data for c in model(v)], dim=-1), v)
    with pytest.raises(ModelError, match="three components"):
        m.VecComponents(from_="v", to=["a", "b"])


# -- orientations ---------------------------------------------------------------------------


def turned(w: torch.Tensor, old: MRP, exponential: str) -> MRP:
    model = m.WR2ExplicitExponentialTimeIntegration(variable="s", exponential=exponential)
    times = {"t": f64(3.0), "t~1": f64(1.0)}
    found: MRP = model.evaluate({"s_rate": 0.5 * w, "s~1": old, **times})["s"]
    return found


def test_exact_exponential_is_the_exponential_of_the_spin() -> None:
    w, old = 1.5 * randn(20, 3), rotation(20)
    expected = torch.linalg.matrix_exp(WR2(w).to_r2().data) @ old.to_r2().data
    assert close(turned(w, old, "exact").to_r2().data, expected, 1e-13)


def test_neml2_exponential_is_the_map_of_neml2() -> None:
    w = f64([[0.3, -0.2, 0.6], [1.0, 0.5, -0.4], [1e-3, 0.0, 2e-3], [0.07, -0.12, 0.01]])
    square = (w * w).sum(-1, keepdim=True)
    expected = w * torch.tan(square / 2.0) / (2.0 * square * torch.cos(square / 2.0))
    assert close(turned(w, MRP.identity(dtype=torch.float64), "NEML2").data, expected, 1e-14)


def test_the_two_exponentials_differ_by_a_cube() -> None:
    axis = f64([2.0, -1.0, 2.0]) / 3.0
    none = MRP.identity(dtype=torch.float64)
    for angle in (0.005, 0.01, 0.02):
        exact, other = (turned(angle * axis, none, kind).data for kind in ("exact", "NEML2"))
        assert close(exact - other, angle**3 / 192.0 * axis, 1e-2)


@pytest.mark.parametrize("kind", ["exact", "NEML2"])
def test_the_implicit_residual_vanishes_at_the_explicit_update(kind: str) -> None:
    w, old = 0.4 * randn(6, 3), rotation(6)
    new = turned(w, old, kind)
    residual = m.WR2ImplicitExponentialTimeIntegration(variable="s", exponential=kind)
    given = {"s": new, "s_rate": 0.5 * w, "s~1": old, "t": f64(3.0), "t~1": f64(1.0)}
    assert float(residual.evaluate(given)["s_residual"].data.abs().max()) < 1e-15


def test_an_orientation_passes_half_a_turn_without_a_jump() -> None:
    """Twenty turns of 15 degrees about one axis are one of 300: tan(300/4 deg) n."""
    axis = f64([0.6, 0.0, 0.8])
    s = MRP.identity(dtype=torch.float64)
    for _ in range(20):
        s = turned(math.radians(15.0) * axis, s, "exact")
    assert close(s.data, math.tan(math.radians(75.0)) * axis, 1e-12)


@pytest.mark.parametrize("kind", ["exact", "NEML2"])
def test_a_turned_observer_sees_the_same_update(kind: str) -> None:
    w, old, seen = 0.5 * randn(5, 3), rotation(5), rotation(5)
    matrix = seen.to_r2()
    moved = turned((matrix.data @ w.unsqueeze(-1)).squeeze(-1), seen @ old, kind)
    assert close(moved.to_r2().data, (matrix @ turned(w, old, kind).to_r2()).data, 1e-13)


@pytest.mark.parametrize("kind", ["exact", "NEML2"])
@pytest.mark.parametrize("angle", [1e-4, 0.14, 0.1415, 0.21, 1.2])
def test_second_derivatives_of_the_exponential(kind: str, angle: float) -> None:
    """Against forty digits, also where the series near zero hands over to the closed form."""
    start, way, weights = angle * f64([0.6, -0.48, 0.64]), angle * randn(3), randn(3)
    none = MRP.identity(dtype=torch.float64)

    def along(h: torch.Tensor) -> torch.Tensor:
        return (turned(start + h * way, none, kind).data * weights).sum()

    def exactly(h: mpmath.mpf) -> mpmath.mpf:
        pairs = zip(start.tolist(), way.tolist(), strict=True)
        w = [mpmath.mpf(a) + h * mpmath.mpf(b) for a, b in pairs]
        size = mpmath.sqrt(sum(a * a for a in w))
        scale = mpmath.tan(size / 4) / size
        if kind == "NEML2":
            scale = mpmath.tan(size**2 / 2) / (2 * size**2 * mpmath.cos(size**2 / 2))
        return sum(scale * a * mpmath.mpf(b) for a, b in zip(w, weights.tolist(), strict=True))

    with mpmath.workdps(40):
        expected = f64(float(mpmath.diff(exactly, 0, 2)))
    found = torch.func.grad(torch.func.grad(along))(f64(0.0))
    assert float(abs(found - expected)) <= 1e-9 * float(abs(expected)) + 1e-16 * angle**2


# -- predictors -----------------------------------------------------------------------------


def test_cold_starts_act_on_first_steps_only() -> None:
    fields = {"unknowns_Scalar": ["p"], "unknowns_SR2": ["s"], "cold": ["p:seed"], "time": "time"}
    values = {"p~1": f64(2.0), "s~1": randn(6), "seed": f64(9.0)}
    times = {"time": f64([1.0, 3.0]), "time~1": f64([0.0, 2.0]), "time~2": f64([0.0, 1.5])}
    constant = m.ConstantExtrapolationPredictor(**fields)
    found = constant.evaluate({**values, **times})
    assert torch.equal(found["p"].data, f64([9.0, 2.0]))
    assert torch.equal(found["s"].data, values["s~1"])
    older = {"p~2": f64(1.5), "s~2": randn(6)}
    linear = m.LinearExtrapolationPredictor(**fields)
    found = linear.evaluate({**values, **times, **older})
    assert torch.equal(found["p"].data, f64([9.0, 2.0 + 2.0 * 0.5]))
    assert torch.equal(found["s"].data[0], values["s~1"])
    assert close(found["s"].data[1], 3.0 * values["s~1"] - 2.0 * older["s~2"])
    assert set(m.ConstantExtrapolationPredictor(unknowns_MRP=["q"]).input_spec) == {"q~1"}


@pytest.mark.parametrize(
    ("cold", "message"),
    [
        (["p"], "no pair"),
        (["p:"], "no pair"),
        (["q:seed"], "none of the unknowns"),
        (["p:a", "p:b"], "twice"),
    ],
)
def test_cold_starts_that_make_no_sense_are_refused(cold: list[str], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        m.ConstantExtrapolationPredictor(unknowns_Scalar=["p"], cold=cold)
