"""Several starts of a fit: where they lie, and how far they agree."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from neml2fe.calibration.fit import FitResult


def starting_points(x0: Tensor, starts: int, seed: int) -> Tensor:
    """`(starts, P)` in the unit box: `x0`, then a scrambled Sobol sequence (Owen 1998)."""
    others = starts - 1
    if not others:
        return x0[None]
    powers = math.ceil(math.log2(others))  # balanced only in powers of two
    from scipy.stats import qmc  # takes half a second, which reading a deck need not

    points = qmc.Sobol(len(x0), scramble=True, seed=seed).random_base2(powers)[:others]
    return torch.cat([x0[None], torch.from_numpy(points)])


def agreement(starts: Sequence[FitResult], tolerance: float = 1e-3) -> str:
    """`3 of 8 starts reached this loss, 1 failed`.

    A loss counts as the best one within `tolerance` of it; near zero, within 1e-9 of the largest
    loss that a start began with.
    """
    losses = [start.loss for start in starts if math.isfinite(start.loss)]
    best = min(losses)
    floor = 1e-9 * max(abs(start.history[0].loss) for start in starts if start.history)
    near = sum(loss - best <= max(tolerance * abs(best), floor) for loss in losses)
    failed = len(starts) - len(losses)
    text = f"{near} of {len(starts)} starts reached this loss"
    return text + (f", {failed} failed" if failed else "")
