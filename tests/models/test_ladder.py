"""One ladder over every registered model: shapes, derivatives, objectivity.

A model without an entry in `RUNGS` fails `test_every_model_stands_on_the_ladder`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache

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
    plastic_point,
    randn,
    rotation,
    turned,
)

import neml2fe.models as m
from neml2fe.implicit import ImplicitUpdate  # registers itself
from neml2fe.models import REGISTRY, ComposedModel, Model, Normality, value_and_jacobian

STRESS = f64([120.0, -40.0, 25.0, 35.0, -20.0, 60.0])
STRAIN = f64([0.01, -0.004, 0.002, 0.003, -0.001, 0.005])
DIRECTION = f64([0.7, -0.4, -0.3, 0.2, 0.1, 0.45])
VECTOR, SKEW = f64([1.0, -2.0, 0.5]), f64([0.3, 0.1, -0.2])
MATRIX = f64([[1.1, 0.2, -0.1], [0.3, 0.9, 0.05], [0.0, -0.2, 1.2]])
TIMES = {"t": f64(2.0), "t~1": f64(1.5)}
ELASTIC = {
    "coefficients": [2e5, 0.3],
    "coefficient_types": ["YOUNGS_MODULUS", "POISSONS_RATIO"],
}


@dataclass
class Rung:
    """How to make a model and where to evaluate it.

    `degree`: of the outputs as a polynomial in inputs and parameters together, None when
    they are none. Central differences are exact for values of degree two and gradients of
    degree three at most. `input_degree` is the degree in the inputs alone, where it is
    lower. `isotropic`: rotated inputs give rotated outputs.
    """

    make: Callable[[], Model]
    inputs: Callable[[], Raw]
    degree: int | None = None
    input_degree: int | None = None
    isotropic: bool = True


def rung(cls: type[Model], fields: dict, inputs: Raw, **more: object) -> Rung:
    return Rung(lambda: cls(**fields), lambda: inputs, **more)  # type: ignore[arg-type]


SAMPLES = {
    "Scalar": (f64(3.0), f64(1.2)),
    "Vec": (VECTOR, VECTOR.flip(0) + 1.0),
    "R2": (MATRIX, MATRIX.T + 0.3),
    "SR2": (STRESS, STRESS.flip(0) + 7.0),
    "WR2": (SKEW, SKEW.flip(0) + 1.0),
}


def combination(kind: str) -> Rung:
    a, b = SAMPLES[kind]
    fields = {"from_": ["a", "b"], "to": "c", "weights": [2.0, -0.5]}
    cls = REGISTRY[f"{kind}LinearCombination"]
    return rung(cls, fields, {"a": a, "b": b}, degree=2)


def variable_rate(kind: str) -> Rung:
    a, b = SAMPLES[kind]
    fields = {"variable": "x"}
    return rung(REGISTRY[f"{kind}VariableRate"], fields, {"x": a, "x~1": b, **TIMES})


def backward_euler(kind: str) -> Rung:
    a, b = SAMPLES[kind]
    inputs = {"x": a, "x_rate": a - b, "x~1": b, **TIMES}
    return rung(
        REGISTRY[f"{kind}BackwardEulerTimeIntegration"], {"variable": "x"}, inputs, degree=2
    )


def forward_euler(kind: str) -> Rung:
    a, b = SAMPLES[kind]
    inputs = {"x_rate": a - b, "x~1": b, **TIMES}
    return rung(REGISTRY[f"{kind}ForwardEulerTimeIntegration"], {"variable": "x"}, inputs, degree=2)


def overstress_and_yield() -> list[Model]:
    return [
        m.SR2LinearCombination(from_=["M", "X"], to="O", weights=[1.0, -1.0], label="overstress"),
        m.SR2Invariant(invariant_type="VONMISES", tensor="O", invariant="s", label="vonmises"),
        m.YieldFunction(effective_stress="s", yield_stress=50.0, isotropic_hardening="h"),
    ]


def normality() -> Normality:
    flow = ComposedModel(models=overstress_and_yield(), label="flow")
    return Normality(
        model=flow,
        function="yield_function",
        from_=["M", "X", "h"],
        to=["NM", "NX", "Nh"],
    )


BACK_STRESS = {"flow_rate": f64(0.3), "flow_direction": DIRECTION, "back_stress": 0.2 * STRESS}
UNKNOWNS = {"unknowns_SR2": ["s"], "unknowns_Scalar": ["p"]}
FLOW = {"M": STRESS, "X": 0.2 * STRESS.flip(0), "h": f64(20.0)}

RUNGS: dict[str, Rung] = {
    **{f"{k}LinearCombination": combination(k) for k in ("Scalar", "Vec", "R2", "SR2", "WR2")},
    **{f"{k}VariableRate": variable_rate(k) for k in ("Scalar", "Vec", "R2", "SR2")},
    **{
        f"{k}BackwardEulerTimeIntegration": backward_euler(k)
        for k in ("Scalar", "Vec", "R2", "SR2", "WR2")
    },
    **{f"{k}ForwardEulerTimeIntegration": forward_euler(k) for k in ("Scalar", "R2", "SR2")},
    "LinearIsotropicElasticity": rung(
        m.LinearIsotropicElasticity, ELASTIC, {"strain": STRAIN}, input_degree=1
    ),
    "SR2Invariant": rung(m.SR2Invariant, {"invariant_type": "VONMISES"}, {"tensor": STRESS}),
    "IsotropicMandelStress": rung(m.IsotropicMandelStress, {}, {"cauchy_stress": STRESS}, degree=1),
    "YieldFunction": rung(
        m.YieldFunction,
        {"yield_stress": 50.0, "isotropic_hardening": "h"},
        {"effective_stress": f64(140.0), "h": f64(20.0)},
        degree=1,
    ),
    "LinearIsotropicHardening": rung(
        m.LinearIsotropicHardening,
        {"hardening_modulus": 800.0},
        {"equivalent_plastic_strain": f64(0.03)},
        degree=2,
    ),
    "VoceIsotropicHardening": rung(
        m.VoceIsotropicHardening,
        {"saturated_hardening": 90.0, "saturation_rate": 12.0},
        {"equivalent_plastic_strain": f64(0.03)},
    ),
    "LinearKinematicHardening": rung(
        m.LinearKinematicHardening,
        {"hardening_modulus": 1500.0},
        {"kinematic_plastic_strain": STRAIN},
        degree=2,
    ),
    "FredrickArmstrongPlasticHardening": rung(
        m.FredrickArmstrongPlasticHardening,
        {"C": 3e3, "g": 30.0},
        BACK_STRESS,
        degree=3,
        input_degree=2,
    ),
    "ChabochePlasticHardening": rung(
        m.ChabochePlasticHardening, {"C": 3e3, "g": 30.0, "A": 1e-2, "a": 2.2}, BACK_STRESS
    ),
    "AssociativePlasticFlow": rung(
        m.AssociativePlasticFlow,
        {},
        {"flow_rate": f64(0.3), "flow_direction": DIRECTION},
        degree=2,
    ),
    "AssociativeIsotropicPlasticHardening": rung(
        m.AssociativeIsotropicPlasticHardening,
        {},
        {"flow_rate": f64(0.3), "isotropic_hardening_direction": f64(-0.8)},
        degree=2,
    ),
    "AssociativeKinematicPlasticHardening": rung(
        m.AssociativeKinematicPlasticHardening,
        {},
        {"flow_rate": f64(0.3), "kinematic_hardening_direction": -DIRECTION},
        degree=2,
    ),
    "PerzynaPlasticFlowRate": rung(
        m.PerzynaPlasticFlowRate,
        {"reference_stress": 120.0, "exponent": 3.6},
        {"yield_function": f64(80.0)},
    ),
    "FBComplementarity": rung(
        m.FBComplementarity, {"a": "f", "b": "g"}, {"f": f64(-0.7), "g": f64(0.4)}
    ),
    "MixedControlSetup": rung(
        m.MixedControlSetup,
        {},
        {"control": f64([0.0, 1.0, 0.2, 0.9, 0.7, 0.0]), "x_above": STRESS, "x_below": STRAIN},
        degree=1,
        isotropic=False,
    ),
    "ConstantExtrapolationPredictor": rung(
        m.ConstantExtrapolationPredictor, UNKNOWNS, {"s~1": STRESS, "p~1": f64(0.2)}, degree=1
    ),
    "LinearExtrapolationPredictor": rung(
        m.LinearExtrapolationPredictor,
        UNKNOWNS,
        {
            "s~1": STRESS,
            "p~1": f64(0.2),
            "s~2": 0.7 * STRESS.flip(0),
            "p~2": f64(0.1),
            **TIMES,
            "t~2": f64(1.2),
        },
    ),
    "ComposedModel": Rung(lambda: ComposedModel(models=overstress_and_yield()[::-1]), lambda: FLOW),
    "Normality": Rung(normality, lambda: FLOW),
    "ImplicitUpdate": Rung(
        lambda: yielding()[0], lambda: {n: v[1] for n, v in yielding()[1].items()}
    ),
}


@cache
def yielding() -> tuple[Model, Raw]:
    model, inputs = plastic_point("perzyna_voce", 6)
    assert isinstance(model, ImplicitUpdate)
    return model, inputs


def registered() -> list[str]:
    """Types of the package itself, not those that other tests define."""
    return sorted(n for n, c in REGISTRY.items() if c.__module__.startswith("neml2fe."))


def test_every_model_stands_on_the_ladder() -> None:
    assert sorted(RUNGS) == registered()


each = pytest.mark.parametrize("name", sorted(RUNGS))


def batched(rung: Rung, *batch: int) -> Raw:
    """Samples of the given batch shape, each a little different."""
    return {n: v + 0.02 * v.abs().max() * randn(*batch, *v.shape) for n, v in rung.inputs().items()}


def outputs_of(model: Model, inputs: Raw) -> Raw:
    return {n: v.data for n, v in model.evaluate(inputs).items()}


# -- shapes ---------------------------------------------------------------------------------


@each
def test_outputs_take_the_batch_shape(name: str) -> None:
    rung = RUNGS[name]
    model = rung.make()
    inputs = batched(rung, 2, 3)
    whole = outputs_of(model, inputs)
    assert list(whole) == list(model.output_spec)
    for n, v in whole.items():
        assert v.shape == (2, 3, *model.output_spec[n].BASE_SHAPE) and v.dtype is torch.float64
        assert bool(torch.isfinite(v).all())
    for i, j in ((0, 2), (1, 1)):
        row = outputs_of(model, {n: v[i] for n, v in inputs.items()})
        point = outputs_of(model, {n: v[i, j] for n, v in inputs.items()})
        for n, v in whole.items():
            assert close(row[n], v[i]) and close(point[n], v[i, j])


@each
def test_inputs_of_different_batch_shapes_broadcast(name: str) -> None:
    rung = RUNGS[name]
    model = rung.make()
    names = list(rung.inputs())
    shapes = [(2, 1), (3,), (), (2, 3)]
    inputs = {n: batched(rung, *shapes[k % 4])[n] for k, n in enumerate(names)}
    kinds = model.input_spec
    batch = torch.broadcast_shapes(
        *(v.shape[: v.ndim - kinds[n].base_ndim()] for n, v in inputs.items())
    )
    full = {n: v.expand((*batch, *kinds[n].BASE_SHAPE)) for n, v in inputs.items()}
    expected = outputs_of(model, full)
    for n, v in outputs_of(model, inputs).items():
        base = model.output_spec[n].BASE_SHAPE
        assert close(v.expand((*batch, *base)), expected[n])


@each
def test_an_empty_batch_gives_an_empty_batch(name: str) -> None:
    rung = RUNGS[name]
    model = rung.make()
    for n, v in outputs_of(model, batched(rung, 0)).items():
        assert v.shape == (0, *model.output_spec[n].BASE_SHAPE)


# -- derivatives ----------------------------------------------------------------------------


@each
def test_jacobian_agrees_with_differences(name: str) -> None:
    rung = RUNGS[name]
    model, inputs = rung.make(), batched(rung, 2)
    kinds = model.input_spec
    values, jacobian = value_and_jacobian(model, inputs)
    assert all(close(v, outputs_of(model, inputs)[n]) for n, v in values.items())
    way = direction(inputs)
    if name == "MixedControlSetup":
        way["control"] = torch.zeros_like(way["control"])
    for output, blocks in jacobian.items():
        kind = model.output_spec[output]
        slope = torch.zeros(2, kind.base_size(), dtype=torch.float64)
        for n, block in blocks.items():
            assert block.shape == (2, *kind.BASE_SHAPE, *kinds[n].BASE_SHAPE)
            matrix = block.reshape(2, kind.base_size(), kinds[n].base_size())
            slope += torch.einsum("pij,pj->pi", matrix, way[n].reshape(2, -1))

        def f(h: float, output: str = output) -> torch.Tensor:
            return outputs_of(model, along(inputs, way, h))[output].reshape(2, -1)

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
    pure = Pure(rung.make(), batched(rung, 3))
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
    pure = Pure(rung.make(), batched(rung, 2))
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


@each
def test_parameters_may_vary_by_point(name: str) -> None:
    """A batched parameter gives at each point what that point's value gives alone."""
    rung = RUNGS[name]
    model, inputs = rung.make(), batched(rung, 3)
    pure = Pure(model, inputs)
    factors = f64([0.9, 1.0, 1.05])
    batch = {
        n: v * factors.reshape(3, *(1,) * v.ndim) if n.startswith("p:") else v
        for n, v in pure.values.items()
    }
    together = pure.outputs(batch)
    for k in range(3):
        alone = {n: v[k] for n, v in batch.items()}
        for n, v in pure.outputs(alone).items():
            base = model.output_spec[n].BASE_SHAPE
            assert close(together[n].expand((3, *base))[k], v)


