"""`Kernel`: a compiled source that runs on tensors, on the device where they are."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import Any, Protocol

import numpy as np
import torch

from neml2fe.errors import Error
from neml2fe.kernels import cuda
from neml2fe.kernels.build import host_library
from neml2fe.kernels.request import Array
from neml2fe.kernels.source import Source
from neml2fe.kernels.store import Built

_PROCESS = os.getpid()
WORD = 8  # bytes of every number in the description of a call
THREADS_OF_A_BLOCK = 64
LAST = -1  # as a stride from step to step: only the last one is stored


_recorded: ContextVar[list[Kernel] | None] = ContextVar("neml2fe_kernels", default=None)


@contextmanager
def recorded_kernels() -> Iterator[list[Kernel]]:
    """Lists the kernels that are used within this context."""
    kernels: list[Kernel] = []
    token = _recorded.set(kernels)
    try:
        yield kernels
    finally:
        _recorded.reset(token)


class NewtonSettings(Protocol):
    """What a kernel takes from `neml2fe.implicit.Newton`."""

    abs_tol: float
    rel_tol: float
    max_its: int
    substep_del_tol: float
    line_search: bool
    linesearch_type: str
    max_linesearch_iterations: int
    linesearch_cutback: float
    linesearch_stopping_criteria: float


@dataclass(frozen=True)
class History:
    """An argument that varies by step, `(steps, n, *shape)`, or `(steps, *shape)` if shared."""

    tensor: torch.Tensor
    shared: bool = False


@dataclass(frozen=True)
class Results:
    """Arrays by name, `(n, *shape)` or `(steps, n, *shape)`; summed ones without n. Status and
    iterations `(n,)` or `(steps, n)`."""

    arrays: dict[str, torch.Tensor]
    status: torch.Tensor
    iterations: torch.Tensor


class Kernel:
    """Runs a `Source`; built for a device when first used there.

    Points that fail are tried again by the kernel that `careful` makes, which is slower.

    Raises `BuildError` where compilation fails.
    """

    def __init__(
        self,
        label: str,
        source: Source,
        dtype: torch.dtype,
        careful: Callable[[torch.device], Kernel | None] | None = None,
    ) -> None:
        self.label, self.source, self.dtype, self.careful = label, source, dtype, careful
        self._codes: dict[torch.device, Built] = {}
        self._on_device: dict[torch.device, Any] = {}

    @cached_property
    def built(self) -> Built:
        """The library for the CPU."""
        return host_library(self.source.host(self.dtype), self.label)

    @cached_property
    def _on_host(self) -> Any:
        function = ctypes.CDLL(str(self.built.path)).neml2fe_run
        function.argtypes, function.restype = [ctypes.c_void_p], None
        return function

    def ready(self, device: torch.device) -> None:
        """Compile and load for `device`, if that has not happened."""
        if device.type != "cuda":
            _ = self._on_host
        elif device not in self._on_device:
            arch = cuda.architecture(device)
            code = cuda.compiled(self.source.cuda(self.dtype), arch, self.label)
            self._on_device[device] = cuda.load(code, device)
            self._codes[device] = code
        recorded = _recorded.get()
        if recorded is not None and self not in recorded:
            recorded.append(self)

    def built_for(self, device: torch.device) -> Built:
        """What `ready` compiled or found."""
        return self._codes[device] if device.type == "cuda" else self.built

    def __call__(
        self,
        n: int,
        arguments: Mapping[str, torch.Tensor | History],
        settings: Sequence[NewtonSettings] = (),
        *,
        like: torch.Tensor,
        steps: int = 0,
        summed: Collection[str] = (),
        over_steps: Collection[str] = (),
        last: Collection[str] = (),
        carry: Sequence[tuple[int, int]] = (),
        backwards: bool = False,
        into: Mapping[str, torch.Tensor] | None = None,
    ) -> Results:
        """Map n points, or march them through `steps` steps.

        An argument has the shape of one point where it is the same for all points, else
        `(n, *shape)`; or it is a `History`. `like` tells the device. Outputs named in `summed`
        are added over the points, those in `over_steps` over the steps; of those in `last` only
        the last step that is computed is kept, `(n, *shape)`. `into` are contiguous tensors that
        some outputs are written to. `carry`: see `templates/drive.h`.
        """
        common: dict[str, Any] = {"like": like, "steps": steps, "over_steps": over_steps}
        common |= {"summed": summed, "last": last, "carry": carry, "backwards": backwards}
        found = self._once(n, arguments, settings, **common, into=into or {})
        if self.careful is None or not bool(found.status.any()):
            return found
        again = self.careful(like.device)
        if again is None:
            return found
        if summed or over_steps or last:
            return again._once(n, arguments, settings, **common, into=into or {})
        failed = found.status.reshape(-1, n).any(0).nonzero().squeeze(-1)
        some = {a.name: self._of_points(a, arguments[a.name], failed) for a in self.source.inputs}
        rest = again._once(len(failed), some, settings, **common, into={})
        axis = 1 if steps else 0
        for name, values in rest.arrays.items():
            found.arrays[name].index_copy_(axis, failed, values)
        found.status.index_copy_(axis, failed, rest.status)
        found.iterations.index_copy_(axis, failed, rest.iterations)
        return found

    def _of_points(
        self, array: Array, given: torch.Tensor | History, points: torch.Tensor
    ) -> torch.Tensor | History:
        """An argument for some of the points."""
        if isinstance(given, History):
            return given if given.shared else History(given.tensor[:, points])
        return given if given.ndim == len(array.shape) or len(given) == 1 else given[points]

    def _once(
        self,
        n: int,
        arguments: Mapping[str, torch.Tensor | History],
        settings: Sequence[NewtonSettings],
        *,
        like: torch.Tensor,
        steps: int,
        summed: Collection[str],
        over_steps: Collection[str],
        last: Collection[str],
        carry: Sequence[tuple[int, int]],
        backwards: bool,
        into: Mapping[str, torch.Tensor],
    ) -> Results:
        device = like.device
        kept: list[torch.Tensor] = []  # alive until the kernel has run
        inputs = [
            self._input(a, arguments[a.name], n, steps, device, kept) for a in self.source.inputs
        ]
        outputs: dict[str, torch.Tensor] = {}
        described, on_gpu = [], device.type == "cuda"
        for a in self.source.outputs:
            outer = () if steps == 0 or a.name in over_steps or a.name in last else (steps,)
            many = on_gpu or a.name not in summed
            shape = (*outer, *(n,) * many, *a.shape)
            out = self._output(a.name, shape, device, into.get(a.name))
            outputs[a.name] = out
            step = LAST if steps and a.name in last else out[0].numel() if outer else 0
            described.append((out.data_ptr(), a.size * many, step))
        points = (steps, n) if steps else (n,)
        status = torch.zeros(points, dtype=torch.int64, device=device)
        iterations = torch.zeros_like(status)
        if n:
            self._run(
                [n, max(steps, 1), len(carry), int(backwards), _threads()],
                [
                    inputs,
                    described,
                    list(carry),
                    [_words(settings_of(s, self.dtype)) for s in settings],
                ],
                [status.data_ptr(), iterations.data_ptr()],
                device,
            )
        else:
            for out in outputs.values():
                out.zero_()
        if on_gpu:
            for name in outputs.keys() & set(summed):
                outputs[name] = outputs[name].sum(outputs[name].ndim - self._ndim(name) - 1)
        return Results(outputs, status, iterations)

    def _output(
        self,
        name: str,
        shape: tuple[int, ...],
        device: torch.device,
        given: torch.Tensor | None,
    ) -> torch.Tensor:
        if given is None:
            return torch.empty(shape, dtype=self.dtype, device=device)
        if given.shape != shape or given.dtype != self.dtype or not given.is_contiguous():
            raise Error(
                f"'{self.label}': '{name}' is written to a contiguous tensor of shape {shape} and "
                f"{self.dtype}, got {tuple(given.shape)} and {given.dtype}"
            )
        return given

    def _ndim(self, name: str) -> int:
        return next(len(a.shape) for a in self.source.outputs if a.name == name)

    def _input(
        self,
        array: Array,
        given: torch.Tensor | History,
        n: int,
        steps: int,
        device: torch.device,
        kept: list[torch.Tensor],
    ) -> tuple[int, int, int]:
        """Address and strides of an argument."""
        value, over_steps = (given.tensor, True) if isinstance(given, History) else (given, False)
        shared = given.shared if isinstance(given, History) else value.ndim == len(array.shape)
        if not shared and not over_steps and (len(value) == 1 or value.stride(0) == 0) and n:
            value, shared = value[0], True
        outer = (steps,) * over_steps + (n,) * (not shared)
        if value.shape != (*outer, *array.shape):
            raise Error(
                f"'{self.label}': '{array.name}' must have shape {(*outer, *array.shape)} for {n} "
                f"points, got {tuple(value.shape)}"
            )
        value = value.to(device=device, dtype=self.dtype)
        if not _in_a_row(value, len(array.shape)):
            value = value.contiguous()
        kept.append(value)
        step = value.stride(0) if over_steps else 0
        point = 0 if shared else value.stride(len(outer) - 1)
        return value.data_ptr(), point, step

    def _run(
        self,
        head: list[int],
        tables: Sequence[Sequence[tuple[int, ...]]],
        tail: list[int],
        device: torch.device,
    ) -> None:
        """Lay out the description of a call as eight-byte words, and call."""
        flat = [[word for row in table for word in row] for table in tables]
        first = len(head) + len(tables) + len(tail)
        starts = [first + sum(map(len, flat[:k])) for k in range(len(flat))]
        words = np.zeros(first + sum(map(len, flat)) + 1, dtype=np.int64)
        on_gpu = device.type == "cuda"
        place = torch.empty(len(words), dtype=torch.int64, device=device) if on_gpu else None
        base = words.ctypes.data if place is None else place.data_ptr()
        words[:-1] = [*head, *(base + WORD * s for s in starts), *tail, *chain(*flat)]
        if place is None:
            self.ready(device)
            self._on_host(base)
            return
        # Pinned, so that nothing waits for the device; the allocators reuse both in its order.
        place.copy_(torch.from_numpy(words).pin_memory(), non_blocking=True)
        self.ready(device)
        n = head[0]
        grid = (-(-n // THREADS_OF_A_BLOCK), 1, 1)
        with torch.cuda.device(device):
            self._on_device[device](grid, (THREADS_OF_A_BLOCK, 1, 1), [place])


def _in_a_row(value: torch.Tensor, ndim: int) -> bool:
    """Whether the numbers of one point, the last `ndim` dimensions, follow each other."""
    size = 1
    for k in range(value.ndim - 1, value.ndim - 1 - ndim, -1):
        if value.shape[k] != 1 and value.stride(k) != size:
            return False
        size *= value.shape[k]
    return True


def _threads() -> int:
    """As many as torch uses; one in a forked process, where OpenMP cannot start any."""
    return 1 if os.getpid() != _PROCESS else torch.get_num_threads()


def settings_of(s: NewtonSettings, dtype: torch.dtype) -> tuple[float, ...]:
    """The fields of `Settings` in `templates/newton.h`."""
    eps = torch.finfo(dtype).eps
    # Nothing falls further than round-off lets it, which matters in single precision.
    values = [s.abs_tol, max(s.rel_tol, 10.0 * eps), max(s.substep_del_tol, eps**0.5), s.max_its]
    values += [s.line_search, s.linesearch_type == "STRONG_WOLFE", s.max_linesearch_iterations]
    values += [s.linesearch_cutback, s.linesearch_stopping_criteria]
    return tuple(float(v) for v in values)


def _words(numbers: Sequence[float]) -> tuple[int, ...]:
    """The eight-byte words that hold these numbers."""
    return tuple(np.array(numbers, dtype=np.float64).view(np.int64).tolist())
