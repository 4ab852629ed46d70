"""Checks of parameters that are given as numbers; nested and run-time ones have no value yet."""

from __future__ import annotations

from collections.abc import Callable

import torch

from neml2fe.errors import ModelError
from neml2fe.models.fields import ParameterField
from neml2fe.models.model import Model
from neml2fe.types import aligned


def check(
    model: Model, said: str, holds: Callable[..., torch.Tensor], symbols: tuple[str, ...]
) -> None:
    """Raise `said`, with the values, unless `holds` of the parameters `symbols` at each point."""
    if not set(symbols) <= set(model._parameters):
        return
    raw, _ = aligned(*(getattr(model, symbol).detach() for symbol in symbols))
    raw = torch.broadcast_tensors(*raw)
    bad = ~holds(*raw)
    if bool(bad.any()):
        values = (f"{symbol} = {x[bad][0]:g}" for symbol, x in zip(symbols, raw, strict=True))
        raise ModelError(f"{model.label}: {said}, got {', '.join(values)}")


def positive(model: Model, *symbols: str) -> None:
    """Each of the parameters `symbols` must be greater than zero."""
    names = {f.symbol: name for name, f in model.fields.items() if isinstance(f, ParameterField)}
    for symbol in symbols:
        check(model, f"'{names[symbol]}' must be positive", lambda x: x > 0.0, (symbol,))


def poisson(model: Model) -> None:
    """Poisson's ratio `nu` must belong to a stable and compressible material."""
    check(
        model,
        "'poissons_ratio' must lie between -1 and 0.5",
        lambda nu: (nu > -1.0) & (nu < 0.5),
        ("nu",),
    )
