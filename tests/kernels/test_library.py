"""Every registered model as expressions of one point: the same numbers and derivatives as torch."""

from __future__ import annotations

from functools import cache

import casadi as cs
import numpy as np
import pytest
import torch
from ladder import Pure, Raw, randn
from rung import Kink, Rung
from test_ladder import KINKS, RUNGS, registered

from neml2fe.kernels import (
    Kernel,
    Kernels,
    Program,
    Request,
    Untraceable,
    backend,
    generate,
    traced,
)
from neml2fe.models import Model
from neml2fe.models.functional import parameter_base_ndims, substituted

PARAMETER = "p:"
TOLERANCE = 1e-11
# These take the points of a batch together, which no kernel of one point can.
NOT_TRACED = sorted(n for n, r in RUNGS.items() if not r.pointwise)
IMPLICIT = sorted(
    [
        "Creep",
        "DruckerPrager",
        "GeneralizedMaxwell",
        "ImplicitUpdate",
        "J2Plasticity",
        "J2RadialReturn",
        "J2Viscoplasticity",
    ]
)


def program_of(model: Model, inputs: Raw) -> Program:
    """`model` at one point; its parameters are inputs as well."""
    base, spec = parameter_base_ndims(model), model.input_spec
    shapes = {n: tuple(inputs[n].shape) for n in spec}
    shapes |= {
        PARAMETER + n: tuple(p.shape[p.ndim - base[n] :]) for n, p in model.named_parameters()
    }

    def point(symbols: Raw) -> Raw:
        typed = {n: k(symbols[n], symbols[n].ndim - k.base_ndim()) for n, k in spec.items()}
        parameters = {n: symbols[PARAMETER + n] for n, _ in model.named_parameters()}
        with substituted(model, parameters):
            return {n: v.data for n, v in model._evaluate(typed).items()}

    return traced(model.label, point, shapes)


@cache
def traced_rung(name: str) -> tuple[Model, Program]:
    model = RUNGS[name].make()
    return model, program_of(model, RUNGS[name].inputs())


def eager(model: Model, inputs: Raw, sub: dict[str, int]) -> tuple[Raw, dict[str, Raw]]:
    """Outputs and their derivatives by inputs and parameters, by torch."""
    with backend("eager"):
        pure = Pure(model, inputs, sub)
        return pure.outputs(pure.values), torch.func.jacrev(pure.outputs)(pure.values)


def by_casadi(program: Program, values: Raw) -> tuple[Raw, dict[str, Raw]]:
    """The same of an explicit program, evaluated by CasADi."""
    assert not program.stages
    y = cs.vertcat(*(v.column for v in program.outputs))
    x = program.input_column
    function = cs.Function("f", [x], [cs.densify(y), cs.densify(cs.jacobian(y, x))])
    column = np.concatenate([values[v.name].detach().numpy().ravel() for v in program.inputs])
    flat, jacobian = (torch.from_numpy(np.array(v)) for v in function(column))
    results, slopes, row = {}, {}, 0
    for out in program.outputs:
        rows = slice(row, row := row + out.size)
        results[out.name] = flat[rows].reshape(out.shape)
        slopes[out.name], first = {}, 0
        for v in program.inputs:
            block = jacobian[rows, first : first + v.size]
            slopes[out.name][v.name] = block.reshape(out.shape + v.shape)
            first += v.size
    return results, slopes


def by_kernel(program: Program, values: Raw) -> tuple[Raw, dict[str, Raw]]:
    """The same by compiled code, at one point."""
    names = tuple(v.name for v in program.outputs)
    wrt = tuple(v.name for v in program.inputs)
    kernel = Kernel(
        program.label, generate(program, Request("update", names, wrt, names)), torch.float64
    )
    arguments = {n: values[n].unsqueeze(0) for n in wrt}
    settings = [stage.settings() for stage in program.stages]
    found = kernel(1, arguments, settings, like=torch.zeros(1, dtype=torch.float64))
    assert not found.status.any()
    slopes = {n: {x: found.arrays[f"{n}/{x}"][0] for x in wrt} for n in names}
    return {n: found.arrays[n][0] for n in names}, slopes


def difference(a: torch.Tensor, b: torch.Tensor, size: float = 0.0) -> float:
    """The largest, relative to the largest entry or to `size`; equal infinities are equal, and
    NaN is infinitely far from anything."""
    if a.shape != b.shape:
        return float("inf")
    apart = torch.where(a == b, 0.0, (a - b).abs()) if b.numel() else torch.zeros(1)
    size = max(size, float(b[torch.isfinite(b)].abs().max())) if torch.isfinite(b).any() else size
    error = float(apart.max()) / (size or 1.0)
    return error if error == error else float("inf")