@each
def test_batched_parameters_with_unbatched_inputs(name: str) -> None:
    rung = RUNGS[name]
    model, inputs = rung.make(), rung.inputs()
    pure = Pure(model, inputs)
    factors = f64([0.9, 1.0, 1.05])
    batch = {n: v * factors if n.startswith("p:") else v for n, v in pure.values.items()}
    together = pure.outputs(batch)
    for k in range(3):
        alone = {n: v[k] if n.startswith("p:") else v for n, v in batch.items()}
        for n, v in pure.outputs(alone).items():
            base = model.output_spec[n].BASE_SHAPE
            assert close(together[n].expand((3, *base))[k], v)


# -- objectivity ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(n for n, r in RUNGS.items() if r.isotropic))
def test_rotated_inputs_give_rotated_outputs(name: str) -> None:
    rung = RUNGS[name]
    model, inputs, turn = rung.make(), batched(rung, 4), rotation(4)
    kinds = model.input_spec
    plain = model.evaluate(inputs)
    moved = model.evaluate({n: turned(kinds[n](v), turn) for n, v in inputs.items()})
    for n, v in plain.items():
        assert close(moved[n].data, turned(v, turn).data, 1e-11)


# -- the table itself -----------------------------------------------------------------------


@dataclass
class Kink:
    """A model at a point where its formula has a kink or a power of zero."""

    make: Callable[[], Model]
    inputs: Raw
    expected: Raw = field(default_factory=dict)


