"""Updates by kernels against the same updates by torch, for every deck whose model is a material.

Nineteen points are no multiple of the lanes of a processor, and range from elastic to plastic, so
that those that share an instruction branch and iterate differently.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import pytest
import torch
from ladder import DECKS, Raw, f64, randn

import neml2fe
from neml2fe.errors import Error, ModelError
from neml2fe.implicit import ImplicitUpdate, NewtonWithLineSearch, Status
from neml2fe.material import Material, PointCotangents
from neml2fe.models import Model
from neml2fe.models.functional import parameter_base_ndims

N = 19
BENCHMARKS = DECKS.parents[1] / "benchmarks" / "decks"
PATHS = {p.stem: p for folder in (DECKS, BENCHMARKS) for p in sorted(folder.glob("*.i"))}
CRYSTAL = {"strain": "deformation_rate", "stress": "cauchy_stress"}
TRACTION = "a jump to traction, no strain"
DRIVEN = "its strain is found under mixed control"
LEFT_OUT = {
    "common_orientation": "no stress",
    "common_scalars": "no stress",
    "common_tensors": "no stress",
    "kinematics_volume_change": "no strain",
    "viscoelastic_burgers": "a stress to strain",
    "viscoelastic_kelvin_voigt": "a stress to strain",
    **{f"traction_{n}": TRACTION for n in ("benzeggagh_kenane", "exponential", "jump")},
    **{f"traction_{n}": TRACTION for n in ("linear", "power_law")},
    **{f"uniaxial_{n}": DRIVEN for n in ("kinematic", "linear", "perzyna", "saturation")},
    **{f"uniaxial_{n}": DRIVEN for n in ("steady", "voce")},
    "solvers_gmres": "an iterative linear solver, which kernels refuse",
}
RANGES = {
    "T": (300.0, 600.0),
    "vorticity": (-0.003, 0.003),
    "orientation": (-0.2, 0.2),
    "void_fraction": (0.02, 0.1),
    "dislocation_density": (0.8, 1.2),
    "V": (1.9, 2.1),
    "phase": (0.0, 1.0),
    "change": (-0.01, 0.01),
    "rate_guess": (0.005, 0.02),
}  # of fields, and of states that do not start from zero; else from -0.5 to 0.5
SIZES = {n: 0.004 for n in PATHS if n.startswith("crystal")}  # the largest strain; else 0.01
GRAINS = {"crystal_reductions": {"orientation": 4}}  # fields with a sub-batch


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
    dt: float = 1.0


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
    grains = GRAINS.get(deck, {})
    fields = {
        n: spread(n, N, *[grains[n]] * (n in grains), *kind.BASE_SHAPE)
        for n, kind in a.field_spec.items()
    }
    if a.inputs[a.strain].BASE_SHAPE == (3, 3):
        first, second = (
            torch.eye(3).double() + 4.0 * torch.cat([v, v[:, :3]], -1).reshape(N, 3, 3)
            for v in (first, second)
        )
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


def differences(deck: str, c: Case) -> tuple[dict[str, float], dict[str, int]]:
    found: dict[str, float] = {}
    counts: dict[str, int] = {"status": 0, "iterations": 0, "failed": 0}
    mine = other = c.state
    for k, strain in enumerate(c.strains):
        before = other
        time = c.dt * (k + 1)
        a = c.kernel.update(strain, mine, time, c.dt, c.fields)
        b = c.eager.update(strain, other, time, c.dt, c.fields)
        mine, other = a.state, b.state
        assert a.tangent is not None and b.tangent is not None
        counts["failed"] += int((b.status != 0).sum())
        counts["status"] += int((a.status != b.status).sum())
        counts["iterations"] = max(
            counts["iterations"], int((a.iterations - b.iterations).abs().max())
        )
        counts["spread"] = int(b.iterations.max() - b.iterations.min())
        found[f"stress{k}"] = error(a.stress, b.stress)
        found[f"tangent{k}"] = error(a.tangent, b.tangent)
        for name, value in b.state.items():
            found[f"{name}{k}"] = error(a.state[name], value)
    stress_bar = randn(*b.stress.shape) / b.stress.abs().max()
    bars = {n: randn(*v.shape) / (v.abs().max() or 1.0) for n, v in other.items()}
    arguments = (c.strains[1], before, 2.0 * c.dt, c.dt, stress_bar, bars, c.fields)
    v, w = c.kernel.vjp(*arguments), c.eager.vjp(*arguments)
    values = {"strain": c.strains[1], **{"s:" + n: x for n, x in before.items()}, **c.fields}
    found["vjp"] = weighted(named(v), named(w), values)
    found["parameters"] = weighted(
        v.parameters, w.parameters, dict(c.eager.model.named_parameters())
    )
    return found, counts
