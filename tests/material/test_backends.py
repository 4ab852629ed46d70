"""Updates by kernels against the same updates by torch, for every deck whose model is a material.

Nineteen points are no multiple of the lanes of a processor, and range from elastic to plastic, so
that those that share an instruction branch and iterate differently.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace

import pytest
import torch
from ladder import DECKS, Raw, randn

import neml2fe
from neml2fe.errors import ConvergenceError, Error
from neml2fe.implicit import ImplicitUpdate, NewtonWithLineSearch, Status
from neml2fe.kernels.kernel import recorded_kernels
from neml2fe.material import Material, PointCotangents, PointResult
from neml2fe.models import Model
from neml2fe.models.functional import parameter_base_ndims
from neml2fe.types import Vec

N = 19
BENCHMARKS = DECKS.parents[1] / "benchmarks" / "decks"
PATHS = {p.stem: p for folder in (DECKS, BENCHMARKS) for p in sorted(folder.glob("*.i"))}
CRYSTAL = {"strain": "deformation_rate", "stress": "cauchy_stress"}
PARTS = "separations, parts of a jump, to traction"
DRIVEN = "its strain is found under mixed control"
LEFT_OUT = {
    "common_orientation": "no stress",
    "common_scalars": "no stress",
    "common_tensors": "no stress",
    "kinematics_volume_change": "no strain",
    "viscoelastic_burgers": "a stress to strain",
    "viscoelastic_kelvin_voigt": "a stress to strain",
    **{f"traction_{n}": PARTS for n in ("benzeggagh_kenane", "exponential")},
    **{f"traction_{n}": PARTS for n in ("linear", "power_law")},
    **{f"uniaxial_{n}": DRIVEN for n in ("kinematic", "linear", "perzyna", "saturation")},
    **{f"uniaxial_{n}": DRIVEN for n in ("steady", "voce")},
    "crystal_reductions": "sums over points, which are then no points alone",
    "crystal_taylor": "grains that come with the initial state, of which a Material knows nothing",
    "crystal_taylor_block": "the same",
    "solvers_gmres": "an iterative linear solver, which kernels refuse",
    "solvers_line_search": "the same",
}
RANGES = {
    "T": (300.0, 600.0),
    "vorticity": (-0.003, 0.003),
    "orientation": (-0.2, 0.2),
    "void_fraction": (0.02, 0.1),
    "rho": (0.8, 1.2),
    "V": (1.9, 2.1),
    "phase": (0.0, 1.0),
    "change": (-0.01, 0.01),
    "rate_guess": (0.005, 0.02),
}  # of fields, and of states that do not start from zero; else from -0.5 to 0.5
# The largest strain, else 0.01; crystals so that Newton's first attempt succeeds, since round-off
# decides how long an attempt that diverges takes.
SIZES = {n: 0.002 for n in PATHS if n.startswith("crystal")}
# Elastic points of rate-independent laws solve gamma + s - sqrt(gamma^2 + s^2) = 0, of which Newton
# leaves a residual of up to 1e-11 of the stiffness in the tangent, by either backend: see
# `test_elastic_points_of_rate_independent_laws`. What is by the tangent is no better.
RATE_INDEPENDENT = {
    "combined",
    "frederick_armstrong",
    "plasticity_drucker_prager",
    "plasticity_kocks_mecking",
    "plasticity_radial_return_linear",
    "plasticity_radial_return_voce",
    "radial_linear",
    "radial_voce",
    "closest_point",
}
DECK_NAMES = [n for n in PATHS if n not in LEFT_OUT]
# Members of families of which others are compared each time; each takes five seconds and more.
HEAVY = {
    "chaboche6",
    "crystal_decoupled",
    "crystal_descent",
    "crystal_dislocations",
    "crystal_multiplicative",
    "frederick_armstrong",
    "plasticity_static_recovery",
}


def spread(name: str, *shape: int) -> torch.Tensor:
    low, high = RANGES.get(name, (-0.5, 0.5))
    return low + (high - low) * torch.rand(*shape, dtype=torch.float64)


@dataclass(frozen=True)
class Case:
    """A material by both backends, and two steps of strain."""

    kernel: Material
    eager: Material
    strains: tuple[torch.Tensor, torch.Tensor]
    state: Raw
    fields: Raw


def load(deck: str) -> Model:
    model = neml2fe.load_model(PATHS[deck], "model")
    base = parameter_base_ndims(model)
    for name, p in model.named_parameters():  # those of the specimens of the deck
        if p.ndim > base[name]:
            rows = torch.arange(N) % len(p)
            p.data = p.data[rows]
    return model


def both(model: Model, deck: str = "") -> tuple[Material, Material]:
    names = CRYSTAL if deck.startswith("crystal") else {}
    if deck == "crystal_multiplicative":
        names = CRYSTAL | {"strain": "F"}
    if "stress" in model.output_spec:
        names = {n: v for n, v in names.items() if n != "stress"}
    if names.get("strain") not in model.input_spec:
        names = {n: v for n, v in names.items() if n != "strain"}
    a, b = (Material(model, backend=name, **names) for name in ("kernel", "eager"))
    return a, b


def ways(size: float, n: int = N) -> torch.Tensor:
    """Random strains, mostly deviatoric, of sizes from nearly zero to `size`."""
    way = randn(n, 6)
    way[:, :3] -= 0.9 * way[:, :3].mean(-1, keepdim=True)
    sizes = torch.linspace(0.02, 1.0, n, dtype=torch.float64)[torch.randperm(n)]
    return size * sizes[:, None] * way / way.norm(dim=-1, keepdim=True)


def case(deck: str, model: Model | None = None) -> Case:
    torch.manual_seed(sum(map(ord, deck)))
    a, b = both(model or load(deck), deck)
    size = SIZES.get(deck, 0.01)
    first = ways(size)
    second = first + 0.5 * ways(size)
    fields = {n: spread(n, N, *kind.BASE_SHAPE) for n, kind in a.field_spec.items()}
    if a.inputs[a.strain].BASE_SHAPE == (3, 3):
        first, second = (
            torch.eye(3).double() + 4.0 * torch.cat([v, v[:, :3]], -1).reshape(N, 3, 3)
            for v in (first, second)
        )
    if a.strain_kind is Vec:
        first, second = first[:, :3], second[:, :3]
    state = a.initial_state(N, fields=fields)
    state |= {n: spread(n, *v.shape) for n, v in state.items() if n in RANGES}
    if "Fp" in state:
        state["Fp"] = torch.eye(3).double().repeat(N, 1, 1)
    return Case(a, b, (first, second), state, fields)


def error(a: torch.Tensor, b: torch.Tensor) -> float:
    """Largest difference in units of the largest entry."""
    size = max(float(b.abs().max()), 1e-300) if b.numel() else 1.0
    return float((a - b).abs().max()) / size if b.numel() else 0.0


def weighted(found: Raw, expected: Raw, values: Mapping[str, torch.Tensor]) -> float:
    """Largest difference of derivatives times the sizes of what they are by, in units of the
    largest such product: around a derivative of zero a relative error means nothing."""
    assert set(found) == set(expected)
    if not expected:
        return 0.0
    sizes = {n: float(values[n].detach().abs().max()) or 1.0 for n in expected}
    top = max(sizes[n] * float(v.abs().max()) for n, v in expected.items())
    worst = max(sizes[n] * float((v - found[n]).abs().max()) for n, v in expected.items())
    return worst / (top or 1.0)


def named(bars: PointCotangents) -> Raw:
    return {"strain": bars.strain, **{"s:" + n: v for n, v in bars.state.items()}, **bars.fields}


@contextmanager
def compiled() -> Iterator[None]:
    """What happens within this context happens in a kernel of the whole model."""
    with recorded_kernels() as kernels:
        yield
    assert kernels


def compared(a: PointResult, b: PointResult, tolerance: float) -> dict[str, float]:
    """The differences of two updates, all within the tolerance."""
    assert torch.equal(a.status, b.status)
    good = b.status == Status.CONVERGED
    assert torch.equal(a.iterations[good], b.iterations[good])
    found = {"stress": error(a.stress[good], b.stress[good])}
    found |= {n: error(a.state[n][good], v[good]) for n, v in b.state.items()}
    if b.tangent is not None:
        assert a.tangent is not None
        found["tangent"] = error(a.tangent[good], b.tangent[good])
    assert all(v <= tolerance for v in found.values()), found
    return found


def bars_of(result: PointResult) -> tuple[torch.Tensor, Raw]:
    """Random cotangents to the scale of what they belong to."""
    scaled = {n: randn(*v.shape) / (v.abs().max() or 1.0) for n, v in result.state.items()}
    return randn(*result.stress.shape) / result.stress.abs().max(), scaled


def test_only_decks_are_left_out() -> None:
    assert set(LEFT_OUT) <= set(PATHS)


@pytest.mark.parametrize("deck", ["solvers_gmres", "solvers_line_search"])
def test_iterative_linear_solvers_are_refused(deck: str) -> None:
    a, b = both(load(deck))
    strain, state = ways(1e-3), a.initial_state(N)
    assert not b.update(strain, state, 1.0, 1.0).status.any()
    with pytest.raises(Error, match=r"iterative linear solver|solve directly"):
        a.update(strain, state, 1.0, 1.0)


@pytest.mark.parametrize(
    "deck", [pytest.param(n, marks=pytest.mark.slow if n in HEAVY else ()) for n in DECK_NAMES]
)
def test_two_steps_and_their_cotangents(deck: str) -> None:
    c = case(deck)
    tolerance = 3e-11 if deck in RATE_INDEPENDENT else 1e-11
    mine = other = c.state
    for k, strain in enumerate(c.strains):
        before = other
        with compiled():
            a = c.kernel.update(strain, mine, k + 1.0, 1.0, c.fields)
        b = c.eager.update(strain, other, k + 1.0, 1.0, c.fields)
        assert not b.status.any(), b.status
        compared(a, b, tolerance)
        mine, other = a.state, b.state
    arguments = (c.strains[1], before, 2.0, 1.0, *bars_of(b), c.fields)
    with compiled():
        found = c.kernel.vjp(*arguments, solution=a.solution)
    expected = c.eager.vjp(*arguments)
    values = {"strain": c.strains[1], **{"s:" + n: x for n, x in before.items()}, **c.fields}
    assert weighted(named(found), named(expected), values) <= tolerance
    parameters = dict(c.eager.model.named_parameters())
    assert weighted(found.parameters, expected.parameters, parameters) <= tolerance


@pytest.mark.parametrize("deck", sorted(RATE_INDEPENDENT))
def test_elastic_points_of_rate_independent_laws(deck: str) -> None:
    """Both backends are equally far from the exact tangent there, that of a tiny strain."""
    c = case(deck)
    a, b, exact = (
        x.update(strain, c.state, 1.0, 1.0, c.fields).tangent
        for x, strain in (
            (c.kernel, c.strains[0]),
            (c.eager, c.strains[0]),
            (c.eager, 1e-9 * c.strains[0]),
        )
    )
    assert a is not None and b is not None and exact is not None
    elastic = c.strains[0].norm(dim=-1) < 8e-4
    assert int(elastic.sum()) == 2
    assert error(a[elastic], exact[elastic]) < 4e-11 > error(b[elastic], exact[elastic])


@pytest.mark.parametrize(
    "deck",
    [
        "chaboche",
        pytest.param("combined", marks=pytest.mark.slow),
        "temperature",
        pytest.param("crystal_coupled", marks=pytest.mark.slow),
        "viscoelastic_prony",
    ],
)
def test_rates(deck: str) -> None:
    c = case(deck)
    state = c.eager.update(c.strains[0], c.state, 1.0, 1.0, c.fields, tangent=False).state
    rates = {n: randn(*v.shape) * (v.abs().max() or 1.0) for n, v in state.items()}
    more = {n: randn(*v.shape) * v.abs().max() for n, v in c.fields.items()}
    strain = c.strains[1]
    arguments = (strain, state, 2.0, 1.0, randn(*strain.shape) * 0.01, rates, c.fields, more)
    with compiled():
        a = c.kernel.jvp(*arguments)
    b = c.eager.jvp(*arguments)
    tolerance = 3e-11 if deck in RATE_INDEPENDENT else 1e-11
    assert error(a[0], b[0]) <= tolerance
    assert all(error(a[1][n], v) <= tolerance for n, v in b[1].items())


# -- points that fail -----------------------------------------------------------------------


def solver_of(model: Model) -> ImplicitUpdate:
    (found,) = [m for m in model.modules() if isinstance(m, ImplicitUpdate)]
    return found


@pytest.mark.parametrize("deck", ["perzyna_voce", "combined"])
def test_points_that_fail_disturb_no_other(deck: str) -> None:
    model = load(deck)
    solver_of(model).solver = replace(solver_of(model).solver, max_its=3)
    c = case(deck, model)
    good = ways(1e-3)
    with compiled():
        alone = c.kernel.update(good, c.state, 1.0, 1.0)
    assert not alone.status.any()
    strain = good.clone()
    strain[[3, 11]] *= 200.0
    strain[8, 2] = torch.nan
    with compiled():
        a = c.kernel.update(strain, c.state, 1.0, 1.0)
    b = c.eager.update(strain, c.state, 1.0, 1.0)
    assert b.status[[3, 8, 11]].tolist() == [
        Status.ITERATION_LIMIT,
        Status.NOT_FINITE,
        Status.ITERATION_LIMIT,
    ]
    assert b.failed.tolist() == a.failed.tolist() == [3, 8, 11]
    compared(a, b, 3e-11)
    others = [k for k in range(N) if k not in (3, 8, 11)]
    assert a.tangent is not None and alone.tangent is not None
    assert error(a.stress[others], alone.stress[others]) <= 1e-12
    assert error(a.tangent[others], alone.tangent[others]) <= 1e-12
    assert all(error(v[others], alone.state[n][others]) <= 1e-12 for n, v in a.state.items())
    assert bool(a.stress[a.failed].isnan().all()) and bool(a.tangent[a.failed].isnan().all())
    for material in (c.kernel, c.eager):
        with pytest.raises(ConvergenceError, match=re.escape("at 3 of 19 points (first: point 3")):
            material.vjp(strain, c.state, 1.0, 1.0, torch.ones_like(strain))


def test_substeps() -> None:
    """Points that fail in one step and succeed in parts of it, beside others that need none."""
    model = load("perzyna_voce")
    update = solver_of(model)
    update.solver = replace(update.solver, max_its=3)
    c = case("perzyna_voce", model)
    strain = 0.2 * c.strains[0]
    strain[[3, 11]] *= 0.01 / strain[[3, 11]].norm(dim=-1, keepdim=True)
    whole = c.eager.update(strain, c.state, 1.0, 1.0)
    assert {3, 11} <= set(whole.failed.tolist()) and len(whole.failed) < 10
    update.max_substepping_level = 4
    a_, b_ = both(model)
    with compiled():
        a = a_.update(strain, c.state, 1.0, 1.0)
    b = b_.update(strain, c.state, 1.0, 1.0)
    assert not b.status.any()
    compared(a, b, 1e-11)
    bars = bars_of(b)
    found, expected = (x.vjp(strain, c.state, 1.0, 1.0, *bars) for x in (a_, b_))
    assert error(found.strain, expected.strain) <= 1e-11
    values = dict(model.named_parameters())
    assert weighted(found.parameters, expected.parameters, values) <= 1e-11


# -- solvers and number types ---------------------------------------------------------------


@pytest.mark.parametrize("kind", ["BACKTRACKING", "STRONG_WOLFE"])
@pytest.mark.parametrize("deck", ["frederick_armstrong", "chaboche"])
def test_line_searches(deck: str, kind: str) -> None:
    model = load(deck)
    solver_of(model).solver = NewtonWithLineSearch(linesearch_type=kind, max_its=60)
    c = case(deck, model)
    state = c.state
    for k, strain in enumerate(c.strains):
        with compiled():
            a = c.kernel.update(strain, state, k + 1.0, 1.0)
        b = c.eager.update(strain, state, k + 1.0, 1.0)
        assert not b.status.any()
        compared(a, b, 3e-11 if deck in RATE_INDEPENDENT else 1e-11)
        state = b.state


@pytest.mark.parametrize("deck", ["perzyna_voce", "combined", "elasticity"])
def test_single_precision(deck: str) -> None:
    """As near to the numbers of double precision as torch comes."""
    c = case(deck)
    exact = c.eager.update(c.strains[0], c.state, 1.0, 1.0)
    single = load(deck).float()
    a_, b_ = both(single, deck)
    strain, state = c.strains[0].float(), {n: v.float() for n, v in c.state.items()}
    with compiled():
        a = a_.update(strain, state, 1.0, 1.0)
    b = b_.update(strain, state, 1.0, 1.0)
    assert not a.status.any() and not b.status.any()
    assert a.stress.dtype is b.stress.dtype is torch.float32
    assert a.tangent is not None and b.tangent is not None and exact.tangent is not None
    for mine, other, true in (
        (a.stress, b.stress, exact.stress),
        (a.tangent, b.tangent, exact.tangent),
        *((a.state[n], b.state[n], v) for n, v in exact.state.items()),
    ):
        assert mine.dtype is torch.float32
        assert error(mine.double(), true) <= max(3.0 * error(other.double(), true), 1e-6)
