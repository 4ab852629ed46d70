"""When a kernel is used: the choice of a backend, and kernels kept by what they compute."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from functools import cached_property, partial, reduce
from typing import Any

import torch

from neml2fe.errors import InputError, suggest
from neml2fe.kernels.kernel import Kernel
from neml2fe.kernels.program import Program, Shapes
from neml2fe.kernels.request import Request
from neml2fe.kernels.source import generate
from neml2fe.kernels.store import BuildError
from neml2fe.kernels.trace import Untraceable

BACKENDS = ("auto", "kernel", "eager")
ENOUGH = 256  # updates of points that make up for the seconds a compiler takes
MOST_STATEMENTS = 40_000  # of C++; a compiler takes some 15 s for them
MOST_UNKNOWNS = 128  # of one stage; its Jacobian lies on the stack of a thread

_chosen: ContextVar[str | None] = ContextVar("neml2fe_backend", default=None)
_told: set[str] = set()  # warnings given, which would come once more for every request
_calls: ContextVar[int] = ContextVar("neml2fe_calls", default=1)


class HasOwnKernel(Untraceable):
    """A part of a model that has a kernel of its own; nothing to warn of."""


class StaysEager(HasOwnKernel):
    """A part of a model that is eager by its own settings; nothing to warn of, either."""


@contextmanager
def backend(name: str) -> Iterator[None]:
    """Within this context, `name` instead of the backend of every material and update."""
    token = _chosen.set(_known(name, "backend"))
    try:
        yield
    finally:
        _chosen.reset(token)


@contextmanager
def repeated(calls: int) -> Iterator[None]:
    """Within this context, what is called is called about `calls` times; contexts multiply."""
    token = _calls.set(max(calls, 1) * _calls.get())
    try:
        yield
    finally:
        _calls.reset(token)


def repetitions() -> int:
    """How often what is called now is called, as contexts of `repeated` say."""
    return _calls.get()


def chosen_backend(own: str) -> str:
    """`own`, unless a context or the variable NEML2FE_BACKEND says otherwise."""
    from_context = _chosen.get()
    if from_context is not None:
        return from_context
    variable = os.environ.get("NEML2FE_BACKEND")
    return _known(variable, "NEML2FE_BACKEND") if variable else own


def _known(name: str, what: str) -> str:
    if name not in BACKENDS:
        raise InputError(f"{what} is {', '.join(BACKENDS)}, not '{name}'{suggest(name, BACKENDS)}")
    return name


class Kernels:
    """The kernels of one function of points, by request; traced and compiled when first needed.

    What cannot be is warned of once, by request and kind of device.
    """

    def __init__(self, label: str, trace: Callable[[], Program], dtype: torch.dtype) -> None:
        self.label, self.dtype = label, dtype
        self._trace = trace
        self._program: Program | Untraceable | None = None
        self._kernels: dict[Request, Kernel] = {}
        self._failed: set[tuple[Request, str]] = set()

    @property
    def program(self) -> Program:
        """Raises `Untraceable` if the function is."""
        if self._program is None:
            try:
                self._program = self._trace()
                self._require_size(self._program)
            except Untraceable as error:
                self._program = error
        if isinstance(self._program, Untraceable):
            raise self._program
        return self._program

    def _require_size(self, program: Program) -> None:
        for stage in program.stages:
            if stage.unknowns.numel() > MOST_UNKNOWNS:
                raise Untraceable(
                    f"'{stage.label}' has {stage.unknowns.numel()} unknowns; a kernel takes "
                    f"{MOST_UNKNOWNS} at most"
                )

    def kernel(self, request: Request) -> Kernel:
        if request not in self._kernels:
            source = generate(self.program, request)
            if source.statements > MOST_STATEMENTS:
                raise Untraceable(
                    f"'{self.label}' has {source.statements:,} operations with its derivatives; a "
                    f"kernel takes {MOST_STATEMENTS:,} at most"
                )
            careful = None
            if request.condensed and "n_d = 0," not in source.body and self.program.stages:
                careful = partial(self._careful, replace(request, condensed=False))
            self._kernels[request] = Kernel(self.label, source, self.dtype, careful)
        return self._kernels[request]

    def _careful(self, request: Request, device: torch.device) -> Kernel | None:
        """A kernel for points that failed; None where it cannot be made, and they stay failed."""
        try:
            kernel = self.kernel(request)
            kernel.ready(device)
        except (Untraceable, BuildError):
            return None
        return kernel

    def prepared(self, own: str, request: Request, n: int, device: torch.device) -> bool:
        """Whether `request` for n points goes to a kernel, which is then compiled and loaded.

        With the backend `kernel`, raises the reason why it cannot; with `auto`, warns.
        """
        choice = chosen_backend(own)
        if device.type not in ("cpu", "cuda"):
            return False
        if choice == "eager" or n == 0 or (choice == "auto" and n * _calls.get() < ENOUGH):
            return False
        place = (request, device.type)
        if place in self._failed and choice == "auto":
            return False
        try:
            self.kernel(request).ready(device)
        except HasOwnKernel as error:
            if choice == "kernel" and isinstance(error, StaysEager):
                raise
            return False
        except (Untraceable, BuildError) as error:
            if choice == "kernel":
                raise
            self._failed.add(place)
            message = f"'{self.label}' runs without a compiled kernel, which is slower: {error}"
            if message not in _told:
                _told.add(message)
                warnings.warn(message, stacklevel=2)
            return False
        return True

    def why_not(self, own: str, request: Request, n: int, device: torch.device) -> str:
        """Why `prepared` says no."""
        choice = chosen_backend(own)
        if choice == "eager":
            return "the backend is eager"
        if choice == "auto" and n * _calls.get() < ENOUGH:
            return f"{n} steps are too few to compile for"
        try:
            self.kernel(request).ready(device)
        except (Untraceable, BuildError) as error:
            return str(error)
        return f"there are no kernels for {device.type}"


class KernelCache:
    """The kernels of one model, a set for each combination of shapes, number type and of what is
    written out in them: buffers, and attributes that are plain values."""

    def __init__(self, model: torch.nn.Module) -> None:
        self.model = model
        self._known: dict[tuple[object, ...], tuple[Kernels, list[torch.Tensor]]] = {}

    def __reduce__(self) -> tuple[type[KernelCache], tuple[torch.nn.Module]]:
        return KernelCache, (self.model,)  # a copy finds its kernels on disk

    def of(
        self, label: str, shapes: Shapes, dtype: torch.dtype, trace: Callable[[], Program]
    ) -> Kernels:
        """`trace` gives the program."""
        buffers, attributes = self._places
        constants = [b for member in buffers for b in member.values() if b is not None]
        values = (member[name] for member, names in attributes for name in names)
        key = (*shapes.items(), dtype, *values)
        known = self._known.get(key)
        if known is None or not all(map(_same, known[1], constants)):
            known = Kernels(label, trace, dtype), [c.clone() for c in constants]
            self._known[key] = known
        return known[0]

    @cached_property
    def _places(self) -> tuple[list[Members], list[tuple[Members, list[str]]]]:
        """The dictionaries of buffers, and those of attributes with the names of plain values."""
        members = list(self.model.modules())
        attributes = [
            (vars(m), [n for n, v in vars(m).items() if isinstance(v, bool | int | float | str)])
            for m in members
        ]
        return [m._buffers for m in members if m._buffers], attributes


def _same(a: torch.Tensor, b: torch.Tensor) -> bool:
    """Equal to the bit; NaN is equal to NaN."""
    if a.shape != b.shape or a.dtype != b.dtype or a.device != b.device:
        return False
    return torch.equal(a, b) or bool(((a == b) | ((a != a) & (b != b))).all())


Members = dict[str, Any]


def common_dtype(tensors: Iterable[torch.Tensor]) -> torch.dtype:
    """The number type that torch computes in: that of tensors with dimensions goes first."""
    tensors = list(tensors)
    with_dimensions = [t.dtype for t in tensors if t.ndim]
    return reduce(torch.promote_types, with_dimensions or [t.dtype for t in tensors])
