"""Fixtures of the end-to-end tests."""

from __future__ import annotations

from e2e_calibrations import quick
from e2e_runs import neml2fe

__all__ = ["neml2fe", "quick"]
