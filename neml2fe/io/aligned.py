"""Rows of text in columns, for a terminal or a log."""

from __future__ import annotations

from collections.abc import Sequence


def aligned(
    rows: Sequence[Sequence[str]], header: Sequence[str] = (), indent: str = "  ", right: str = ""
) -> list[str]:
    """One line a row, two blanks between the columns; the header is underlined.

    `right` has an `r` for each column whose text ends at its right edge: `"..r"` is the third.
    """
    table = [list(header)] if header else []
    table += [list(row) for row in rows]
    if not table:
        return []
    widths = [max(len(row[k]) for row in table) for k in range(len(table[0]))]
    if header:
        table.insert(1, ["-" * width for width in widths])
    ends = right.ljust(len(widths), ".")
    lines = []
    for row in table:
        cells = zip(row, widths, ends, strict=True)
        text = "  ".join(c.rjust(w) if end == "r" else c.ljust(w) for c, w, end in cells)
        lines.append((indent + text).rstrip())
    return lines
