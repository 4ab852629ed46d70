"""Work that one rank does for all, and arrays of rows that move between rank 0 and the rest.

`comm` is an mpi4py communicator, or None for a serial run, which needs no MPI library.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from neml2fe.errors import Error

T = TypeVar("T")
Comm = Any


def collectively(comm: Comm, function: Callable[[], T], *, every_rank: bool = False) -> T:
    """Call `function` on rank 0 and return its result on every rank.

    With `every_rank`, each rank calls it and keeps its own result. When the call fails on
    any rank, all ranks raise: the same neml2fe error, or, where one rank hit an unforeseen
    exception, that exception there and `Error` elsewhere. So no rank waits for a dead one.
    """
    if comm is None:
        return function()
    result: T | None = None
    failure: Exception | None = None
    if every_rank or comm.rank == 0:
        try:
            result = function()
        except Exception as error:
            failure = error
    if every_rank:
        shared = next((f for f in comm.allgather(_portable(failure, comm.rank)) if f), None)
    else:
        shared = comm.bcast(_portable(failure, 0) if comm.rank == 0 else None)
    if shared is not None:
        if failure is not None and not isinstance(failure, Error):
            raise failure
        raise shared
    return result if every_rank else comm.bcast(result)  # type: ignore[return-value]


def _portable(failure: Exception | None, rank: int) -> Error | None:
    """The neml2fe error that stands for `failure` on the other ranks."""
    if failure is None:
        return None
    if isinstance(failure, Error):
        try:
            return pickle.loads(pickle.dumps(failure))
        except Exception:
            return Error(failure.message, failure.location)
    return Error(f"rank {rank} failed: {type(failure).__name__}: {failure}")


def gather_rows(comm: Comm, rows: NDArray) -> NDArray | None:
    """Stack the rows (n, ...) of all ranks, in rank order, on rank 0; None elsewhere.

    Type and trailing shape must be the same on all ranks.
    """
    if comm is None:
        return rows
    rows = np.ascontiguousarray(rows)
    width = int(np.prod(rows.shape[1:]))
    counts = comm.gather(len(rows))
    if comm.rank != 0:
        comm.Gatherv(rows, None)
        return None
    stacked = np.empty((sum(counts), *rows.shape[1:]), dtype=rows.dtype)
    comm.Gatherv(rows, (stacked, [n * width for n in counts]))
    return stacked


def scatter_rows(comm: Comm, rows: NDArray | None, n: int) -> NDArray:
    """The inverse of `gather_rows`: this rank's `n` rows of those that rank 0 holds."""
    if comm is None:
        assert rows is not None
        return rows
    form = None if rows is None else (rows.shape[1:], rows.dtype)
    shape, dtype = comm.bcast(form)
    received = np.empty((n, *shape), dtype=dtype)
    width = int(np.prod(shape))
    counts = comm.gather(n)
    if comm.rank == 0:
        assert rows is not None
        source = (np.ascontiguousarray(rows), [k * width for k in counts])
    else:
        source = None
    comm.Scatterv(source, received)
    return received


def send_arrays(comm: Comm, arrays: list[NDArray], destination: int) -> None:
    """Send a list of arrays as raw buffers; `receive_arrays` takes them."""
    comm.send([(array.shape, array.dtype) for array in arrays], destination)
    for array in arrays:
        comm.Send(np.ascontiguousarray(array), destination)


def receive_arrays(comm: Comm, source: int) -> list[NDArray]:
    arrays = [np.empty(shape, dtype) for shape, dtype in comm.recv(source=source)]
    for array in arrays:
        comm.Recv(array, source)
    return arrays
