"""Binomial checkpointing: which states to keep so that reading a history backwards recomputes
the fewest steps.

A history of `steps` has the states 0, ..., steps - 1 at the beginning of its steps. They are
wanted in reverse, from state 0 alone, with `snapshots` of them held at a time, state 0 included;
the state that is wanted, once reached, needs no snapshot. The optimum is known in closed form:
A. Griewank, A. Walther, Algorithm 799: revolve, ACM Transactions on Mathematical Software 26
(2000) 19-45.
"""

from __future__ import annotations

from math import comb


def repetitions(steps: int, snapshots: int) -> int:
    """How often a step is recomputed at most: the least r with
    C(snapshots + r, snapshots) >= steps."""
    r = 0
    while comb(snapshots + r, snapshots) < steps:
        r += 1
    return r


def fewest_recomputations(steps: int, snapshots: int) -> int:
    """Recomputed steps of the best schedule, r steps - C(snapshots + r, r - 1)."""
    r = repetitions(steps, snapshots)
    return r * steps - comb(snapshots + r, r - 1) if r else 0


def split(steps: int, snapshots: int) -> int:
    """The state, 0 < state < steps, that is to be the next snapshot, of 2 or more steps.

    The steps beyond it are reversed with one snapshot less, then those before it with all. Any
    split that leaves at most C(snapshots + r - 1, snapshots) steps before it and
    C(snapshots + r - 1, snapshots - 1) beyond, and of neither fewer than with r - 1 for r, is
    optimal; the largest is taken, which puts snapshots seldom.
    """
    r = repetitions(steps, snapshots)
    return min(comb(snapshots + r - 1, snapshots), steps - comb(snapshots + r - 2, snapshots - 1))
