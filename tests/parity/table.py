"""Writes docs/parity.md: what agrees with the reference code, how closely, in which decks.

NEML2FE_PEER=/path/to/python python tests/parity/table.py
"""

from __future__ import annotations

import io
import subprocess
import tokenize
from collections.abc import Iterable
from pathlib import Path

from catalog import decks_of, is_covered, peer_catalog, required
from compare import NAMES, compared
from peer import peer_python

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "parity.md"
BEYOND = (
    "anisotropic_yield",
    "damage",
    "finite_strain",
    "hyperelasticity",
    "logarithmic_strain",
    "pressure_dependent",
    "rate_hardening",
    "surrogate",
)
HEAD = """\
# Parity with NEML2 3.1.0

Written by `make parity`. Every deck of `tests/decks` is run in both codes: saved histories are
compared entry by entry, and directional derivatives of the model at five steps, one input varied
at a time. Differences are relative to the largest value of each variable, or of all its
derivatives, over the history.

## Decks

| deck | values | worst variable | derivatives | worst derivative |
|---|---|---|---|---|
"""
TYPES = """
## Types

A type agrees as closely as the worst deck that uses it.

| type | part | agrees to | decks |
|---|---|---|---|
"""


def lines_of_code(paths: Iterable[Path]) -> tuple[int, int]:
    """All lines, and those that hold more than blanks and comments."""
    skipped = (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT)
    total, code = 0, 0
    for path in paths:
        text = path.read_text()
        numbers: set[int] = set()
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            if token.type not in (*skipped, tokenize.ENDMARKER):
                numbers.update(range(token.start[0], token.end[0] + 1))
        total, code = total + text.count("\n"), code + len(numbers)
    return total, code


def sizes() -> str:
    """The lines that the same models take here and there."""
    where = "import neml2, pathlib; print(pathlib.Path(neml2.__file__).parent)"
    found = subprocess.run(
        [str(peer_python()), "-c", where], check=True, capture_output=True, text=True
    )
    peer = Path(found.stdout.split()[-1]) / "models"
    theirs = lines_of_code(
        p for part in ("common", "solid_mechanics") for p in (peer / part).rglob("*.py")
    )
    models = ROOT / "neml2fe" / "models"
    files = [p for p in models.rglob("*.py") if p.parent != models]
    ours = lines_of_code(files)
    same = lines_of_code(p for p in files if p.stem not in BEYOND)
    return (
        "\n## Size\n\n| | lines | without blanks and comments |\n|---|---|---|\n"
        f"| NEML2, common and solid mechanics | {theirs[0]} | {theirs[1]} |\n"
        f"| neml2fe, the same models | {same[0]} | {same[1]} |\n"
        f"| ratio | {same[0] / theirs[0]:.3f} | {same[1] / theirs[1]:.3f} |\n"
        f"| neml2fe with what goes beyond | {ours[0]} | {ours[1]} |\n"
    )


def main() -> None:
    rows = []
    for deck in NAMES:
        c = compared(deck)
        print(f"{deck}: {c.values:.1e} {c.tangents:.1e} {c.worst_tangent}", flush=True)
        rows.append(
            f"| `{deck}` | {c.values:.1e} | `{c.worst_value}` | {c.tangents:.1e} "
            f"| {c.worst_tangent} |\n"
        )
    kinds = []
    for name, how in sorted(required().items()):
        entry, decks = peer_catalog()[name], decks_of(name)
        part = entry["source_path"].rpartition("/")[0].removeprefix("models/")
        found = [x for d in decks for x in (compared(d).values, compared(d).tangents)]
        worst = max((x for x in found if x == x), default=0.0)  # NaN: not compared
        agrees = f"{worst:.1e}" if decks else how
        shown = ", ".join(decks[:3]) + (f" and {len(decks) - 3} more" if len(decks) > 3 else "")
        kinds.append(f"| `{name}` | {part} | {agrees} | {shown} |\n")
    others = sorted(name for name, entry in peer_catalog().items() if not is_covered(entry))
    missing = [name for name, how in required().items() if how == "missing"]
    tail = (
        f"\nMissing: {', '.join(missing) or 'none'}.\n\n"
        "Not part of this library (other physics and compiled artefacts): "
        f"{', '.join(f'`{name}`' for name in others)}.\n"
    )
    PAGE.write_text(HEAD + "".join(rows) + TYPES + "".join(kinds) + tail + sizes())
    print(PAGE)


if __name__ == "__main__":
    main()
