"""Which observations there are, and how much each counts."""

from __future__ import annotations

import torch

from neml2fe.errors import InputError


def present(
    results: torch.Tensor,
    computed: torch.Tensor,
    mask: torch.Tensor | None,
    weights: torch.Tensor | None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Where an observation counts (N, S, n_out), and how much, positive (N, S)."""
    if results.shape != computed.shape:
        raise InputError(
            f"the measured results are {tuple(results.shape)}, the computed {tuple(computed.shape)}"
        )
    n, s = shape = computed.shape[:2]
    there = torch.ones_like(computed, dtype=torch.bool)
    if mask is not None:
        if mask.shape not in (shape, computed.shape):
            raise InputError(f"the mask is {tuple(mask.shape)}, not ({n}, {s}) or with n_out")
        there = there & (mask if mask.dim() == 3 else mask[..., None]).bool()
    bad = there & ~torch.isfinite(results)
    if bool(bad.any()):
        step, specimen, output = bad.nonzero()[0].tolist()
        raise InputError(
            f"{int(bad.sum())} measured results are not finite, the first in row {step}, specimen "
            f"{specimen}, output {output}; say by 'mask' where nothing was measured"
        )
    if weights is None:
        return there, computed.new_ones(shape)
    if weights.shape not in ((s,), shape) or not bool((weights >= 0).all()):
        raise InputError(f"weights are ({s},) or ({n}, {s}) and not negative")
    weights = weights.expand(shape)
    # Pyro takes positive scales only.
    return there & (weights > 0)[..., None], torch.where(weights > 0, weights, 1.0)
