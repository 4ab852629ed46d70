"""Copies, parameters, conversions, scalar functions, tables, orientations, more Euler types."""

from __future__ import annotations

from itertools import product

import torch
from ladder import Raw, f64
from rung import MATRIX, SAMPLES, SKEW, STRESS, TIMES, VECTOR, ZERO, Kink, Rung, rung

import neml2fe.models as m
from neml2fe.models import REGISTRY, ComposedModel, Model

MRPS = (f64([0.1, -0.2, 0.15]), f64([0.05, 0.3, -0.1]))
STIFFNESS = f64([[3.0 * (i == j) + 1.0 / (i + j + 1.0) for j in range(6)] for i in range(6)])
VALUES = {
    **SAMPLES,
    "SSR4": (STIFFNESS, 0.3 * STIFFNESS.flip(0) + 0.1),
    "MRP": MRPS,
    "MillerIndex": (f64([1.0, 2.0, -1.0]), f64([0.0, 1.0, 1.0])),
}
OBJECTIVE = ("Scalar", "Vec", "R2", "SR2", "WR2", "SSR4")


def same(name: str, kind: str, source: str, target: str) -> Rung:
    """A model whose field `target` is the value of `source`, a variable fed at run time."""
    fields = {source: "x", target: "y"}
    value = VALUES[kind][0]
    return rung(REGISTRY[name], fields, {"x": value}, degree=1, isotropic=kind in OBJECTIVE)


def euler(name: str, kind: str, *inputs: str, **more: object) -> Rung:
    a, b = VALUES[kind]
    values = {"x": a, "x_rate": a - b, "x~1": b}
    given = {**{n: values[n] for n in inputs}, **TIMES}
    more["isotropic"] = kind in OBJECTIVE
    return rung(REGISTRY[f"{kind}{name}"], {"variable": "x"}, given, **more)


KNOTS = f64([0.0, 1.0, 9.0, 12.0])
ROWS = f64([-3.0, -1.0, 6.0, 8.0, 9.0])
SIZES = {"Scalar": (), "Vec": (3,), "SR2": (6,)}


def ordinate(*shape: int) -> torch.Tensor:
    """Smooth values of no particular order."""
    n = torch.arange(torch.Size(shape).numel(), dtype=torch.float64).reshape(shape)
    return 5.0 + torch.cos(1.7 * n) + 0.01 * n


def linear(kind: str) -> Model:
    table = ordinate(4, *SIZES[kind])
    return REGISTRY[f"{kind}LinearInterpolation"](
        argument="x", output="y", abscissa=KNOTS, ordinate=table
    )


def bilinear(kind: str) -> Model:
    return REGISTRY[f"{kind}BilinearInterpolation"](
        argument1="x",
        argument2="z",
        output="y",
        abscissa1=KNOTS,
        abscissa2=ROWS,
        ordinate=ordinate(4, 5, *SIZES[kind]),
    )


def product_of(**flags: bool) -> Rung:
    inputs = {"A": MATRIX, "B": MATRIX.T + 0.3 * torch.eye(3, dtype=torch.float64)}
    return rung(m.R2Multiplication, {"to": "C", **flags}, inputs)


def split() -> Model:
    """Both parts in one variable, as one of them is constant on either side of zero."""
    parts = m.MacaulaySplit(from_="x", to_positive="p", to_negative="n")
    both = m.ScalarLinearCombination(from_=["p", "n"], to="y", weights=[2.0, -0.5])
    return ComposedModel(models=[parts, both])


def p_norm(**fields: object) -> Model:
    return m.ScalarPNorm(**{"from_": ["a", "b"], "to": "y", "exponent": 2.6, **fields})


TABLES: dict[str, Rung] = {
    **{
        f"{k}LinearInterpolation": Rung(
            lambda k=k: linear(k), lambda: {"x": f64(4.2)}, input_degree=1, isotropic=k == "Scalar"
        )
        for k in SIZES
    },
    **{
        f"{k}BilinearInterpolation": Rung(
            lambda k=k: bilinear(k),
            lambda: {"x": f64(4.2), "z": f64(2.1)},
            input_degree=2,
            isotropic=k == "Scalar",
        )
        for k in SIZES
    },
}

