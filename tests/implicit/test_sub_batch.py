"""Unknowns with a sub-batch (slip systems, grains), solved together or entry by entry."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from ladder import Raw, along, assert_v, close, direction, dot, f64

from neml2fe.errors import ModelError
from neml2fe.implicit import ImplicitUpdate, Newton, NonlinearSystem, recorded_solves
from neml2fe.material import Material
from neml2fe.models import Input, Model, Old, Output, Parameter
from neml2fe.types import SR2, Scalar, sum, tr


class Cubes(Model, abstract=True):
    r"""$r_i = u_i^3 + p_i u_i - g_i$: the entries do not see each other."""

    u = Input(Scalar)
    g = Input(Scalar)
    r = Output(Scalar)
    p = Parameter(Scalar, "p")

    def forward(self, u: Scalar, g: Scalar) -> Scalar:
        return u * u * u + self.p * u - g


class CoupledCubes(Cubes, abstract=True):
    r"""$r_i = u_i^3 + p_i \sum_j u_j + u_i - g_i$."""

    def forward(self, u: Scalar, g: Scalar) -> Scalar:
        total = sum(u.sub_batch, -1).sub_batch.unsqueeze(-1) if u.sub_batch_ndim else u
        return u * u * u + self.p * total + u - g


def update(cls: type[Model], p: object, structure: Sequence[str] = ()) -> ImplicitUpdate:
    system = NonlinearSystem(cls(p=p, label="cubes"), ["u"], ["r"], structure)
    return ImplicitUpdate(equation_system=system, solver=Newton())


WEIGHTS = f64([[1.0, -2.0, 0.5], [3.0, 1.0, -1.0]])
GIVEN = f64([[1.0, 2.0, -3.0], [0.5, 4.0, 7.0]])
PARAMETERS = {
    "one value": 2.0,
    "one per entry": Scalar(f64([1.0, 2.0, 3.0]), sub_batch_ndim=1),
    "one per point": Scalar(f64([1.0, 2.0])),
    "one per point and entry": Scalar(f64([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]), sub_batch_ndim=1),
}
each = pytest.mark.parametrize("parameter", sorted(PARAMETERS))


@each
@pytest.mark.parametrize("structure", [(), ("dense",), ("block",)])
def test_entries_that_do_not_see_each_other(parameter: str, structure: tuple[str, ...]) -> None:
    model = update(Cubes, PARAMETERS[parameter], structure)
    with recorded_solves() as log:
        u = model(Scalar(GIVEN, sub_batch_ndim=1))
    assert u.batch_shape == (2,) and u.sub_batch_shape == (3,)
    assert log.status is not None and log.status.shape == (2,)
    p = PARAMETERS[parameter]
    p = p.data if isinstance(p, Scalar) else f64(p)
    p = p[:, None] if parameter == "one per point" else p
    assert close(u.data**3 + p * u.data, GIVEN, 1e-12)


@each
def test_gradients_of_both_structures_agree_with_differences(parameter: str) -> None:
    found = []
    for structure in ((), ("block",)):
        model = update(Cubes, PARAMETERS[parameter], structure)
        values = {"g": GIVEN, **dict(model.named_parameters())}

        def total(values: Raw, model: Model = model) -> torch.Tensor:
            parameters = {n: v for n, v in values.items() if n != "g"}
            g = Scalar(values["g"], sub_batch_ndim=1)
            return (
                torch.func.functional_call(model, parameters, (), {"g": g}).data * WEIGHTS
            ).sum()

        leaves = {n: v.detach().clone().requires_grad_() for n, v in values.items()}
        total(leaves).backward()
        gradient = {n: v.grad for n, v in leaves.items() if v.grad is not None}
        assert gradient.keys() == values.keys()
        way = {n: 0.2 * d for n, d in direction(values).items()}
        slope = dot(gradient, way)
        assert_v(lambda h, v=values, w=way, f=total: f(along(v, w, h)), slope)  # type: ignore[misc]
        found.append(gradient)
    assert all(close(found[0][n], found[1][n], 1e-12) for n in found[0])


def test_coupled_entries_are_solved_together_and_refuse_the_block_structure() -> None:
    g = Scalar(GIVEN, sub_batch_ndim=1)
    u = update(CoupledCubes, 0.5)(g).data
    assert close(u**3 + 0.5 * u.sum(-1, keepdim=True) + u, GIVEN, 1e-12)
    alone = update(CoupledCubes, 0.5, ("block",))(g).data
    assert close(alone**3 + 1.5 * alone, GIVEN, 1e-12)  # each entry is the whole of its sub-batch


def test_wrong_structures_end_with_one_clear_message() -> None:
    with pytest.raises(ModelError, match="structure is 'dense' or 'block', not 'sparse'"):
        update(Cubes, 1.0, ("sparse",))
    with pytest.raises(ModelError, match="1 groups of unknowns need as many words"):
        update(Cubes, 1.0, ("block", "dense"))


class Hardening(Model, abstract=True):
    r"""Stress $\mathrm{tr}\,\varepsilon\,1$ and $h_i = h_i^n + c_i\,\mathrm{tr}\,\varepsilon$."""

    strain = Input(SR2)
    h_old = Old("h")
    stress = Output(SR2)
    h = Output(Scalar)
    c = Parameter(Scalar, "c")

    def forward(self, strain: SR2, h_old: Scalar) -> tuple[SR2, Scalar]:
        total = tr(strain)
        return total * SR2.identity(dtype=strain.dtype), h_old + self.c * total


def test_a_material_finds_the_sub_batch_of_its_state() -> None:
    c = Scalar(f64([1.0, 2.0, 3.0, 4.0]), sub_batch_ndim=1)
    material = Material(Hardening(c=c), strain="strain")
    state = material.initial_state(5)
    assert state["h"].shape == (5, 4)
    strain = torch.zeros(5, 6, dtype=torch.float64)
    strain[:, 0] = torch.arange(5.0)
    result = material.update(strain, state, 1.0, 1.0)
    assert close(result.state["h"], strain[:, :1] * c.data)
    again = material.update(strain, result.state, 2.0, 1.0)
    assert close(again.state["h"], 2.0 * strain[:, :1] * c.data)
    pulled = material.vjp(
        strain, state, 1.0, 1.0, torch.zeros_like(strain), {"h": state["h"] + 1.0}
    )
    assert close(pulled.parameters["c"], strain[:, 0].sum().expand(4))
