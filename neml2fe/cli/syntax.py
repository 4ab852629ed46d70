"""`neml2fe syntax`: the types that a deck may name, and all about one of them."""

from __future__ import annotations

import argparse
import json

from neml2fe.inspection import pages
from neml2fe.inspection.types import catalog


def syntax(given: argparse.Namespace) -> int:
    """Print; the exit code."""
    if given.json:
        found = pages.find(given.type) if given.type else catalog()
        print(json.dumps(pages.data(found), indent=2, ensure_ascii=False))
    elif given.type:
        print("\n\n".join(pages.text(info) for info in pages.find(given.type)))
    else:
        print(pages.overview())
    return 0
