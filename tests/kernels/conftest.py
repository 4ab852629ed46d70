"""What the tests of kernels share: the models of the ladder, and a cache of their own."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

# The ladder's entries and helpers.
sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[1] / "models")]


@pytest.fixture(scope="session", autouse=True)
def _cache() -> Iterator[None]:
    """Libraries of all sessions together: they are named by what they are made of."""
    chosen = os.environ.get("NEML2FE_CACHE")
    base = Path(tempfile.gettempdir()) / f"neml2fe-test-kernels-{os.getuid()}"
    os.environ["NEML2FE_CACHE"] = chosen or str(base)
    yield
    if chosen is None:
        os.environ.pop("NEML2FE_CACHE", None)
