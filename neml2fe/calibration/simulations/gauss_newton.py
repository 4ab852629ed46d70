"""`gauss_newton_product`: the Gauss-Newton Hessian of a problem, times a vector."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Tensor

from neml2fe.calibration.interface import Problem, weights_of
from neml2fe.calibration.simulations.joint import JointProblem
from neml2fe.calibration.simulations.problem import SimulationProblem
from neml2fe.calibration.simulations.regularised import RegularisedProblem
from neml2fe.calibration.simulations.timed import Renamed

Product: TypeAlias = Callable[[Tensor], Tensor]


def gauss_newton_product(problem: Problem, x: Tensor) -> Product:
    """v `(P,)` to J^T J v at `x`. Collective.

    Simulations run once and form no Jacobian: a product is one forward sensitivity and one reverse
    sweep. Of a `JointProblem` whose members are all on this rank it is the sum of theirs, also of
    members of a deck (`Renamed`). Other problems form their Jacobian once.
    """
    x = x.detach()
    if isinstance(problem, SimulationProblem):
        return _of_simulation(problem, x)
    if isinstance(problem, Renamed):
        return gauss_newton_product(problem.problem, x)
    if isinstance(problem, RegularisedProblem):
        inner, rows = gauss_newton_product(problem.problem, x), problem.penalty_rows
        _, pull = torch.func.vjp(rows, x)  # type: ignore[misc]

        def product(v: Tensor) -> Tensor:
            _, change = torch.func.jvp(rows, (x,), (v,))  # type: ignore[misc]
            found: Tensor = inner(v) + pull(change)[0]
            return found

        return product
    if isinstance(problem, JointProblem):
        members = [member for member in problem.members.values() if member is not None]
        if len(members) == len(problem.members):
            return _of_members(problem, members, x)
    r, jacobian = (t.detach().cpu() for t in problem.linearised(x))
    weights = weights_of(problem, r)
    scaled = jacobian if weights is None else weights[:, None] * jacobian
    return lambda v: scaled.T @ (jacobian @ v)


def _of_simulation(problem: SimulationProblem, x: Tensor) -> Product:
    fitted = list(problem.fitted.values())
    slopes = problem.parameters.slopes(x)
    with problem.at(x), torch.enable_grad():
        solution = problem.solved(record=True)
        r = problem.compared(solution.values)
    values = {name: value.detach() for name, value in solution.values.items()}

    def product(v: Tensor) -> Tensor:
        parts = (slopes * v).split([t.numel() for t in fitted])
        direction = {
            name: part.to(t).reshape(t.shape)
            for (name, t), part in zip(problem.fitted.items(), parts, strict=True)
        }
        with problem.at(x):
            rates = {n: d[..., 0] for n, d in solution.sensitivities([direction]).items()}
            _, change = torch.func.jvp(problem.compared, (values,), (rates,))  # type: ignore[misc]
            found = torch.autograd.grad(r, fitted, change, retain_graph=True)
        return slopes * torch.cat([g.detach().cpu().double().reshape(-1) for g in found])

    return product


def _of_members(problem: JointProblem, members: list[Problem], x: Tensor) -> Product:
    index = {name: k for k, name in enumerate(problem.parameters.names)}
    places = [torch.tensor([index[name] for name in m.parameters.names]) for m in members]
    products = [gauss_newton_product(m, x[at]) for m, at in zip(members, places, strict=True)]

    def product(v: Tensor) -> Tensor:
        total = torch.zeros_like(v)
        for one, at in zip(products, places, strict=True):
            total[at] += one(v[at])
        return total

    return product
