"""Snapshots of the states of a problem's terms, in memory or in files, and the room for them."""

from __future__ import annotations

import itertools
import os
import pickle
import re
import shutil
import tempfile
import weakref
from abc import ABC, abstractmethod
from pathlib import Path

import torch

from neml2fe.errors import OutputError
from neml2fe.fem.collective import Comm, collectively

States = list[dict[str, torch.Tensor]]
"""For each term its state variables by name, `(points of this rank, *base)`."""


class Snapshot(ABC):
    """States that are kept until nothing refers to the snapshot any more."""

    @abstractmethod
    def read(self) -> States:
        """What was kept, not to be modified."""


class InMemory(Snapshot):
    """A copy of the states, on their device."""

    def __init__(self, states: States) -> None:
        self._states = copied(states)

    def read(self) -> States:
        return self._states


class Folder:
    """A new folder within `parent`, which is made if need be. It is removed with all that is in
    it on `close`, when nothing refers to it any more, or when Python ends.

    Raises `OutputError` if it cannot be made.
    """

    def __init__(self, parent: str | os.PathLike[str]) -> None:
        try:
            os.makedirs(parent, exist_ok=True)
            path = tempfile.mkdtemp(prefix="states-", dir=parent)
        except OSError as error:
            raise OutputError(
                f"cannot make a folder for checkpoints in '{os.fspath(parent)}': {error.strerror}"
            ) from error
        self._path = Path(path)
        self._numbers = itertools.count()
        self.close = weakref.finalize(self, shutil.rmtree, path, ignore_errors=True)

    def new_file(self) -> Path:
        """The path of a file that is not there yet."""
        return self._path / f"{next(self._numbers)}.pt"


class InFile(Snapshot):
    """The states in a file of their own. Making one and `read` are collective, and raise
    `OutputError` on every rank if a rank cannot write or read."""

    def __init__(self, states: States, folder: Folder, comm: Comm) -> None:
        self._folder, self._comm, self._path = folder, comm, folder.new_file()
        self._remove = weakref.finalize(self, self._path.unlink, missing_ok=True)
        collectively(comm, lambda: self._write(states), every_rank=True)

    def read(self) -> States:
        return collectively(self._comm, self._load, every_rank=True)

    def _write(self, states: States) -> None:
        try:
            with self._path.open("wb") as file:
                torch.save(copied(states), file)  # of a view, all that it views would be written
        except (OSError, RuntimeError) as error:
            cause = (
                error.__context__
            )  # PyTorch hides that a disk is full behind an error of its own
            reason = cause if isinstance(cause, OSError) else error
            raise OutputError(f"cannot write the checkpoint '{self._path}': {reason}") from error

    def _load(self) -> States:
        try:
            return torch.load(self._path, weights_only=True)
        except (OSError, RuntimeError, pickle.UnpicklingError) as error:
            raise OutputError(f"cannot read the checkpoint '{self._path}': {error}") from error


def copied(states: States) -> States:
    return [{name: v.detach().clone() for name, v in term.items()} for term in states]


def size_of(states: States) -> int:
    """Bytes of the tensors."""
    return sum(v.numel() * v.element_size() for term in states for v in term.values())


def usable_memory(states: States, comm: Comm) -> float:
    """Half of what is free, in bytes, where the states are, shared between the ranks of this
    machine. Collective."""
    devices = [v.device for term in states for v in term.values()]
    ranks = 1
    if comm is not None:
        from mpi4py import MPI

        node = comm.Split_type(MPI.COMM_TYPE_SHARED)
        ranks = node.size
        node.Free()
    return 0.5 * _free(devices[0] if devices else torch.device("cpu")) / ranks


def _free(device: torch.device) -> float:
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    try:
        found = re.search(r"MemAvailable:\s*(\d+) kB", Path("/proc/meminfo").read_text())
    except OSError:
        found = None
    if found is not None:
        return 1024.0 * int(found[1])
    return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))  # all there is
