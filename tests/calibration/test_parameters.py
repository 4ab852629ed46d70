"""Scales and their inverses, names of tables, and mistakes in what is to be fitted."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from neml2fe.calibration.parameters import FitParameter, ParameterSet
from neml2fe.errors import InputError


def model() -> torch.nn.Module:
    """Parameters `hardening.R` = 50, table `E.values` (3,), matrix `C` (2, 2), frozen `nu`."""
    root = torch.nn.Module()
    root.hardening = torch.nn.Module()
    root.hardening.R = torch.nn.Parameter(torch.tensor(50.0, dtype=torch.float64))
    root.E = torch.nn.Module()
    root.E.values = torch.nn.Parameter(torch.tensor([200.0, 180.0, 150.0], dtype=torch.float64))
    root.C = torch.nn.Parameter(torch.ones(2, 2))
    root.nu = torch.nn.Parameter(torch.tensor(0.3), requires_grad=False)
    root.count = torch.nn.Parameter(torch.tensor(3), requires_grad=False)
    return root


def test_tables_contribute_every_entry() -> None:
    chosen = [
        FitParameter("E.values", 100, 300),
        FitParameter("hardening.R", 1, 100, "log"),
        FitParameter("C", 0, 2),
    ]
    fitted = ParameterSet.of(model(), chosen)
    assert fitted.names == [
        *(f"E.values[{i}]" for i in range(3)),
        "hardening.R",
        *(f"C[{i},{j}]" for i in (0, 1) for j in (0, 1)),
    ]
    torch.testing.assert_close(
        fitted.x0[:4], torch.tensor([0.5, 0.4, 0.25, math.log(50) / math.log(100)]).double()
    )
    tensors = fitted.as_parameters(fitted.x0)
    for name in ("E.values", "hardening.R", "C"):
        torch.testing.assert_close(tensors[name], model().get_parameter(name).detach())
    assert fitted.lower.tolist() == [100, 100, 100, 1, 0, 0, 0, 0]


def test_gradients_reach_x() -> None:
    fitted = ParameterSet.of(model(), [FitParameter("E.values", 100, 300)])
    x = fitted.x0.clone().requires_grad_()
    fitted.as_parameters(x)["E.values"].sum().backward()
    torch.testing.assert_close(x.grad, torch.full((3,), 200.0, dtype=torch.float64))


def test_initial_replaces_the_models_own_value() -> None:
    table = FitParameter("E.values", 100, 300, initial=torch.tensor([110.0, 120.0, 130.0]))
    one = FitParameter("hardening.R", 1, 100, initial=20.0)
    fitted = ParameterSet.of(model(), [table, one])
    torch.testing.assert_close(
        fitted.natural(fitted.x0), torch.tensor([110.0, 120.0, 130.0, 20.0]).double()
    )
    same = ParameterSet.of(model(), [FitParameter("E.values", 100, 300, initial=125.0)])
    assert same.natural(same.x0).tolist() == [125.0] * 3


bounds = st.tuples(st.floats(1e-3, 1e3), st.floats(1.5, 1e6), st.floats(0.05, 0.95))


@given(bounds, st.sampled_from(["linear", "log", "softplus"]), st.floats(0, 1))
def test_scales_invert_and_reach_both_bounds(
    given_bounds: tuple[float, float, float], scale: str, x: float
) -> None:
    lower, ratio, where = given_bounds
    upper = lower * ratio
    start = lower + where * (upper - lower)
    fitted = ParameterSet.of(
        model(), [FitParameter("hardening.R", lower, upper, scale, initial=start)]
    )
    ends = [float(fitted.natural(torch.tensor([end]).double())) for end in (0.0, 1.0)]
    assert ends == pytest.approx([lower, upper], rel=1e-10)
    point = torch.tensor([x]).double()
    torch.testing.assert_close(fitted.scaled(fitted.natural(point)), point, rtol=0, atol=1e-8)
    slope = float(fitted.slopes(point))
    h = 1e-6
    difference = float(fitted.natural(point + h) - fitted.natural(point - h)) / (2 * h)
    assert slope > 0
    if h < x < 1 - h:
        assert slope == pytest.approx(difference, rel=1e-5)


def test_softplus_without_an_upper_bound() -> None:
    open_above = FitParameter("hardening.R", 0.0, math.inf, "softplus")
    fitted = ParameterSet.of(model(), [open_above])
    assert float(fitted.natural(torch.ones(1).double())) == pytest.approx(100 * 50)
    assert float(fitted.natural(fitted.x0)) == pytest.approx(50)
    assert float(fitted.natural(torch.tensor([-0.5]).double())) == 0.0
    with pytest.raises(InputError, match="initial must be greater than lower = 0"):
        ParameterSet.of(
            model(), [FitParameter("hardening.R", 0, math.inf, "softplus", initial=0.0)]
        )


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: FitParameter("R", 2, 1), "bounds 2 to 1 are reversed"),
        (lambda: FitParameter("R", 1, 1), "reversed"),
        (lambda: FitParameter("R", 0, math.inf), "must be finite"),
        (lambda: FitParameter("R", math.nan, 1), "must be finite"),
        (lambda: FitParameter("R", 0, 1, "log"), "must be positive for scale log"),
        (lambda: FitParameter("R", 0, 1, "logg"), "did you mean 'log'"),
        (lambda: [FitParameter("hardening.r", 0, 100)], "did you mean 'hardening.R'"),
        (lambda: [FitParameter("viscosity", 0, 1)], "known: C, E.values"),
        (lambda: [FitParameter("hardening.R", 60, 100)], r"50 is outside of .* 60 to 100"),
        (lambda: [FitParameter("E.values", 160, 300)], r"'E.values\[2\]': .* 150 is outside"),
        (lambda: [FitParameter("hardening.R", 1, 9, initial=math.nan)], "nan is outside"),
        (lambda: [FitParameter("hardening.R", 0, 100)] * 2, "fitted twice"),
        (lambda: [FitParameter("nu", 0, 1)], "'nu' is frozen"),
        (lambda: [FitParameter("count", 0, 5)], "only reals are fitted"),
        (lambda: [FitParameter("E.values", 0, 9, initial=torch.ones(2))], r"shape \(2,\)"),
        (lambda: [], "at least one parameter"),
    ],
)
def test_mistakes(make: Callable[[], list[FitParameter]], message: str) -> None:
    with pytest.raises(InputError, match=message):
        ParameterSet.of(model(), make())
