"""One ladder over every registered model: shapes, derivatives, objectivity.

A model without an entry in a `rungs_<family>.py` fails
`test_every_model_stands_on_the_ladder`.
"""

from __future__ import annotations

import math
from importlib import import_module
from pathlib import Path

import pytest
import torch
from ladder import (
    Pure,
    Raw,
    along,
    assert_v,
    close,
    direction,
    dot,
    f64,
    randn,
    rotation,
    turned,
    typed,
)
from rung import Kink, Rung

import neml2fe.models as m
from neml2fe.models import REGISTRY, Model, value_and_jacobian
from neml2fe.models.derivatives import inner_shape
from neml2fe.models.model import Values

RUNGS: dict[str, Rung] = {}
KINKS: dict[str, Kink] = {}
for path in sorted(Path(__file__).parent.glob("rungs_*.py")):
    family = import_module(path.stem)
    assert not RUNGS.keys() & family.RUNGS.keys()
    RUNGS |= family.RUNGS
    KINKS |= getattr(family, "KINKS", {})


def registered() -> list[str]:
    """Types of the package itself, not those that other tests define."""
    return sorted(n for n, c in REGISTRY.items() if c.__module__.startswith("neml2fe."))


def test_every_model_stands_on_the_ladder() -> None:
    assert sorted(RUNGS) == registered()


each = pytest.mark.parametrize("name", sorted(RUNGS))
each_pointwise = pytest.mark.parametrize("name", sorted(n for n, r in RUNGS.items() if r.pointwise))


def batched(rung: Rung, *batch: int) -> Raw:
    """Samples of the given batch shape, each a little different."""
    return {n: v + 0.02 * v.abs().max() * randn(*batch, *v.shape) for n, v in rung.inputs().items()}


def evaluated(rung: Rung, model: Model, inputs: Raw) -> Values:
    return model.evaluate(typed(model, inputs, rung.sub))


def outputs_of(rung: Rung, model: Model, inputs: Raw) -> Raw:
    return {n: v.data for n, v in evaluated(rung, model, inputs).items()}


def inner_shapes(rung: Rung, model: Model) -> dict[str, tuple[int, ...]]:
    """Sub-batch and base shapes of the outputs."""
    return {n: inner_shape(v) for n, v in evaluated(rung, model, rung.inputs()).items()}


# -- shapes ---------------------------------------------------------------------------------


@each_pointwise
def test_outputs_take_the_batch_shape(name: str) -> None:
    rung = RUNGS[name]
    model = rung.make()
    inputs, shapes = batched(rung, 2, 3), inner_shapes(rung, model)
    whole = outputs_of(rung, model, inputs)
    assert list(whole) == list(model.output_spec)
    for n, v in whole.items():
        assert v.shape == (2, 3, *shapes[n]) and v.dtype is torch.float64
        assert bool(torch.isfinite(v).all())
    for i, j in ((0, 2), (1, 1)):
        row = outputs_of(rung, model, {n: v[i] for n, v in inputs.items()})
        point = outputs_of(rung, model, {n: v[i, j] for n, v in inputs.items()})
        for n, v in whole.items():
            assert close(row[n], v[i]) and close(point[n], v[i, j])


@each_pointwise
def test_inputs_of_different_batch_shapes_broadcast(name: str) -> None:
    rung = RUNGS[name]
    model = rung.make()
    names = list(rung.inputs())
    shapes = [(2, 1), (3,), (), (2, 3)]
    inputs = {n: batched(rung, *shapes[k % 4])[n] for k, n in enumerate(names)}
    batch = torch.broadcast_shapes(
        *(v.batch_shape for v in typed(model, inputs, rung.sub).values())
    )
    full = {n: v.expand((*batch, *rung.inputs()[n].shape)) for n, v in inputs.items()}
    expected = outputs_of(rung, model, full)
    inner = inner_shapes(rung, model)
    for n, v in outputs_of(rung, model, inputs).items():
        assert close(v.expand((*batch, *inner[n])), expected[n])


@each_pointwise
def test_an_empty_batch_gives_an_empty_batch(name: str) -> None:
    rung = RUNGS[name]
    model = rung.make()
    inner = inner_shapes(rung, model)
    for n, v in outputs_of(rung, model, batched(rung, 0)).items():
        assert v.shape == (0, *inner[n])


