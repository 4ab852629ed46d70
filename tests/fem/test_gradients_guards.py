"""No gradient rather than a wrong one: what was changed, hidden or cannot be differentiated."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from gradients_box import deck_model, param
from torch.autograd import forward_ad

from neml2fe.errors import Error, InputError
from neml2fe.fem import Body, Dirichlet, Problem, Reaction, SpaceFunction, Springs
from neml2fe.fem.conditions.conditions import Condition
from neml2fe.fem.mesh.generate import rectangle
from neml2fe.material import Material

ELASTIC = "type = LinearElasticity\nelasticity = 'isotropic(E = 2e5, nu = 0.3)'"
FORCE = {"force": Reaction("pull")}


def elastic() -> Material:
    material = Material(deck_model(ELASTIC))
    for parameter in material.parameters.values():
        parameter.requires_grad_(False)
    return material


def plate(value: Any, *more: Condition, bodies: Any = None) -> Problem:
    held = [Dirichlet("left", "x"), Dirichlet("left", "y")]
    pull = Dirichlet("right", "x", value, label="pull")
    return Problem(rectangle(2, 2, "quad"), bodies or elastic(), [*held, pull, *more])


def named(material: Material, symbol: str) -> str:
    return next(n for n in material.parameters if n.rsplit(".", 1)[-1] == symbol)


def test_parameters_of_several_materials_are_replaced() -> None:
    mesh = rectangle(2, 2, "quad")
    mesh.regions["a"], mesh.regions["b"] = [np.array([0, 1])], [np.array([2, 3])]
    bodies = [Body(elastic(), ["a"]), Body(elastic(), ["b"])]
    conditions = [Dirichlet("left", c) for c in "xy"]
    conditions.append(Dirichlet("right", "x", lambda t: 0.01 * t, label="pull"))
    problem = Problem(mesh, bodies, conditions)
    whole = float(problem.solve([1.0], FORCE)["force"])
    name = named(bodies[0].material, "E")
    halves = {f"{body.name}.{name}": param(1e5) for body in bodies}
    force = problem.solve([1.0], FORCE, parameters=halves)["force"]
    assert float(force.detach()) == pytest.approx(0.5 * whole, rel=1e-12)
    gradients = torch.autograd.grad(force.sum(), list(halves.values()))
    # the force is homogeneous of degree one in the two moduli
    assert 1e5 * float(sum(gradients)) == pytest.approx(float(force.detach()), rel=1e-10)


@pytest.mark.parametrize("silently", [False, True])
def test_what_changed_since_the_run_is_noticed(silently: bool) -> None:
    """Also of a body that stays in equilibrium whatever its modulus is."""
    amplitude = param(0.01)
    problem = plate(amplitude)
    force = problem.solve([1.0], FORCE)["force"]
    material = problem.bodies[0].material
    modulus = material.parameters[named(material, "E")]
    with torch.no_grad():
        (modulus.data if silently else modulus).mul_(2.0)
    with pytest.raises(Error, match="changed"):
        force.sum().backward()


class Saturating(torch.nn.Module):
    """0.01 (1 - exp(-t / tau)), whose derivative depends on tau itself."""

    def __init__(self) -> None:
        super().__init__()
        self.tau = torch.nn.Parameter(param(0.5))

    def forward(self, t: torch.Tensor) -> torch.Tensor:
        return 0.01 * (1.0 - torch.exp(-t / self.tau))


def test_what_no_force_depends_on_any_more_is_noticed_too() -> None:
    """Prescribed displacements and nodes stay where they were when the tensors that they come
    from are written into, unseen by torch."""
    motion, mesh = Saturating(), rectangle(2, 2, "quad")
    coordinates = param(mesh.points)
    held = [Dirichlet("left", "x"), Dirichlet("left", "y")]
    pull = Dirichlet("right", "x", motion, label="pull")
    problem = Problem(mesh, elastic(), [*held, pull], coordinates=coordinates)
    for name, tensor in {"pull.value.tau": motion.tau, "coordinates": coordinates}.items():
        force = problem.solve([1.0], FORCE)["force"]
        tensor.data.mul_(1.5)
        with pytest.raises(Error, match=f"'{name}' was changed"):
            force.sum().backward()


def test_a_tensor_that_requires_no_gradient_any_more() -> None:
    amplitude = param(0.01)
    force = plate(amplitude).solve([1.0], FORCE)["force"]
    amplitude.requires_grad_(False)
    with pytest.raises(Error, match="does so no more"):
        force.sum().backward()


def test_a_function_that_names_only_some_of_its_tensors() -> None:
    a, b = param(0.01), param(0.02)
    function = SpaceFunction(lambda t, x: (a + b) * t + 0.0 * x[:, 0], tensors=[a])
    with pytest.raises(InputError, match="which nothing can find"):
        plate(function).solve([1.0], FORCE)


def test_constants_have_no_gradient() -> None:
    springs = Springs("top", [1e4, 1e4])
    problem = plate(0.01, springs)
    object.__setattr__(springs, "stiffness", [param(1e4), 1e4])
    with pytest.raises(InputError, match="no gradients by 'stiffness'"):
        problem.solve([1.0], FORCE)


def test_a_released_solution_has_no_derivatives() -> None:
    amplitude = param(0.01)
    solution = plate(amplitude).solve([1.0], FORCE)
    solution.release()
    with pytest.raises(Error, match="not recorded"):
        solution["force"].sum().backward()


def test_nothing_asked_for() -> None:
    with pytest.raises(InputError, match="no step"):
        plate(0.01).solve([], FORCE)


def test_forward_mode_is_refused() -> None:
    with forward_ad.dual_level():
        amplitude = forward_ad.make_dual(torch.tensor(0.01).double(), torch.tensor(1.0).double())
        with pytest.raises(Error, match=r"'pull.value' is a dual number .*Solution.sensitivities"):
            plate(amplitude).solve([1.0], FORCE)
