"""Writes docs/catalog: one page a group of types, from the fields that they declare."""

from __future__ import annotations

from pathlib import Path

from neml2fe.inspection.pages import write

FOLDER = Path(__file__).parent.parent / "docs" / "catalog"

if __name__ == "__main__":
    for page in write(FOLDER):
        print(page.relative_to(FOLDER.parent.parent))
