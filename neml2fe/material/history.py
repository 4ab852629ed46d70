"""Names of variables in time: `x` now, `x~1` one step back, `x~2` two steps back."""

from __future__ import annotations


def split_lag(name: str) -> tuple[str, int]:
    """`x~2` -> (`x`, 2)."""
    base, tilde, lag = name.partition("~")
    return base, int(lag) if tilde else 0


def current_name(name: str) -> str:
    return split_lag(name)[0]


def is_old(name: str) -> bool:
    return split_lag(name)[1] > 0


def lags(name: str, shift: int) -> str:
    """`name` moved back by `shift` steps: `lags('x', 1)` is `x~1`, `lags('x~1', -1)` is `x`."""
    base, lag = split_lag(name)
    return f"{base}~{lag + shift}" if lag + shift else base