@each_pointwise
def test_a_sub_batch_is_a_batch_of_one_point(name: str) -> None:
    """Points (2, 3) as two points with a sub-batch of three: the same numbers."""
    rung = RUNGS[name]
    model, inputs = rung.make(), batched(rung, 2, 3)
    points = evaluated(rung, model, inputs)
    more = {n: rung.sub.get(n, 0) + 1 for n in inputs}
    for n, v in model.evaluate(typed(model, inputs, more)).items():
        assert v.batch_shape == (2,) and v.sub_batch_shape == (3, *points[n].sub_batch_shape)
        assert close(v.data, points[n].data, 1e-12)


# -- derivatives ----------------------------------------------------------------------------


@each_pointwise
def test_jacobian_agrees_with_differences(name: str) -> None:
    rung = RUNGS[name]
    model, inputs = rung.make(), batched(rung, 2)
    arguments, shapes = typed(model, inputs, rung.sub), inner_shapes(rung, model)
    values, jacobian = value_and_jacobian(model, arguments)
    assert all(close(v, outputs_of(rung, model, inputs)[n]) for n, v in values.items())
    way = direction(inputs)
    if name == "MixedControlSetup":
        way["control"] = torch.zeros_like(way["control"])
    for output, blocks in jacobian.items():
        slope = torch.zeros(2, math.prod(shapes[output]), dtype=torch.float64)
        for n, block in blocks.items():
            inner = inner_shape(arguments[n])
            assert block.shape == (2, *shapes[output], *inner)
            matrix = block.reshape(2, math.prod(shapes[output]), math.prod(inner))
            slope += torch.einsum("pij,pj->pi", matrix, way[n].reshape(2, -1))

        def f(h: float, output: str = output) -> torch.Tensor:
            return outputs_of(rung, model, along(inputs, way, h))[output].reshape(2, -1)

        degree = rung.input_degree or rung.degree
        exact = degree is not None and degree <= 2
        if bool(slope.any()):
            assert_v(f, slope, exact=exact)
        else:  # the derivative by the hardening variable is a constant
            assert (name, output) == ("Normality", "Nh") and close(f(0.1), f(-0.1), 0.0)


@each
def test_reverse_mode_agrees_with_differences_and_with_forward_mode(name: str) -> None:
    """All inputs and all parameters at once."""
    rung = RUNGS[name]
    pure = Pure(rung.make(), batched(rung, 3), rung.sub)
    gradient = pure.gradient(pure.values)
    way = direction(pure.values)
    if name == "MixedControlSetup":
        way["control"] = torch.zeros_like(way["control"])
    slope = dot(gradient, way)
    exact = rung.degree is not None and rung.degree <= 2
    assert_v(lambda h: pure.total(along(pure.values, way, h)), slope, exact=exact)
    _, forward = torch.func.jvp(pure.total, (pure.values,), (way,))
    assert close(forward, slope, 1e-11)


@each
def test_second_derivatives_agree_with_differences_of_gradients(name: str) -> None:
    rung = RUNGS[name]
    pure = Pure(rung.make(), batched(rung, 2), rung.sub)
    way = direction(pure.values)
    if name == "MixedControlSetup":
        way["control"] = torch.zeros_like(way["control"])
    leaves = {n: v.clone().requires_grad_() for n, v in pure.values.items()}
    first = torch.autograd.grad(
        pure.total(leaves), list(leaves.values()), create_graph=True, materialize_grads=True
    )
    slope = dot(dict(zip(leaves, first, strict=True)), way)
    if not slope.requires_grad:  # linear in everything: no second derivative
        assert rung.degree == 1
        return
    second = torch.autograd.grad(slope, list(leaves.values()), materialize_grads=True)

    def gradient(h: float) -> torch.Tensor:
        found = pure.gradient(along(pure.values, way, h))
        return torch.cat([scales[n] * found[n].reshape(-1) for n in leaves])

    # Each component in the units of its own variable.
    scales = {n: v.abs().max() for n, v in pure.values.items()}
    product = torch.cat([scales[n] * s.reshape(-1) for n, s in zip(leaves, second, strict=True)])
    if rung.degree == 1:
        assert not product.any()
        return
    exact = rung.degree is not None and rung.degree <= 3
    assert_v(gradient, product, exact=exact)
    _, forward = torch.func.jvp(torch.func.grad(pure.total), (pure.values,), (way,))
    over = torch.cat([scales[n] * forward[n].reshape(-1) for n in leaves])
    assert close(over, product, 1e-10)


