"""The exception tree: every error that neml2fe raises on purpose is an `Error`.

A message says what was wrong, where, and what would be right. The command line
prints it without a traceback and exits with the class's `exit_code`.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class Error(Exception):
    """Base of all neml2fe errors. `location` is `file:line: [Block/path]` or empty."""

    exit_code = 2

    def __init__(self, message: str, location: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.location = location

    def __str__(self) -> str:
        return f"{self.location}: {self.message}" if self.location else self.message


class InputError(Error):
    """A deck, argument or data file that cannot be right."""


class ModelError(Error):
    """A material model that is wired or called wrongly (cycle, missing input, wrong shape)."""


class MeshError(Error):
    """A mesh that cannot be used (unknown element, inverted element, missing group)."""


class OutputError(Error):
    """Results cannot be written or a checkpoint cannot be read."""


class ConvergenceError(Error):
    """A solve that did not converge although the input was acceptable."""

    exit_code = 1


def suggest(name: str, candidates: Iterable[str]) -> str:
    """`; did you mean 'x'?`, or the whole list when nothing is near, or from a long one what
    looks alike most."""
    known = sorted(set(candidates))
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    if near:
        return f"; did you mean '{near[0]}'?"
    if not known:
        return "; none is defined"
    if len(known) <= 12:
        return f"; known: {', '.join(known)}"
    alike = sorted(known, key=lambda other: -_alike(name.lower(), other.lower()))[:4]
    return f"; the nearest of {len(known)} known: {', '.join(alike)}"


def _alike(name: str, other: str) -> float:
    """The longest part that is common, as far as it makes up the name; then overall likeness."""
    matcher = difflib.SequenceMatcher(None, name, other, autojunk=False)
    common = matcher.find_longest_match().size / max(len(name), 1)
    return round(common, 1) + 0.1 * matcher.ratio()
