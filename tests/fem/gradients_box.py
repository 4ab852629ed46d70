"""What the tests of gradients share: laws, small meshes, and the two checks of a gradient.

`assert_right` compares the gradient with central differences; `assert_transposed` compares it with
forward sensitivities, <bar, J v> = <J^T bar, v>.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cache
from itertools import pairwise
from typing import Any

import torch

from neml2fe.fem import Condition, Dirichlet, Problem
from neml2fe.fem.adjoint.inputs import tensors_of_problem
from neml2fe.fem.adjoint.solve import Solution
from neml2fe.fem.adjoint.taylor import TaylorTest
from neml2fe.fem.observations import Observation
from neml2fe.input import Input
from neml2fe.input.reader import parse_deck
from neml2fe.material import Material
from neml2fe.models import Model

Tensor = torch.Tensor
EP = "equivalent_plastic_strain"
TIGHT = "abs_tol = 1e-11\n rel_tol = 1e-12"
ELASTIC = "elasticity = 'isotropic(E = 2e5, nu = 0.3)'"
LAWS = {
    "elastic": f"type = LinearElasticity\n {ELASTIC}",
    "j2": f"""
        type = J2Plasticity
        {ELASTIC}
        yield_stress = 200
        isotropic_hardening = 'linear(K = 3000)'
        {TIGHT}
    """,
    "voce": f"""
        type = J2RadialReturn
        {ELASTIC}
        yield_stress = 200
        isotropic_hardening = 'voce(R = 120, d = 40)'
        {TIGHT}
    """,
    "chaboche": f"""
        type = J2Viscoplasticity
        {ELASTIC}
        yield_stress = 100
        isotropic_hardening = 'voce(R = 60, d = 12)'
        kinematic_hardening = 'chaboche(C = 4e4, g = 300, A = 1e-4, a = 2.2) + linear(H = 1000)'
        flow = 'perzyna(eta = 300, n = 3)'
        {TIGHT}
    """,
}  # fmt: skip
SIZES = (1e-3, 1e-4)
FLOOR = 1e-7


def deck_model(body: str, more: str = "") -> Model:
    """The model of a block of a deck, such as one of `LAWS`."""
    return Input(parse_deck(f"[Models]\n[law]\n{body}\n[]\n[]\n{more}")).get_model("law")


@cache
def law(name: str) -> Material:
    """One of `LAWS`, compiled once for all tests, which share its parameters."""
    return Material(parametrised(deck_model(LAWS[name])), backend="kernel")


def parametrised(model: Model) -> Model:
    """With gradients by all parameters but the weights of sums."""
    for full, parameter in model.named_parameters():
        symbol = full.rsplit(".", 1)[-1]
        parameter.requires_grad_(not symbol.startswith(("weight", "offset")))
    return model


def param(value: Any) -> Tensor:
    """A tensor that a gradient is asked for."""
    return torch.tensor(value, dtype=torch.float64, requires_grad=True)


def path(t: float) -> float:
    """There until time 1/2, and most of the way back."""
    return 2.0 * t if t <= 0.5 else 2.0 - 2.0 * t


def held(dim: int) -> list[Condition]:
    return [Dirichlet("left", c) for c in "xyz"[:dim]]


def sides(dim: int, pull: float = 0.004) -> list[Condition]:
    """One face held, the opposite one moved along and across."""
    return [
        *held(dim),
        Dirichlet("right", "x", lambda t: pull * path(t), label="pull"),
        Dirichlet("right", "y", lambda t: 0.6 * pull * path(t), label="shear"),
    ]


STEPS = (0.2, 0.5, 0.9)


class Loss:
    """A loss of squares to which each observation of the first solution adds about one, with
    weights that tell its entries apart."""

    def __init__(self) -> None:
        self._scales: dict[str, float] = {}

    def __call__(self, solution: Solution) -> Tensor:
        total = torch.zeros((), dtype=torch.float64)
        for name, value in solution.values.items():
            scale = self._scales.setdefault(name, float(value.detach().abs().max()))
            weights = 1.0 + 0.5 * torch.arange(value.numel(), dtype=torch.float64).cos()
            total = total + (weights * (value.flatten() / scale) ** 2).mean()
        return total


def assert_right(
    problem: Problem,
    observe: Mapping[str, Observation],
    stepping: Any = STEPS,
    *,
    floor: float = FLOOR,
    **options: Any,
) -> TaylorTest:
    """Every row of the Taylor test is a V: errors that fall with the square of the step size over a
    decade, down to the floor. Prints it."""
    options = {"sizes": SIZES, **options}
    found = problem.taylor_test(stepping, observe, Loss(), **options)
    print(found)
    assert found.rows
    for row in found.rows:
        assert row.gradient != 0.0, row.name
        assert row.least <= floor, f"{row.name}: {row.least:.1e}\n{found}"
        pairs = zip(pairwise(row.sizes), pairwise(row.errors), strict=True)
        orders = [math.log(a / b, g / h) for (g, h), (a, b) in pairs if a > 0.0 and b > 0.0]
        assert row.errors[0] <= 1e-5 or any(1.7 <= order <= 2.3 for order in orders), row
    return found


def assert_transposed(
    problem: Problem,
    observe: Mapping[str, Observation],
    steps: Sequence[float] = STEPS,
    *,
    tolerance: float = 1e-9,
) -> None:
    """<bar, J v> == <J^T bar, v> for random cotangents of all observations and rates of each of
    the tensors."""
    solution = problem.solve(steps, observe)
    inputs = {n: t for n, t in tensors_of_problem(problem).items() if t.requires_grad}
    generator = torch.Generator().manual_seed(3)

    def random(shape: torch.Size) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    values = solution.values
    bars = {n: random(v.shape) / float(v.detach().abs().max()) for n, v in values.items()}
    pulled = torch.autograd.grad(list(values.values()), list(inputs.values()), list(bars.values()))
    directions = [
        {n: random(t.shape) * max(float(t.detach().abs().max()), 1e-3)} for n, t in inputs.items()
    ]
    pushed = solution.sensitivities(directions)
    for d, (name, gradient) in enumerate(zip(inputs, pulled, strict=True)):
        works = torch.cat([(bars[n] * pushed[n][..., d]).flatten() for n in bars])
        size = float(works.abs().sum())
        error = abs(float(works.sum()) - float((gradient * directions[d][name]).sum())) / size
        print(f"{name}: {float(works.sum()):.6e} {error:.1e}")
        assert error <= tolerance, f"{name}: {error:.1e}"
