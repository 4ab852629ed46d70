"""One thread and one seed for every test, so that results and timings repeat; compiled kernels
beside pytest's own cache, not in the user's."""

from __future__ import annotations

import gc
import os
import sys

import pytest
import torch

import neml2fe.kernels.backend  # noqa: F401


def pytest_configure(config: pytest.Config) -> None:
    torch.set_num_threads(1)
    os.environ.setdefault("NEML2FE_CACHE", str(config.rootpath / ".pytest_cache" / "neml2fe"))


def pytest_collection_finish() -> None:
    """Modules and tests stay to the end: to search them for garbage again and again is slow."""
    gc.freeze()


@pytest.fixture(autouse=True)
def _afresh() -> None:
    torch.manual_seed(0)
    sys.modules["neml2fe.kernels.backend"]._told.clear()  # type: ignore[attr-defined]