ZERO, NONE = f64(0.0), torch.zeros(6, dtype=torch.float64)
KINKS: dict[str, Kink] = {
    **{
        f"{kind} of a zero tensor": Kink(
            lambda kind=kind: m.SR2Invariant(invariant_type=kind, tensor="a", invariant="i"),
            {"a": NONE},
            {"i": ZERO},
        )
        for kind in ("VONMISES", "EFFECTIVE_STRAIN", "I1", "I2", "J2")
    },
    "von Mises of a pressure": Kink(
        lambda: m.SR2Invariant(invariant_type="VONMISES", tensor="a", invariant="i"),
        {"a": f64([4.0, 4.0, 4.0, 0.0, 0.0, 0.0])},
        {"i": ZERO},
    ),
    "normality at zero stress": Kink(
        normality, {"M": NONE, "X": NONE, "h": ZERO}, {"NM": NONE, "NX": NONE}
    ),
    **{
        f"Perzyna at f = {f}, n = {n}": Kink(
            lambda n=n: m.PerzynaPlasticFlowRate(reference_stress=100.0, exponent=n),
            {"yield_function": f64(f)},
            {"flow_rate": ZERO},
        )
        for f in (0.0, -50.0)
        for n in (0.8, 1.0, 4.0)
    },
    **{
        f"Chaboche at zero back stress, a = {a}": Kink(
            lambda a=a: m.ChabochePlasticHardening(C=1e3, g=10.0, A=1e-3, a=a),
            {"flow_rate": ZERO, "flow_direction": DIRECTION, "back_stress": NONE},
            {"back_stress_rate": NONE},
        )
        for a in (0.5, 1.0, 1.5, 2.0)
    },
    "complementarity at the corner": Kink(
        lambda: m.FBComplementarity(a="f", b="g"),
        {"f": ZERO, "g": ZERO},
        {"complementarity": ZERO},
    ),
    "first step of a linear predictor": Kink(
        lambda: m.LinearExtrapolationPredictor(**UNKNOWNS),
        {
            "s~1": STRESS,
            "p~1": f64(0.2),
            "s~2": STRESS,
            "p~2": f64(0.2),
            "t": f64(1.0),
            "t~1": ZERO,
            "t~2": ZERO,
        },
        {"s": STRESS, "p": f64(0.2)},
    ),
}


@pytest.mark.parametrize("name", sorted(KINKS))
def test_values_and_derivatives_are_finite_at_kinks(name: str) -> None:
    kink = KINKS[name]
    model = kink.make()
    for n, v in kink.expected.items():
        assert close(model.evaluate(kink.inputs)[n].data, v, 1e-15)
    pure = Pure(model, kink.inputs)
    pure.weights = {n: torch.ones(t.BASE_SHAPE).double() for n, t in model.output_spec.items()}
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
