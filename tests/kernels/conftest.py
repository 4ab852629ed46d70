"""What the tests of kernels share: the models of the ladder."""

from __future__ import annotations

import sys
from pathlib import Path

# The ladder's entries and helpers.
sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[1] / "models")]