SPIN = {"s_rate": SKEW, "s~1": MRPS[1], **TIMES}

RUNGS: dict[str, Rung] = {
    **{f"Copy{k}": same(f"Copy{k}", k, "from_", "to_") for k in VALUES},
    **{
        f"{k}{name}": same(f"{k}{name}", k, *fields)
        for k in VALUES
        for name, fields in {
            "ConstantParameter": ("value", "parameter"),
            "InputParameter": ("variable", "parameter"),
            "ParameterToVariable": ("from_", "to_"),
        }.items()
    },
    **{f"{k}VariableRate": euler("VariableRate", k, "x", "x~1") for k in ("WR2", "SSR4", "MRP")},
    **{
        f"{k}BackwardEulerTimeIntegration": euler(
            "BackwardEulerTimeIntegration", k, "x", "x_rate", "x~1", degree=2
        )
        for k in ("SSR4", "MRP")
    },
    **{
        f"{k}ForwardEulerTimeIntegration": euler(
            "ForwardEulerTimeIntegration", k, "x_rate", "x~1", degree=2
        )
        for k in ("Vec", "WR2", "SSR4", "MRP")
    },
    "WR2ExplicitExponentialTimeIntegration": rung(
        m.WR2ExplicitExponentialTimeIntegration, {"variable": "s"}, SPIN, isotropic=False
    ),
    "WR2ImplicitExponentialTimeIntegration": rung(
        m.WR2ImplicitExponentialTimeIntegration,
        {"variable": "s"},
        {"s": MRPS[0], **SPIN},
        isotropic=False,
    ),
    "ArrheniusParameter": rung(
        m.ArrheniusParameter,
        {"reference_value": 3.0, "activation_energy": 2e4, "ideal_gas_constant": 8.314},
        {"temperature": f64(900.0)},
    ),
    "R2ToSR2": rung(m.R2ToSR2, {}, {"input": MATRIX}, degree=1),
    "R2ToWR2": rung(m.R2ToWR2, {}, {"input": MATRIX}, degree=1),
    "SR2ToR2": rung(m.SR2ToR2, {}, {"input": STRESS}, degree=1),
    "ScalarToDiagonalSR2": rung(m.ScalarToDiagonalSR2, {}, {"input": f64(1.3)}, degree=1),
    "VecComponents": rung(
        m.VecComponents,
        {"from_": "v", "to": ["v1", "v2", "v3"]},
        {"v": VECTOR},
        degree=1,
        isotropic=False,
    ),
    "RotationMatrix": rung(
        m.RotationMatrix, {"from_": "s", "to": "R"}, {"s": MRPS[1]}, isotropic=False
    ),
    "R2Multiplication": product_of(invert_B=True, transpose_A=True),
    "R2Determinant": rung(m.R2Determinant, {}, {"input": MATRIX}, degree=3),
    "SR2Determinant": rung(m.SR2Determinant, {}, {"input": STRESS}, degree=3),
    "MacaulaySplit": Rung(split, lambda: {"x": f64(-0.7)}, degree=2, input_degree=1),
    "ScalarMultiplication": rung(
        m.ScalarMultiplication,
        {"from_": ["a", "b", "c"], "to": "y", "scaling": 1.3, "reciprocal": [False, True, False]},
        {"a": f64(2.0), "b": f64(-1.4), "c": f64(0.6)},
    ),
    "ScalarPNorm": Rung(
        lambda: p_norm(weights=[0.7, 1.2]), lambda: {"a": f64(2.0), "b": f64(-1.4)}
    ),
    "IrreversibleScalar": rung(
        m.IrreversibleScalar,
        {"from_": "x", "to": "y"},
        {"x": f64(0.9), "y~1": f64(0.3)},
        degree=1,
    ),
    "HermiteSmoothStep": rung(
        m.HermiteSmoothStep,
        {"lower_bound": 1.0, "upper_bound": 4.0, "complement": True},
        {"argument": f64(2.2)},
    ),
    "SymmetricHermiteInterpolation": rung(
        m.SymmetricHermiteInterpolation,
        {"lower_bound": 1.0, "upper_bound": 4.0},
        {"argument": f64(1.9)},
    ),
    "MinMapComplementarity": rung(
        m.MinMapComplementarity,
        {"a": "f", "b": "g"},
        {"f": f64(-0.7), "g": f64(0.4)},
        degree=1,
    ),
    **TABLES,
}