def assert_agree(
    ours: tuple[Raw, dict[str, Raw]],
    theirs: tuple[Raw, dict[str, Raw]],
    at: Raw,
    finite: bool = False,
) -> None:
    """Values, and derivatives block by block; with `finite` only finite derivatives.

    A derivative dy/dx is measured by y/x where that is larger: beside it, what is zero but for
    round-off is zero.
    """
    assert ours[0].keys() == theirs[0].keys()
    for n, value in theirs[0].items():
        assert difference(ours[0][n], value) <= TOLERANCE, n
        for x, slope in theirs[1][n].items():
            here = torch.isfinite(slope) if finite else torch.ones_like(slope, dtype=torch.bool)
            size = float(value.abs().max()) / (float(at[x].abs().max()) or 1.0)
            size = size if size < float("inf") else 0.0
            error = difference(ours[1][n][x][here], slope[here], size)
            assert error <= TOLERANCE, f"d {n} / d {x}: {error:.1e}"


def samples(rung: Rung) -> list[Raw]:
    """The rung's point, and one beside it."""
    inputs = rung.inputs()
    beside = {n: v + 0.02 * v.abs().max() * randn(*v.shape) for n, v in inputs.items()}
    return [inputs, beside]


def with_parameters(model: Model, inputs: Raw) -> Raw:
    return inputs | {PARAMETER + n: p.detach() for n, p in model.named_parameters()}


def test_every_model_is_traced_but_those_over_many_points() -> None:
    assert registered() == sorted(RUNGS)
    kinds = ("R2", "SR2", "Scalar")
    assert [f"{kind}Dynamic{what}" for kind in kinds for what in ("Mean", "Sum")] == NOT_TRACED


@pytest.mark.parametrize("name", sorted(RUNGS.keys() - {*NOT_TRACED, *IMPLICIT}))
def test_expressions_agree_with_torch(name: str) -> None:
    model, program = traced_rung(name)
    for inputs in samples(RUNGS[name]):
        theirs = eager(model, inputs, RUNGS[name].sub)
        at = with_parameters(model, inputs)
        assert_agree(by_casadi(program, at), theirs, at)


@pytest.mark.parametrize("name", IMPLICIT)
def test_implicit_models_agree_with_torch(name: str) -> None:
    model, program = traced_rung(name)
    assert program.stages
    for inputs in samples(RUNGS[name]):
        theirs = eager(model, inputs, RUNGS[name].sub)
        at = with_parameters(model, inputs)
        assert_agree(by_kernel(program, at), theirs, at)


@pytest.mark.parametrize("name", NOT_TRACED)
def test_models_over_many_points_say_so(name: str) -> None:
    with pytest.raises(Untraceable):
        traced_rung(name)


@pytest.mark.parametrize("name", sorted(KINKS))
def test_kinks_agree_with_torch(name: str) -> None:
    kink: Kink = KINKS[name]
    model = kink.make()
    program = program_of(model, kink.inputs)
    theirs = eager(model, kink.inputs, kink.sub)
    at = with_parameters(model, kink.inputs)
    assert_agree(by_casadi(program, at), theirs, at, finite=True)


# One of each family, with all operations among them, as compiled code.
COMPILED = [
    "AssociativePlasticFlow",
    "ChabochePlasticHardening",
    "CubicElasticityTensor",
    "ExponentialDamage",
    "FBComplementarity",
    "HosfordStress",
    "LogarithmicElasticStrain",
    "MohrCoulombReturn",
    "NeoHookean",
    "Normality",
    "OrientationRate",
    "PerzynaPlasticFlowRate",
    "PowerLawSlipRule",
    "RateCondensation",
    "RotationMatrix",
    "SR2Invariant",
    "ScalarBackwardEulerTimeIntegration",
    "VoceIsotropicHardening",
    "WR2ImplicitExponentialTimeIntegration",
    "Yld2004Stress",
]


@pytest.mark.parametrize("name", COMPILED)
def test_compiled_code_agrees_with_torch(name: str) -> None:
    model, program = traced_rung(name)
    inputs = RUNGS[name].inputs()
    theirs = eager(model, inputs, RUNGS[name].sub)
    at = with_parameters(model, inputs)
    assert_agree(by_kernel(program, at), theirs, at)


def test_a_program_that_no_compiler_should_see() -> None:
    _, program = traced_rung("Ogden")  # eigenvalues, and derivatives by everything
    names, wrt = (tuple(v.name for v in vs) for vs in (program.outputs, program.inputs))
    kernels = Kernels("Ogden", lambda: program, torch.float64)
    with pytest.raises(Untraceable, match="operations with its derivatives"):
        kernels.kernel(Request("update", names, wrt, names))
