"""Run by test_rank_errors.py under mpiexec: rank 1 fails while rank 0 waits for it in a sum."""

from __future__ import annotations

import sys
from typing import Any

from neml2fe.cli import main as _  # noqa: F401 - the module below
from neml2fe.errors import InputError

module: Any = sys.modules["neml2fe.cli.main"]


def fails(given: Any, comm: Any) -> int:
    if comm.rank == 1:
        raise InputError("only rank 1 knows")
    comm.allreduce(1)
    return 0


if __name__ == "__main__":
    module._doctor = fails
    sys.exit(module.main(["doctor"]))