COLD = {"unknowns_Scalar": ["p"], "unknowns_MRP": ["s"], "cold": ["p:seed"]}
FIRST = {"t": f64(1.0), "t~1": ZERO, "t~2": ZERO}
STARTS: Raw = {"p~1": f64(0.2), "s~1": MRPS[0], "seed": f64(0.7), **FIRST}
STILL = {**SPIN, "s_rate": f64([0.0, 0.0, 0.0])}

KINKS: dict[str, Kink] = {
    "minimum map at a tie": Kink(
        lambda: m.MinMapComplementarity(a="f", b="g", complementarity="r"),
        {"f": f64(-0.5), "g": f64(0.5)},
        {"r": f64(0.5)},
    ),
    "minimum map at the corner": Kink(
        lambda: m.MinMapComplementarity(a="f", b="g", complementarity="r"),
        {"f": ZERO, "g": ZERO},
        {"r": ZERO},
    ),
    "split of zero": Kink(
        lambda: m.MacaulaySplit(from_="x", to_positive="p", to_negative="n"),
        {"x": ZERO},
        {"p": ZERO, "n": ZERO},
    ),
    **{
        f"{p}-norm of zero": Kink(
            lambda p=p: p_norm(exponent=p),
            {"a": ZERO, "b": ZERO},
            {"y": f64(torch.finfo(torch.float64).eps) ** (1.0 / p)},
        )
        for p in (1.0, 1.5, 2.0, 3.0)
    },
    **{
        f"{p}-norm with one entry zero": Kink(
            lambda p=p: p_norm(exponent=p), {"a": f64(3.0), "b": ZERO}, {"y": f64(3.0)}
        )
        for p in (1.0, 1.5, 2.0, 3.0)
    },
    "ratchet at a tie": Kink(
        lambda: m.IrreversibleScalar(from_="x", to="y"),
        {"x": f64(0.3), "y~1": f64(0.3)},
        {"y": f64(0.3)},
    ),
    **{
        f"step at its end {x}": Kink(
            lambda: m.HermiteSmoothStep(lower_bound=1.0, upper_bound=4.0, value="y"),
            {"argument": f64(x)},
            {"y": f64(y)},
        )
        for x, y in ((1.0, 0.0), (4.0, 1.0))
    },
    **{
        f"bump at {x}": Kink(
            lambda: m.SymmetricHermiteInterpolation(lower_bound=1.0, upper_bound=4.0, output="y"),
            {"argument": f64(x)},
            {"y": f64(y)},
        )
        for x, y in ((1.0, 0.0), (2.5, 2.0 / 3.0), (4.0, 0.0))
    },
    **{
        f"table at knot {i}": Kink(lambda: linear("SR2"), {"x": KNOTS[i]}, {"y": ordinate(4, 6)[i]})
        for i in range(4)
    },
    **{
        f"table at knots {i} and {j}": Kink(
            lambda: bilinear("Vec"), {"x": KNOTS[i], "z": ROWS[j]}, {"y": ordinate(4, 5, 3)[i, j]}
        )
        for i, j in product((0, 1, 3), (0, 2, 4))
    },
    **{
        f"no spin, {kind} exponential": Kink(
            lambda kind=kind: m.WR2ExplicitExponentialTimeIntegration(
                variable="s", exponential=kind
            ),
            STILL,
            {"s": MRPS[1]},
        )
        for kind in ("NEML2", "exact")
    },
    "first step of a constant predictor with a cold start": Kink(
        lambda: m.ConstantExtrapolationPredictor(**COLD), STARTS, {"p": f64(0.7), "s": MRPS[0]}
    ),
    "first step of a linear predictor with a cold start": Kink(
        lambda: m.LinearExtrapolationPredictor(**COLD),
        {**STARTS, "p~2": f64(0.2), "s~2": MRPS[0]},
        {"p": f64(0.7), "s": MRPS[0]},
    ),
}