@each_pointwise
def test_parameters_may_vary_by_point(name: str) -> None:
    """A batched parameter gives at each point what that point's value gives alone."""
    rung = RUNGS[name]
    model, inputs = rung.make(), batched(rung, 3)
    pure = Pure(model, inputs, rung.sub)
    factors = f64([0.9, 1.0, 1.05])
    batch = {
        n: v * factors.reshape(3, *(1,) * v.ndim) if n.startswith("p:") else v
        for n, v in pure.values.items()
    }
    together, inner = pure.outputs(batch), inner_shapes(rung, model)
    for k in range(3):
        alone = {n: v[k] for n, v in batch.items()}
        for n, v in pure.outputs(alone).items():
            assert close(together[n].expand((3, *inner[n]))[k], v)


@each_pointwise
def test_batched_parameters_with_unbatched_inputs(name: str) -> None:
    rung = RUNGS[name]
    model, inputs = rung.make(), rung.inputs()
    pure = Pure(model, inputs, rung.sub)
    factors = f64([0.9, 1.0, 1.05])
    batch = {
        n: v * factors.reshape(3, *(1,) * v.ndim) if n.startswith("p:") else v
        for n, v in pure.values.items()
    }
    together, inner = pure.outputs(batch), inner_shapes(rung, model)
    for k in range(3):
        alone = {n: v[k] if n.startswith("p:") else v for n, v in batch.items()}
        for n, v in pure.outputs(alone).items():
            assert close(together[n].expand((3, *inner[n]))[k], v)


# -- objectivity ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(n for n, r in RUNGS.items() if r.isotropic))
def test_rotated_inputs_give_rotated_outputs(name: str) -> None:
    rung = RUNGS[name]
    model, turn = rung.make(), rotation(4)
    inputs = typed(model, batched(rung, 4), rung.sub)
    plain = model.evaluate(inputs)
    moved = model.evaluate({n: turned(v, turn) for n, v in inputs.items()})
    for n, v in plain.items():
        assert close(moved[n].data, turned(v, turn).data, 1e-11)


# -- kinks -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(KINKS))
def test_values_and_derivatives_are_finite_at_kinks(name: str) -> None:
    kink = KINKS[name]
    model = kink.make()
    found = model.evaluate(typed(model, kink.inputs, kink.sub))
    for n, v in kink.expected.items():
        assert close(found[n].data, v, 1e-15)
    pure = Pure(model, kink.inputs, kink.sub)
    pure.weights = {n: torch.ones_like(v.data).detach() for n, v in found.items()}
    leaves = {n: v.clone().requires_grad_() for n, v in pure.values.items()}
    first = torch.autograd.grad(
        pure.total(leaves), list(leaves.values()), create_graph=True, materialize_grads=True
    )
    assert all(bool(torch.isfinite(g).all()) for g in first)
    slope = torch.stack([g.sum() for g in first]).sum()
    if slope.requires_grad:
        second = torch.autograd.grad(slope, list(leaves.values()), materialize_grads=True)
        assert all(bool(torch.isfinite(g).all()) for g in second)
    way = direction(pure.values)
    _, forward = torch.func.jvp(pure.total, (pure.values,), (way,))
    assert close(forward, dot(dict(zip(leaves, first, strict=True)), way), 1e-12)


@pytest.mark.parametrize("a", ["LE", "GE"])
@pytest.mark.parametrize("b", ["LE", "GE"])
def test_complementarity_vanishes_exactly_on_the_solutions(a: str, b: str) -> None:
    model = m.FBComplementarity(a="f", a_inequality=a, b="g", b_inequality=b)
    f, g = (-1.0 if s == "LE" else 1.0 for s in (a, b))
    for x, y in ((0.0, 0.0), (2.0, 0.0), (0.0, 3.0)):
        assert float(model(f64(x * f), f64(y * g)).data) == 0.0
    for x, y in ((-2.0, 0.0), (0.0, -3.0), (1.0, 2.0), (-1.0, 2.0), (-1.0, -1.0)):
        assert abs(float(model(f64(x * f), f64(y * g)).data)) > 0.1
