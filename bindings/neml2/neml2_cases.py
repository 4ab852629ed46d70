"""A law by NEML2 and by neml2fe, and points to try it at."""

from __future__ import annotations

from pathlib import Path

import torch
from neml2fe_neml2 import Neml2Material

import neml2fe
from neml2fe.material import Material, State
from neml2fe.material.results import Fields

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
DECKS = ROOT / "tests" / "decks"
STEEL = HERE / "steel.i"
PERZYNA = "type = PerzynaPlasticFlowRate\n    reference_stress = 250\n    exponent = 5"  # in STEEL
n = 12
DT = 0.1


def theirs() -> Neml2Material:
    return Neml2Material(STEEL, "viscoplasticity")


def ours() -> Material:
    return Material(neml2fe.load_model(STEEL, "viscoplasticity"))


def randn(*shape: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def difference(a: torch.Tensor, b: torch.Tensor) -> float:
    return float(((a - b).abs().max() / b.abs().max()).detach())


def plastic(
    material: Neml2Material | Material, size: float = 0.004, fields: Fields | None = None
) -> tuple[torch.Tensor, State]:
    """A strain, and the state one step before it, of points of which some flow."""
    first, state = size * randn(n, 6), material.initial_state(n)
    state = material.update(first, state, DT, DT, fields).state
    return first + size * randn(n, 6, seed=1), state


def differences(
    material: Neml2Material,
    strain: torch.Tensor,
    state: State,
    time: float,
    dt: float,
    fields: Fields | None = None,
) -> torch.Tensor:
    """The tangent by central differences: one update of twelve times the points."""
    step = 1e-6 * torch.eye(6, dtype=strain.dtype)
    moved = (strain + torch.cat([step, -step]).unsqueeze(1)).flatten(0, 1)
    old, given = (
        {name: value.repeat(12, *[1] * (value.ndim - 1)) for name, value in values.items()}
        for values in (state, fields or {})
    )
    stress = material.update(moved, old, time, dt, given, tangent=False).stress
    ahead, behind = stress.view(2, 6, n, 6)
    return ((ahead - behind) / 2e-6).permute(1, 2, 0)


def choose(material: Neml2Material | Material, *ends: str) -> dict[str, torch.Tensor]:
    """Only these parameters require a gradient."""
    for name, value in material.parameters.items():
        value.requires_grad_(name.endswith(ends))
        value.grad = None
    return {k: v for k, v in material.parameters.items() if v.requires_grad}
