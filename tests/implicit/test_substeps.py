"""Points that fail are marched in parts of the step; the others are left alone."""

from __future__ import annotations

import pytest
import torch
from ladder import assert_v, close, f64

from neml2fe.errors import ConvergenceError, ModelError
from neml2fe.implicit import ImplicitUpdate, Newton, NonlinearSystem, recorded_solves
from neml2fe.models import Input, Model, Old, Output, Parameter
from neml2fe.types import Scalar, atan


class Relaxation(Model, abstract=True):
    r"""$r = \arctan(p (u - g)) + \tau (u - u_n)$: Newton diverges when g jumps."""

    u = Input(Scalar)
    u_old = Old("u")
    g = Input(Scalar)
    g_old = Old("g")
    r = Output(Scalar)
    p = Parameter(Scalar, "p")
    tau = Parameter(Scalar, "tau")

    def forward(self, u: Scalar, u_old: Scalar, g: Scalar, g_old: Scalar) -> Scalar:
        return atan(self.p * (u - g)) + self.tau * (u - u_old)


class Impatient(Newton):
    """Newton without a second attempt."""

    def solve(self, linearised, residual, u0, layout=None):  # type: ignore[no-untyped-def]
        return self._attempt(linearised, residual, u0, False, layout)


def model(level: int, p: float = 2.0) -> ImplicitUpdate:
    system = NonlinearSystem(Relaxation(p=p, tau=0.02), ["u"], ["r"])
    return ImplicitUpdate(
        equation_system=system, solver=Impatient(max_its=6), max_substepping_level=level
    )


INPUTS = {"u~1": f64([0.0, 0.0, 0.1]), "g": f64([0.3, 3.0, -5.0]), "g~1": f64([0.0, 0.0, 0.1])}


def marched(u: torch.Tensor, start: float, end: float, parts: int) -> torch.Tensor:
    """The same step in equal parts, one after the other."""
    for k in range(parts):
        old, new = (start + (end - start) * (k + i) / parts for i in (0, 1))
        u = model(0).evaluate({"u~1": u, "g": f64(new), "g~1": f64(old)})["u"].data.detach()
    return u


def test_only_failing_points_take_parts_of_the_step() -> None:
    with pytest.raises(ConvergenceError):
        model(0).evaluate(INPUTS)
    with recorded_solves() as log:
        u = model(6).evaluate(INPUTS)["u"].data.detach()
    assert log.status is not None and not log.status.any()
    assert close(u[:1], model(0).evaluate({n: v[:1] for n, v in INPUTS.items()})["u"].data.detach())
    for k in (1, 2):
        start, end = float(INPUTS["g~1"][k]), float(INPUTS["g"][k])
        fine = marched(INPUTS["u~1"][k], start, end, 64)
        with pytest.raises(ConvergenceError):
            marched(INPUTS["u~1"][k], start, end, 1)
        assert close(u[k], fine, 0.05)


def test_the_derivative_is_that_of_the_chain_of_parts() -> None:
    inputs = {"u~1": f64(0.0), "g": f64(3.0), "g~1": f64(0.0)}
    update = model(6)

    def u_of(p: torch.Tensor) -> torch.Tensor:
        found = torch.func.functional_call(update, {"Relaxation.p": p}, (), inputs)
        return found.data

    p = f64(2.0).requires_grad_()
    (slope,) = torch.autograd.grad(u_of(p), p)
    assert_v(lambda h: u_of(f64(2.0 + h)), slope)


def test_gradients_of_a_batch_are_those_of_its_points_alone() -> None:
    together, alone = model(6), model(6)
    together.evaluate(INPUTS)["u"].data.sum().backward()
    for k in range(3):
        alone.evaluate({n: v[k] for n, v in INPUTS.items()})["u"].data.backward()
    for a, b in zip(together.parameters(), alone.parameters(), strict=True):
        assert a.grad is not None and b.grad is not None and close(a.grad, b.grad, 1e-12)


def test_wrong_options_end_with_one_clear_message() -> None:
    system = NonlinearSystem(Relaxation(p=1.0, tau=1.0), ["u"], ["r"])
    with pytest.raises(ModelError, match="max_substepping_level must be at least 0"):
        ImplicitUpdate(equation_system=system, solver=Newton(), max_substepping_level=-1)
    with pytest.raises(ModelError, match="'q' is no given variable"):
        ImplicitUpdate(equation_system=system, solver=Newton(), incremental_variables=["q"])
